"""Making a text harmless to stand in a prompt: it cannot end its fence nor forge a role.

Roles travel as fields of the protocol, so that nothing in a text can truly become a turn of
another role. But a server turns the turns into one string by a chat template, and not every
one of them escapes the template's own tokens. Three things are changed, nothing else:

1. Invisible characters that hide words from people but not from models are dropped.
2. `<` or `[` that opens something which looks like a token of a chat template, or like one of
   our own fences, becomes a bracket that only looks like it. `x < 3` stays.
3. A line that begins like a turn (`system: ...`, `### Instruction`) is quoted with `| `.

Both are looked for in the text and in what its HTML says (`models/judged.py`): `&lt;/learner&gt;`
and `<p>system: ...` count, too. What stands in the prompt is the text, changed at those places.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final

from models.judged import Unmarked, as_it_stands, without_entities, without_markup


class Fence(StrEnum):
    """What stands around a text, and says whose it is."""

    LEARNER = "learner"
    TUTOR = "tutor"
    NOTES = "notes"
    EARLIER = "earlier"


_JOINERS: Final = "\u200c\u200d"
"""Persian and Indic scripts and emoji need them; between two ASCII letters nothing does."""

_NAMES: Final = """
    system developer user assistant human model tool tools function learner tutor notes earlier
    bos eos pad unk s sys inst start_of_turn end_of_turn start_of_image end_of_image mask cls
    sep think thinking tool_call tool_calls tool_response instructions instruction im_start
    im_end prompt context
    """

# What `_folded` makes of a text is matched, so that look-alikes of brackets and letters count too.
# Our own fences count whatever follows the name: a model takes `</learner <b>` for an end as well.
# `*+` gives nothing back, or a bracket with thousands of blanks behind it would cost minutes.
_TOKEN: Final = re.compile(
    r"""
      <(?=\s*+[/\\]?\s*+(?:FENCES)\b)                       # </learner>, </learner <b>
    | <(?=\s*+/?\s*+\|[^|<>]++\|\s*+>)                     # <|im_start|>, <|eot_id|>
    | <(?=<\s*+/?\s*+sys)                                  # <<SYS>>
    | <(?=\s*+/?\s*+(?:NAMES)\b(?:[^<>\n]{0,80}|\s*+)>)    # <s>, <start_of_turn>
    | <(?=\s*+/?\s*+(?:unused|extra_id_|reserved_|special_)[\w-]*+\s*+>)
    | \[(?=\s*+/?\s*+(?:inst|sys|system|system_prompt|available_tools|tool_calls|tool_results
            |assistant|user|cls|sep|mask|pad|unk|bos|eos)\s*+\])
    """.replace("FENCES", "|".join(Fence)).replace("NAMES", "|".join(_NAMES.split())),
    re.VERBOSE | re.IGNORECASE,
)
_ROLE_LINE: Final = re.compile(
    r"""^(?=[ \t>*_"'`#|-]*
        (?:system|developer|assistant|human|user|ai|model|tutor|teacher|learner|instructions?
           |response|input|tool)
        (?:[ \t]+(?:message|prompt|override|instructions?|note))?
        [ \t*_"'`]*:)
      | ^(?=[ \t]*\#{2,}[ \t]*
        (?:system|developer|assistant|human|user|instructions?|response|input)\b)
      | ^(?=[ \t]*(?:begin|end|new)[ \t]+(?:of[ \t]+)?(?:system|developer)\b)
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_INSTEAD: Final = {"<": "\u2039", "[": "\u27e6"}
_DRAWN_LIKE: Final = {
    "<": "\u2039\u2329\u27e8\u3008\u1438\u276e\u276c\u2770\u27ea\u2991\u29fc\u02c2",
    ">": "\u203a\u232a\u27e9\u3009\u1433\u276f\u276d\u2771\u27eb\u2992\u29fd\u02c3",
    "|": "\u2758\u01c0\u2223\u2502",
    "[": "\u27e6\u3010",
    "]": "\u27e7\u3011",
    "/": "\u2044\u2215\u29f8\u2571",
    "a": "\u0430\u0410\u03b1\u0391",
    "b": "\u0412\u0392",
    "c": "\u0441\u0421",
    "d": "\u0501",
    "e": "\u0435\u0415\u03b5\u0395",
    "h": "\u04bb\u041d\u0397",
    "i": "\u0456\u0406\u03b9\u0399",
    "j": "\u0458\u0408",
    "k": "\u043a\u041a\u03ba\u039a",
    "l": "\u04cf\u04c0",
    "m": "\u043c\u041c\u039c",
    "n": "\u043f\u03b7\u039d",
    "o": "\u043e\u041e\u03bf\u039f",
    "p": "\u0440\u0420\u03c1\u03a1",
    "q": "\u051b",
    "r": "\u0433",
    "s": "\u0455\u0405",
    "t": "\u0442\u0422\u03c4\u03a4",
    "u": "\u03c5",
    "v": "\u03bd",
    "w": "\u051d",
    "x": "\u0445\u0425\u03a7",
    "y": "\u0443\u0423\u03a5",
    "z": "\u0396",
}
"""Other brackets, and the Cyrillic and Greek letters that our names could be written with."""
_LOOK_ALIKE: Final = {each: sign for sign, many in _DRAWN_LIKE.items() for each in many}
_SELECTORS: Final = "\ufe0e\ufe0f"
"""Ask for an emoji as text or as a picture."""
_PLAIN: Final = re.compile("[\\t\\n -~\\u00a1-\\u00ac\\u00ae-\\u02ff]*")
_BREAKS: Final = {"\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"}


def harmless(text: str) -> str:
    """The text as it may stand inside a fence or in a tutor's turn.

    Twice is the same as once. Text without brackets, line ends or invisible characters
    stays as it is.
    """
    shown = _brackets_closed(_visible(text))
    places = {place for place in _role_lines(shown) if not shown.startswith("| ", place)}
    for place in sorted(places, reverse=True):
        shown = f"{shown[:place]}| {shown[place:]}"
    return shown


def _brackets_closed(shown: str) -> str:
    instead: dict[int, tuple[int, str]] = {}
    for read in _readings(shown):
        for match in _TOKEN.finditer(read.text):
            at = match.start()
            instead[read.begins[at]] = (read.ends[at], _INSTEAD[read.text[at]])
    for begin in sorted(instead, reverse=True):
        end, sign = instead[begin]
        shown = f"{shown[:begin]}{sign}{shown[end:]}"
    return shown


def _role_lines(shown: str) -> set[int]:
    return {
        read.begins[match.start()]
        for read in _readings(shown)
        for match in _ROLE_LINE.finditer(read.text)
    }


def _readings(shown: str) -> list[Unmarked]:
    """As it stands, and as HTML says it; folded, with the places in the text itself.

    Tags count in one reading and are dropped in another: `<s>` is one of HTML's, and a model's
    token as well.
    """
    folded = _folded(shown)
    readings = [as_it_stands(folded)]
    if "&" in folded:
        readings.append(without_entities(folded))
    if "<" in folded or "&" in folded:
        readings.append(without_markup(folded))
    return [Unmarked(_folded(read.text), read.begins, read.ends) for read in readings]


def fenced(fence: Fence, text: str) -> str:
    """A text between the marks that say whose it is."""
    return f"<{fence}>\n{harmless(text)}\n</{fence}>"


def one_line(text: str) -> str:
    """With every run of blanks and line ends as one blank."""
    return " ".join(_visible(text).split())


def _visible(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    kept: list[str] = []
    for place, character in enumerate(text.replace("\r\n", "\n")):
        if character in _BREAKS:
            kept.append("\n")
            continue
        if character in "\n\t":
            kept.append(character)
            continue
        if _is_selector(character):
            # One of the two that emoji use; a run of them hides a message, a byte in each.
            if character in _SELECTORS and kept and kept[-1] not in _SELECTORS:
                kept.append(character)
            continue
        category = unicodedata.category(character)
        if category in {"Cc", "Cs", "Co"} or (
            category == "Cf" and not (character in _JOINERS and _joins(text, place))
        ):
            continue
        kept.append(character)
    return "".join(kept)


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _joins(text: str, place: int) -> bool:
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return bool(before and after) and not (before.isascii() or after.isascii())


def _folded(text: str) -> str:
    """The same length, with look-alikes as what they look like."""
    if text.isascii():
        return text
    return "".join(map(_fold, text))


def _fold(character: str) -> str:
    if character.isascii():
        return character
    known = _LOOK_ALIKE.get(character)
    if known is not None:
        return known
    plain = unicodedata.normalize("NFKC", character)
    if len(plain) == 1 and plain.isalpha():
        # Without its accent: whoever reads an e with a stroke over it still reads the name.
        plain = unicodedata.normalize("NFKD", plain)[0]
    return _LOOK_ALIKE.get(plain, plain) if len(plain) == 1 else character
