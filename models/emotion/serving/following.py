"""A reader that takes up promoted weights without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from models.emotion.artefact.promotion import Promotion, promotion
from models.emotion.config import EmotionSettings
from models.emotion.serving.reader import EmotionReader

log = logging.getLogger(__name__)


def current(settings: EmotionSettings) -> EmotionSettings:
    """The settings with the promoted artefact, where one is promoted. Raises OSError."""
    known = None if settings.promoted is None else promotion(settings.promoted)
    if known is None:
        return settings
    return settings.model_copy(update={"artefact": known.folder})


async def follow(
    reader: EmotionReader,
    settings: EmotionSettings,
    *,
    failed: Callable[[Path, Exception], None] | None = None,
) -> None:
    """Swap the reader's model whenever something else is promoted; runs until cancelled.

    Start the reader with `current(settings)`. Something else is another folder, or the same
    with other weights than the reader has. An artefact that cannot be loaded is reported to
    `failed` once, and the old one goes on reading; it is tried again when it is promoted again.
    """
    if settings.promoted is None:
        return
    default = Promotion(settings.artefact, None, 0)
    tried: Promotion | None = None
    while True:
        await asyncio.sleep(settings.promotion_interval)
        try:
            wanted = await asyncio.to_thread(promotion, settings.promoted) or default
        except OSError as error:
            log.warning("emotion.pointer_unreadable path=%s error=%s", settings.promoted, error)
            continue
        is_read = wanted.folder == reader.artefact and wanted.version in {None, reader.version}
        if is_read or wanted == tried:
            continue
        tried = wanted
        try:
            version = await reader.swap(settings.model_copy(update={"artefact": wanted.folder}))
        except Exception as error:
            log.exception("emotion.model_not_loaded folder=%s", wanted.folder)
            if failed is not None:
                failed(wanted.folder, error)
        else:
            log.info("emotion.model_switched version=%s", version)
