"""What one chunk of a provider's stream says, in whichever dialect of chat completions.

Providers differ in where they put text, thoughts, token counts and errors, and in what they
call an ending. A chunk is read for what is certain; a part that is not understood (token
counts above all) is left out rather than the whole answer thrown away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import structlog

from app.tutor.providers.errors import FailureKind, ProviderFailure
from app.tutor.providers.events import Event
from app.tutor.providers.failures import of_error_object

_log = structlog.get_logger(__name__)

_MOST_TOKENS: Final = 2**31
"""No model writes so many; a count beyond is no count."""
_MOST_NAMES: Final = 16
"""Unknown endings of one provider that have a label of their own; the rest are `other`."""
_OTHER: Final = "other"
_PLAIN: Final = re.compile(r"[a-z0-9_.-]{1,32}")
"""What may be a metric's label: a provider could put anything, texts too, where a name belongs."""


class Finish(IntEnum):
    """How a stream says that its answer ended; of two that are told, the higher one counts."""

    COMPLETE = 0
    LENGTH = 1
    UNKNOWN = 2
    """For a reason that we do not know: the answer may be half."""
    TOOLS = 3
    """To call a tool. The tutor offers none: nobody will answer, and the text is half."""
    FILTERED = 4
    CUT = 5
    """Stopped from outside."""
    BROKEN = 6
    """Something went wrong at the provider."""


_FINISHES: Final[Mapping[str, Finish]] = {
    name: finish
    for finish, names in {
        Finish.COMPLETE: "stop stop_sequence end_turn eos eos_token complete completed end"
        " finished",
        Finish.LENGTH: "length max_tokens model_length max_output_tokens max_completion_tokens"
        " max_length token_limit model_context_window_exceeded",
        Finish.TOOLS: "tool_calls function_call tool_call tool_use unexpected_tool_call"
        " malformed_function_call",
        Finish.FILTERED: "content_filter content_filtered safety recitation sensitive blocklist"
        " prohibited_content spii language image_safety guardrail_intervened refusal error_toxic",
        Finish.CUT: "abort aborted cancel cancelled canceled interrupted",
        Finish.BROKEN: "error insufficient_system_resource network_error server_error"
        " internal_error internal_server_error timeout overloaded load malformed_response"
        " model_error",
    }.items()
    for name in names.split()
}
"""By name in lower case: of OpenAI, Anthropic, Gemini, Mistral, DeepSeek, Zhipu, Cohere,
OpenRouter, vLLM, TGI."""
_NO_FINISH: Final = frozenset(
    {"", "null", "none", "unspecified", "finish_reason_unspecified", "in_progress"}
)
_THOUGHTS: Final = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thought")
_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens as told so far; 0 where nothing, or nothing possible, was told."""

    input: int = 0
    output: int = 0

    def merged(self, other: Counts) -> Counts:
        """With those of another chunk: counts grow, and some chunks hold zeros or half of them."""
        return Counts(max(self.input, other.input), max(self.output, other.output))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one chunk says.

    Attributes:
        text: of the answer; may hold half a surrogate pair at either end.
        thought: characters of thoughts that come apart from the text.
        finish: how the answer ended, or None; `reason` is what the provider calls it.
    """

    text: str = ""
    thought: int = 0
    finish: Finish | None = None
    reason: str = ""
    counts: Counts = Counts()


def read(provider: str, event: Event) -> Chunk | None:
    """The chunk of an event; None where it carries none (a ping, `null`).

    Raises ProviderFailure: MALFORMED, or as an error in the chunk says.
    """
    try:
        document = json.loads(event.data)
    except (ValueError, RecursionError):
        raise ProviderFailure(provider, FailureKind.MALFORMED) from None
    if document is None:
        return None
    try:
        return _chunk(provider, event.name, document)
    except (AttributeError, TypeError, ValueError, LookupError):
        raise ProviderFailure(provider, FailureKind.MALFORMED) from None


def _chunk(provider: str, name: str, document: dict[str, Any]) -> Chunk | None:
    error = document.get("error") or (document if name == "error" else None)
    if error:
        raise of_error_object(provider, error)
    counts = _counts(document.get("usage")).merged(
        _counts((document.get("x_groq") or {}).get("usage"))
    )
    # The last chunk may hold token counts and no choice; a ping holds neither.
    choices = document.get("choices")
    if not choices:
        return Chunk(counts=counts)
    choice = choices[0]
    if choice.get("error"):
        raise of_error_object(provider, choice["error"])
    # Not streamed, though it was asked to be, an answer is a message and not a delta.
    delta = choice.get("delta") or choice.get("message") or {}
    text, thought = _content(delta.get("content"))
    reason = choice.get("finish_reason")
    if not isinstance(reason, str | None):
        raise TypeError("no reason")
    reason = (reason or "").strip().lower()
    finish = None if reason in _NO_FINISH else _FINISHES.get(reason, Finish.UNKNOWN)
    if delta.get("refusal"):
        finish, reason = Finish.FILTERED, "refusal"
    return Chunk(
        text,
        # Some say the same thought in two fields.
        thought + max(_length(delta.get(field)) for field in _THOUGHTS),
        finish,
        reason,
        counts.merged(_counts(choice.get("usage"))),
    )


def _content(content: object) -> tuple[str, int]:
    """Text, and characters of thoughts. Raises TypeError where it is neither."""
    if content is None:
        return "", 0
    if isinstance(content, str):
        return content, 0
    texts, thought = [], 0
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            raise TypeError("not text")
        elif part.get("type", "text") in ("text", "output_text"):
            text = part.get("text") or ""
            if not isinstance(text, str):
                raise TypeError("not text")
            texts.append(text)
        else:
            # Thoughts, and what a page of text cannot show.
            thought += max(_length(part.get(field)) for field in ("text", *_THOUGHTS))
    return "".join(texts), thought


def _length(thought: object) -> int:
    """Characters of a thought: a text, or a list of parts that hold one."""
    if isinstance(thought, str):
        return len(thought)
    if isinstance(thought, list):
        return sum(_length(part.get("text")) for part in thought if isinstance(part, dict))
    return 0


def _counts(usage: object) -> Counts:
    """What can be believed of a `usage`. `total_tokens` above the sum is thoughts: billed."""
    if not isinstance(usage, dict):
        return Counts()
    read, written = _first(usage, _INPUT), _first(usage, _OUTPUT)
    total = _count(usage.get("total_tokens"))
    return Counts(read, max(written, total - read) if read else written)


def _first(usage: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((found for name in names if (found := _count(usage.get(name)))), 0)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # Written so that NaN is no count, either.
    return int(value) if 0 <= value <= _MOST_TOKENS else 0


class EndingNames:
    """What the endings of one provider are called in metrics. Bounded, whatever it sends."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._unknown: set[str] = set()

    def label(self, reason: str) -> str:
        """The name of an ending. One that is not known is logged when it first comes."""
        if reason in _FINISHES:
            return reason
        name = reason if _PLAIN.fullmatch(reason) else _OTHER
        if name not in self._unknown:
            if len(self._unknown) >= _MOST_NAMES:
                name = _OTHER
            if name not in self._unknown:
                self._unknown.add(name)
                _log.warning("tutor.unknown_ending", provider=self._provider, ending=name)
        return name
