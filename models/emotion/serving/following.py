"""A reader that takes up promoted weights without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from models.emotion.config import EmotionSettings
from models.emotion.promotion import promoted
from models.emotion.serving.reader import EmotionReader

log = logging.getLogger(__name__)


def current(settings: EmotionSettings) -> EmotionSettings:
    """The settings with the promoted artefact, where one is promoted."""
    if settings.promoted is None:
        return settings
    artefact = promoted(settings.promoted, settings.artefact)
    return settings.model_copy(update={"artefact": artefact})


async def follow(
    reader: EmotionReader,
    settings: EmotionSettings,
    *,
    failed: Callable[[Path, Exception], None] | None = None,
) -> None:
    """Swap the reader's model whenever the pointer names another artefact; runs until cancelled.

    Start the reader with `current(settings)`. An artefact that cannot be loaded is
    reported to `failed` once, and the old one goes on reading.
    """
    if settings.promoted is None:
        return
    refused: Path | None = None
    while True:
        await asyncio.sleep(settings.promotion_interval)
        try:
            wanted = await asyncio.to_thread(current, settings)
        except OSError as error:
            log.warning("%s cannot be read: %s", settings.promoted, error)
            continue
        if wanted.artefact in {reader.artefact, refused}:
            continue
        try:
            version = await reader.swap(wanted)
        except Exception as error:
            refused = wanted.artefact
            log.exception("the promoted model cannot be loaded: %s", refused)
            if failed is not None:
                failed(refused, error)
        else:
            log.info("now reading with %s", version)
