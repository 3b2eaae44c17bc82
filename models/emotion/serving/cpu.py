"""The model on a processor: ONNX Runtime for the graph, numpy for the wide part.

Texts of one length run together, unpadded, on one thread. The graph computes each as if it were
alone (`models/emotion/exporting/graph.py`), so a reading cannot depend on its neighbours. Several
threads read several such groups at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.network.wide_table import WideTable
from models.emotion.serving.inference import (
    Output,
    TokenisedText,
    checked,
    output_of,
    outputs_of,
)

INPUT: Final = "ids_{}"
"""Name of the graph's input for an encoder, by its place: (n, length) int64."""
TOGETHER: Final = 128
"""Tokens of one run, unless one text has more: what they become fits a core's cache."""
SLOW: Final = ("SkipLayerNormFusion",)
"""Optimisations left out: the node that this one makes takes three times as long as the two that
it replaces (ONNX Runtime 1.32)."""
WITHOUT_OVERFLOW: Final = ("session.x64quantprecision", "1")
"""ONNX Runtime's setting for slower products of 8 bits, which never overflow.

Source: onnxruntime_session_options_config_keys.h, kOrtSessionOptionsAvx2PrecisionMode.
"""
SUMS: Final = Path(__file__).with_name("sums.onnx")
"""A product of 8 bits, (n, 64) by (64, 16), whose weights are all the largest (`write_sums`)."""


@cache
def overflows() -> bool:
    """Whether this processor's fastest products of 8 bits overflow.

    x86 without VNNI adds two of them in 16 bits. `WITHOUT_OVERFLOW` costs a processor that can
    do better up to nine tenths of its speed, so we try a product once, and look at its sum.
    """
    session = onnxruntime.InferenceSession(SUMS, _options(), ["CPUExecutionProvider"])
    (sums,) = session.run(None, {"rows": np.full((2, 64), 255, np.uint8)})
    return bool((sums != 127 * 127 * 64).any())


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


@dataclass(frozen=True, slots=True)
class Unpadded:
    """Tokenised texts; none is padded."""

    texts: Sequence[TokenisedText]

    @property
    def padded(self) -> int:
        """Nothing is padded."""
        return sum(max(map(len, text)) for text in self.texts)


class RunGraph:
    """Reads texts, as many at a time as it has threads."""

    def __init__(self, artefact: Artefact, threads: int) -> None:
        """Raises ArtefactProblem for a graph that is missing, broken, or of another shape."""
        options = _options()
        if overflows():
            options.add_session_config_entry(*WITHOUT_OVERFLOW)
        graph = artefact.graph()
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, ["CPUExecutionProvider"], disabled_optimizers=[*SLOW]
            )
        except Exception as error:  # the runtime's exceptions share no base of their own
            raise ArtefactProblem(f"emotion.artefact: {graph}: {error}") from error
        self._inputs = [INPUT.format(i) for i in range(len(artefact.card.encoders))]
        outputs = [output.name for output in self._session.get_outputs()]
        self._outputs = outputs_of(artefact.card)
        if [one.name for one in self._session.get_inputs()] != self._inputs or (
            outputs != self._outputs
        ):
            raise ArtefactProblem(
                f"emotion.artefact: {graph}: its inputs or outputs are not those of this release; "
                f"write it anew with `masterx models export {artefact.folder}`"
            )
        texts = self._session.get_inputs()[0].shape[0]
        self._most = texts if isinstance(texts, int) else TOGETHER
        self._threads = ThreadPoolExecutor(threads, "graph") if threads > 1 else None
        self._card = artefact.card
        self._wide = WideTable(artefact) if artefact.card.shape.wide else None

    def __call__(self, batch: Unpadded) -> Output:
        """Raises what the runtime raises, and ArithmeticError."""
        groups = _of_one_length(batch.texts, self._most)
        texts = [[batch.texts[at] for at in group] for group in groups]
        if self._threads is None or len(groups) == 1:
            parts = [self._run(each) for each in texts]
        else:
            parts = list(self._threads.map(self._run, texts))
        order = np.argsort(np.concatenate([np.asarray(group) for group in groups]))
        whole = Output(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))
        return checked(whole)

    def _run(self, texts: Sequence[TokenisedText]) -> Output:
        columns = [np.array(column, dtype=np.int64) for column in zip(*texts, strict=True)]
        rows = self._session.run(None, dict(zip(self._inputs, columns, strict=True)))
        output = output_of(self._card, dict(zip(self._outputs, rows, strict=True)))
        if self._wide is None:
            return output
        added = np.stack([self._wide(ids) for ids in columns[0]])
        classes = len(self._card.emotions)
        return output._replace(
            emotions=output.emotions + added[:, :classes],
            goemotions=output.goemotions + added[:, classes:],
        )


def _of_one_length(texts: Sequence[TokenisedText], at_most: int) -> list[list[int]]:
    """Places of texts that run together: of one length, and not too many."""
    by_length: dict[tuple[int, ...], list[int]] = {}
    for at, text in enumerate(texts):
        by_length.setdefault(tuple(map(len, text)), []).append(at)
    groups = []
    for lengths, places in by_length.items():
        most = min(at_most, max(1, TOGETHER // max(lengths)))
        groups += [places[at : at + most] for at in range(0, len(places), most)]
    return groups
