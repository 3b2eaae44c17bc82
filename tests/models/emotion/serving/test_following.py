from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.artefact.promotion import promote, promotion
from models.emotion.config import EmotionSettings
from models.emotion.serving import EmotionReader
from models.emotion.serving.following import current, follow


def another(artefact: Artefact, folder: Path, step: int = 1) -> Path:
    shutil.copytree(artefact.folder, folder, dirs_exist_ok=True)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"limits": [f"number {step}"]}))
    return folder


def test_without_a_promotion_the_default_is_served(tmp_path: Path) -> None:
    assert promotion(tmp_path / "pointer") is None
    assert current(EmotionSettings()).artefact == EmotionSettings().artefact


def test_a_promotion_points_to_the_new_folder(artefact: Artefact, tmp_path: Path) -> None:
    folder, pointer = another(artefact, tmp_path / "new"), tmp_path / "state" / "pointer"
    version = promote(folder, pointer).version
    known = promotion(pointer)
    assert known is not None
    assert (known.folder, known.version) == (folder.resolve(), version)
    assert [path.name for path in pointer.parent.iterdir()] == ["pointer"]


def test_what_cannot_be_loaded_is_not_promoted(tmp_path: Path) -> None:
    with pytest.raises(ArtefactProblem):
        promote(tmp_path / "nowhere", tmp_path / "pointer")
    assert not (tmp_path / "pointer").exists()


async def test_a_reader_follows_promotions_and_survives_a_bad_one(
    artefact: Artefact, tmp_path: Path
) -> None:
    pointer = tmp_path / "pointer"
    settings = EmotionSettings(device="cpu", promoted=pointer, promotion_interval=0.01)
    failed = asyncio.Event()
    reader = EmotionReader(current(settings))
    await reader.start()
    following = asyncio.create_task(
        follow(reader, settings, failed=lambda _folder, _error: failed.set())
    )
    try:
        # When a folder vanishes between promotion and loading, the old model stays
        pointer.write_text(str(tmp_path / "vanished"))
        await failed.wait()
        assert reader.version == artefact.version
        # Nor is it tried again, until it is there and promoted
        failed.clear()
        promote(another(artefact, tmp_path / "vanished"), pointer)
        async with asyncio.timeout(30):
            while reader.version == artefact.version:
                await asyncio.sleep(0.01)
        assert not failed.is_set()
        # When a good one is promoted, it is taken up
        wanted = promote(another(artefact, tmp_path / "new"), pointer)
        async with asyncio.timeout(30):
            while (await (await reader.submit("hello"))).version != wanted.version:
                await asyncio.sleep(0.01)
        assert reader.version == wanted.version != artefact.version
        # When other weights are promoted in the same folder, as a second training leaves them
        again = promote(another(artefact, tmp_path / "new", step=2), pointer)
        async with asyncio.timeout(30):
            while reader.version != again.version:
                await asyncio.sleep(0.01)
        assert again.version not in (wanted.version, artefact.version)
    finally:
        following.cancel()
        await reader.stop()
