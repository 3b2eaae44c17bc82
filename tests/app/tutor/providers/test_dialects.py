"""Oddities of providers, each on a real stream: the text that was sent, or one clear failure.

Each is met by a router with a second, ordinary provider behind it, and ends in three ways: with
`[DONE]`, with the stream, and (where it is about what an answer says and not about frames) as one
JSON document. Circuit, account and metrics must be right in all of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from app.tutor.config import BudgetSettings
from app.tutor.providers.errors import FailureKind
from app.tutor.providers.router_types import Ending
from app.tutor.store import TutorStore
from app.tutor.usage.budget import Budgets
from tests.app.tutor.conftest import TIMEOUTS, Bench
from tests.app.tutor.listening import Ear, metric, request
from tests.app.tutor.sse import Behaviour, Exchange, say, status

F = FailureKind
GOOD = "A good answer."
USED = (10, 5)
WHOLE = {"prompt_tokens": USED[0], "completion_tokens": USED[1], "total_tokens": sum(USED)}


def d(text: Any, finish: str | None = None, **beside: Any) -> bytes:
    """A chunk; `usage`, `error`, ... stand beside the choices."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return data({"id": "c", "choices": [choice], **beside})


def data(document: object) -> bytes:
    return b"data: %s\n\n" % json.dumps(document).encode()


def in_choice(**fields: Any) -> bytes:
    return data({"choices": [{"index": 0, "delta": {}, "finish_reason": None, **fields}]})


def in_delta(**fields: Any) -> bytes:
    return in_choice(delta=fields)


U = data({"choices": [], "usage": WHOLE})
HALF = d("Half a sen")


@dataclass(frozen=True)
class Oddity:
    """What is sent, and what must come of it.

    Attributes:
        text: of the answer; None: the provider fails.
        kind: how it fails, and how often it is asked.
        counts: whether the circuit takes it for a failure.
        used: as reported, in the answer or in the account of the failure; None: estimated.
        shows: whether the learner sees something that becomes void.
        usage: the chunk of token counts that follows, if any does.
        document: the same, not streamed.
    """

    frames: tuple[bytes, ...]
    text: str | None = None
    kind: FailureKind | None = None
    times: int = 1
    counts: bool = False
    ending: Ending = Ending.COMPLETE
    used: tuple[int, int] | None = USED
    shows: bool = False
    usage: bytes = U
    document: dict[str, Any] | None = None
    own: dict[str, Any] = field(default_factory=dict)


def whole(*frames: bytes, text: str = "Hello", **fields: Any) -> Oddity:
    return Oddity(frames, text, **fields)


def fails(kind: FailureKind, *frames: bytes, **fields: Any) -> Oddity:
    return Oddity(frames, None, kind, **fields)


def broken(reason: str, kind: FailureKind, times: int = 2, counts: bool = True) -> Oddity:
    message = {"message": {"content": "Half a sen"}, "finish_reason": reason}
    return fails(
        kind, HALF, d("", reason), times=times, counts=counts, shows=True,
        document={"choices": [message], "usage": WHOLE},
    )  # fmt: skip


def ended(reason: str, ending: Ending) -> Oddity:
    message = {"message": {"content": "Half a sen"}, "finish_reason": reason}
    return whole(
        HALF, d("", reason), text="Half a sen", ending=ending,
        document={"choices": [message], "usage": WHOLE},
    )  # fmt: skip


def tagged(*texts: str, text: str = "Let us look.", **fields: Any) -> Oddity:
    message = {"message": {"content": "".join(texts)}, "finish_reason": "stop"}
    return whole(
        *map(d, texts), d("", "stop"), text=text,
        document={"choices": [message], "usage": WHOLE}, **fields,
    )  # fmt: skip


def _endings() -> Iterator[tuple[str, Oddity]]:
    yield "empty reasons", whole(d("Hel", ""), d("lo", ""), d("", "stop"))
    yield "stop everywhere", whole(d("Hel", "stop"), d("lo", "stop"), d("!", "stop"), text="Hello!")
    yield "stop, then text", whole(d("Hel", "stop"), d("lo"))
    yield "length, then text and stop", whole(d("Hel", "length"), d("lo", "stop"))
    yield "stop with no text, then text", whole(d("Hel"), d("", "stop"), d("lo", "stop"))
    yield "role with an empty reason", whole(d("", ""), d("Hello", ""), d("", "stop"))
    yield (
        "length and then stop",
        whole(d("Hello"), d("", "length"), d("", "stop"), ending=Ending.LENGTH),
    )
    yield "unspecified", whole(d("Hel", "FINISH_REASON_UNSPECIFIED"), d("lo"), d("", "STOP"))
    for name in ["error", "insufficient_system_resource", "network_error", "ERROR"]:
        yield name, broken(name, F.SERVER)
    yield "abort", broken("abort", F.CUT)
    for name in ["tool_calls", "function_call"]:
        yield name, broken(name, F.MALFORMED)
    for name in ["content_filter", "SAFETY", "safety", "recitation", "sensitive"]:
        yield name, broken(name, F.FILTERED, 1, counts=False)
    for name in ["length", "MAX_TOKENS", "max_tokens", "model_length"]:
        yield name, ended(name, Ending.LENGTH)
    yield "tired", ended("tired", Ending.UNKNOWN)
    yield "eos", ended("eos", Ending.COMPLETE)
    yield "refusal", fails(F.FILTERED, in_delta(refusal="I cannot"), d("", "stop"))


def _errors() -> Iterator[tuple[str, Oddity]]:
    def error(kind: FailureKind, times: int = 1, counts: bool = False, **fields: Any) -> Oddity:
        return fails(
            kind, HALF, data({"error": fields}), times=times, counts=counts, shows=True, used=None,
        )  # fmt: skip

    yield "error in the choice", fails(
        F.SERVER, HALF, in_choice(error={"code": 502}), times=2, counts=True, shows=True, used=None,
        document={"choices": [{"message": {"content": "Half"}, "error": {"code": 502}}]},
    )  # fmt: skip
    yield "error event", fails(
        F.SERVER, HALF, b'event: error\ndata: {"message": "overloaded"}\n\n',
        times=2, counts=True, shows=True, used=None,
    )  # fmt: skip
    yield "no error", whole(d("Hel", error=None), d("lo", "stop", error={}))
    yield "429 in the stream", error(F.RATE_LIMITED, code=429, message="slow down")
    yield "429 as text", error(F.RATE_LIMITED, code="429")
    yield "limited, in words", error(F.RATE_LIMITED, type="tokens", code="rate_limit_exceeded")
    yield "spent, in the stream", error(F.DENIED, counts=True, type="insufficient_quota", code=429)
    yield "502 in the stream", error(F.SERVER, 2, counts=True, code=502)
    yield "overloaded", error(F.SERVER, 2, counts=True, type="overloaded_error")
    yield "400 in the stream", error(F.REFUSED, code=400, message="too long")


def _frames() -> Iterator[tuple[str, Oddity]]:
    hel, lo = d("Hel"), (d("lo"), d("", "stop"))
    yield "retry", whole(b"retry: 3000\n\n", hel, *lo)
    yield "empty data", whole(hel, b"data:\n\n", b"data: \n\n", *lo)
    yield "empty ping event", whole(hel, b"event: ping\n\n", *lo)
    yield "an id, then comments", whole(b"id: 1\n" + hel, b": ping\n\n", b": ping\n\n", *lo)
    yield "data null", whole(hel, b"data: null\n\n", *lo)
    yield "a ping object", whole(hel, b'event: ping\ndata: {"type":"ping"}\n\n', *lo)
    yield "a byte order mark", whole(b"\xef\xbb\xbf" + hel, *lo)
    yield "CRLF", whole(*(frame.replace(b"\n", b"\r\n") for frame in (hel, *lo)))
    yield "CR", whole(*(frame.replace(b"\n", b"\r") for frame in (hel, *lo)))
    yield "byte by byte", whole(*(bytes([each]) for each in hel + b"".join(lo)))
    yield "data over two lines", whole(hel.replace(b'"choices"', b'\ndata: "choices"'), *lo)
    yield (
        "an event of two MiB",
        fails(F.MALFORMED, hel, d("x" * 2**21), times=2, counts=True, shows=True, used=None),
    )


def _counts() -> Iterator[tuple[str, Oddity]]:
    for name, usage in {
        "half of it": {"prompt_tokens": 10},
        "null": {"prompt_tokens": 10, "completion_tokens": None},
        "nothing": {},
        "words": {"prompt_tokens": "many", "completion_tokens": [5]},
        "details only": {"prompt_tokens_details": {"cached_tokens": 3}},
        "zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        "impossible": {"prompt_tokens": -1, "completion_tokens": 10**30},
    }.items():
        frames = (d("Hel", usage=usage), d("lo"), d("", "stop"))
        yield f"usage {name}", whole(*frames, usage=b"", used=None)
        yield f"usage {name}, then whole", whole(*frames)
    yield "usage is a list", whole(d("Hello", "stop", usage=[1]), usage=b"", used=None)
    other = {"input_tokens": 10, "output_tokens": 5}
    yield "other names", whole(d("Hello", "stop", usage=other), usage=b"")
    yield "in x_groq", whole(d("Hello", "stop", x_groq={"usage": WHOLE}), usage=b"")
    yield (
        "in the choice",
        whole(d("Hello"), in_choice(finish_reason="stop", usage=WHOLE), usage=b""),
    )
    zeros = {"prompt_tokens": 0, "completion_tokens": 0}
    yield "zeros at the end, then whole", whole(d("Hello"), d("", "stop", usage=zeros))
    grows = {"prompt_tokens": 10, "completion_tokens": 2}
    yield "growing", whole(d("Hel", usage=grows), d("lo", "stop", usage=WHOLE), usage=b"")
    thinks = data({"choices": [], "usage": WHOLE | {"total_tokens": 900}})
    yield "thoughts in the total", whole(d("Hello", "stop"), usage=thinks, used=(10, 890))


def _blanks() -> Iterator[tuple[str, Oddity]]:
    for name, text in {
        "line ends": "\n\n",
        "zero width": "\u200b\ufeff\u2060",
        "no-break": "\u00a0",
        "fillers": "\u3164\u2800",
        "half a character": "\ud83d",
    }.items():
        yield name, fails(F.EMPTY, d(text), d(text), d("", "stop"), times=2, counts=True)
    yield "blanks first", whole(d("\n"), d("\n"), d("Hello", "stop"), text="\n\nHello")
    yield "blanks between", whole(d("Hel"), d("\n\n"), d("lo", "stop"), text="Hel\n\nlo")
    yield "17,000 blanks", fails(F.EMPTY, d(" " * 17_000), times=2, counts=True, used=None)


def _thoughts() -> Iterator[tuple[str, Oddity]]:
    said = "Let us look."
    yield "thought", tagged("<think>Slow learner.", "</think>", said)
    yield "thought in one", tagged(f"<think>Slow.</think>\n\n{said}")
    yield "thought in letters", tagged(*f"<think>Slow.</think>{said}")
    yield "THINKING", tagged(f"<THINKING>Slow.</Thinking>{said}")
    yield "thought in brackets", tagged(f"[THINK]Slow.[/THINK]{said}")
    yield "two thoughts", tagged("<think>a</think>Let us", "<think>b</think>", " look.")
    yield "thought that speaks of its tag", tagged("<think>a `</think>", f"` b</think>{said}")
    yield "thought that ends in code", tagged("<think>so `x`", f"</think>{said}")
    yield "not a thought", tagged("<thin", "king a < b", text="<thinking a < b")
    yield "less than, at the end", tagged("a <", text="a <")
    yield "in code", tagged("Write `<th", "ink>` first.", text="Write `<think>` first.")
    fence = "```html\n<think>\n\n</think>\n```\nSo."
    yield "in a block of code", tagged(*fence, text=fence)
    yield "closing tag in code", tagged("End it with `</think>`.", text="End it with `</think>`.")
    yield "thought behind code", tagged("`a` <think>b</think>c", text="`a` c")
    yield (
        "thought behind a lone backtick",
        tagged("A ` b.\n\n<think>x</think>c", text="A ` b.\n\nc"),
    )
    yield "closed twice", tagged("<think>a</think></think>", said)
    yield "reasoning beside", whole(
        in_delta(reasoning_content="Slow."), in_delta(reasoning="Slow."), d("Hello", "stop"),
        document={"choices": [{
            "message": {"content": "Hello", "reasoning_content": "Slow."}, "finish_reason": "stop",
        }], "usage": WHOLE},
    )  # fmt: skip
    yield (
        "thought without end",
        fails(F.EMPTY, d("<think>Slow"), d("", "stop"), times=2, counts=True),
    )
    yield (
        "text, then a thought without end",
        whole(d("Hello<think>Slow"), d("", "stop"), ending=Ending.UNKNOWN),
    )
    spent = data({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 600}})
    yield (
        "limit spent on thoughts",
        fails(F.NO_ROOM, d("<think>Slow"), d("", "length"), usage=spent, used=(10, 600)),
    )
    yield "limit spent unseen", fails(
        F.NO_ROOM, d("", "length"), usage=spent, used=(10, 600),
        document={"choices": [{"message": {"content": ""}, "finish_reason": "length"}],
                  "usage": {"prompt_tokens": 10, "completion_tokens": 600}},
    )  # fmt: skip
    yield "other tags", tagged("{{a}}", said, own={"thought_tags": [["{{", "}}"]]})
    yield "no tags", tagged("<think>", text="<think>", own={"thought_tags": []})

    # Only the closing tag comes.
    yield "only closed, in one", tagged(f"easy words.</think>{said}")
    yield "only closed, late", tagged("easy words.</thi", f"nk>{said}", shows=True)
    held = {"starts_in_thought": True}
    yield "only closed, expected", tagged("easy `wo", "rds.", f"</think>\n{said}", own=held)
    yield "expected, and speaks of its tag", tagged(*"a `</think>` b</think>Let us look.", own=held)
    yield "expected, in letters", tagged(*f"a <think> b</think>{said}", own=held)
    yield "expected, and opened", tagged("\n<think>a</think>", said, own=held)
    yield "expected, and not there", tagged("Let us ", "look.", own=held)
    yield "expected, and spent", fails(F.NO_ROOM, d("easy"), d(" words"), d("", "length"), own=held)
    few = {"thought_chars_held": 8}
    yield (
        "expected, longer than is held",
        fails(F.NO_ROOM, d("easy"), d(" words"), own=held | few, used=None),
    )
    yield (
        "closing tag beyond what would be void",
        tagged("Let us look", " at </think>.", text="Let us look at </think>.", own=few),
    )


def _contents() -> Iterator[tuple[str, Oddity]]:
    part = {"type": "text", "text": "Hel"}
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Slow."}]}
    yield "parts", whole(
        d([thinking]), d([part, thinking, {"type": "text", "text": "lo"}], "stop"),
        document={"choices": [{
            "message": {"content": [thinking, {"type": "text", "text": "Hello"}]},
            "finish_reason": "stop",
        }], "usage": WHOLE},
    )  # fmt: skip
    yield "one part", whole(d(part), d("lo", "stop"))
    yield "parts that are no text", fails(F.MALFORMED, d([7]), times=2, counts=True, used=None)
    yield "halves of a character", whole(d("a\ud83d"), d("\ude00b", "stop"), text="a\U0001f600b")
    yield (
        "halves around an empty one",
        whole(d("a\ud83d"), d(""), d("\ude00b", "stop"), text="a\U0001f600b"),
    )
    yield "a first half only", whole(d("a\ud83d"), d("b", "stop"), text="a\ufffdb")
    yield "a last half only", whole(d("a\ude00b", "stop"), text="a\ufffdb")
    yield (
        "a first half at the end",
        whole(d("ab\ud83d", "length"), text="ab\ufffd", ending=Ending.LENGTH),
    )
    yield "no delta", whole(in_choice(delta=None), d("Hello", "stop"))
    yield (
        "nested too deep",
        fails(F.MALFORMED, b"data: " + b"[" * 100_000 + b"\n\n", times=2, counts=True, used=None),
    )


ODDITIES = {
    name: oddity
    for make in (_endings, _errors, _frames, _counts, _blanks, _thoughts, _contents)
    for name, oddity in make()
}


def streamed(oddity: Oddity, *, done: bool) -> Behaviour:
    async def behave(x: Exchange) -> None:
        await x.head()
        for frame in (*oddity.frames, oddity.usage):
            if frame:
                await x.raw(frame)
        if done:
            await x.event("[DONE]")
        await x.end()

    return behave


def as_document(oddity: Oddity) -> Behaviour:
    return status(200, json.dumps(oddity.document).encode())


async def one(bench: Bench, oddity: Oddity, behaviour: Behaviour, *, at_once: bool) -> None:
    first, second = (f"p{uuid4().hex[:10]}" for _ in "ab")
    odd, good = await bench.endpoint(behaviour), await bench.endpoint(say(GOOD, usage=(7, 3)))
    router = await bench.router({first: odd, second: good}, own={first: oddity.own})
    asked, ear = request(), Ear()

    async with asyncio.timeout(TIMEOUTS.overall + 10):
        answer = await router.answer(asked, ear)
    await router.close()

    ear.check(answer)
    assert len(odd.seen) == oddity.times
    assert answer.text == (GOOD if oddity.text is None else oddity.text)
    assert answer.provider == (second if oddity.text is None else first)
    assert any(not each.isspace() for each in ear.attempts[-1][0]), "a blank beginning"
    assert len(ear.void) == (oddity.times if oddity.shows and not at_once else len(ear.void))
    if not oddity.shows:
        assert not ear.void
    if oddity.text is not None:
        assert answer.ending is oddity.ending
        assert answer.usage.reported == (oddity.used is not None)
        if oddity.used:
            assert (answer.usage.input_tokens, answer.usage.output_tokens) == oddity.used

    # Account, circuit, metrics.
    outcome = oddity.kind.value if oddity.kind else "answered"
    assert metric("attempts_total", provider=first, outcome=outcome) == oddity.times
    if oddity.used:
        for kind, tokens in zip(("input", "output"), oddity.used, strict=True):
            assert metric("tokens_total", provider=first, kind=kind) == tokens * oddity.times
    store = TutorStore(bench.client, bench.redis_settings, 5)
    used, _ = await Budgets(store, BudgetSettings()).used(asked.user_id)
    names, kinds = (first, second), ("input", "output")
    assert used == sum(metric("tokens_total", provider=n, kind=k) for n in names for k in kinds)
    health = await store.fields(store.keys.shared(f"health:{first}"))
    if oddity.kind is F.DENIED:
        assert health[b"trips" if b"trips" in health else "trips"]
    else:
        assert int(health.get("failures", 0)) == (oddity.times if oddity.counts else 0)
    assert ("cool_until" in health) == (oddity.kind is F.RATE_LIMITED)


@pytest.mark.parametrize("end", ["[DONE]", "the stream", "a document"])
async def test_every_oddity(bench: Bench, end: str):
    """Many wait together; every one that is wrong is named."""
    limit = asyncio.Semaphore(24)
    at_once = end == "a document"

    async def wrong(name: str, oddity: Oddity) -> str:
        made = as_document(oddity) if at_once else streamed(oddity, done=end == "[DONE]")
        try:
            async with limit:
                await one(bench, oddity, made, at_once=at_once)
        except Exception as error:
            return f"{name}: {type(error).__name__}: {error}"
        return ""

    tried = {name: each for name, each in ODDITIES.items() if not at_once or each.document}
    found = await asyncio.gather(*(wrong(*each) for each in tried.items()))
    assert not any(found), "\n\n".join(filter(None, found))
