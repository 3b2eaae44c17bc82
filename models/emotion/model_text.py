"""What the emotion model is given of a text: its judged copy, with emoji and faces as words.

"chapter 4 😭 :(" becomes "chapter 4 loudly crying face frowning face". The vocabulary of an
uncased English encoder has no emoji: without this step a party and a funeral are the same unknown
piece. The words are the names that Unicode gives the emoji (package `emoji`), so the encoder knows
most of them from its own training. Skin tones, joiners and signs of gender are left out; a joined
emoji reads as its parts.

For the model alone: the safety rules and prompts see the judged copy, without these words.
"""

from __future__ import annotations

import re
from typing import Final

import emoji

from models.judged import judged_copy

MOST_IN_A_ROW: Final = 3
"""Times that one emoji counts where it is repeated: more say nothing new and cost tokens."""

_NAMES: Final = {
    sign: known["en"].strip(":").replace("_", " ")
    for sign, known in emoji.EMOJI_DATA.items()
    if len(sign) <= 2 and "\ufe0f" not in sign and not sign.isascii()
}
_FIRST: Final = "\u2000"
"""Below it there are letters, and signs such as the copyright that are emoji in name only."""
_LEFT_OUT: Final = dict.fromkeys([*range(0x1F3FB, 0x1F400), 0x2640, 0x2642, 0x26A7, 0x20E3])
"""Skin tones, the signs of gender behind a person, and the frame of a keycap."""
_SHORTCODE: Final = re.compile(r"(?<![\w:]):[a-z0-9_+-]{2,40}:(?![\w:])")
_END: Final = r"(?=$|[\s.,!?*~)\]\"'\u2190-\U0010ffff])"
_ALONE: Final = r"(?<![^\s.,!?])"
"""It stands by itself: formulas, code and times have the same signs side by side."""
_THEN: Final = r"(?=$|[\s.,!?~\u2190-\U0010ffff])"
_OPEN: Final = r"(?![^():;=\n]*\))"
"""No bracket that somebody closes later."""
_FACES: Final = (
    (r">:-?[(|/]+" + _OPEN + _END, "angry face"),
    (r"(?<![\"'):(]):['\u2019,]-?\(+" + _OPEN + _END, "crying face"),
    (r"(?<![\"'):(]):['\u2019]-?[)D]+" + _END, "face with tears of joy"),
    (r"(?<![\"'):(\]}]):[-^o]?\(+" + _OPEN + _END, "frowning face"),
    (r"(?<![\"'):(]):[-^o]?\)+" + _END, "slightly smiling face"),
    (_ALONE + r"=\(+" + _OPEN + _END, "frowning face"),
    (_ALONE + r"=[)D]+" + _END, "slightly smiling face"),
    (_ALONE + r"\(+-?:" + _THEN, "slightly smiling face"),
    (_ALONE + r"\)+-?:" + _THEN, "frowning face"),
    (r"(?<![;(]);[-^o]?[)D]+" + _END, "winking face"),
    (_ALONE + r":[-^]?D+" + _THEN, "grinning face"),
    (_ALONE + r"[:;][-^]?[pP]" + _THEN, "face with tongue"),
    (_ALONE + r":-?[oO]" + _THEN, "face with open mouth"),
    (_ALONE + r":-?[sS]" + _THEN, "confounded face"),
    (_ALONE + r":-?[xX]" + _THEN, "zipper-mouth face"),
    (_ALONE + r":-?\*+" + _THEN, "face blowing a kiss"),
    (_ALONE + r"(?<!\d ):-?3" + _THEN, "smiling cat"),
    (r"(?<![A-Z\d\"'):(\]}]):-?[/\\]" + _THEN, "confused face"),
    (r"(?<![A-Z\d\"'):(\]}]):-?\|" + _THEN, "neutral face"),
    (r"(?:^|(?<=[.!?] ))D-?:$", "anguished face"),
    (_ALONE + r"[xX]+D+" + _THEN, "grinning squinting face"),
    (_ALONE + r"(?:[tT]_+[tT]|[qQ]_+[qQ]|;_+;|[tT]\.[tT])" + _THEN, "loudly crying face"),
    (_ALONE + r"(?<!\d )(?:\^[_.-]?\^'*|n_n)" + _THEN, "smiling face with smiling eyes"),
    (_ALONE + r"(?:-_+-|-\.-)['\";]*" + _THEN, "expressionless face"),
    (_ALONE + r">_+<" + _THEN, "persevering face"),
    (_ALONE + r"(?:[oO]_+[oO]|0_0|[oO]\.[oO])" + _THEN, "astonished face"),
    (_ALONE + r"[uU][wW][uU]" + _THEN, "smiling face with smiling eyes"),
    (r"(?:(?<=[a-zA-Z]{2} )|(?<=[!.?)] )|^)</3+" + _THEN, "broken heart"),
    (
        r"(?:(?<!\b(?:is|if|or) )(?<!than )(?<=[a-zA-Z]{2} )|(?<=[!.?)] )|^)(?:<3+ ?)+" + _THEN,
        "red heart",
    ),
    (r"(?<=\b[iI] )<3+(?= [a-z]{2})", "red heart"),
    (r"[\u0304]?\\?_{0,2}[\\/]?_{0,2}\( ?ツ ?\)_{0,3}/?[ ]?[\u0304]?", "person shrugging"),
    (r"\([╯\u30ce][^()\n]{1,6}\)[╯\u30ce]?[︵(\u30ce ]{0,3}(?:┻━┻)?", "angry face throws a table"),
)
_FACE: Final = re.compile("|".join(f"(?P<f{i}>{face})" for i, (face, _) in enumerate(_FACES)))
_MAYBE_FACE: Final = re.compile(r"[:;=]|<[/3]|[\^_.-][\^<>_.tToOqQ-]|[xX]D|[uU]w[uU]|ツ|[╯\u30ce]")
"""Cheap to look for; most texts have none of it."""


def model_text(text: str) -> str:
    """Empty where a text shows nothing. Case and punctuation stay: they carry emotion.

    Raises nothing, and takes time in proportion to the text's length.
    """
    return in_words(" ".join(judged_copy(text).split()))


def in_words(text: str) -> str:
    """Emoji, shortcodes and ASCII faces of a judged copy as words; other text as it is."""
    if ":" in text:
        text = _SHORTCODE.sub(_of_shortcode, text)
    if _MAYBE_FACE.search(text):
        text = _FACE.sub(_of_face, text)
    if text.isascii():
        return " ".join(text.split())
    return " ".join(_named(text.translate(_LEFT_OUT)).split())


def _of_shortcode(match: re.Match[str]) -> str:
    return emoji.emojize(match[0], language="alias")


def _of_face(match: re.Match[str]) -> str:
    return f" {_FACES[int((match.lastgroup or 'f0')[1:])][1]} "


def _named(text: str) -> str:
    """What is left out is gone: an emoji is one sign, or a flag of two."""
    said: list[str] = []
    row: dict[str, int] = {}  # of the emoji that stand side by side
    skip = False
    for sign, following in zip(text, [*text[1:], ""], strict=False):
        if skip:
            skip = False
            continue
        name = None
        if sign >= _FIRST:
            name = _NAMES.get(sign)
            if name is None and (name := _NAMES.get(sign + following)) is not None:
                skip = True
        if name is None:
            said.append(sign)
            if not sign.isspace():
                row.clear()
            continue
        row[name] = row.get(name, 0) + 1
        said.append(f" {name} " if row[name] <= MOST_IN_A_ROW else " ")
    return "".join(said)
