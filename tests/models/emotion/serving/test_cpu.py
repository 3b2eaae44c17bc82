"""What the processor's way of running the model depends on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.serving.cpu import WITHOUT_OVERFLOW, RunGraph, Unpadded
from models.emotion.serving.tokenising import TokeniseTexts

TEXTS = ["ok", "I do not get it at all", "thank you so much! " * 9] * 4


def test_several_threads_read_what_one_reads(artefact: Artefact) -> None:
    batch = Unpadded(TokeniseTexts(artefact, 128)(TEXTS))
    one, several = RunGraph(artefact, 1)(batch), RunGraph(artefact, 3)(batch)
    for first, second in zip(one, several, strict=True):
        assert np.array_equal(first, second)


def test_products_do_not_overflow_where_they_are_added_in_16_bits(artefact: Artefact) -> None:
    """Seen only on x86 without VNNI: `bench/processors.py` reads on an emulated one."""
    options = RunGraph(artefact, 1)._session.get_session_options()
    assert options.get_session_config_entry(WITHOUT_OVERFLOW[0]) == "1"


def test_values_that_are_no_numbers_are_an_error(artefact: Artefact) -> None:
    run = RunGraph(replace(artefact), 1)
    assert run._wide is not None
    run._wide._bias = np.full_like(run._wide._bias, np.nan)
    with pytest.raises(ArithmeticError, match="not numbers"):
        run(Unpadded(TokeniseTexts(artefact, 128)(["ok"])))
