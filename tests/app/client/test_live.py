"""`masterx watch`: what a person sees of the messages that the gateway sends."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from app.cli.recordings import describe
from app.client.live import View
from models.learner.update import Outputs, apply_emotion
from schemas.topics.emotions import Emotion, Unread
from tests.models.learner.build import SETTINGS, batch, fold, interaction, reading


def outputs(*, knows_behaviour: bool = True) -> Outputs:
    """A learner who is wrong, says so, and is recommended something."""
    task = {"skill": "Area Circle", "correct": False, "hint_count": 3, "hint_total": 3}
    answers = [
        interaction(f"a{n}", timing_data={"response_time": 9.0 + n}, task_data=task)
        for n in range(8)
    ]
    low = reading(1, valence=0.2, probabilities={Emotion.FRUSTRATION: 0.6})
    step = fold([batch(answers), low]) if knows_behaviour else apply_emotion(None, low, SETTINGS)
    assert step.outputs is not None
    return step.outputs


def messages(out: Outputs) -> list[dict[str, Any]]:
    """As the wire carries them."""
    state = {"type": "user_state_update", "userState": out.state.document()}
    recommended = [one.document() for one in out.recommendations.recommendations]
    return [state, {"type": "recommendations", "recommendations": recommended}]


def seen(*taken: dict[str, Any]) -> str:
    view = View()
    for message in taken:
        view.take(message)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_every_figure_is_shown_with_its_trust_and_its_source() -> None:
    out = outputs()
    picture = seen(*messages(out))
    rows = {line[:14].strip(): line for line in picture.splitlines()}

    behaviour, readiness = out.state.behaviour, out.state.readiness
    assert behaviour is not None
    assert readiness is not None
    assert f"{out.state.valence.value:.2f}" in rows["valence"]
    assert f"{behaviour.cognitive_load.value:.2f}" in rows["load"]
    assert f"confidence {behaviour.help_need.confidence:.2f}, measured" in rows["help need"]
    assert "derived" in rows["fatigue"]
    assert f"{readiness.state.value}, confidence" in rows["readiness"]
    assert "accuracy" in rows["readiness from"]
    assert out.state.intervention is not None
    assert out.state.intervention.level.value in rows["need"]
    assert "frustration" in rows["emotions"]
    for one in out.recommendations.recommendations:
        assert one.action in picture
        assert one.because[0] in picture


def test_what_holds_already_is_shown_on_connecting() -> None:
    """Given a hello with a state and recommendations, Then both are there before any update."""
    state, recommended = messages(outputs())
    hello = {"type": "hello", **{k: v for k, v in (state | recommended).items() if k != "type"}}

    assert recommended["recommendations"][0]["action"] in seen(hello)


def test_what_is_not_known_is_not_made_up() -> None:
    """Given a state of before behaviour was estimated, Then it is shown without."""
    state = messages(outputs(knows_behaviour=False))[0]
    for field in ("behaviour", "readiness", "intervention"):
        state["userState"].pop(field, None)
    picture = seen(state)

    assert "valence" in picture
    assert "help need" not in picture
    assert "too few points" in picture
    assert "nothing known yet" in seen()


def test_a_prior_is_called_one() -> None:
    state = messages(outputs(knows_behaviour=False))[0]
    rows = {line[:14].strip(): line for line in seen(state).splitlines()}

    assert "prior: nothing known yet" in rows["help need"]
    assert "measured" in rows["valence"]


def test_a_replay_tells_readiness_and_need_in_its_line() -> None:
    out = outputs()
    line = describe(messages(out)[0])

    assert out.state.readiness is not None
    assert out.state.intervention is not None
    assert f"readiness {out.state.readiness.state.value}" in line
    assert f"need {out.state.intervention.level.value}" in line


def test_a_message_that_was_not_read_says_why() -> None:
    unread = reading(0, status="unavailable", reason=Unread.UNSUPPORTED_LANGUAGE)
    for step, said in (
        (fold([unread]), "in a language that masterx does not know"),
        (fold([reading(0, status="unavailable")]), "unavailable: the last message"),
    ):
        assert step.outputs is not None
        assert said in seen(*messages(step.outputs))
