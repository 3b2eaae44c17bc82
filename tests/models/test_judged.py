"""What a text's judges read is what a person reads in it, and nothing a person reads is lost."""

from __future__ import annotations

import csv
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.emotion.corpus
from models.emotion.config import PACKAGED, EmotionSettings
from models.emotion.model_text import in_words, model_text
from models.emotion.serving.tokenising import Tokeniser
from models.judged import (
    _APOSTROPHES,
    _MOST_MARKS,
    LONGEST_EXPANSION,
    judged_copy,
    judged_part,
    without_markup,
)
from tests.models.tutor.safety.messages import EVERY, SEVENTH

SNIPPETS = [
    "&", "&lt;", "&amp;", "&#39;", "&#x27;", "&nbsp;", "&#0;", "&#xD800;", "&nosuch;", "<", ">",
    "<b>", "</b>", "<p class='x'>", "<li>", "<br/>", "<!--", "-->", "</", "<b x=\"", "\u0301",
    "\u0323", "\u200d", "\ufe0f", "\u00b4", "\ufdfa", "\r\n", "\u2028", "\ud800", "don", "t ", "Z",
]  # fmt: skip
hostile = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=3), max_size=60).map("".join)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("I don&#39;t want to", "I don't want to"),
        ("I don&#x27;t, don&apos;t, don&rsquo;t", "I don't, don't, don't"),
        ("kill&nbsp;myself", "kill myself"),
        ("fish &amp; chips", "fish & chips"),
        ("it says &amp;lt;", "it says &lt;"),
        ("a &lt; b", "a < b"),
        ("&lt;p&gt;i &lt;b&gt;try&lt;/b&gt;&lt;/p&gt;", "\ni try\n"),
        ("I don&#39t", "I don't"),
        ("R&D, AT&T, ?a=1&copy=2, &nosuch;, &;", "R&D, AT&T, ?a=1&copy=2, &nosuch;, &;"),
        ("un<b>der</b>stand", "understand"),
        ("one<br>two<BR/>three<br />", "one\ntwo\nthree\n"),
        ("<p>one</p>", "\none\n"),
        ("<ul><li>one</li><li>two</li></ul>", "\n\n- one\n\n- two\n\n"),
        ('<span style="font-family: &quot;Lato&quot;, serif; color: red">hi</span>', "hi"),
        ("<p data-v-7ba5bd90 _ngcontent-abc-c1 class=x>hi", "\nhi"),
        ("<input type=checkbox checked>", ""),
        ('<a href="https://x.test/?a=1&amp;b=2" target=_blank rel="nofollow">this</a>', "this"),
        ("<!--StartFragment-->a<!--EndFragment-->", "\nStartFragment\na\nEndFragment\n"),
        ("\uff29\u3000\uff48\uff41\uff54\uff45", "I hate"),
        ("k\u200bi\u00adl\u2060l\ufe0f", "kill"),
        ("\u202eabc\u202c", "abc"),
        ("wait\u2026", "wait..."),
        ("a\r\nb\rc\u2028d\x85e", "a\nb\nc\nd\ne"),
        ("don`t use `x`", "don't use `x`"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("half \ud83d", "half "),
    ],
)
def test_what_a_page_sent_is_read_as_it_is_shown(sent, read):
    assert judged_copy(sent) == read


@pytest.mark.parametrize("sign", [*_APOSTROPHES, "`"])
def test_every_keyboards_apostrophe_is_one(sign):
    assert judged_copy(f"I don{sign}t") == "I don't"


def test_an_apostrophe_that_was_taken_apart_before_us_is_one():
    assert judged_copy(unicodedata.normalize("NFKC", "don\u00b4t")) == "don't"


@pytest.mark.parametrize(
    "text",
    [
        "x < y and y > z",
        "a<b && b>c",
        "if (x<b) y>c",
        "x <b and c> y",
        "x < b > c",
        "1<p, q>2",
        "i<5 and s>3",
        "vector<int> v; Map<String, Integer> m",
        "<learner> and <masterx-note> are no elements of HTML",
        "<b=3>",
        "<b <i",
        "2 --> 3 is an arrow, <- another".replace("-->", "->"),
        "tom & jerry; salt &pepper",
        "'quoted' \"twice\" `code`",
        "line one\nline two\n\n- item",
        "wait... what?! no.",
        "  blanks  stay  ",
    ],
)
def test_what_is_not_html_is_no_different(text):
    assert judged_copy(text) == text


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "\u200b\u200b", "\ufe0f", "\u00a0\u3000", "\u3164", "\u2800", "\u0301\u0301",
     "<p><br></p>", "&nbsp;", "&#8203;<b></b>", "\ufffc", "\ue000", "\x00\x07"],
)  # fmt: skip
def test_where_nothing_can_be_seen_nothing_is_left(text):
    assert judged_copy(text) == ""


@pytest.mark.parametrize("text", [".", "?", "\U0001f62d", "3", "\u0646", "\u2764\ufe0f"])
def test_whatever_can_be_seen_is_left(text):
    assert judged_copy(text)


@given(hostile)
def test_it_never_raises_and_its_length_is_bounded(text):
    copy = judged_copy(text)

    assert len(copy) <= LONGEST_EXPANSION * len(text)
    assert not any(unicodedata.category(c) in {"Cf", "Cs", "Co"} for c in copy)
    assert not set("\r\v\f\x85\u2028\u2029\u00b4\u2019\ufe0f") & set(copy)


@given(hostile.map(lambda text: re.sub("[&<>\uff06\uff1c\uff1e\ufe60\ufe64\ufe65-]", "", text)))
def test_a_copys_copy_is_the_same(text):
    """Without markup: what was escaped twice says, in its copy, what was escaped once."""
    assert judged_copy(judged_copy(text)) == judged_copy(text)


def test_no_single_character_is_copied_otherwise_the_second_time():
    changed = []
    for code in (*range(0x30000), *range(0xE0000, 0xE0200)):
        copy = judged_copy(f"x{chr(code)}y")
        if copy != judged_copy(copy):
            changed.append(hex(code))

    assert changed == []


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], max_codepoint=0x24F)))
def test_a_text_without_oddities_is_its_nfkc(text):
    odd = {*"&<>`\u0149\u00b4\u00a8\u00af\u00b8\u02d8\u02d9\u02da\u02db\u02dc\u02dd", *_APOSTROPHES}
    plain = "".join(c for c in text if c not in odd)
    expected = unicodedata.normalize("NFKC", plain)

    assert judged_copy(plain) == (expected if expected.strip() else "")


@given(hostile)
def test_places_say_where_each_character_came_from(text):
    read = without_markup(text)

    assert len(read.text) == len(read.begins) == len(read.ends)
    assert list(read.begins) == sorted(read.begins)
    for character, begin, end in zip(read.text, read.begins, read.ends, strict=True):
        assert 0 <= begin < end <= len(text)
        own = text[begin:end]
        assert own == character or own[0] in "&<-"


LONG = {
    "brackets": "<",
    "ampersands": "&",
    "open tags": "<b ",
    "open values": '<b x="',
    "mixed quotes": "<b x='\" ",
    "attributes": " data-a",
    "entities": "&lt;",
    "tags": "<b>",
    "comments": "<!--",
    "blanks in a tag": "<b" + " " * 60,
    "combining marks": "\u0301\u0323",
    "marks of many classes": "\u0323\u0301\u05b0\u302a",
    "dots": ". ",
    "decimal": "&#1",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", LONG.values(), ids=LONG)
def test_no_signs_take_the_square_of_their_number(unit):
    """The time box cuts off what would take minutes; it says nothing of how fast this is."""
    text = ("<b" + unit * 400_000)[:400_000]

    assert len(judged_copy(text)) <= len(text)


def test_no_more_marks_in_a_row_are_kept_than_a_stream_safe_text_has():
    assert len(judged_copy("a" + "\u0323\u05b0" * 4_000)) <= 1 + _MOST_MARKS


def test_a_part_keeps_the_breaks_at_its_ends():
    assert judged_part("\n\n") == "\n\n"
    assert judged_part(" <br>") == " \n"


def corpus() -> list[str]:
    texts = [*EVERY, *SEVENTH]
    for path in sorted(Path(models.emotion.corpus.__path__[0]).glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            texts += [row[0] for row in rows if row]
    return texts


def as_before(text: str) -> str:
    """What the model was given before there was a judged copy."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(" " if unicodedata.category(c) == "Cc" else c for c in composed)
    return " ".join(visible.split())


def test_ordinary_sentences_reach_the_emotion_model_as_they_did():
    texts = corpus()
    ordinary = [text for text in texts if text.isascii()]
    tokenise = Tokeniser(PACKAGED / "tokenizer.json", EmotionSettings().max_tokens)

    assert len(ordinary) > 3_000
    assert [model_text(text) for text in ordinary] == [
        in_words(as_before(text)) for text in ordinary
    ]
    # Without faces in them they reach it as their writers sent them.
    same = [text for text in ordinary if in_words(text) == as_before(text)]
    assert len(same) > 3_000
    before, now = (tokenise([make(text) for text in same]) for make in (as_before, model_text))
    assert now == before


def test_wide_letters_reach_the_emotion_model_as_plain_ones():
    assert model_text("\uff29\u3000\uff48\uff41\uff54\uff45\u3000\uff54\uff48\uff49\uff53") == (
        "I hate this"
    )
