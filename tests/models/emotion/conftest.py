"""The shipped model, loaded once for all tests of this folder."""

from __future__ import annotations

import pytest

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.config import EmotionSettings
from models.emotion.serving.engine import Engine, build_engine


@pytest.fixture(scope="session")
def artefact() -> Artefact:
    return load(EmotionSettings().artefact)


@pytest.fixture(scope="session")
def engine(artefact: Artefact) -> Engine:
    return build_engine(artefact, EmotionSettings(device="cpu"))
