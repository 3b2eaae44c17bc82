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
    """Texts to token ids; safe to call from one thread at a time."""

    def __init__(self, file: Path, max_tokens: int | None = None) -> None:
        """file: a `tokenizer.json`; max_tokens: what is cut behind, None: nothing.

        Raises ArtefactProblem where the file is none.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exceptions
            raise ArtefactProblem(f"emotion.artefact: {file}: {error}") from error
        padding = self._tokenizer.padding
        self.padding_id: int = padding["pad_id"] if padding else 0
        self._tokenizer.no_padding()
        if max_tokens is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(max_tokens)
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self.unknown_id: int | None = unknown and self._tokenizer.token_to_id(unknown)

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text, special tokens included: at least 2."""
        if len(texts) <= FEW:
            return [self._tokenizer.encode(text).ids for text in texts]
        return [e.ids for e in self._tokenizer.encode_batch_fast(list(texts))]


class TokeniseTexts:
    """Texts to ids, by the tokeniser of each encoder. Nothing is cut."""

    def __init__(self, artefact: Artefact) -> None:
        """Raises ArtefactProblem for a tokeniser that is missing or broken."""
        places = range(len(artefact.card.encoders))
        self._tokenisers = [Tokeniser(artefact.tokenizer(i)) for i in places]

    @property
    def padding_ids(self) -> list[int]:
        """Of each encoder."""
        return [tokeniser.padding_id for tokeniser in self._tokenisers]

    @property
    def unknown_ids(self) -> list[int | None]:
        """Of each encoder, the id of a piece that its vocabulary lacks."""
        return [tokeniser.unknown_id for tokeniser in self._tokenisers]

    def known(self, text: TokenisedText) -> float:
        """Share of a text's pieces that the vocabulary has: the least of the encoders'."""
        return min(map(known_share, text, self.unknown_ids))

    def __call__(self, texts: Sequence[str]) -> list[TokenisedText]:
        """One entry a text, in order. Raises what the tokeniser raises at bad Unicode."""
        return list(zip(*(tokenise(texts) for tokenise in self._tokenisers), strict=True))


def known_share(tokens: Tokens, unknown: int | None) -> float:
    """Share of a text's pieces that its vocabulary has; 0 for no pieces.

    tokens: with the two special ones; unknown: the id of an unknown piece, None where none has it
    """
    pieces = len(tokens) - 2
    if pieces < 1:
        return 0.0
    return 1.0 if unknown is None else 1 - tokens.count(unknown) / pieces
