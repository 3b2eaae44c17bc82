"""Literals that may stand in serving code although tests/test_literals.py finds them, and why.

An entry names a place, `module:function` or `module:CONSTANT`, and what may stand there
(`*`: anything). Where a number could decide about a person, it belongs into a setting or an
artefact instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may stand at a place, and why."""

    place: str
    literals: frozenset[str]
    reason: str


def _allow(reason: str, *places: tuple[str, ...]) -> tuple[Allowed, ...]:
    return tuple(Allowed(place, frozenset(what), reason) for place, *what in places)


_LEARNER: Final = "models.learner"
_BEHAVIOUR: Final = "models.learner.behaviour"
_NETS: Final = "models.learner.nets"
_ADVICE: Final = "models.learner.recommending"
_EMOTION: Final = "models.emotion"
_MOVES: Final = "models.tutor.moves.serving"
_SAFETY: Final = "models.tutor.safety"
_CONTEXT: Final = "models.tutor.context"
_TUTOR: Final = "app.tutor"

ALLOWED: Final = (
    *_allow(
        "how a process works: waiting, batching, metrics; says nothing of a person",
        ("agents.emotion:RETRY_SECONDS", "0.25"),
        ("agents.tutor:_AHEAD", "10000"),
        ("agents.runtime.metrics:_LATENCY", "*"),
        ("agents.runtime.metrics:_SIZES", "*"),
        ("agents.runtime.retrying:_CAP", "2.0"),
        ("agents.runtime.retrying:_FIRST", "0.05"),
        ("agents.runtime.retrying:SILENCE", "30.0"),
        ("agents.runtime.retrying:until_stored", "0.5"),
        (f"{_EMOTION}.serving.attempt:GROW_AFTER", "32"),
        (f"{_EMOTION}.serving.attempt:LEAST_TOKENS", "32"),
        (f"{_EMOTION}.serving.attempt:MOST_PATIENCE", "1024"),
        (f"{_EMOTION}.serving.batching:MOST_PADDING", "0.25"),
        (f"{_EMOTION}.serving.cpu:TOGETHER", "128"),
        (f"{_EMOTION}.serving.cpu:overflows", "64", "127"),
        (f"{_EMOTION}.serving.engine:AT_ONCE", "256"),
        (f"{_EMOTION}.serving.tokenising:FEW", "32"),
        (f"{_EMOTION}.serving.engine:M_ARENA_MAX", "-8"),
        (f"{_EMOTION}.serving.engine:WARM_TEXTS", "3"),
        (f"{_EMOTION}.serving.gpu:LENGTH_STEP", "4"),
        (f"{_EMOTION}.serving.pipeline:CHUNK", "256"),
        (f"{_CONTEXT}.tokens:_CACHED", "512"),
        (f"{_TUTOR}.providers.answer_reader:_MOST_BYTES", "20"),
        (f"{_TUTOR}.providers.chunks:_MOST_NAMES", "16"),
        (f"{_TUTOR}.metrics:_SECONDS", "*"),
        (f"{_TUTOR}.metrics:_OVERHEAD", "*"),
        (f"{_TUTOR}.replies.conversation_prefetch:_AT_ONCE", "8"),
        (f"{_TUTOR}.replies.conversation_prefetch:_TURN", "10000"),
        (f"{_TUTOR}.replies.replying:_LEASE", "30.0"),
        (f"{_TUTOR}.replies.reply_stream:_PATIENCE", "2.0"),
        (f"{_TUTOR}.replies.helping:_PATIENCE", "2.0"),
        (f"{_TUTOR}.replies.helping:_CLAIMS", "5"),
        (f"{_TUTOR}.replies.chat_text_cache:_POLL_MS", "500"),
    ),
    *_allow(
        "how long Redis keeps what a redelivery or a day's sum still needs; nobody is judged by it",
        (f"{_TUTOR}.usage.budget:_KEPT", "86400"),
        (f"{_TUTOR}.store:_COUNTED", "86400"),
    ),
    *_allow(
        "codes of HTTP, and a count that no answer of a provider can have",
        (f"{_TUTOR}.providers.chunks:_MOST_TOKENS", "31"),
        (f"{_TUTOR}.providers.failures:_of_status", "500"),
    ),
    *_allow(
        "standards' own: Unicode's longest NFKC expansion, marks in a row of a Stream-Safe text, "
        "and attributes that HTML writes without a value; they say nothing of a person",
        ("models.judged:LONGEST_EXPANSION", "18"),
        ("models.judged:_MOST_MARKS", "30"),
        ("models.judged:_ATTRIBUTE", "words"),
    ),
    *_allow(
        "how far behind a pause a list mark or the next word's first two letters are looked for",
        (f"{_SAFETY}.normalise:_AHEAD", "20"),
    ),
    *_allow(
        "bounds what one search may cost, in characters. A text is cut into parts of that length "
        "that overlap by more than a match in ordinary words is long; left out is what stands "
        "behind the 40th character of one word",
        (f"{_SAFETY}.normalise:_LONGEST", "600"),
        (f"{_SAFETY}.normalise:_OVERLAP", "150"),
        (f"{_SAFETY}.normalise:_LONGEST_WORD", "40"),
        (f"{_SAFETY}.screening:_LONGEST", "600"),
        (f"{_SAFETY}.screening:_KEPT", "160"),
    ),
    *_allow(
        "a line cut to fewer characters says nothing and is left out of the summary; which lines "
        "are told is decided by tutor.context.summary",
        (f"{_CONTEXT}.summary:_SHORTEST", "8"),
    ),
    *_allow(
        "numeric guard: keeps a logarithm, a quotient or an exponential finite",
        (f"{_LEARNER}.affect:_LARGEST", "60000.0"),
        (f"{_ADVICE}.serving.catalogue:Prior", "0.001"),
        (f"{_ADVICE}.serving.expectations:_LARGEST", "1000000.0"),
        (f"{_LEARNER}.trajectory:_FORGOTTEN", "1e-100"),
        (f"{_BEHAVIOUR}.serving.features:own_norm", "0.1"),
        (f"{_BEHAVIOUR}.serving.observed:FASTEST", "0.05"),
        (f"{_BEHAVIOUR}.serving.scorer:_FAR", "30.0"),
        (f"{_NETS}.serving.inputs:_FASTEST", "0.05"),
        (f"{_NETS}.serving.intervention:InterventionNet.exceeds", "60.0"),
        (f"{_NETS}.serving.readiness:sigmoid", "60.0"),
        (f"{_ADVICE}.serving.catalogue:Prior", "1000000.0"),
        (f"{_TUTOR}.usage.attempt_accounting:_SOONEST", "0.001"),
    ),
    *_allow(
        "a trained feature's definition: the artefact was fitted to it, another needs training",
        (f"{_BEHAVIOUR}.serving.features:FADING", "0.9"),
        (f"{_BEHAVIOUR}.serving.features:LAST", "5"),
        (f"{_BEHAVIOUR}.serving.features:PACE", "5"),
        (f"{_BEHAVIOUR}.serving.features:SHRINK", "2.0"),
        (f"{_BEHAVIOUR}.serving.features:SURPRISES", "3"),
        (f"{_BEHAVIOUR}.serving.population:MOST_HINTS", "6"),
        (f"{_NETS}.serving.inputs:LARGEST", "6.0"),
        (f"{_MOVES}.features:FIRST_TURNS", "4"),
        (f"{_MOVES}.features:LATE", "6"),
        (f"{_MOVES}.features:LONGEST", "15"),
        (f"{_MOVES}.features:RECENT", "3"),
        (f"{_MOVES}.features:SCALE_OF_TURNS", "5.0"),
    ),
    *_allow(
        "English words of a trained feature: another language needs training",
        (f"{_MOVES}.text:AGREES", "words"),
        (f"{_MOVES}.text:ASKS_WHY", "words"),
        (f"{_MOVES}.text:BEGINS_AGREEING", "words"),
        (f"{_MOVES}.text:CONCLUDES", "words"),
        (f"{_MOVES}.text:THANKS", "words"),
        (f"{_MOVES}.text:UNSURE", "words"),
    ),
    *_allow(
        "the same, but models.tutor.context.summary picks its quotes by them, too: in another "
        "language it finds no mistake and no progress. Cue words of the summary's own, as data, "
        "are still to be made",
        (f"{_MOVES}.text:BEGINS_REALISING", "words"),
        (f"{_MOVES}.text:PRAISES", "words"),
        (f"{_MOVES}.text:REALISES", "words"),
        (f"{_MOVES}.text:REJECTS", "words"),
    ),
    *_allow(
        "bounds the bytes of a record or a file",
        (f"{_BEHAVIOUR}.serving.record:ANSWERS_KEPT", "5"),
        (f"{_BEHAVIOUR}.serving.record:BUCKETS", "40"),
        (f"{_BEHAVIOUR}.serving.record:MAX_KINDS", "8"),
        (f"{_BEHAVIOUR}.serving.record:RESPONSES_KEPT", "6"),
        (f"{_BEHAVIOUR}.serving.record:STINTS", "3"),
        (f"{_NETS}.serving.inputs:AFFECT_WIDTH", "64"),
        (f"{_ADVICE}.serving.catalogue:MAX_ACTIONS", "64"),
        (f"{_ADVICE}.serving.catalogue:MAX_CONTEXT", "16"),
        (f"{_ADVICE}.serving.catalogue:MAX_OUTCOMES", "8"),
    ),
    *_allow(
        "a weight so small that no estimate shows it; below, its bytes are freed",
        (f"{_BEHAVIOUR}.serving.record:_FORGOTTEN", "0.0001"),
    ),
    *_allow(
        "number of bits, bytes or parts in a layout",
        ("models.ids:_VARIANTS", "4"),
        (f"{_LEARNER}.record:FORMAT", "4"),
        (f"{_LEARNER}.record:PREVIOUS", "3"),
        (f"{_LEARNER}.record:_HAS_KINDLESS", "32"),
        (
            f"{_LEARNER}.record:_HAS_EVIDENCE,_UNAVAILABLE,_ERASED,_HAS_AFFECT,_HAS_BEHAVIOUR",
            *("4", "8", "16"),
        ),
        (f"{_LEARNER}.seen:HASH_BYTES", "6"),
        (f"{_LEARNER}.seen:HASH_BYTES_FORMAT_1", "8"),
        (f"{_LEARNER}.seen:PARTS", "64"),
        (f"{_BEHAVIOUR}.serving.features:next_features", "6"),
        (f"{_BEHAVIOUR}.serving.forest:MOST_NODES", "15"),
        (f"{_BEHAVIOUR}.serving.observed:_BYTE", "255"),
        (f"{_BEHAVIOUR}.serving.record:BehaviourRecord", "3"),
        (f"{_BEHAVIOUR}.serving.record:_MAX_COUNT", "32"),
        (f"{_BEHAVIOUR}.serving.record:_SUMS", "3"),
        (f"{_ADVICE}.serving.memory:ID_BYTES", "16"),
        (f"{_ADVICE}.serving.memory:WHOLE", "65535"),
        (f"{_ADVICE}.serving.memory:_TOP", "65534"),
        (f"{_ADVICE}.serving.memory:_UNKNOWN", "65535"),
        (f"{_ADVICE}.serving.memory:_EXPLORED,_PERSONAL,_REFUSED,_CLOSED", "4", "8"),
        (f"{_MOVES}.model:fingerprint", "32"),
        (f"{_CONTEXT}.tokens:_INDENT_CHARS", "4"),
        (f"{_CONTEXT}.weights:_WHOLE", "64"),
        (f"{_SAFETY}.normalise:_letters", "63"),
    ),
    *_allow(
        "conversion of units",
        (f"{_LEARNER}.guards:_DAY_MS", "86400000"),
        (f"{_LEARNER}.trajectory:_MS_PER_MINUTE", "60000"),
        (f"{_ADVICE}.serving.learning:_DAY_MS", "86400000"),
        (f"{_TUTOR}.usage.attempt_accounting:AttemptAccounting._report", "1000000.0"),
        (f"{_TUTOR}.usage.budget:Budgets.__init__", "1000000"),
        (f"{_TUTOR}.replies.conversations:_DAY", "86400000"),
    ),
    *_allow(
        "mathematics: a half-life's base, a square root, rounding, the normal distribution, "
        "the middle of a scale from 0 to 1",
        (f"{_NETS}.serving.grades:Grading.level", "0.5"),
        (f"{_ADVICE}.serving.choice:_chance_to_beat", "0.5"),
        (f"{_ADVICE}.serving.expectations:vector", "0.5"),
        (f"{_ADVICE}.serving.learning:_fade", "2.0"),
        (f"{_ADVICE}.serving.learning:_movement", "0.5"),
        (f"{_MOVES}.model:table_row", "0.5"),
        (f"{_CONTEXT}.recall:recall", "0.5"),
    ),
    *_allow(
        "how many numbers each input of a net has",
        (f"{_NETS}.serving.inputs:BEHAVIOUR_INPUTS", "table"),
        (f"{_NETS}.serving.inputs:READINESS_INPUTS", "table"),
    ),
    *_allow(
        "names of estimates, two of which classes of emotion have, too",
        (f"{_LEARNER}.rules:BEHAVIOUR_FACTS", "classes"),
        (f"{_CONTEXT}.notes:_now", "classes"),
        (f"{_NETS}.serving.assembling:estimate_features", "classes"),
        (f"{_NETS}.serving.inputs:READINESS_INPUTS", "classes"),
    ),
    *_allow(
        "grades of the published rubric; which level each of them means is in grades.csv",
        (f"{_NETS}.serving.grades:GRADES", "7"),
    ),
    *_allow(
        "what `engagement` is defined as (docs/state.md): the share of the class of that name "
        "against its opposite; neither has a number",
        (f"{_BEHAVIOUR}.serving.estimating:_engagement", "Emotion.BOREDOM", "Emotion.ENGAGEMENT"),
    ),
)
