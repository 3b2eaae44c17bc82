"""The contract of `masterx evaluate emotion`, with the shipped model on small files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from models.emotion.config import EmotionSettings
from models.emotion.labels import EMOTIONS, GOEMOTIONS
from models.emotion.measuring.evaluation import Confused, confusions, evaluate
from models.emotion.measuring.figures import Format, Labelled
from models.emotion.training.examples import DataProblem

KEYS = {
    "n", "macro_f1", "macro_f1_at_half", "ece", "pearson_r", "top1", "top3", "per_class",
}  # fmt: skip
ROWS: dict[Format, str] = {
    "goemotions": "Thank you so much!\t15\ta\nI am furious\t2\tb\nWhat is this?\t7,6\tc\n",
    "emobank": "id,split,V,A,D,text\n1,dev,4.5,4,3.2,I love it\n2,dev,1.5,2,2.9,He is dead\n"
    "3,dev,3,3,3,The table is brown\n",
    "tsv": "thx a lot!!\tgratitude\nno idea what u mean\tconfusion,frustration\tb\n",
}
APPLY: dict[Format, set[str]] = {
    "goemotions": {"n", "macro_f1", "macro_f1_at_half", "ece", "per_class"},
    "emobank": {"n", "pearson_r"},
    "tsv": {"n", "macro_f1", "macro_f1_at_half", "ece", "top1", "top3", "per_class"},
}
FORMATS: list[Format] = ["goemotions", "emobank", "tsv"]


@pytest.fixture
def settings() -> EmotionSettings:
    return EmotionSettings(dtype="float32")


def write(folder: Path, text: str) -> Path:
    path = folder / "data"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_the_json_has_every_key_and_null_where_it_does_not_apply(
    tmp_path: Path, settings: EmotionSettings, form: Format
) -> None:
    figures = evaluate(write(tmp_path, ROWS[form]), form, settings).figures.as_json()
    assert set(figures) == KEYS
    assert {key for key, value in figures.items() if value is not None} == APPLY[form]
    assert figures["n"] == ROWS[form].strip().count("\n") + (form != "emobank")
    json.dumps(figures)


def test_figures_tell_a_good_file_from_a_wrong_one(
    tmp_path: Path, settings: EmotionSettings
) -> None:
    good = evaluate(write(tmp_path, ROWS["goemotions"]), "goemotions", settings).figures
    wrong_rows = "Thank you so much!\t2\nI am furious\t15\n"
    wrong = evaluate(write(tmp_path, wrong_rows), "goemotions", settings).figures
    assert good.macro_f1 is not None
    assert wrong.macro_f1 is not None
    assert good.macro_f1 > wrong.macro_f1 + 0.3
    assert good.per_class is not None
    assert list(good.per_class) == list(GOEMOTIONS)
    assert good.per_class["gratitude"]["recall"] == 1


def test_pleasure_follows_the_ratings(tmp_path: Path, settings: EmotionSettings) -> None:
    figures = evaluate(write(tmp_path, ROWS["emobank"]), "emobank", settings).figures
    assert figures.pearson_r is not None
    assert list(figures.pearson_r) == ["valence", "arousal", "dominance"]
    assert figures.pearson_r["valence"] > 0.8


@pytest.mark.parametrize("form", FORMATS)
def test_a_prediction_a_row_also_without_labels(
    tmp_path: Path, settings: EmotionSettings, form: Format
) -> None:
    rows = {
        "goemotions": "thank you\nwhy?\t\n\t3\nlast one\t\tid\n",
        "emobank": "id,text\n1,thank you\n2,why?\n3,\n4,last one\n",
        "tsv": "thank you\nwhy?\t\n\tjoy\nlast one\t\tbatch\n",
    }[form]
    out = tmp_path / "predictions.jsonl"
    outcome = evaluate(write(tmp_path, rows), form, settings, predictions=out)
    assert outcome.figures.n == (0 if form == "emobank" else 1)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == [0, 1, 2, 3]
    names = set(GOEMOTIONS) if form == "goemotions" else {str(e) for e in EMOTIONS}
    for line in lines:
        assert set(line) == {"row", "probabilities", "pad"}
        assert set(line["probabilities"]) <= names
        assert len(line["probabilities"]) >= 20
        assert set(line["pad"]) == {"valence", "arousal", "dominance"}
        numbers = [*line["probabilities"].values(), *line["pad"].values()]
        assert all(0 <= number <= 1 for number in numbers)
    # The same text gets the same prediction wherever it stands.
    out_of_order = write(tmp_path, "\n".join(["filler " * 30, *rows.split("\n")[:1]]) + "\n")
    if form != "emobank":
        evaluate(out_of_order, form, settings, predictions=out)
        again = json.loads(out.read_text().splitlines()[1])
        assert again["probabilities"] == pytest.approx(lines[0]["probabilities"], abs=1e-3)


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("goemotions", {"reliability.svg", "confusion.svg"}),
        ("tsv", {"reliability.svg", "confusion.svg"}),
        ("emobank", {"valence.svg", "arousal.svg", "dominance.svg"}),
    ],
)
def test_the_pictures_are_svg(
    tmp_path: Path, settings: EmotionSettings, form: Format, files: set[str]
) -> None:
    folder = tmp_path / "plots"
    outcome = evaluate(write(tmp_path, ROWS[form]), form, settings, plot=folder)
    assert {path.name for path in folder.iterdir()} == files
    assert set(outcome.pictures) == set(folder.iterdir())
    for path in folder.iterdir():
        assert ET.parse(path).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("form", "rows"),
    [("goemotions", "thank you\n"), ("tsv", "thanks\t\n"), ("emobank", "id,text\n1,thanks\n")],
)
def test_nothing_is_drawn_of_nothing_labelled(
    tmp_path: Path, settings: EmotionSettings, form: Format, rows: str
) -> None:
    folder = tmp_path / "plots"
    assert evaluate(write(tmp_path, rows), form, settings, plot=folder).pictures == ()
    assert not folder.exists()


def test_confusions_tell_of_each_class_what_was_read(
    tmp_path: Path, settings: EmotionSettings
) -> None:
    rows = "thank you so much\tanger\nthank you!\tanger\nI am furious\tanger\nthanks\tgratitude\n"
    outcome = evaluate(write(tmp_path, rows), "tsv", settings)
    assert outcome.labelled is not None
    assert confusions(outcome.labelled) == {
        "anger": Confused(1, (("gratitude", 2),)),
        "gratitude": Confused(1, ()),
    }


def test_confusions_begin_with_the_most_frequent() -> None:
    # Given seven texts of a, read as a, b, c, c, d, d, d by one probability of 1 each
    read = [0, 1, 2, 2, 3, 3, 3]
    truth = np.zeros((len(read), 4), dtype=bool)
    truth[:, 0] = True
    part = Labelled(("a", "b", "c", "d"), np.eye(4)[read], np.full(4, 0.5), truth)
    assert confusions(part, most=2) == {"a": Confused(1, (("d", 3), ("c", 2)))}


def test_a_missing_file_is_named(tmp_path: Path, settings: EmotionSettings) -> None:
    with pytest.raises(DataProblem, match=r"nowhere\.tsv"):
        evaluate(tmp_path / "nowhere.tsv", "tsv", settings)


def test_a_file_without_rows_is_measured_as_nothing(
    tmp_path: Path, settings: EmotionSettings
) -> None:
    assert evaluate(write(tmp_path, ""), "tsv", settings).figures.n == 0
