"""Serving the emotion model inside one process: tokenise, batch, run, post."""

import os

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

# Before anything below loads it: ONNX Runtime 1.29 and later has telemetry on Linux, which is on
# unless this says otherwise, and keeps an id in the temporary folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
