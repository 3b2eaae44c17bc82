"""Template files: what is wrong with one is named; a changed text has a new version."""

import hashlib
import shutil

import pytest

from models.tutor.context.material import Occasion
from models.tutor.modes.config import ModeSettings
from models.tutor.prompts.instructions import OperatorText, instructions, summary_instructions
from models.tutor.prompts.templates import PACKAGED, TemplateProblem, load, parse
from schemas.vocabulary import Task

HELP = OperatorText("Call somebody.")
GOOD = '+++\nversion = 2\nabout = "x"\nfields = ["a"]\n+++\nSay $a for $$5.\n'

# A text that changes needs a new version, so that replies can be compared by it.
KNOWN = {
    "direct": (1, "559267e16ee3"),
    "encouragement": (1, "224ed9b70de5"),
    "intervention": (1, "d1dad5205f8b"),
    "rung_0": (1, "16411283d913"),
    "rung_1": (1, "fc68dafe36ba"),
    "rung_2": (1, "977d7060db7b"),
    "rung_3": (1, "0ead3b9c7288"),
    "rung_4": (1, "da73af4d8e5b"),
    "socratic": (1, "5717941afaba"),
    "summary": (1, "a148a80c0ad0"),
    "system": (1, "398db0c76c84"),
    "worked_example": (1, "8305b46c890b"),
}


def test_a_changed_text_has_a_new_version():
    found = {
        template.name: (template.version, hashlib.sha256(template.text.encode()).hexdigest()[:12])
        for template in load().by_name.values()
    }
    assert found == KNOWN


def test_a_template_is_filled_in_once():
    assert parse("t", GOOD).render({"a": "$a ${b} {0}"}) == "Say $a ${b} {0} for $5."


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("Say hello.", r"two lines of \+\+\+"),
        ("+++\nversion = 1\nSay hello.", r"two lines of \+\+\+"),
        (GOOD.replace("version = 2", "version ="), "not TOML"),
        (GOOD.replace("version = 2", "version = 0"), "version"),
        (GOOD.replace('about = "x"\n', ""), "about"),
        (GOOD.replace("about", "abuot"), "abuot|about"),
        (GOOD.replace("Say $a for $$5.", " "), "no text"),
        (GOOD.replace("$$5", "$5"), r"lone \$"),
        (GOOD.replace("$a", "$b"), r"declares \['a'\] but uses \['b'\]"),
        (GOOD.replace("$a", "you"), r"declares \['a'\] but uses \[\]"),
    ],
)
def test_what_is_wrong_is_named(source, says):
    with pytest.raises(TemplateProblem, match=says) as caught:
        parse("greeting", source)
    assert "greeting" in str(caught.value)


@pytest.mark.parametrize("values", [{}, {"a": "1", "b": "2"}, {"b": "2"}])
def test_a_template_takes_exactly_its_fields(values):
    with pytest.raises(TemplateProblem, match="takes"):
        parse("t", GOOD).render(values)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(PACKAGED, tmp_path / "texts")


def test_an_operators_folder_takes_the_place_of_ours(folder):
    source = (folder / "direct.md").read_text()
    (folder / "direct.md").write_text(source.replace("Mode: direct help.", "Mode: blunt."))

    assert "Mode: blunt." in instructions(Task.DIRECT, load(folder), HELP).text


def test_a_missing_template_is_named(folder):
    (folder / "socratic.md").unlink()
    with pytest.raises(TemplateProblem, match=r"socratic\.md is missing"):
        load(folder)


def test_a_template_that_nothing_uses_is_named(folder):
    (folder / "drect.md").write_text((folder / "direct.md").read_text())
    with pytest.raises(TemplateProblem, match="drect"):
        load(folder)


def test_a_gap_in_the_ladder_is_named(folder):
    (folder / "rung_2.md").unlink()
    with pytest.raises(TemplateProblem, match="rung_"):
        load(folder)


def test_a_field_that_nobody_fills_is_named(folder):
    (folder / "direct.md").write_text(GOOD)
    with pytest.raises(TemplateProblem, match=r"direct: there is no \['a'\]"):
        load(folder)


def test_a_file_that_is_no_text_is_named(folder):
    (folder / "direct.md").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateProblem, match="direct"):
        load(folder)


def test_the_settings_ladder_has_a_template_for_each_rung():
    rungs = len(ModeSettings().ladder)

    assert load(rungs=rungs).rungs == rungs
    with pytest.raises(TemplateProblem, match="ladder"):
        load(rungs=rungs + 1)


def test_each_mode_says_what_it_is_made_of():
    templates = load()
    versions = {
        instructions(mode, templates, HELP, occasion=occasion).version
        for mode in Task
        if mode is not Task.SUMMARY
        for occasion in Occasion
    }

    assert len(versions) == 8
    assert instructions(Task.SOCRATIC, templates, HELP, rung=3).version == (
        "system.1+socratic.1+rung_3.1"
    )
    assert summary_instructions(templates, 150).version == "summary.1"


def test_no_rung_but_the_last_one_tells():
    templates = load()
    texts = [
        instructions(Task.SOCRATIC, templates, HELP, rung=rung).text
        for rung in range(templates.rungs)
    ]

    assert all("Rung: tell" not in text for text in texts[:-1])
    assert "Rung: tell" in texts[-1]
    for rung in (-1, templates.rungs):
        with pytest.raises(TemplateProblem, match="rungs 0 to"):
            instructions(Task.SOCRATIC, templates, HELP, rung=rung)


def test_a_summary_is_no_mode():
    with pytest.raises(TemplateProblem, match="no mode"):
        instructions(Task.SUMMARY, load(), HELP)
