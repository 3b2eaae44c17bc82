"""Lexicon files: what can be said in them, and what a mistake in one is told by."""

import pytest

from models.tutor.safety.config import SafetySettings
from models.tutor.safety.lexicon import LexiconProblem, load
from models.tutor.safety.normalise import plain, slips
from models.tutor.safety.screening import Screen
from models.words.words import languages

SCREEN = Screen(SafetySettings())
GERMAN = """
version = 3
[words]
selbst = "mich|mir"
[contexts]
film = "\\\\bfilm\\\\b"
[[patterns]]
name = "umbringen"
kind = "suicide"
pattern = "\\\\b(?:{selbst}) umbringen\\\\b"
why = "speaks of killing oneself"
negatable = false
alone = true
unless = ["film"]
"""


def written(tmp_path, text: str):
    path = tmp_path / "lexicon.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_another_language_is_another_file(tmp_path):
    path = written(tmp_path, GERMAN)
    screen = Screen(SafetySettings(lexicons=(path,)))

    assert screen.message("ich will mich umbringen").alarm
    assert not screen.message("der film: er will mich umbringen").alarm
    assert screen.message("i want to die").alarm
    assert load((path,)).versions[-1] == 3


def test_a_files_own_reason_stands_in_every_language(tmp_path):
    own = SafetySettings(lexicons=(written(tmp_path, GERMAN),))
    for language, packaged in [("en", "wishes to be dead"), ("de", "wünscht sich, tot zu sein")]:
        screen = Screen(own, language)
        assert screen.message("ich will mich umbringen").because == ("speaks of killing oneself",)
        assert screen.message("i want to die").because == (packaged,)


@pytest.mark.parametrize("language", languages())
def test_a_lexicon_of_the_last_release_says_what_it_said(tmp_path, language):
    """It has a reason of its own for each pattern, also for those that masterx has words for."""
    old = GERMAN.replace('umbringen"\nkind', 'kill_myself"\nkind').replace("killing", "harming")
    screen = Screen(SafetySettings(lexicons=(written(tmp_path, old),)), language)
    assert screen.message("ich will mich umbringen").because == ("speaks of harming oneself",)


def test_a_language_says_itself_what_is_meant(tmp_path):
    clauses = """
[clauses]
starts = "\\\\bund(?= ich)"
own = "\\\\b(?:ich|mich)\\\\b"
meant = "\\\\bich will "
insists = "\\\\bwirklich\\\\b"
"""
    path = written(tmp_path, GERMAN.replace("[contexts]", clauses + "[contexts]"))
    screen = Screen(SafetySettings(lexicons=(path,)))

    assert screen.message("nach dem film will ich mich umbringen, wirklich").alarm
    assert screen.message("im film will ich mich umbringen und ich will mich umbringen").alarm
    assert not screen.message("im film will ich mich umbringen").alarm


def test_patterns_of_two_files_may_have_one_name(tmp_path):
    path = written(tmp_path, GERMAN.replace('"umbringen"', '"kill_myself"'))
    screen = Screen(SafetySettings(lexicons=(path,)))

    (german,) = screen.message("ich will mich umbringen").findings
    (english,) = screen.message("i want to kill myself").findings
    assert german.name == english.name


NEGATABLE = GERMAN.replace("negatable = false", "negatable = true").replace('"film"', "")
NEGATION = """
[negation]
before = "\\\\b(?:nicht|niemals|keineswegs)(?: (?:{selbst}|daran|je))*"
taken_back = "\\\\b(?:aber|doch)\\\\b"
"""


def with_tables(tables: str) -> str:
    return NEGATABLE.replace("[contexts]", tables + "[contexts]")


def test_a_language_says_itself_what_takes_back(tmp_path):
    screen = Screen(SafetySettings(lexicons=(written(tmp_path, with_tables(NEGATION)),)))

    assert screen.message("ich will mich umbringen").alarm
    assert not screen.message("ich will niemals mich umbringen").alarm
    assert screen.message("ich will niemals mich umbringen, aber ich denke daran").alarm
    # Nothing of one language counts in the other
    assert screen.message("never mich umbringen").alarm
    assert screen.message("i would niemals kill myself").alarm
    assert not screen.message("i would never kill myself").alarm


def test_what_takes_back_reaches_up_to_what_it_takes_back(tmp_path):
    screen = Screen(SafetySettings(lexicons=(written(tmp_path, with_tables(NEGATION)),)))

    assert screen.message("niemals weint jemand wenn sie mich umbringen").alarm


def test_a_language_says_itself_which_words_hide_behind_stars(tmp_path):
    german = with_tables(NEGATION + '[censored]\nwords = ["umbringen"]\n')
    screen = Screen(SafetySettings(lexicons=(written(tmp_path, german),)))

    assert screen.message("ich will mich umb*ing*n").alarm
    assert not SCREEN.message("ich will mich umb*ing*n").alarm


def test_how_many_slips_a_word_may_have_is_in_the_lexicon(tmp_path):
    strict = "version = 1\n[slips]\none = 40\ntwo = 40"
    screen = Screen(SafetySettings(lexicons=(written(tmp_path, strict),)))

    assert SCREEN.message("i am suicudal again").alarm
    assert not screen.message("i am suicudal again").alarm


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NEGATABLE, "umbringen: negatable needs a [negation]"),
        (with_tables("[negation]\nbefore = 'nicht'\n"), "negation.taken_back"),
        (with_tables(NEGATION.replace('"\\\\b(?:aber|doch)\\\\b"', '""')), "negation.taken_back"),
        (with_tables(NEGATION.replace("{selbst}", "{selber}")), "negation.before: there is no"),
        (with_tables(NEGATION.replace("(?:nicht", "((?:nicht")), "negation.before"),
        (with_tables(NEGATION.replace("keineswegs)", "keineswegs)?")), "takes everything back"),
        (with_tables(NEGATION + "also = 'x'\n"), "negation.also"),
        (with_tables(NEGATION + "[censored]\nwords = 'dumm'\n"), "censored.words"),
        ("version = 1\n[slips]\none = 9\ntwo = 5", "slips: "),
        ("version = 1\n[slips]\none = 0\ntwo = 5", "slips.one"),
        ("version = ", "not TOML"),
        ("version = 0", "version"),
        ("version = 1\nwrods = 2", "wrods"),
        (GERMAN.replace('["film"]', '["kino"]'), "no context 'kino'"),
        (GERMAN + "[clauses]\nstarts = 'und'", "clauses.own"),
        (GERMAN.replace("{selbst}", "{selber}"), "{selber}"),
        (GERMAN.replace("(?:{selbst})", "(?:{selbst}"), "umbringen"),
        (GERMAN.replace('"suicide"', '"sadness"'), "kind"),
        (GERMAN.replace('why = "speaks of killing oneself"\n', ""), "umbringen: why: say what"),
        # Not even where it has a name of ours: that pattern's reason is not this one's.
        (
            GERMAN.replace('why = "speaks of killing oneself"\n', "").replace(
                'umbringen"\nkind', 'kill_myself"\nkind'
            ),
            "kill_myself: why: say what",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path, text, says):
    with pytest.raises(LexiconProblem, match=r"lexicon\.toml") as caught:
        load((written(tmp_path, text),))
    assert says in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LexiconProblem, match="nowhere"):
        load((tmp_path / "nowhere.toml",))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("I'm FINE", "i am fine"),
        ("don\u2019t", "do not"),
        ("gonna k1ll it!!! now", "going to kill it\nnow"),
        ("killlll myslef", "kill myself"),
        ("k i l l", "kill"),
        ("my self", "myself"),
        ("sum1 hits me bc im 2 slow", "someone hits me because i am 2 slow"),
        ("ah dinnae like masel", "ah do not like myself"),
        ("a giving hand, living room", "a giving hand living room"),
        ("3 + 4 = 7", "3 4 7"),
        ("", ""),
    ],
)
def test_plain_text(typed, read):
    assert plain(typed, load()) == read


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("abc", "abd", 1), ("abc", "xyz", 3)],
)
def test_slips(one, other, count):
    assert slips(one, other, 3) == count
    assert slips(one, other, 0) == min(count, 1)
