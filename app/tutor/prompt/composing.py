"""From what a learner asked to the words: is it for a person, which mode, what prompt, who answers.

Everything that judges is in `models/tutor`: safety, modes, context. Here they are put together,
and an answer is told with what led to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import orjson

from app.tutor.config import TutorSettings
from app.tutor.metrics import PREPARED_SECONDS
from app.tutor.prompt.layers import LayerOutcomes
from app.tutor.prompt.reply_contract import Asked, Danger, Worded
from app.tutor.providers.errors import NoAnswer, Reason
from app.tutor.providers.router import Router
from app.tutor.providers.router_types import (
    Answer,
    Ending,
    Listener,
    PromptMessage,
    PromptRole,
    Request,
)
from app.tutor.screening.screened_listener import ScreenedListener, UnsafeReply
from models.judged import judged_copy
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
from models.tutor.context.notes import profile_notes, state_notes
from models.tutor.context.packing import pack
from models.tutor.context.recall import Exchange, recall
from models.tutor.context.summary import by_model_answer, by_model_request, compress
from models.tutor.context.tokens import counter
from models.tutor.guard.guard import GuardContext, LanguageOf, ReplyGuard
from models.tutor.guard.signs import signs_of
from models.tutor.modes.choice import ModeChoice, choose
from models.tutor.modes.config import MODES
from models.tutor.modes.problem import is_a_try
from models.tutor.modes.signs import mood_of, signs
from models.tutor.prompts.instructions import OperatorText, instructions
from models.tutor.prompts.templates import load
from models.tutor.providers.evidence import Situation
from models.tutor.safety.screening import Screen, Screening
from models.words.words import Words
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import Emotion
from schemas.topics.tutor import Latency, ReplyStatus, RequestKind, TokenUsage, TutorRequested
from schemas.vocabulary import Mood, Speaker, Task


class Composer:
    """Finds the words (`app.tutor.prompt.reply_contract.ReplyContract`). One for each process.

    words: of the reasons, and of what is said without a model
    language_of: names the language of a text; None: in which one a model answers is not looked at

    Raises models.tutor's TemplateProblem, TokenizerProblem, LexiconProblem, SignsProblem and
    BudgetTooSmall
    (all ValueErrors) for settings that cannot be used.
    """

    def __init__(
        self,
        settings: TutorSettings,
        router: Router,
        layers: LayerOutcomes,
        words: Words,
        language_of: LanguageOf | None = None,
    ) -> None:
        self._settings = settings
        self._language_of = language_of
        self._words = words
        self._router = router
        self._layers = layers
        self._screen = Screen(settings.safety, words.language)
        context = settings.context
        self._templates = load(context.templates, rungs=len(settings.modes.ladder))
        self._count = counter(context.tokenizer, context.tokenizer_margin)
        self._try_every_prompt()
        signs_of(settings.guard.signs)

    def danger(self, text: str, reading: Mapping[Emotion, float]) -> Danger | None:
        """Whether a message is for a person rather than a model."""
        return _danger(self._screen.message(text, reading))

    def concern(self, read: ConcernRead) -> Danger:
        """What the emotion model reads as danger in a message, in plain words."""
        return _as_danger(self._screen.concern(read))

    def feelings_count(self, reading: Mapping[Emotion, float]) -> bool:
        """Whether `danger` of any message may be another with this reading than without one."""
        return self._screen.feelings_count(reading)

    async def answer(self, asked: Asked, listener: Listener) -> Worded:
        """The words. Raises app.tutor.providers.errors.NoAnswer; what `listener` raises."""
        if not self._router.enabled:
            raise NoAnswer(Reason.OFF)
        await self._layers.refresh()
        request = asked.request
        choice = self._choice(asked)
        situation = Situation(choice.mode, mood_of(request.state, self._settings.modes))
        prompt = self._prompt(asked, situation, choice.rung)
        PREPARED_SECONDS.observe(asyncio.get_running_loop().time() - asked.since)
        try:
            answer = await self._router.answer(
                Request(
                    event_id=request.event_id,
                    user_id=request.user_id,
                    situation=situation,
                    turns=_turns(prompt.turns),
                    input_tokens=prompt.tokens,
                    asked_at=request.ingest_time,
                    guard=self._guard(asked, choice, prompt),
                ),
                ScreenedListener(listener, self._screen),
            )
        except UnsafeReply as unsafe:
            return _instead(unsafe.screening)
        screening = self._screen.reply(answer.text)
        if screening.alarm:
            return _instead(screening)
        return _worded(answer, situation, prompt, choice.because)

    async def summarised(
        self, request: TutorRequested, before: Summary | None, folded: tuple[Said, ...]
    ) -> Summary | None:
        """The running summary with these turns in it. Never fails for want of a model."""
        settings = self._settings.context.summary
        extractive = compress(before, folded, settings, self._count)
        if extractive is None or not settings.by_model:
            return extractive
        turns = by_model_request(before, folded, settings, self._templates)
        try:
            answer = await self._router.answer(
                Request(
                    event_id=request.event_id,
                    user_id=request.user_id,
                    situation=Situation(Task.SUMMARY, Mood.UNKNOWN),
                    turns=_turns(turns),
                    input_tokens=sum(self._count(turn.text) for turn in turns),
                    max_output_tokens=settings.max_tokens,
                    asked_at=request.ingest_time,
                ),
                Unheard(),
            )
        except NoAnswer:
            return extractive
        return by_model_answer(answer.text, extractive, settings, self._count)

    async def learn(self, credit: bytes, worth: float, feedback_id: str) -> None:
        """What feedback says of a reply, in [0, 1], once. Raises StoreDown (providers.errors)."""
        held = orjson.loads(credit)
        situation = Situation(Task(held["task"]), Mood(held["mood"]))
        uses = [
            LayerUse(Layer(layer), Use(use), tokens, weight)
            for layer, use, tokens, weight in held["uses"]
        ]
        await self._router.feedback(held["provider"], situation, worth, feedback_id)
        await self._layers.learn(uses, situation, worth, feedback_id)

    def _choice(self, asked: Asked) -> ModeChoice:
        request, before = asked.request, asked.conversation
        modes = self._settings.modes
        found = signs(
            request.state,
            _told(asked),
            modes,
            occasion=_occasion(request),
            reading=request.reading or None,
            chosen=None if asked.mode is None else Task(asked.mode),
            before=Task(before.mode) if before.mode in MODES else None,
        )
        return choose(found, modes, self._words)

    def _prompt(self, asked: Asked, situation: Situation, rung: int) -> Prompt:
        context, request, before = self._settings.context, asked.request, asked.conversation
        material = Material(
            id=request.event_id,
            situation=situation,
            turns=_told(asked),
            occasion=_occasion(request),
            rung=rung,
            profile=profile_notes(request.state, context),
            state=(
                *(Note(why, 1.0) for why in request.because),
                *state_notes(request.state, context),
            ),
            history=self._recalled(asked),
            summary=before.summary,
        )
        return self._packed(material)

    def _guard(
        self, asked: Asked, choice: ModeChoice, prompt: Prompt
    ) -> Callable[[], ReplyGuard] | None:
        """Makes what reads each attempt's answer to this prompt."""
        settings, before = self._settings.guard, asked.conversation.turns
        if not settings.enabled:
            return None
        sent = "" if asked.said is None else asked.said.text
        learner = judged_copy(sent)
        context = GuardContext(
            mode=choice.mode,
            telling=choice.rung >= self._templates.rungs - 1,
            learner=learner,
            tried=is_a_try(learner, self._settings.modes),
            before=(*(turn.text for turn in before), sent),
            instructions=prompt.turns[0].text,
            sayable=self._screen.help_message,
        )
        return partial(ReplyGuard, context, settings, self._language_of)

    def _try_every_prompt(self) -> None:
        """What no budget has room for is found when the worker starts, not when somebody asks."""
        anybody = (Said(Speaker.STUDENT, "?", 0),)
        for mode in self._settings.modes.offered:
            for rung in range(self._templates.rungs if mode is Task.SOCRATIC else 1):
                for occasion in Occasion:
                    situation = Situation(mode, Mood.UNKNOWN)
                    self._packed(Material("", situation, anybody, occasion, rung))

    def _packed(self, material: Material) -> Prompt:
        system = instructions(
            material.situation.task,
            self._templates,
            OperatorText(self._screen.help_message),
            occasion=material.occasion,
            rung=material.rung,
        )
        return pack(
            material,
            system,
            known=self._layers.known,
            now=self._layers.now(),
            settings=self._settings.context,
            count=self._count,
        )

    def _recalled(self, asked: Asked) -> tuple[Note, ...]:
        """Exchanges behind the summary that are about what is asked now."""
        if asked.said is None:
            return ()
        exchanges = exchanges_of(asked.conversation.earlier)
        settings = self._settings.context.recall
        return recall(asked.said.text, exchanges, now=asked.said.at, settings=settings)


def exchanges_of(turns: Sequence[Said]) -> list[Exchange]:
    """What was asked, each with what was answered to it."""
    return [
        Exchange(asked.text, answered.text, asked.at)
        for asked, answered in pairwise(turns)
        if asked.speaker is Speaker.STUDENT and answered.speaker is Speaker.TEACHER
    ]


class Unheard:
    """Listens to an answer that nobody is shown while it is written."""

    async def piece(self, attempt: int, index: int, text: str) -> None:
        """Nothing to do: the answer has it."""

    async def superseded(self, attempt: int) -> None:
        """Nothing was shown."""


def _told(asked: Asked) -> tuple[Said, ...]:
    before = asked.conversation.turns
    return before if asked.said is None else (*before, asked.said)


def _occasion(request: TutorRequested) -> Occasion:
    return Occasion.MESSAGE if request.kind is RequestKind.CHAT else Occasion.INTERVENTION


def _turns(prompt: Sequence[PromptTurn]) -> tuple[PromptMessage, ...]:
    return tuple(PromptMessage(PromptRole(turn.role), turn.text) for turn in prompt)


def _danger(screening: Screening) -> Danger | None:
    if not screening.alarm:
        return None
    return _as_danger(screening)


def _as_danger(screening: Screening) -> Danger:
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
        cut_short=answer.ending is not Ending.COMPLETE,
        prompt_version=prompt.version,
        credit=orjson.dumps(credit),
        folded=prompt.folded,
    )
