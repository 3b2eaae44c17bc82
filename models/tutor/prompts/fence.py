"""Making a text harmless to stand in a prompt: it cannot end its fence nor forge a role.

Roles travel as fields of the protocol, so that nothing in a text can truly become a turn of
another role. But a server turns the turns into one string by a chat template, and not every
one of them escapes the template's own tokens. Three things are changed, nothing else:

1. Invisible characters that hide words from people but not from models are dropped.
2. `<` or `[` that opens something which looks like a token of a chat template, or like one of
   our own fences, becomes a bracket that only looks like it. `x < 3` stays.
3. A line that begins like a turn (`system: ...`, `### Instruction`) is quoted with `| `.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final


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

# What `folded` makes of a text is matched, so that look-alikes of the brackets count too.
_TOKEN: Final = re.compile(
    r"""
      <(?=\s*/?\s*\|[^|<>\n]{1,80}\|\s*>)                  # <|im_start|>, <|eot_id|>
    | <(?=<\s*/?\s*sys)                                   # <<SYS>>
    | <(?=\s*/?\s*(?:NAMES)\b[^<>\n]{0,80}>)              # </learner>, <s>, <start_of_turn>
    | <(?=\s*/?\s*(?:unused|extra_id_|reserved_|special_)[\w-]*\s*>)
    | \[(?=\s*/?\s*(?:inst|sys|system|system_prompt|available_tools|tool_calls|tool_results
            |assistant|user|cls|sep|mask|pad|unk|bos|eos)\s*\])
    """.replace("NAMES", "|".join(_NAMES.split())),
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
_LOOK_ALIKE: Final = {
    "\u2039": "<", "\u203a": ">", "\u2329": "<", "\u232a": ">", "\u27e8": "<", "\u27e9": ">",
    "\u3008": "<", "\u3009": ">", "\u2758": "|", "\u01c0": "|", "\u2223": "|", "\u2502": "|",
    "\u27e6": "[", "\u27e7": "]", "\u3010": "[", "\u3011": "]",
}  # fmt: skip
_SELECTORS: Final = "\ufe0e\ufe0f"
"""Ask for an emoji as text or as a picture."""
_PLAIN: Final = re.compile("[\\t\\n -~\\u00a1-\\u00ac\\u00ae-\\u02ff]*")
_BREAKS: Final = {"\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"}


def harmless(text: str) -> str:
    """The text as it may stand inside a fence or in a tutor's turn.

    Twice is the same as once. Text without brackets, line ends or invisible characters
    stays as it is.
    """
    shown = _visible(text)
    opened = _TOKEN.finditer(_folded(shown))
    characters = list(shown)
    for match in opened:
        place = match.start()
        characters[place] = _INSTEAD[_folded(characters[place])]
    shown = "".join(characters)
    places = {match.start() for match in _ROLE_LINE.finditer(_folded(shown))}
    quoted = [place for place in places if not shown.startswith("| ", place)]
    for place in sorted(quoted, reverse=True):
        shown = f"{shown[:place]}| {shown[place:]}"
    return shown


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
    return plain if len(plain) == 1 else character
