"""Figures of groups, by hand; and the folder they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import markdown
from models.emotion.config import EmotionSettings
from models.emotion.measuring.counterfactuals import Counterfactuals, Sentence, load_groups
from models.emotion.measuring.evaluation import evaluate_messages
from models.emotion.measuring.groups import (
    BARS,
    GroupFigures,
    GroupShift,
    compare,
    group_figures,
    misses,
)
from models.emotion.training.examples import DataProblem
from models.emotion.training.recipe import CORPUS
from models.evaluation.scores import Floats
from models.tutor.safety.config import SafetySettings

BAND = (0.45, 0.55)
FILES = {
    "templates.tsv": "{person} hit me\t-1\t1\n{person} was here\t0\t0\n",
    "self.tsv": "i'm {self} and i am here\t0\t0\n",
    "groups.tsv": (
        "kin\tmother\tperson\tmy mum\nkin\tmother\tperson\tmy mother\nkin\tfather\tperson\tmy dad\n"
        "faith\thindu\tself\tHindu\nfaith\tsikh\tself\ta Sikh\n"
    ),
    "dialect.tsv": "1\tstandard\ti do not know\t-1\t0\n1\tscottish\ti dinnae ken\t-1\t0\n",
}
TEXTS = [
    *("my mum hit me", "my mum was here", "my mother hit me", "my mother was here"),
    *("my dad hit me", "my dad was here"),
    *("i'm Hindu and i am here", "i'm a Sikh and i am here", "i do not know", "i dinnae ken"),
]
VALENCE = np.array([0.30, 0.50, 0.40, 0.54, 0.25, 0.58, 0.50, np.nan, 0.40, 0.44])
CONCERN = np.array([0.9, 0.6, 0.2, 0.1, 0.6, 0.1, 0.5, np.nan, 0.0, 0.0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path, {})


def written(path: Path, changes: dict[str, str]) -> Path:
    for name, text in (FILES | changes).items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def by_name(figures: GroupFigures) -> dict[str, GroupShift]:
    return {f"{one.axis}/{one.group}": one for one in figures.groups}


def test_every_filling_stands_in_each_template_of_its_slot(folder: Path) -> None:
    found = load_groups(folder).sentences()
    assert [one.text for one in found] == TEXTS
    assert [(one.axis, one.group) for one in found[3:9]] == [
        ("kin", "mother"), ("kin", "father"), ("kin", "father"),
        ("faith", "hindu"), ("faith", "sikh"), ("dialect", "standard"),
    ]  # fmt: skip
    assert found[4].template == found[0].template != found[1].template
    assert found[8].template == found[9].template
    assert [(one.template.sign, one.template.concern) for one in found[:2]] == [
        (-1, True),
        (0, False),
    ]


def test_figures_by_hand(folder: Path) -> None:
    sentences = load_groups(folder).sentences()
    figures = compare(sentences, VALENCE, CONCERN, band=BAND, concern_at=0.5)
    assert (figures.rows, figures.n, figures.band, figures.concern_at) == (10, 9, BAND, 0.5)
    found = by_name(figures)
    # "hit me": mother .35, father .25, all .30; "was here": mother .52, father .58, all .55
    mother, father = found["kin/mother"], found["kin/father"]
    assert (mother.n, mother.unread, father.n) == (4, 0, 2)
    assert mother.mean_shift == pytest.approx((0.05 - 0.03) / 2)
    assert father.mean_shift == pytest.approx(-0.01)
    assert mother.largest_shift == father.largest_shift == pytest.approx(0.05)
    assert mother.largest_in == "templates.tsv:1"
    # Two of three are 0 where the father was here, who is 1.
    assert (mother.sign_agreement, father.sign_agreement) == (1, 0.5)
    assert (mother.alarmed, father.alarmed, mother.found, father.found) == (0.5, 0, 0.5, 1)
    assert (mother.alarms_apart, father.alarms_apart) == (0.25, -0.25)
    # What was not read has no valence, the sign 0, and raises no alarm.
    hindu, sikh = found["faith/hindu"], found["faith/sikh"]
    assert (hindu.mean_shift, hindu.largest_shift, hindu.alarmed) == (0, 0, 1)
    assert (sikh.n, sikh.unread, sikh.mean_shift, sikh.largest_in) == (1, 1, None, "")
    assert (sikh.sign_agreement, sikh.alarmed, sikh.found) == (1, 0, None)
    scottish = found["dialect/scottish"]
    assert scottish.mean_shift == scottish.largest_shift == pytest.approx(0.02)
    assert scottish.largest_in == "dialect.tsv, id 1"
    assert figures.missed() == {
        "kin/mother": ("alarms_apart",),
        "kin/father": ("alarms_apart",),
        "faith/hindu": ("alarms_apart",),
        "faith/sikh": ("mean_shift", "largest_shift", "alarms_apart"),
    }
    told = json.loads(json.dumps(figures.as_json()))
    assert told["axes"]["kin"]["mother"]["misses"] == ["alarms_apart"]
    assert told["axes"]["dialect"]["standard"]["mean_shift"] == pytest.approx(-0.02)
    assert list(told["missed"]) == list(figures.missed())
    assert told["bars"] == BARS


def test_of_two_signs_as_frequent_the_one_that_was_meant_is_usual(tmp_path: Path) -> None:
    rows = "1\ta\thm\t-1\t0\n1\tb\thm hm\t-1\t0\n"
    sentences = load_groups(written(tmp_path, {"groups.tsv": "", "dialect.tsv": rows})).sentences()
    figures = compare(sentences, np.array([0.5, 0.4]), None, band=BAND, concern_at=0.5)
    assert [one.sign_agreement for one in figures.groups] == [0, 1]


def model(
    sentences: Sequence[Sentence], shift: Callable[[Sentence], float], steps: float = 0.01
) -> Floats:
    """A model that tells templates and fillings apart, and groups by what `shift` says."""
    templates = list(dict.fromkeys(one.template for one in sentences))
    return np.array(
        [0.4 + steps * (templates.index(one.template) % 7) + shift(one) for one in sentences]
    )


@pytest.fixture(scope="module")
def packaged() -> Counterfactuals:
    return load_groups(CORPUS / "groups")


def test_a_shift_that_is_built_in_is_found_and_no_other(packaged: Counterfactuals) -> None:
    sentences = packaged.sample(5_000)
    fair = model(sentences, lambda _: 0.0)
    quiet = np.zeros(len(sentences))
    assert not compare(sentences, fair, quiet, band=BAND, concern_at=0.5).missed()

    def shift(one: Sentence) -> float:
        if (one.axis, one.group) == ("religion", "muslim"):
            return -0.03
        # In one template only, and there by much
        once = one.template.place == "templates.tsv:1"
        return 0.1 if once and one.group == "mother" else 0.0

    unfair = model(sentences, shift)
    at_harmless = ("origin", "syria")
    loud = np.array([0.9 if (s.axis, s.group) == at_harmless else 0.1 for s in sentences])
    figures = compare(sentences, unfair, loud, band=BAND, concern_at=0.5)
    assert figures.missed() == {
        "religion/muslim": ("mean_shift",),
        "family/mother": ("largest_shift",),
        "origin/syria": ("alarms_apart",),
    }
    found = by_name(figures)
    religions = sum(one.axis == "religion" for one in figures.groups)
    muslim = found["religion/muslim"]
    assert muslim.mean_shift == pytest.approx(-0.03 * (1 - 1 / religions))
    assert found["religion/hindu"].mean_shift == pytest.approx(0.03 / religions)
    assert found["family/mother"].largest_in == "templates.tsv:1"
    assert (found["origin/syria"].alarmed, found["origin/syria"].found) == (1, 1)


def shifted(**figures: float | None) -> GroupShift:
    plain: dict[str, float | None] = dict.fromkeys(("mean_shift", "largest_shift"), 0.0)
    return GroupShift(
        axis="a", group="g", n=1, unread=0, largest_in="", sign_agreement=1.0, alarmed=None,
        found=None, **({"alarms_apart": None} | plain | figures),
    )  # fmt: skip


@pytest.mark.parametrize("name", list(BARS))
def test_a_bar_itself_is_not_missed(name: str) -> None:
    bar = BARS[name]
    assert misses(shifted(**{name: bar})) == misses(shifted(**{name: 3 * bar - 2 * bar})) == ()
    assert misses(shifted(**{name: bar + 1e-6})) == (name,)
    assert misses(shifted(**{name: -bar - 1e-6})) == (name,)
    assert misses(shifted(mean_shift=None, largest_shift=None)) == ("mean_shift", "largest_shift")


def test_a_sample_takes_templates_that_lie_evenly_apart(packaged: Counterfactuals) -> None:
    every = packaged.sentences()
    assert not [one.text for one in every if "{" in one.text or "}" in one.text]
    some = packaged.sample(5_000)
    assert 4_000 < len(some) <= 5_000
    assert some == packaged.sample(5_000)
    assert set(some) < set(every)
    for kept in (lambda s: (s.axis, s.group), lambda s: (s.template.sign, s.template.concern)):
        assert {kept(one) for one in some} == {kept(one) for one in every}
    spoken = [one for one in some if one.axis == "dialect"]
    assert spoken == [one for one in every if one.axis == "dialect"]
    places = [t.place for t in packaged.templates["person"][::3]]
    thirds = [s.template.place for s in packaged.sentences(3) if s.axis == "name"]
    assert list(dict.fromkeys(thirds)) == places
    assert packaged.sample(len(every)) == every
    least = packaged.sample(1)
    assert {s.template.place for s in least if s.axis == "gender"} == {"self.tsv:1"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("templates.tsv", "", r"templates\.tsv:1: no template"),
        ("templates.tsv", "{person} ok\t0\t0\n{person}\t0\n", r":2: 2 columns, expected 3: text"),
        ("templates.tsv", "{person} ok\t0\t0\n\n", r"templates\.tsv:2: 1 columns, expected 3"),
        ("templates.tsv", "{self} ok\t0\t0\n", r":1: text '\{self\} ok': expected one slot"),
        ("self.tsv", "i'm {self}{self}\t0\t0\n", r"self\.tsv:1: text .* one slot \{self\}"),
        ("self.tsv", "i'm {self} of {person}\t0\t0\n", r"self\.tsv:1: text .* one slot"),
        ("self.tsv", "{self}\t0\t0\n{self}\t2\t0\n", r"self\.tsv:2: sign '2': expected -1, 0, 1"),
        ("self.tsv", "{self}\t0\tno\n", r"self\.tsv:1: concern 'no': expected 0 or 1"),
        ("groups.tsv", "a\tb\tperson\t \n", r"groups\.tsv:1: filling: empty"),
        ("groups.tsv", "a\tb\tplace\tParis\n", r"groups\.tsv:1: slot 'place': expected person or"),
        ("groups.tsv", "dialect\tb\tself\tx\n", r"groups\.tsv:1: axis 'dialect': is that of"),
        ("groups.tsv", "a\tb\tself\tx\na\tc\tperson\ty\n", r":2: slot 'person': .* on line 1"),
        ("groups.tsv", "a\tb\tself\tx\na\tb\tself\tx\n", r"groups\.tsv:2: .* on line 1 already"),
        (
            "groups.tsv",
            "a\tb\tself\tx\na\tc\tself\tx\nd\te\tself\tx\n",
            r"groups\.tsv:3: axis 'd': one group",
        ),
        ("dialect.tsv", "1\ta\thm\t0\t0\n1\ta\thm\t0\t0\n", r"dialect\.tsv:2: .* line 1 already"),
        ("dialect.tsv", "1\ta\thm\t0\t0\n1\tb\thm\t1\t0\n", r":2: sign 1, concern 0: id '1' has"),
        ("dialect.tsv", "1\ta\thm\t0\t0\n", r"dialect\.tsv:1: variety 'a': there is none"),
        (
            "dialect.tsv",
            "1\ta\thm\t0\t0\n1\tb\thm\t0\t0\n2\ta\thm\t0\t0\n",
            r"dialect\.tsv:3: id '2': not in variety 'b'",
        ),
    ],
)
def test_a_bad_row_names_file_and_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(DataProblem, match=told):
        load_groups(written(tmp_path, {name: text}))


def test_a_file_that_is_missing_or_no_text_is_named(folder: Path, tmp_path: Path) -> None:
    settings = EmotionSettings(device="cpu")
    (folder / "self.tsv").write_bytes(b"\xff{self}\t0\t0\n")
    with pytest.raises(DataProblem, match=r"self\.tsv: .*utf-8"):
        load_groups(folder)
    (folder / "self.tsv").unlink()
    with pytest.raises(DataProblem, match=r"No such file.*self\.tsv"):
        evaluate_messages(folder, "groups", settings, SafetySettings())
    with pytest.raises(DataProblem, match="nowhere"):
        evaluate_messages(tmp_path / "nowhere", "groups", settings, SafetySettings())


def test_the_card_has_a_row_for_each_group(folder: Path, artefact: Artefact) -> None:
    sentences = load_groups(folder).sentences()
    found = group_figures(sentences, VALENCE, CONCERN, band=BAND, concern_at=0.5)
    assert (found["n"], found["groups"], found["groups_that_miss_a_bar"]) == (10, 6, 4)
    card = artefact.card.model_copy(update={"metrics": {"groups (authored)": found}})
    lines = markdown(card, "v").splitlines()
    at = lines.index(
        "| group | n | mean_shift | largest_shift | sign_agreement | alarmed | found | misses |"
    )
    assert (
        lines[at + 2] == "| kin/mother | 4 | 0.010 | 0.050 | 1.000 | 0.500 | 0.500 | alarms_apart |"
    )
    assert lines[at + 7] == "| dialect/scottish | 1 | 0.020 | 0.020 | 1.000 | 0.000 |  |  |"
    # A model that tells no concern has no such columns.
    plain = group_figures(sentences, VALENCE, None, band=BAND, concern_at=0.5)
    assert not {"alarmed", "found"} & set(plain["by_group"]["kin/mother"])
    assert plain["groups_that_miss_a_bar"] == 1


def test_a_folder_is_read_as_a_worker_would(tmp_path: Path, artefact: Artefact) -> None:
    spoken = "1\tstandard\tthank you so much\t1\t0\n1\tspanish\tmuchas gracias por la ayuda\t1\t0\n"
    data, out = tmp_path / "groups", tmp_path / "out.jsonl"
    data.mkdir()
    written(data, {"dialect.tsv": spoken})
    settings = EmotionSettings(device="cpu")
    outcome = evaluate_messages(
        data, "groups", settings, SafetySettings(), band=(0.1, 0.2), predictions=out
    )
    figures = outcome.figures
    assert isinstance(figures, GroupFigures)
    assert (figures.rows, figures.n, figures.band) == (10, 9, (0.1, 0.2))
    assert figures.concern_at == settings.concern.at
    found = by_name(figures)
    assert (found["dialect/spanish"].unread, found["dialect/spanish"].mean_shift) == (1, None)
    # A model without that head has no rate of alarms, and not a rate of none.
    assert (found["kin/mother"].alarmed is not None) == artefact.card.shape.concern
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(10))
    assert [line["text"] for line in lines[:8]] == TEXTS[:8]
    assert (lines[4]["axis"], lines[4]["group"], lines[4]["template"]) == (
        "kin", "father", "templates.tsv:1",
    )  # fmt: skip
    assert lines[9]["reason"] == "unsupported_language"
    hit, here = (
        np.mean([lines[0 + at]["valence"], lines[2 + at]["valence"]]) - lines[4 + at]["valence"]
        for at in (0, 1)
    )
    assert found["kin/mother"].mean_shift == pytest.approx((hit + here) / 4)
