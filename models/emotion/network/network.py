"""The network: pooled encoders -> fusion (only with several) -> affect embedding -> heads.

A wide part (`wide`) may add its logits to those of emotions and of GoEmotions' labels.

Shapes: n texts, E encoders, C emotions of the artefact. Every head gives logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from models.emotion.labels import GOEMOTIONS
from models.emotion.network.encoders import Encoder
from models.emotion.network.wide import Wide


class Logits(NamedTuple):
    """What the heads give, before calibration."""

    emotions: torch.Tensor  # (n, C)
    goemotions: torch.Tensor  # (n, 28)
    pad: torch.Tensor  # (n, 3) valence, arousal, dominance; sigmoid gives [0, 1]
    affect: torch.Tensor  # (n, affect_width), the embedding that later heads read
    urgency: torch.Tensor  # (n,) sigmoid gives [0, 1]; only teaches the affect embedding
    concern: torch.Tensor  # (n, 1 + kinds) any danger, then each kind; (n, 0) without that head
    speaking: torch.Tensor  # (n, 1) that the learner speaks; (n, 0) without that head


class AttentionFusion(nn.Module):
    """A learned query attends to the encoders' embeddings; the weights are its mixture."""

    def __init__(self, widths: Sequence[int], width: int, attention_heads: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(w, width) for w in widths)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = nn.MultiheadAttention(width, attention_heads, batch_first=True)

    def forward(self, pooled: Sequence[torch.Tensor]) -> torch.Tensor:
        """E tensors (n, width_e) to (n, width)."""
        projected = [layer(p) for layer, p in zip(self.project, pooled, strict=True)]
        tokens = self.norm(torch.stack(projected, 1))
        query = self.query.expand(len(tokens), -1, -1)
        mixed, _ = self.attention(query, tokens, tokens, need_weights=False)
        fused: torch.Tensor = mixed.squeeze(1) + tokens.mean(1)
        return fused


class Heads(nn.Module):
    """From pooled embeddings to emotions, GoEmotions' own labels, PAD and the affect embedding."""

    def __init__(
        self,
        widths: Sequence[int],
        emotions: int,
        *,
        hidden: int,
        affect: int,
        dropout: float,
        attention_heads: int,
        concerns: int = 0,
        speaking: bool = False,
    ) -> None:
        """concerns: outputs of the head that reads danger; 0: there is none."""
        super().__init__()
        self.fusion = AttentionFusion(widths, hidden, attention_heads) if len(widths) > 1 else None
        self.trunk = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(hidden if self.fusion else widths[0], hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.affect = nn.Linear(hidden, affect)
        self.emotions = nn.Linear(affect, emotions)
        self.pad = nn.Linear(affect, 3)
        self.urgency = nn.Linear(affect, 1)
        self.goemotions = nn.Linear(hidden, len(GOEMOTIONS))
        self.concern = nn.Linear(hidden, concerns) if concerns else None
        self.speaking = nn.Linear(hidden, 1) if speaking else None

    def forward(self, pooled: Sequence[torch.Tensor]) -> Logits:
        """E tensors (n, width_e) to the logits of every head."""
        shared = self.trunk(self.fusion(pooled) if self.fusion else pooled[0])
        affect = self.affect(shared)
        return Logits(
            self.emotions(affect),
            self.goemotions(shared),
            self.pad(affect),
            affect,
            self.urgency(affect).squeeze(-1),
            shared[:, :0] if self.concern is None else self.concern(shared),
            shared[:, :0] if self.speaking is None else self.speaking(shared),
        )


class EmotionNetwork(nn.Module):
    """Encoders, heads, and the wide part where there is one."""

    def __init__(self, encoders: Sequence[Encoder], heads: Heads, wide: Wide | None = None) -> None:
        """`wide` reads the tokens of the first encoder; it is fitted apart from the rest."""
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.widths = [encoder.width for encoder in encoders]
        self.heads = heads
        self.wide = wide

    def forward(self, inputs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Logits:
        """(ids, mask) for each encoder, each (n, length_e). The heads leave autocast."""
        pooled = [e(ids, mask) for e, (ids, mask) in zip(self.encoders, inputs, strict=True)]
        with torch.autocast(pooled[0].device.type, enabled=False):
            logits: Logits = self.heads([p.to(self.heads.affect.weight.dtype) for p in pooled])
            if self.wide is None:
                return logits
            emotions, goemotions = self.wide(*inputs[0]).split(
                [logits.emotions.shape[1], len(GOEMOTIONS)], 1
            )
            return logits._replace(
                emotions=logits.emotions + emotions, goemotions=logits.goemotions + goemotions
            )
