"""Texts to token ids, by the tokenisers that an artefact brings along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.serving.inference import TokenisedText, Tokens

FEW: Final = 32
"""Texts that no pool of threads is woken for: its threads then look for more work for a while,
which costs more than the texts."""


class Tokeniser:
    """Texts to token ids, cut at `max_tokens`; safe to call from one thread at a time."""

    def __init__(self, file: Path, max_tokens: int) -> None:
        """file: a `tokenizer.json`. Raises ArtefactProblem where it is none."""
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exceptions
            raise ArtefactProblem(f"emotion.artefact: {file}: {error}") from error
        padding = self._tokenizer.padding
        self.padding_id: int = padding["pad_id"] if padding else 0
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text, special tokens included: at least 2, at most `max_tokens`."""
        if len(texts) <= FEW:
            return [self._tokenizer.encode(text).ids for text in texts]
        return [e.ids for e in self._tokenizer.encode_batch_fast(list(texts))]


class TokeniseTexts:
    """Texts to ids, by the tokeniser of each encoder."""

    def __init__(self, artefact: Artefact, max_tokens: int) -> None:
        """Raises ArtefactProblem for a tokeniser that is missing or broken."""
        places = range(len(artefact.card.encoders))
        self._tokenisers = [Tokeniser(artefact.tokenizer(i), max_tokens) for i in places]

    @property
    def padding_ids(self) -> list[int]:
        """Of each encoder."""
        return [tokeniser.padding_id for tokeniser in self._tokenisers]

    def __call__(self, texts: Sequence[str]) -> list[TokenisedText]:
        """One entry a text, in order. Raises what the tokeniser raises at bad Unicode."""
        return list(zip(*(tokenise(texts) for tokenise in self._tokenisers), strict=True))
