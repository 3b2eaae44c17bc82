"""Readings by normalised text, least recently used first out."""

from __future__ import annotations

from collections import OrderedDict

from models.emotion.reading import Reading
from models.judged import judged_copy


def normalise(text: str) -> str:
    """What the model is given: the judged copy of a text, runs of white space as one space.

    Case and punctuation stay: they carry emotion. Empty where a text has nothing to read.
    """
    return " ".join(judged_copy(text).split())


class ReadingCache:
    """Bounded; for use from one thread. Of one model version: clear it when that changes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._readings: OrderedDict[str, Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readings)

    def get(self, text: str) -> Reading | None:
        """The reading of a normalised text, now the most recently used."""
        reading = self._readings.get(text)
        if reading is not None:
            self._readings.move_to_end(text)
        return reading

    def put(self, text: str, reading: Reading) -> None:
        """Keep a reading, dropping the least recently used over the size."""
        if self._size == 0:
            return
        self._readings[text] = reading
        self._readings.move_to_end(text)
        if len(self._readings) > self._size:
            self._readings.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._readings.clear()
