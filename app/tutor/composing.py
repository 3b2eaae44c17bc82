"""From what a learner asked to the words: is it for a person, which mode, what prompt, who answers.

Everything that judges is in `models/tutor`: safety, modes, context. Here they are put together,
and an answer is told with what led to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson

from app.tutor.config import TutorSettings
from app.tutor.errors import Reason, Unavailable
from app.tutor.exchange import Answer, Ending, Listener, Request, Speaker, Turn
from app.tutor.layers import LayerOutcomes
from app.tutor.metrics import PREPARED_SECONDS
from app.tutor.router import Router
from app.tutor.watched import UnsafeReply, Watched
from app.tutor.words import Asked, Danger, Worded
from models.routing.evidence import Mood, Situation, Task
from models.tutor.context.material import (
    Layer,
    LayerUse,
    Material,
    Occasion,
    Prompt,
    Said,
    Summary,
    Use,
)
from models.tutor.context.notes import profile_notes, state_notes
from models.tutor.context.packing import pack
from models.tutor.context.summary import compress
from models.tutor.context.tokens import counter
from models.tutor.prompts.instructions import OperatorText, instructions
from models.tutor.prompts.templates import load
from models.tutor.safety.screening import Screen, Screening
from schemas.emotions import Emotion
from schemas.tutor import Latency, ReplyStatus, RequestKind, TokenUsage


class Composer:
    """Finds the words (`app.tutor.words.Words`). One for each process.

    Raises models.tutor's TemplateProblem and TokenizerProblem for settings that cannot be used.
    """

    def __init__(self, settings: TutorSettings, router: Router, layers: LayerOutcomes) -> None:
        self._settings = settings
        self._router = router
        self._layers = layers
        self._screen = Screen(settings.safety)
        context = settings.context
        self._templates = load(context.templates)
        self._count = counter(context.tokenizer, context.tokenizer_margin)

    def danger(self, text: str, reading: Mapping[Emotion, float]) -> Danger | None:
        """Whether a message is for a person rather than a model."""
        return _danger(self._screen.message(text, reading))

    async def answer(self, asked: Asked, listener: Listener) -> Worded:
        """The words. Raises app.tutor.errors.Unavailable; what `listener` raises."""
        if not self._router.enabled:
            raise Unavailable(Reason.OFF)
        await self._layers.refresh()
        situation = Situation(Task.DIRECT, Mood.UNKNOWN)
        prompt = self._prompt(asked, situation)
        request = asked.request
        PREPARED_SECONDS.observe(asyncio.get_running_loop().time() - asked.since)
        try:
            answer = await self._router.answer(
                Request(
                    event_id=request.event_id,
                    user_id=request.user_id,
                    situation=situation,
                    turns=tuple(Turn(Speaker(turn.role), turn.text) for turn in prompt.turns),
                    input_tokens=prompt.tokens,
                ),
                Watched(listener, self._screen),
            )
        except UnsafeReply as unsafe:
            return _instead(unsafe.screening)
        screening = self._screen.reply(answer.text)
        if screening.alarm:
            return _instead(screening)
        return _worded(answer, situation, prompt, ())

    def summarised(self, before: Summary | None, folded: tuple[Said, ...]) -> Summary | None:
        """The running summary with these turns in it."""
        return compress(before, folded, self._settings.context.summary, self._count)

    async def learn(self, credit: bytes, worth: float) -> None:
        """What feedback says of a reply, in [0, 1]. Raises app.tutor.errors.StoreDown."""
        held = orjson.loads(credit)
        situation = Situation(Task(held["task"]), Mood(held["mood"]))
        uses = [
            LayerUse(Layer(layer), Use(use), tokens, weight)
            for layer, use, tokens, weight in held["uses"]
        ]
        await self._router.feedback(held["provider"], situation, worth)
        await self._layers.learn(uses, situation, worth)

    def _prompt(self, asked: Asked, situation: Situation) -> Prompt:
        context, request, before = self._settings.context, asked.request, asked.conversation
        occasion = Occasion.MESSAGE if request.kind is RequestKind.CHAT else Occasion.INTERVENTION
        turns = before.turns if asked.said is None else (*before.turns, asked.said)
        material = Material(
            id=request.event_id,
            situation=situation,
            turns=turns,
            occasion=occasion,
            profile=profile_notes(request.state, context),
            state=state_notes(request.state, context),
            summary=before.summary,
        )
        system = instructions(
            situation.task,
            self._templates,
            OperatorText(self._settings.safety.help_message),
            occasion=occasion,
        )
        return pack(
            material,
            system,
            known=self._layers.known,
            now=self._layers.now(),
            settings=context,
            count=self._count,
        )


def _danger(screening: Screening) -> Danger | None:
    if not screening.alarm:
        return None
    return Danger(screening.message, screening.level, screening.confidence, screening.because)


def _instead(screening: Screening) -> Worded:
    """What is said in place of a model's words. What was shown of them is void."""
    return Worded(
        ReplyStatus.HUMAN_HELP, screening.message, screening.because, danger=_danger(screening)
    )


def _worded(
    answer: Answer, situation: Situation, prompt: Prompt, because: tuple[str, ...]
) -> Worded:
    usage = answer.usage
    uses = [(use.layer, use.use, use.tokens, use.weight) for use in prompt.uses]
    credit = {
        "provider": answer.provider,
        "task": situation.task,
        "mood": situation.mood,
        "uses": uses,
    }
    return Worded(
        status=ReplyStatus.ANSWERED,
        text=answer.text,
        because=because,
        attempt=answer.attempt,
        mode=situation.task,
        provider=answer.provider,
        model=answer.model,
        usage=TokenUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            micros=usage.micros,
            reported=usage.reported,
        ),
        latency=Latency(first_text=answer.first_text, total=answer.total),
        cut_short=answer.ending is Ending.LENGTH,
        prompt_version=prompt.version,
        credit=orjson.dumps(credit),
        folded=prompt.folded,
    )
