"""The judged copy of a text: what a person reads in it, for whatever judges it.

A page may send `I don&#39;t` and mean "I don't", or `<p>i want to <b>stop</b></p>`, or a letter
with a zero-width space behind it. Whoever reads the page sees none of that, so nothing that judges
a text may see it either.

    enters  a text as its writer sent it: plain, or simple HTML as editors make it
    leaves  a copy of it without entities, tags and invisible signs, in NFKC, one apostrophe for all
    callers the safety net (models/tutor/safety), the emotion model (models/emotion/serving), the
            checks of a prompt's fence (models/tutor/prompts/sanitising.py), and for the reply guard
            app/tutor/prompt

The copy is for judging only. What masterx stores, shows, summarises and puts into a prompt is the
text itself. Everything here is pure, takes time in proportion to a text's length, and raises
nothing.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.entities import html5
from typing import Final

LONGEST_EXPANSION: Final = 18
"""Characters that NFKC makes of one at most (U+FDFA): a copy is no longer than so many texts."""

_MOST_MARKS: Final = 30
"""Combining marks in a row that are kept, as in UAX #15's Stream-Safe Text Format. Normalising
sorts each run of marks, in time that grows with the square of its length."""

_APOSTROPHES: Final = (
    "\u2018\u2019\u201b\u00b4\uff07"  # quotation marks, acute accent, full-width
    "\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u0384\u0374"  # modifier letters, tonos
    "\u1fbd\u1fbf\u1ffd\u1ffe"  # Greek signs: NFKC makes blanks and marks of them
    "\u2032\u2035\u275b\u275c\u055a\u05f3\u07f4\ua78b\ua78c"  # primes, other scripts
)
_DROPPED: Final = (
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufffc\U0001d159"  # joiner, fillers, placeholders
    "\u180b\u180c\u180d\u180f"  # Mongolian variation selectors
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_BREAKS: Final = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_TABLE: Final = str.maketrans(
    {
        **dict.fromkeys(_APOSTROPHES, "'"),
        **dict.fromkeys(_DROPPED, None),
        **dict.fromkeys([*map(chr, range(32)), "\x7f"], None),
        **dict.fromkeys(_BREAKS, "\n"),
        "\t": "\t",
        "\n": "\n",
        "\u2800": " ",  # Braille without a dot
        "\u1680": " ",  # a blank that NFKC leaves as it is
    }
)
_UNSEEN: Final = {"Cc", "Cf", "Co", "Cs"}

_ORDINARY: Final = re.compile(r"[\t\n -%'-;=-_a-~]*")
"""ASCII in which nothing can need a change."""
# Somebody has decomposed an acute accent that stood for an apostrophe before us.
_TAKEN_APART: Final = re.compile(r"(?<=[^\W\d_]) [\u0300\u0301](?=[^\W\d_])")
_BACKTICK: Final = re.compile(r"(?<=[^\W\d_])`(?=[^\W\d_])")
"""As an apostrophe; elsewhere it marks code."""

_ENTITY: Final = re.compile(
    r"&(?:#[0-9]{1,7}+;?|#[xX][0-9a-fA-F]{1,6}+;?|[a-zA-Z][a-zA-Z0-9]{1,31}+;)"
)
_INLINE: Final = """
    a abbr acronym area audio b basefont bdi bdo bgsound big blink button canvas cite code data
    datalist del dfn em embed font i iframe img input ins kbd keygen label link map mark meta meter
    nobr noscript object output param picture progress q rb rp rt rtc ruby s samp script select
    slot small source span strike strong style sub summary sup svg template textarea time title
    track tt u var video wbr
    """
_BLOCK: Final = """
    address article aside base blockquote body br caption center col colgroup dd details dialog dir
    div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header
    hgroup hr html legend li listing main marquee menu nav noframes ol optgroup option p plaintext
    pre search section table tbody td tfoot th thead tr ul xmp
    """
_INSTEAD: Final = {
    **dict.fromkeys(_INLINE.split(), ""),
    **dict.fromkeys(_BLOCK.split(), "\n"),
}
_ITEM: Final = "\n- "
"""An item stays one: what stands before it is another sentence."""
# An attribute has a value, or is one that HTML or a framework uses without: `<b and c>` is no tag.
# No value holds a `<`, so that no character is looked at from two brackets.
_ATTRIBUTE: Final = r"""
    (?: [a-z_:@][\w.:@-]*+ \s*+ = \s*+ (?: "[^"<]*+" | '[^'<]*+' | [^\s"'<>=`]++ )
      | (?:data-|aria-|_ng)[\w.:-]*+
      | (?:allowfullscreen|async|autofocus|autoplay|checked|compact|contenteditable|controls
          |default|defer|disabled|download|draggable|hidden|inert|ismap|itemscope|loop|multiple
          |muted|nohref|noshade|novalidate|nowrap|open|readonly|required|reversed|selected
          )(?=[\s/>]) )
    """
_TAG: Final = re.compile(
    rf"""
      <(?: /(?P<ended>[a-z][a-z0-9]*+)\s*+
         | (?P<begun>[a-z][a-z0-9]*+)(?:[\s/]++{_ATTRIBUTE})*+[\s/]*+ )>
    | <!doctype\s[^<>]*+>
    | <!--|-->  # only a comment's marks: on a page of plain text its words are said
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A text without entities and tags. begins, ends: where each of its characters came from."""

    text: str
    begins: Sequence[int]
    ends: Sequence[int]


def judged_copy(text: str) -> str:
    """The copy of a whole text; empty where nothing can be seen in it.

    Returns at most LONGEST_EXPANSION times as many characters. Ordinary ASCII text comes back as
    it is. A copy's own copy is the same, but for what was escaped twice: `&amp;lt;` says `&lt;`,
    and says `<` only to whoever takes that for a text of its own; `<<b>p>` says `<p>`.
    """
    copy = judged_part(text)
    return copy if any(map(_visible, copy)) else ""


def judged_part(text: str) -> str:
    """The same of a part that is read piece by piece: it may be of blanks and line ends alone."""
    if _ORDINARY.fullmatch(text):
        return text
    copy = _signs(text)
    if "&" in copy or "<" in copy or "-->" in copy:
        copy = _signs(without_markup(copy).text)
    return _BACKTICK.sub("'", copy)


def without_markup(text: str) -> Unmarked:
    """Drop tags, then decode entities once, then drop the tags of HTML that was escaped whole.

    Tags first: an attribute may hold `&quot;`.
    """
    read = _replaced(as_it_stands(text), _TAG, _shown)
    return _replaced(_replaced(read, _ENTITY, _decoded), _TAG, _shown) if "&" in text else read


def without_entities(text: str) -> Unmarked:
    """Decode entities once, and leave all tags."""
    return _replaced(as_it_stands(text), _ENTITY, _decoded)


def as_it_stands(text: str) -> Unmarked:
    """The text itself, with the places of its characters."""
    return Unmarked(text, range(len(text)), range(1, len(text) + 1))


def _signs(text: str) -> str:
    """Line ends as LF, apostrophes as U+0027, nothing invisible, NFKC."""
    lines = text.replace("\r\n", "\n")
    if lines.isascii():
        return lines.translate(_TABLE)
    folded = "".join(_without_long_runs(lines.translate(_TABLE)))
    folded = _TAKEN_APART.sub("'", folded)
    # NFKC takes a double prime apart, into two apostrophes.
    return unicodedata.normalize("NFKC", folded).translate(_TABLE)


def _without_long_runs(text: str) -> list[str]:
    kept: list[str] = []
    marks = 0
    for character in text:
        if character.isascii():
            marks = 0
            kept.append(character)
            continue
        category = unicodedata.category(character)
        if category in _UNSEEN:
            continue
        marks = marks + 1 if category[0] == "M" else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return kept


def _visible(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character)[0] not in "MZ"


def _replaced(
    read: Unmarked, pattern: re.Pattern[str], instead: Callable[[re.Match[str]], str | None]
) -> Unmarked:
    """With something instead of each match, or the match itself for None."""
    texts: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    done = 0
    for match in pattern.finditer(read.text):
        said = instead(match)
        if said is None:
            continue
        begin, end = match.span()
        texts += (read.text[done:begin], said)
        begins += (*read.begins[done:begin], *[read.begins[begin]] * len(said))
        ends += (*read.ends[done:begin], *[read.ends[end - 1]] * len(said))
        done = end
    if not done:
        return read
    texts.append(read.text[done:])
    return Unmarked("".join(texts), [*begins, *read.begins[done:]], [*ends, *read.ends[done:]])


def _decoded(match: re.Match[str]) -> str | None:
    written = match[0]
    if written[1] != "#" and written[1:] not in html5:
        return None
    return html.unescape(written)


def _shown(match: re.Match[str]) -> str | None:
    name = (match["begun"] or match["ended"] or "").lower()
    if not name:
        return "\n"
    return _ITEM if name == "li" and match["begun"] else _INSTEAD.get(name)
