"""Serving the emotion model inside one process: tokenise, batch, run, post."""

from models.emotion.reading import Reading
from models.emotion.serving.errors import (
    ModelUnavailable,
    NotRead,
    ReaderError,
    ReaderStopped,
    UnreadableText,
)
from models.emotion.serving.observer import Observer
from models.emotion.serving.reader import EmotionReader

__all__ = [
    "EmotionReader",
    "ModelUnavailable",
    "NotRead",
    "Observer",
    "ReaderError",
    "ReaderStopped",
    "Reading",
    "UnreadableText",
]
