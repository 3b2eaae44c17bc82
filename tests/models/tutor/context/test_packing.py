"""Packing: within the budget, in order, nothing lost that must not be lost."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tutor.context.config import (
    ContextSettings,
    LayerSettings,
    LayersSettings,
    LearningSettings,
)
from models.tutor.context.material import (
    Layer,
    Material,
    Note,
    Occasion,
    Role,
    Said,
    Summary,
    Use,
)
from models.tutor.context.packing import BudgetTooSmall, pack
from models.tutor.context.tokens import counter
from models.tutor.context.weights import ON_TRIAL, withheld
from models.tutor.prompts.instructions import OperatorText, instructions
from models.tutor.prompts.sanitising import harmless, one_line
from models.tutor.prompts.templates import load
from models.tutor.providers.evidence import Situation
from schemas.vocabulary import Mood, Speaker, Task

BASE = ContextSettings(learning=LearningSettings(trial=0))
COUNT = counter(BASE.tokenizer, BASE.tokenizer_margin)
SITUATION = Situation(Task.SOCRATIC, Mood.NEUTRAL)
SYSTEM = instructions(Task.SOCRATIC, load(), OperatorText("Call somebody."))

TEXTS = st.text(max_size=400) | st.from_regex(r"([a-z]{1,9} |[0-9]{1,6}[-+=] |\n){0,120}")
NOTES = st.builds(Note, TEXTS, st.floats(0, 1))
TURNS = st.lists(st.tuples(st.sampled_from(Speaker), TEXTS), max_size=14).map(
    lambda said: tuple(Said(speaker, text, at) for at, (speaker, text) in enumerate(said))
)


@st.composite
def materials(draw) -> Material:
    turns = draw(TURNS)
    occasion = draw(st.sampled_from(Occasion))
    if occasion is Occasion.MESSAGE:
        turns = (*turns, Said(Speaker.STUDENT, draw(TEXTS | st.text(min_size=3000)), len(turns)))
    notes = st.lists(NOTES, max_size=4).map(tuple)
    summary = draw(st.none() | st.builds(Summary, TEXTS, st.integers(-1, 20), st.integers(1, 9)))
    return Material(
        id=draw(st.text(max_size=5)),
        situation=Situation(draw(st.sampled_from(list(Task)[:4])), draw(st.sampled_from(Mood))),
        turns=turns,
        occasion=occasion,
        profile=draw(notes),
        state=draw(notes),
        history=draw(notes),
        summary=summary,
    )


def packed(material: Material, budget: int = 3_000, config: ContextSettings = BASE):
    chosen = config.model_copy(update={"budget": budget})
    return pack(material, SYSTEM, known={}, now=0.0, settings=chosen, count=COUNT)


def said(*texts: str) -> tuple[Said, ...]:
    """Turns that end with the learner's."""
    first = len(texts) % 2
    return tuple(
        Said(Speaker.STUDENT if (at + first) % 2 else Speaker.TEACHER, text, at)
        for at, text in enumerate(texts)
    )


@settings(deadline=None, max_examples=150)
@given(materials(), st.integers(1_000, 4_000))
def test_a_prompt_keeps_its_promises(material, budget):
    prompt = packed(material, budget)

    # Never above the budget, measured by hand.
    assert prompt.tokens <= budget
    assert prompt.tokens == sum(COUNT(t.text) + BASE.turn_overhead for t in prompt.turns)
    # The instructions are whole, and nobody speaks twice in a row.
    assert prompt.turns[0].role is Role.SYSTEM
    assert prompt.turns[0].text == SYSTEM.text
    assert all(one.role is not other.role for one, other in pairwise(prompt.turns))
    assert prompt.turns[1].role is prompt.turns[-1].role is Role.USER
    # What was said and is not told stands at the beginning, without a gap.
    through = material.summary.through if material.summary else -1
    untold = [turn for turn in material.turns if turn.at > through]
    assert list(prompt.folded) == untold[: len(prompt.folded)]
    # The message is there: whole, or its beginning and end around the mark.
    if material.occasion is Occasion.MESSAGE:
        message, last = material.turns[-1].text, prompt.turns[-1].text
        assert last.endswith("\n</learner>")
        if prompt.cut:
            assert "characters left out ...]" in last
        else:
            assert last.endswith(f"<learner>\n{harmless(message)}\n</learner>")
    # Same material, same prompt.
    assert packed(material, budget) == prompt


@given(st.integers(1_000, 2_000), st.integers(3, 40))
def test_the_order_of_turns_is_kept_and_the_newest_are_told(budget, count):
    texts = [f"word{at} " * 30 for at in range(count)]
    prompt = packed(Material("e", SITUATION, said(*texts)), budget)

    told = "\n".join(turn.text for turn in prompt.turns[1:])
    places = [told.find(f"word{at} ") for at in range(count)]
    kept = [place for place in places if place >= 0]
    assert kept == sorted(kept)
    assert places[count - len(kept) :] == kept
    assert len(prompt.folded) == count - len(kept)


def test_an_older_turn_is_not_told_past_one_that_does_not_fit():
    huge = "HUGE " + "so we think about it " * 500
    texts = ["OLDEST", "hm", huge, "what now", "LATER", "and then?", "NEWEST"]

    prompt = packed(Material("e", SITUATION, said(*texts)), 1_500)

    told = "\n".join(turn.text for turn in prompt.turns[1:])
    assert "LATER" in told
    assert "HUGE" not in told
    assert "OLDEST" not in told
    assert [turn.text for turn in prompt.folded] == texts[:3]


@dataclass
class Superadditive:
    """A tokenizer for which a whole costs more than its parts."""

    power: float

    def __call__(self, text: str) -> int:
        return math.ceil(len(text) ** self.power / 6)


@given(st.floats(1.0, 1.15), st.integers(1_500, 3_000), TURNS)
def test_the_budget_holds_for_whoever_counts(power, budget, turns):
    notes = tuple(Note(f"note {at} " + "word " * 40, 0.5) for at in range(40))
    material = Material("e", SITUATION, (*turns, *said("hi")), state=notes, history=notes)
    config = BASE.model_copy(update={"budget": budget})

    prompt = pack(material, SYSTEM, known={}, now=0.0, settings=config, count=Superadditive(power))

    assert prompt.tokens <= budget
    assert "hi\n</learner>" in prompt.turns[-1].text


def test_a_message_longer_than_the_budget_is_cut_with_a_mark():
    text = "BEGIN " + "what is this about then " * 2_000 + "END?"

    prompt = packed(Material("e", SITUATION, said(text)), 1_200)

    last = prompt.turns[-1].text
    assert prompt.cut
    assert "BEGIN" in last
    assert "END?" in last
    assert 900 < prompt.tokens <= 1_200


def test_a_long_message_leaves_nothing_for_others_and_is_not_cut():
    text = "what is this about then " * 90

    prompt = packed(Material("e", SITUATION, said("earlier " * 400, "yes " * 400, text)), 1_300)

    assert not prompt.cut
    assert harmless(text) in prompt.turns[-1].text
    assert len(prompt.folded) == 2


def test_of_notes_the_worthiest_are_told():
    notes = tuple(Note(f"note{at} " + "filler " * 60, at / 20) for at in range(20))

    prompt = packed(Material("e", SITUATION, said("hi"), state=notes), 1_200)

    told = [at for at in range(20) if f"note{at} " in prompt.turns[1].text]
    assert told
    assert told == list(range(20 - len(told), 20))


def test_what_a_layer_does_not_need_goes_to_the_others():
    turns = said(*["let us think about it " * 20] * 21)
    alone = packed(Material("e", SITUATION, turns), 2_000)

    assert alone.tokens > 1_800


def test_weights_decide_when_there_is_not_enough():
    notes = tuple(Note(f"state {at} " + "word " * 40, 0.5) for at in range(30))
    turns = said(*["let us think about it " * 20] * 31)

    def state_tokens(task: Task) -> int:
        material = Material("e", Situation(task, Mood.NEUTRAL), turns, state=notes)
        return next(use.tokens for use in packed(material).uses if use.layer is Layer.STATE)

    assert state_tokens(Task.ENCOURAGEMENT) > 1.5 * state_tokens(Task.SOCRATIC)


def test_the_summary_is_told_and_its_turns_are_not():
    turns = said("first", "second", "third", "fourth", "fifth")
    summary = Summary("problem: the first thing", through=1, turns=2)

    prompt = packed(Material("e", SITUATION, turns, summary=summary))

    told = prompt.turns[1].text
    assert "problem: the first thing" in told
    assert "second" not in told
    assert "third" in told
    assert prompt.folded == ()


def test_a_late_answer_is_to_its_message_whatever_the_summary_tells_by_now():
    # Given: the message to answer is older than the summary; turns after it came in between
    later = (
        Said(Speaker.STUDENT, "a later question", 200),
        Said(Speaker.TEACHER, "answered at once", 201),
    )
    parked = Said(Speaker.STUDENT, "the question that had to wait", 100)
    summary = Summary("problem: old", through=150, turns=4)

    # When
    prompt = packed(Material("e", SITUATION, (*later, parked), summary=summary))

    # Then
    assert prompt.turns[-1].role is Role.USER
    assert "the question that had to wait" in prompt.turns[-1].text
    assert "answered at once" in prompt.turns[-2].text
    assert parked not in prompt.folded


def test_a_layer_on_trial_is_left_out_and_says_so():
    config = BASE.model_copy(update={"learning": LearningSettings(trial=0.9)})
    name = next(str(n) for n in range(99) if withheld(str(n), 0.9) is Layer.STATE)
    material = Material(name, SITUATION, said("hi"), profile=(Note("P", 1),), state=(Note("S", 1),))

    prompt = packed(material, config=config)

    uses = {use.layer: use.use for use in prompt.uses}
    assert uses[Layer.STATE] is Use.WITHHELD
    assert uses[Layer.PROFILE] is Use.KEPT
    assert uses[Layer.HISTORY] is Use.EMPTY
    assert "- S" not in prompt.turns[1].text
    empty = packed(replace(material, state=()), config=config)
    assert {use.layer: use.use for use in empty.uses}[Layer.STATE] is Use.EMPTY


def test_every_layer_is_accounted_for():
    prompt = packed(Material("e", SITUATION, said("hi")))

    assert {use.layer for use in prompt.uses} == set(Layer)
    assert set(ON_TRIAL) < set(Layer)


@pytest.mark.parametrize("layer", ON_TRIAL)
def test_what_no_provider_may_have_is_not_told(layer):
    layers = getattr(BASE.layers, layer).model_copy(update={"told": False})
    config = BASE.model_copy(
        update={
            "layers": BASE.layers.model_copy(update={layer.value: layers}),
            "learning": LearningSettings(trial=0.9),
        }
    )
    for n in range(9):
        material = Material(
            str(n),
            SITUATION,
            said("hi"),
            profile=(Note("of profile", 1),),
            state=(Note("of state", 1),),
            history=(Note("of history", 1),),
        )
        prompt = packed(material, config=config)
        assert not any(f"of {layer}" in turn.text for turn in prompt.turns)
        assert {use.layer: use.use for use in prompt.uses}[layer] is Use.EMPTY
    with pytest.raises(ValueError, match="nobody can answer"):
        LayersSettings(conversation=LayerSettings(weight=1, told=False))


def test_a_conversation_may_begin_with_the_tutor():
    prompt = packed(Material("e", SITUATION, said("What do you think?", "seven")))

    assert [turn.role for turn in prompt.turns[1:]] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert "left out" in prompt.turns[1].text


def test_an_intervention_ends_with_ours():
    material = Material("e", SITUATION, said("hi"), occasion=Occasion.INTERVENTION)

    last = packed(material).turns[-1]

    assert last.role is Role.USER
    assert last.text.endswith("</notes>")
    assert "has not written" in last.text


def test_notes_stay_on_their_line():
    prompt = packed(Material("e", SITUATION, said("hi"), state=(Note("a\n\nb\r c", 1),)))

    assert f"- {one_line('a b c')}" in prompt.turns[1].text


def test_instructions_without_room_for_a_message_are_a_mistake_in_the_settings():
    system = replace(SYSTEM, text="long " * 3_000)
    for occasion in Occasion:
        material = Material("e", SITUATION, said("hi"), occasion=occasion)
        with pytest.raises(BudgetTooSmall, match=r"context\.budget is 1000"):
            pack(
                material,
                system,
                known={},
                now=0.0,
                settings=BASE.model_copy(update={"budget": 1_000}),
                count=COUNT,
            )


@pytest.mark.parametrize("turns", [(), (Said(Speaker.TEACHER, "hi", 1),)])
def test_an_answer_needs_a_message(turns):
    with pytest.raises(ValueError, match="last turn"):
        packed(Material("e", SITUATION, turns))
