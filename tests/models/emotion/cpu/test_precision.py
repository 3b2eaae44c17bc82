"""Which numbers are chosen, and why."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.emotion.artefact.card import Card, Shape
from models.emotion.config import EmotionSettings
from models.emotion.cpu import precision as choosing
from models.emotion.cpu.precision import Precision, PrecisionChoice

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def card_of(costs: dict[str, float]) -> Card:
    return Card(
        profile="x",
        encoders=["x"],
        tune="full",
        max_tokens=64,
        shape=Shape(),
        emotions=[],
        rounding_cost=costs,
    )


class Trial:
    """In place of the real one, whose answer depends on the machine (`test_hardware`)."""

    answer = True

    def __init__(self, _threads: int) -> None: ...

    def pays(self) -> bool:
        return self.answer


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(choosing, "Bfloat16Trial", Trial)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)

    def choose(costs: dict[str, float], *, pays: bool = True, device: torch.device = CPU) -> str:
        monkeypatch.setattr(Trial, "answer", pays)
        card = card_of(costs)
        return PrecisionChoice(EmotionSettings(), card, device).made()

    return choose


def test_the_fastest_that_works_and_costs_next_to_nothing(chosen: Any) -> None:
    cheap = {Precision.BFLOAT16: 0.0004, Precision.INT8: 0.0012}
    assert chosen(cheap) == Precision.BFLOAT16
    assert chosen(cheap, pays=False) == Precision.INT8
    assert chosen(cheap | {Precision.BFLOAT16: 0.02}) == Precision.INT8
    assert chosen(dict.fromkeys(cheap, 0.02)) == Precision.FLOAT32


def test_what_was_not_measured_is_not_chosen_on_a_cpu(chosen: Any) -> None:
    assert chosen({}) == Precision.FLOAT32
    assert chosen({}, device=CUDA) == Precision.BFLOAT16


def test_an_operators_word_is_final() -> None:
    settings = EmotionSettings(dtype="float32")
    card = card_of({})
    assert PrecisionChoice(settings, card, CPU).made() is Precision.FLOAT32
