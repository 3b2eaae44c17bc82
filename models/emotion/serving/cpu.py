"""The model on a processor: ONNX Runtime for the graph, numpy for the wide part.

Each text runs alone and unpadded, on one thread, so its reading cannot depend on its neighbours.
A processor gains nothing from a batch: 20 tokens already fill its vector units. Several threads
read several texts at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnxruntime

from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.network.wide_table import WideTable
from models.emotion.serving.inference import Output, Raw, TokenisedText, checked

INPUT: Final = "ids_{}"
"""Name of the graph's input for an encoder, by its place: (1, length) int64."""
SLOW: Final = ("SkipLayerNormFusion",)
"""Optimisations left out: the node that this one makes takes three times as long as the two that
it replaces (ONNX Runtime 1.32)."""
WITHOUT_OVERFLOW: Final = ("session.x64quantprecision", "1")
"""An x86 processor without VNNI adds products of 8 bits in 16, which can overflow. With this, ONNX
Runtime takes slower products there. It changes nothing on other processors.

Source: onnxruntime_session_options_config_keys.h, kOrtSessionOptionsAvx2PrecisionMode.
"""


@dataclass(frozen=True, slots=True)
class Alone:
    """Tokenised texts, to be read one after the other."""

    texts: Sequence[TokenisedText]

    @property
    def padded(self) -> int:
        """Nothing is padded."""
        return sum(max(map(len, text)) for text in self.texts)


class RunGraph:
    """Reads texts, as many at a time as it has threads."""

    def __init__(self, artefact: Artefact, threads: int) -> None:
        """Raises ArtefactProblem for a graph that is missing, broken, or of another shape."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
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
        if [one.name for one in self._session.get_inputs()] != self._inputs or outputs != list(
            Output._fields
        ):
            raise ArtefactProblem(
                f"emotion.artefact: {graph}: its inputs or outputs are not those of this release; "
                f"write it anew with `masterx models export {artefact.folder}`"
            )
        self._threads = ThreadPoolExecutor(threads, "graph") if threads > 1 else None
        self._classes = len(artefact.card.emotions)
        self._wide = WideTable(artefact) if artefact.card.shape.wide else None

    def __call__(self, batch: Alone) -> Output:
        """Raises what the runtime raises, and ArithmeticError."""
        if self._threads is None or len(batch.texts) == 1:
            rows = [self._one(text) for text in batch.texts]
        else:
            rows = list(self._threads.map(self._one, batch.texts))
        return checked(Output(*(np.concatenate(column) for column in zip(*rows, strict=True))))

    def _one(self, text: TokenisedText) -> list[Raw]:
        ids = [np.array([tokens], dtype=np.int64) for tokens in text]
        row: list[Raw] = self._session.run(None, dict(zip(self._inputs, ids, strict=True)))
        if self._wide is not None:
            added = self._wide(ids[0][0])
            row[0] = row[0] + added[: self._classes]
            row[1] = row[1] + added[self._classes :]
        return row
