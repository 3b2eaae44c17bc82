"""From a model's deltas to the text that a learner sees: no thoughts, no blank beginning.

A model that thinks may put its thoughts into the text, between tags, split over deltas in any
way. They are not shown, so they are not stored or sent back either. A tag within code (between
backticks) is text: somebody may ask about it.

Where a model's chat template opens the thought itself, only the closing tag comes. Then all that
stands before it was thought. `held` says that this is known: the beginning is held back until the
tag. Where it is not known, what was shown is void once the tag comes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TICK: Final = "`"
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_HIGH: Final = ("\ud800", "\udbff")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"})
_FILLERS: Final = frozenset(
    "\N{HANGUL FILLER}\N{HANGUL CHOSEONG FILLER}\N{HANGUL JUNGSEONG FILLER}"
    "\N{HALFWIDTH HANGUL FILLER}\N{BRAILLE PATTERN BLANK}" + _REPLACEMENT
)
_INLINE: Final = 2
"""Backticks of code within a paragraph, at most; more of them fence a block."""


def visible(text: str) -> bool:
    """Whether a reader sees anything of it."""
    return any(unicodedata.category(each) not in _UNSEEN and each not in _FILLERS for each in text)


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a delta.

    Attributes:
        text: to show, perhaps empty.
        thought: characters that are not shown, because they are thoughts or may be.
        void: what was shown before is void, and not what `text` holds.
    """

    text: str = ""
    thought: int = 0
    void: bool = False


class AnswerText:
    """The text of one answer.

    Args:
        tags: opening and closing tags of thoughts, in any case.
        held: whether the answer begins with a thought that only a closing tag ends.
        most: characters that are held back, or void, at most, >= 1.

    Attributes:
        spoken: whether anything that can be seen was shown.
        only_closed: whether a closing tag came that no opening one belongs to.
        overfull: more than `most` was held back: there is no answer in sight.
    """

    def __init__(self, tags: Sequence[tuple[str, str]], *, held: bool, most: int) -> None:
        self._closing = {opening.lower(): closing.lower() for opening, closing in tags}
        self._tags = tuple({*self._closing, *self._closing.values()})
        self._longest = max(map(len, self._tags), default=0)
        starts = "".join(re.escape(tag[0]) for tag in self._tags)
        self._special = re.compile(f"[`\n{starts}]")
        self._held = held
        self._most = most
        self.spoken = False
        self.only_closed = False
        self.overfull = False
        self._half = ""
        """The first half of a surrogate pair."""
        self._rest = ""
        """What may be the beginning of a tag."""
        self._rest_ticked = False
        """Whether a backtick stands right before it."""
        self._thought_ends: str | None = None
        self._thought = 0
        self._thought_before = ""
        """The last character of the thought so far."""
        self._closed = False
        self._strip = False
        """Whether the text begins behind a thought: blank lines stand between the two."""
        self._ticks = 0
        """Backticks in a row, just now."""
        self._code = 0
        """Backticks that this code began with; 0: no code."""
        self._line_blank = False
        self._lead: list[str] = []
        """What is held back: blanks before the first text, or what may be a thought."""
        self._lead_visible = False
        self._waiting = 0
        self._standing = 0
        self._void = False

    @property
    def thinking(self) -> bool:
        """Whether a thought has begun that nothing has ended."""
        return self._thought_ends is not None

    @property
    def holding(self) -> bool:
        """Whether what comes may be a thought, and is held back."""
        return self._held

    def feed(self, delta: str) -> Shown:
        """Take a delta, of any length."""
        text = self._rest + self._joined(delta)
        self._rest = ""
        return self._shown(self._visible_part(text, last=False))

    def end(self, *, cut: bool) -> Shown:
        """What was held back and turns out to be text.

        Args:
            cut: the answer was stopped: what may be a thought then is one.
        """
        text = self._rest + (_REPLACEMENT if self._half else "")
        self._rest, self._half = "", ""
        text = self._visible_part(text, last=True)
        if self._held and cut:
            return Shown(thought=self._taken_thought() + self._dropped() + len(text))
        self._held = False
        return self._shown(text)

    # -- halves of characters --------------------------------------------------------------

    def _joined(self, delta: str) -> str:
        """With halves of a pair put together; a half without its other is no character."""
        text, self._half = self._half + delta, ""
        if text.isascii():
            return text
        if _HIGH[0] <= text[-1] <= _HIGH[1]:
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    # -- thoughts --------------------------------------------------------------------------

    def _visible_part(self, text: str, *, last: bool) -> str:
        """`text` without thoughts; what may yet become a tag goes into `_rest`."""
        out: list[str] = []
        place = 0
        while place < len(text):
            if self._thought_ends is not None:
                place = self._think(text, place, self._thought_ends, last=last)
                continue
            special = self._special.search(text, place)
            end = special.start() if special else len(text)
            if end > place:
                self._plain(text[place:end])
                out.append(text[place:end])
            if special is None:
                break
            place = self._at_special(text, end, out, last=last)
        return "".join(out)

    def _at_special(self, text: str, place: int, out: list[str], *, last: bool) -> int:
        """A backtick, a line's end, or what may begin a tag. Returns where to go on."""
        character = text[place]
        if character == _TICK:
            self._ticks += 1
            out.append(character)
            return place + 1
        ticked = self._ticks > 0 or (place == 0 and self._rest_ticked)
        self._rest_ticked = False
        self._leave_ticks()
        if character != "\n" and (self._held or not self._code):
            tag = self._tag_at(text, place)
            end = place + len(tag or "")
            # In a thought a backtick may be any; only a tag right between two is spoken of.
            undecided = self._held and ticked and end == len(text)
            if not last and (undecided if tag else self._may_become_tag(text[place:])):
                self._rest, self._rest_ticked = text[place:], ticked
                return len(text)
            spoken_of = self._held and ticked and text.startswith(_TICK, end)
            if tag is not None and not spoken_of and self._takes(tag, out):
                return end
        self._plain(character)
        out.append(character)
        return place + 1

    def _plain(self, text: str) -> None:
        """Where code ends: at as many backticks, or (within a paragraph) with the paragraph."""
        self._leave_ticks()
        if text == "\n":
            if self._line_blank and self._code <= _INLINE:
                self._code = 0
            self._line_blank = True
        elif not text.isspace():
            self._line_blank = False

    def _leave_ticks(self) -> None:
        ticks, self._ticks = self._ticks, 0
        if ticks:
            self._line_blank = False
            if not self._code:
                self._code = ticks
            elif ticks == self._code or (ticks > self._code > _INLINE):
                self._code = 0

    def _tag_at(self, text: str, place: int) -> str | None:
        # Cut out before it is made lower: that changes the length of some characters.
        return next(
            (tag for tag in self._tags if text[place : place + len(tag)].lower() == tag), None
        )

    def _may_become_tag(self, text: str) -> bool:
        begun = text[: self._longest].lower()
        return any(len(text) < len(tag) and tag.startswith(begun) for tag in self._tags)

    def _takes(self, tag: str, out: list[str]) -> bool:
        """Follow a tag; False where it is only text."""
        closing = self._closing.get(tag)
        if closing is not None:
            begun = self.spoken or self._lead_visible or visible("".join(out))
            if self._held and begun:
                return False  # spoken of, in a thought that goes on
            self._strip = self._strip or not begun
            # What it opens here it did not open before.
            self._held = False
            self._thought_ends, self._thought_before = closing, ""
            return True
        if self._closed:
            return True
        before = sum(map(len, out))
        if self._standing + self._waiting + before > self._most:
            return False
        # Nothing opened it: all before it was thought.
        self.only_closed = self._closed = self._strip = True
        self._thought += self._dropped() + before
        out.clear()
        self._held = False
        self._code, self._line_blank = 0, False
        if self._standing:
            self._void, self.spoken, self._standing = True, False, 0
        return True

    def _think(self, text: str, place: int, closing: str, *, last: bool) -> int:
        """Within a thought: to behind its end, or to the end of what there is."""
        lower = _lower(text)
        while (found := lower.find(closing, place)) >= 0:
            before = text[found - 1] if found > place else self._thought_before
            after = text[found + len(closing) : found + len(closing) + 1]
            if before == _TICK and not after and not last:
                # Whether it is the end or is spoken of, the next character says.
                self._pass_thought(text[place:found])
                self._rest = text[found:]
                return len(text)
            if before == _TICK and after == _TICK:
                self._pass_thought(text[place : found + len(closing)])
                place = found + len(closing)
                continue
            self._pass_thought(text[place:found])
            self._thought_ends, self._closed = None, True
            self._line_blank = False
            return found + len(closing)
        keep = 0 if last else _overlap(lower[place:], closing)
        self._pass_thought(text[place : len(text) - keep])
        self._rest = text[len(text) - keep :]
        return len(text)

    def _pass_thought(self, text: str) -> None:
        self._thought += len(text)
        self._thought_before = text[-1:] or self._thought_before

    # -- what is held back -----------------------------------------------------------------

    def _shown(self, text: str) -> Shown:
        void, self._void = self._void, False
        if self._held or not self.spoken:
            if text:
                self._lead.append(text)
                self._waiting += len(text)
                self._lead_visible = self._lead_visible or visible(text)
            if self._held or not self._lead_visible:
                self.overfull = self._waiting > self._most
                return Shown(thought=self._taken_thought(), void=void)
            text = "".join(self._lead)
            self._dropped()
            if self._strip:
                text = text.lstrip()
            self.spoken = True
        self._standing += len(text)
        return Shown(text, self._taken_thought(), void)

    def _taken_thought(self) -> int:
        thought, self._thought = self._thought, 0
        return thought

    def _dropped(self) -> int:
        """Hold nothing back any more; returns how many characters that were."""
        dropped = self._waiting
        self._lead, self._waiting, self._lead_visible = [], 0, False
        return dropped


def _lower(text: str) -> str:
    """In lower case, and of the same length."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(each.lower()[:1] for each in text)


def _overlap(text: str, closing: str) -> int:
    """Characters at the text's end with which `closing` may begin."""
    longest = min(len(text), len(closing) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(closing[:size])), 0)
