"""Finding a text encoder (an installed package, a folder, a hub id), its tokeniser and weights.

Training and GPUs need this; a processor runs the artefact's graph.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.emotion.artefact.artefact import EncoderNotFound

Tokens = list[int]


def locate(name: str) -> str:
    """The folder of an encoder that comes as a package or path; else the name, as a hub id."""
    if Path(name).is_dir():
        return name
    if name.isidentifier() and (spec := importlib.util.find_spec(name)) and spec.origin:
        folder = Path(spec.origin).parent
        for candidate in (folder / "model", folder):
            if (candidate / "config.json").is_file():
                return str(candidate)
        raise EncoderNotFound(f"encoder: package {name!r} holds no config.json of a model")
    if name.isidentifier():
        raise EncoderNotFound(
            f"encoder: {name!r} is neither an installed package nor a folder; "
            "install it or set MASTERX_EMOTION__ENCODERS"
        )
    return name


def write_tokenizer(encoder: str, file: Path) -> None:
    """The encoder's tokeniser as a `tokenizer.json`, with the id that it pads with."""
    from transformers import AutoTokenizer  # noqa: PLC0415 (seconds to import)

    loaded = AutoTokenizer.from_pretrained(locate(encoder))
    backend = loaded.backend_tokenizer
    backend.no_truncation()
    backend.enable_padding(pad_id=loaded.pad_token_id or 0, pad_token=loaded.pad_token or "[PAD]")
    file.parent.mkdir(parents=True, exist_ok=True)
    backend.save(str(file))


class Encoder(nn.Module):
    """A transformer with mean pooling: ids and mask (n, length) to (n, width)."""

    def __init__(self, name: str, hidden_dropout: float | None = None) -> None:
        """`hidden_dropout`: of its layers while it trains; None leaves it as packaged."""
        super().__init__()
        from transformers import AutoConfig, AutoModel  # noqa: PLC0415
        from transformers.utils import logging as hub_logging  # noqa: PLC0415

        hub_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.getLogger("transformers").setLevel(logging.ERROR)
        try:
            config = AutoConfig.from_pretrained(locate(name))
            # With dropout inside, attention leaves its fast path on CPUs (training: +10% time).
            config.attention_probs_dropout_prob = 0.0
            if hidden_dropout is not None:
                config.hidden_dropout_prob = hidden_dropout
            self.transformer: Any = AutoModel.from_pretrained(
                locate(name), config=config, dtype=torch.float32
            )
        except OSError as error:
            raise EncoderNotFound(f"encoder: {name!r} cannot be loaded: {error}") from error
        self.name = name
        self.width: int = self.transformer.config.hidden_size

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean of the last layer over the tokens that are not padding."""
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return mean_of(hidden, mask)


def mean_of(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n, length, width) to (n, width): the mean over the tokens that are not padding."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    pooled: torch.Tensor = (hidden * weight).sum(1) / weight.sum(1)
    return pooled


def padded_length(length: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-length // step) * step


def pad(
    rows: Sequence[Tokens], padding_id: int, step: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both (n, length), of token lists; length: the longest, up to a step."""
    longest = padded_length(max(len(row) for row in rows), step)
    ids = torch.tensor([row + [padding_id] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(longest)[None, :] < lengths[:, None]).long()
    return ids, mask
