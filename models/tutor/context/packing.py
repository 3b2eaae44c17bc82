"""Packing: what is told of all that might be, within a budget of tokens.

The instructions and the learner's last message are always there (the message cut with a mark
if nothing else would help). What they leave is shared by the other layers in proportion to
their weights; what one does not need goes to the others. Of notes the worthiest are told, of
the conversation the summary and the newest turns without a gap.

Errors:
    BudgetTooSmall      the instructions alone do not fit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.tutor.context.config import ContextSettings, LayersSettings
from models.tutor.context.cutting import cut_to
from models.tutor.context.material import (
    Layer,
    LayerUse,
    Material,
    Note,
    Occasion,
    Prompt,
    PromptTurn,
    Said,
    Summary,
    Use,
)
from models.tutor.context.rendering import (
    TITLES,
    Chosen,
    note_line,
    rendered,
    rendered_summary,
    said,
    section,
)
from models.tutor.context.tokens import Counter
from models.tutor.context.weights import SHARING, LayerEvidence, shares, withheld
from models.tutor.prompts.instructions import Instructions
from schemas.vocabulary import Speaker

Item = Note | Said | Summary


class BudgetTooSmall(ValueError):
    """`context.budget` has no room for the instructions and a message."""


def pack(
    material: Material,
    system: Instructions,
    *,
    known: LayerEvidence,
    now: float,
    settings: ContextSettings,
    count: Counter,
) -> Prompt:
    """The prompt for a request.

    known, now: what feedback has taught (`weights`), and the time in its clock's seconds

    Raises BudgetTooSmall; ValueError where the last turn is not what the occasion says.
    """
    if material.occasion is Occasion.MESSAGE and not (
        material.turns and material.turns[-1].speaker is Speaker.STUDENT
    ):
        raise ValueError("an answer to a message needs the learner's message as its last turn")
    budget = _Budget(settings.budget, settings.turn_overhead, count, system.text)
    untold = _untold(material)
    least, cut = _least(material.occasion, untold, budget)
    claims = shares(
        material.situation,
        known=known,
        now=now,
        layers=settings.layers,
        settings=settings.learning,
    )
    trial = withheld(material.id, settings.learning.trial)
    offers = [
        offer
        for offer in _offers(material, untold, budget)
        if offer.layer is not trial and settings.layers.told(offer.layer)
    ]
    _share_out(offers, claims, settings.budget - budget.of(least))
    chosen = _with(least, offers)
    while budget.of(chosen) > settings.budget:
        # The offers' prices are of single texts; where texts meet, tokens may part. Then
        # whoever has most for its claim gives back.
        most = max((o for o in offers if o.taken), key=lambda o: o.spent / claims[o.layer])
        most.taken.pop()
        chosen = _with(least, offers)
    turns = rendered(system.text, chosen)
    return Prompt(
        turns=turns,
        tokens=budget.of_turns(turns),
        uses=_uses(
            material,
            offers,
            trial=trial,
            claims=claims,
            budget=budget,
            layers=settings.layers,
        ),
        version=system.version,
        folded=untold[: len(untold) - len(chosen.turns)],
        cut=cut,
    )


@dataclass(frozen=True, slots=True)
class _Budget:
    """Measures prompts as the budget counts them."""

    tokens: int
    overhead: int
    count: Counter
    system: str

    def of_turns(self, turns: Sequence[PromptTurn]) -> int:
        return sum(self.count(turn.text) + self.overhead for turn in turns)

    def of(self, chosen: Chosen) -> int:
        return self.of_turns(rendered(self.system, chosen))

    def price(self, item: Item) -> int:
        match item:
            case Note():
                return self.count(f"{note_line(item)}\n")
            case Said():
                return self.count(said(item)[1]) + self.overhead
            case Summary():
                return self.count(rendered_summary(item))

    def fences(self, layer: Layer) -> int:
        """What a layer's notes cost before the first of them."""
        return self.count(section(layer, ())) if layer in TITLES else 0


@dataclass(slots=True)
class _Offer:
    """What a layer may tell, in the order in which it is taken. taken: places in it."""

    layer: Layer
    items: list[tuple[Item, int]]
    fences: int
    taken: list[int] = field(default_factory=list)

    @property
    def wanted(self) -> int:
        return self._price(range(len(self.items)))

    @property
    def spent(self) -> int:
        return self._price(self.taken)

    def take(self, grant: int) -> None:
        """As much as `grant` tokens pay for, with what is taken already."""
        spent = self.spent or self.fences
        for place, (item, price) in enumerate(self.items):
            if place in self.taken:
                continue
            if spent + price <= grant:
                self.taken.append(place)
                spent += price
            elif isinstance(item, Said):
                break  # an older turn without this one would be a gap

    def told(self) -> list[Item]:
        return [self.items[place][0] for place in self.taken]

    def _price(self, places: Sequence[int]) -> int:
        return self.fences + sum(self.items[place][1] for place in places) if places else 0


def _untold(material: Material) -> tuple[Said, ...]:
    """The turns that the summary does not tell; always with the message to answer."""
    through = material.summary.through if material.summary else -1
    older = tuple(turn for turn in material.turns[:-1] if turn.at > through)
    last = material.turns[-1:]
    if material.occasion is Occasion.MESSAGE:
        # Whatever its time: an answer that comes late is to a message that turns after it,
        # answered in between and summarised, have overtaken.
        return (*older, *last)
    return (*older, *(turn for turn in last if turn.at > through))


def _least(occasion: Occasion, untold: tuple[Said, ...], budget: _Budget) -> tuple[Chosen, bool]:
    """What must be told beside the instructions, and whether the message had to be cut."""
    bare = Chosen(occasion)
    if occasion is Occasion.INTERVENTION:
        if budget.of(bare) > budget.tokens:
            raise _too_small(budget)
        return bare, False
    message = untold[-1]

    def fits(text: str) -> bool:
        return budget.of(replace(bare, turns=(replace(message, text=text),))) <= budget.tokens

    if fits(message.text):
        return replace(bare, turns=(message,)), False
    text = cut_to(message.text, fits)
    if text is None:
        raise _too_small(budget)
    return replace(bare, turns=(replace(message, text=text),)), True


def _too_small(budget: _Budget) -> BudgetTooSmall:
    return BudgetTooSmall(
        f"context.budget is {budget.tokens} tokens and the instructions take "
        f"{budget.count(budget.system)}; a message must fit beside them. Raise it, or shorten "
        "the templates"
    )


def _offers(material: Material, untold: tuple[Said, ...], budget: _Budget) -> list[_Offer]:
    older = untold[:-1] if material.occasion is Occasion.MESSAGE else untold
    summary = material.summary if material.summary and material.summary.text.strip() else None
    layers: dict[Layer, list[Item]] = {
        Layer.PROFILE: _worthiest(material.profile),
        Layer.STATE: _worthiest(material.state),
        Layer.HISTORY: _worthiest(material.history),
        Layer.CONVERSATION: [*([summary] if summary else []), *reversed(older)],
    }
    return [
        _Offer(layer, [(item, budget.price(item)) for item in items], budget.fences(layer))
        for layer, items in layers.items()
    ]


def _worthiest(notes: tuple[Note, ...]) -> list[Item]:
    return [*sorted((n for n in notes if n.text.strip()), key=lambda note: -note.worth)]


def _share_out(offers: list[_Offer], claims: Mapping[Layer, float], free: int) -> None:
    """Each offer takes what its claim pays for; what is left goes to the dearest claims first."""
    hungry, left = list(offers), free
    while True:
        total = sum(claims[offer.layer] for offer in hungry) or 1.0
        sated = [o for o in hungry if o.wanted <= left * claims[o.layer] / total]
        if not sated:
            break
        for offer in sated:
            offer.take(offer.wanted)
            hungry.remove(offer)
        left -= sum(offer.spent for offer in sated)
    for offer in hungry:
        offer.take(int(left * claims[offer.layer] / total))
    for offer in sorted(hungry, key=lambda each: -claims[each.layer]):
        others = sum(each.spent for each in offers if each is not offer)
        offer.take(free - others)


def _with(least: Chosen, offers: Sequence[_Offer]) -> Chosen:
    taken = {offer.layer: offer.told() for offer in offers}

    def notes(layer: Layer) -> tuple[Note, ...]:
        return tuple(item for item in taken.get(layer, ()) if isinstance(item, Note))

    talk = taken.get(Layer.CONVERSATION, [])
    older = [item for item in talk if isinstance(item, Said)]
    return replace(
        least,
        turns=(*reversed(older), *least.turns),
        profile=notes(Layer.PROFILE),
        state=notes(Layer.STATE),
        history=notes(Layer.HISTORY),
        summary=next((item for item in talk if isinstance(item, Summary)), None),
    )


def _uses(
    material: Material,
    offers: Sequence[_Offer],
    *,
    trial: Layer | None,
    claims: Mapping[Layer, float],
    budget: _Budget,
    layers: LayersSettings,
) -> tuple[LayerUse, ...]:
    uses = [LayerUse(Layer.SYSTEM, Use.KEPT, budget.count(budget.system), 1.0)]
    for offer in offers:
        use = Use.KEPT if offer.taken else Use.EMPTY
        uses.append(LayerUse(offer.layer, use, offer.spent, claims[offer.layer]))
    offered = {offer.layer for offer in offers}
    for layer in SHARING:
        if layer in offered:
            continue
        has = layers.told(layer) and any(note.text.strip() for note in getattr(material, layer))
        use = Use.WITHHELD if layer is trial and has else Use.EMPTY
        uses.append(LayerUse(layer, use, 0, claims[layer]))
    return tuple(uses)
