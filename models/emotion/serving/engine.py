"""One loaded model: the steps that the reader schedules, on a processor or on a GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.artefact.card import EmotionCard
from models.emotion.config import EmotionSettings
from models.emotion.serving import gpu
from models.emotion.serving.inference import (
    Collate,
    Output,
    Post,
    PostReadings,
    Run,
    Tokenise,
    TokenisedText,
    empty,
)
from models.emotion.serving.tokenising import TokeniseTexts
from models.emotion.serving.windows import Windows

# Known-good texts of several lengths: they warm the model, and tell a failing model
# from a failing text.
WARM_TEXTS = (
    "ok",
    "I think I finally get it, thank you so much!",
    "I have tried this exercise five times now and I still do not see where the minus comes from. "
    * 3,
)
AT_ONCE: Final = 256
"""Tokens that each thread of a processor reads before readings are handed on (some 15 ms)."""
M_ARENA_MAX: Final = -8
"""Of glibc's malloc.h."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The steps of one model version; tests replace single ones.

    batch_tokens: what one batch may hold, padding included
    length_step: lengths are padded to a multiple
    equal_lengths: whether only texts of one length, so padded, share a batch
    overlaps: whether the processor is free while the model runs, to prepare the next batch
    languages: of the texts that taught it; others are not read
    known: share of a text's pieces that the vocabulary has
    """

    tokenise: Tokenise
    collate: Collate
    run: Run
    post: Post
    version: str
    batch_tokens: int
    length_step: int = 1
    equal_lengths: bool = False
    release_memory: Callable[[], None] = lambda: None
    overlaps: bool = True
    languages: tuple[str, ...] = ("en",)
    known: Callable[[TokenisedText], float] = lambda _text: 1.0

    def warm(self) -> None:
        """Make the first calls, which are slow. Raises what the model raises."""
        self.try_texts(WARM_TEXTS)

    def try_texts(self, texts: Sequence[str]) -> None:
        """Run every step once for each text. Raises what the model raises."""
        for text in texts:
            self.post(self.run(self.collate(self.tokenise([text]))))


def load_engine(settings: EmotionSettings) -> Engine:
    """Load the settings' artefact: on a GPU where there is one, else on the processor.

    Raises ArtefactProblem, EncoderNotFound, or torch's error for a device that is not there.
    """
    share_heaps()
    return build_engine(load(settings.artefact), settings)


def build_engine(artefact: Artefact, settings: EmotionSettings) -> Engine:
    """The engine of an artefact."""
    if gpu.is_wanted(settings):
        dtype = "bfloat16" if settings.dtype == "auto" else settings.dtype
        return network_engine(
            artefact,
            device="cuda",
            dtype=dtype,
            max_tokens=settings.max_tokens,
            max_windows=settings.max_windows,
            batch_tokens=settings.batch_tokens,
            encoders=settings.encoders,
        )
    # Here and not above: a machine with a GPU needs no runtime for processors.
    from models.emotion.serving.cpu import RunGraph, Unpadded  # noqa: PLC0415

    tokenise = TokeniseTexts(artefact)
    windows = Windows(
        settings.max_tokens, settings.max_windows, artefact.card.joining, tokenise.unknown_ids
    )
    return Engine(
        tokenise,
        windows.collate(Unpadded),
        windows.run(RunGraph(artefact, settings.threads)),
        PostReadings(artefact.card, artefact.version),
        artefact.version,
        min(settings.batch_tokens, AT_ONCE * settings.threads),
        equal_lengths=True,
        overlaps=False,
        languages=tuple(artefact.card.languages),
        known=tokenise.known,
    )


def network_engine(
    artefact: Artefact,
    *,
    device: str,
    dtype: str = "float32",
    max_tokens: int,
    max_windows: int = 1,
    batch_tokens: int,
    encoders: Sequence[str] = (),
) -> Engine:
    """The engine of an artefact's network in torch: on a GPU, or to train and to compare with.

    Raises ArtefactProblem, EncoderNotFound, or torch's error for a device that is not there.
    """
    tokenise = TokeniseTexts(artefact)
    windows = Windows(max_tokens, max_windows, artefact.card.joining, tokenise.unknown_ids)
    step = gpu.length_step(dtype)
    return Engine(
        tokenise,
        windows.collate(gpu.Pad(tokenise.padding_ids, step)),
        windows.run(gpu.RunNetwork(artefact, device, dtype, encoders)),
        PostReadings(artefact.card, artefact.version),
        artefact.version,
        batch_tokens,
        length_step=step,
        equal_lengths=step > 1,
        release_memory=gpu.release_memory,
        languages=tuple(artefact.card.languages),
        known=tokenise.known,
    )


def read_all(
    engine: Engine,
    texts: Sequence[str],
    card: EmotionCard,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Output:
    """Raw outputs of many texts in their order, in batches of equal or similar length."""
    tokenised = engine.tokenise(texts)
    order = sorted(range(len(texts)), key=lambda i: -_longest(tokenised[i]))
    rows: list[Output] = []
    done = 0
    for chosen in _batches(engine, tokenised, order):
        progress(done, len(order))
        rows.append(engine.run(engine.collate([tokenised[i] for i in chosen])))
        done += len(chosen)
    if not rows:
        return empty(card)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return Output(*(np.concatenate(column)[back] for column in zip(*rows, strict=True)))


def _batches(
    engine: Engine, tokenised: Sequence[TokenisedText], order: Sequence[int]
) -> Iterator[list[int]]:
    """Places of the texts of each batch; `order`: the longest first."""
    step = engine.length_step
    chosen: list[int] = []
    room = longest = 0
    for i in order:
        length = -(-_longest(tokenised[i]) // step) * step
        if len(chosen) == room or (engine.equal_lengths and length != longest):
            if chosen:
                yield chosen
            chosen, longest, room = [], length, max(1, engine.batch_tokens // length)
        chosen.append(i)
    if chosen:
        yield chosen


def _longest(text: TokenisedText) -> int:
    return max(map(len, text))


def share_heaps() -> None:
    """Let the threads of this process share two heaps (glibc; elsewhere nothing happens).

    glibc gives each thread one, and each keeps the room that its largest texts once took: a tenth
    of a gigabyte in all.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_ARENA_MAX, 2)
