"""Patterns held against sentences: what negates them, and which contexts speak against them.

What is asked of everything a pattern matches: is it negated, in the same clause? Is it talk
about something else (a game, a book), in the same clause where it is about the one who writes?
And where somebody says "i want to" or "i will" right before it, no context is asked: better one
call too many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.tutor.safety.lexicon import Clauses, Lexicon, Negation, Pattern
from models.tutor.safety.normalise import Sentence, sentences
from schemas.vocabulary import Concern


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. why: for people; it holds no word of the text."""

    name: str
    kind: Concern
    why: str
    alone: bool


def findings(
    text: str, patterns: Sequence[Pattern], lexicon: Lexicon, *, most: int | None = None
) -> tuple[Finding, ...]:
    """What is found in a text, each pattern at most once, in the lexicon's order.

    most: words of the text that are looked at, its first and last ones; all for None
    """
    said: set[int] = set()
    for sentence in sentences(text, lexicon, most=most):
        # Most sentences match nothing; all else is looked at only where they do.
        matched = [n for n, each in enumerate(patterns) if each.looks_for.search(sentence.text)]
        if matched:
            read = without_figures(sentence, lexicon)
            said.update(n for n in matched if found(patterns[n], read))
    return tuple(found_by(patterns[n]) for n in sorted(said))


def found_by(pattern: Pattern) -> Finding:
    """What a pattern's finding says."""
    return Finding(pattern.name, pattern.kind, pattern.why, pattern.alone)


def found(pattern: Pattern, sentence: Sentence) -> bool:
    """Whether a sentence without figures of speech says what a pattern looks for."""
    return any(
        _stands(pattern, sentence, match) for match in pattern.looks_for.finditer(sentence.text)
    )


def without_figures(sentence: Sentence, lexicon: Lexicon) -> Sentence:
    """A sentence with a mark for each figure of speech."""
    text, starts = sentence.text, list(sentence.clauses)
    for figure in lexicon.figures:
        if not figure.search(text):
            continue
        # A mark, not nothing: the words beside it must not become neighbours. Of the length
        # of the figure, so that clauses begin where they did.
        text = figure.sub(lambda match: "~" * len(match[0]), text)
    return Sentence(text, tuple(starts))


def _stands(pattern: Pattern, sentence: Sentence, match: re.Match[str]) -> bool:
    if pattern.negation is not None and _negated(pattern.negation, sentence, match):
        return False
    if not pattern.unless:
        return True
    where = sentence.text if pattern.clauses is None else _near(pattern.clauses, sentence, match)
    return not any(context.search(where) for context in pattern.unless)


def _near(clauses: Clauses, sentence: Sentence, match: re.Match[str]) -> str:
    """Where a context counts against a match; nothing where it was meant."""
    text = sentence.text
    begin, end = _clause(clauses, sentence, match)
    if not clauses.own.search(text[begin:end]):
        return text
    if clauses.insists.search(text):
        return ""
    return (
        "" if _meant(clauses, text[begin : match.end()], match.start() - begin) else text[begin:end]
    )


def _clause(clauses: Clauses, sentence: Sentence, match: re.Match[str]) -> tuple[int, int]:
    starts = [*sentence.clauses, *(each.start() for each in clauses.starts.finditer(sentence.text))]
    return (
        max((at for at in starts if at <= match.start()), default=0),
        min((at for at in starts if at >= match.end()), default=len(sentence.text)),
    )


def _meant(clauses: Clauses, clause: str, start: int) -> bool:
    """Whether what says that it is meant reaches to `start`, a blank before it or none."""
    return any(each.end() >= start - 1 for each in clauses.meant.finditer(clause))


def _negated(negation: Negation, sentence: Sentence, match: re.Match[str]) -> bool:
    begin = max(at for at in sentence.clauses if at <= match.start())
    return bool(
        negation.before.search(sentence.text[begin : match.start()].rstrip())
        and not negation.taken_back.search(sentence.text, match.end())
    )
