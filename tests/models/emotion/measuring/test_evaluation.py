"""The contract of `masterx evaluate emotion`, with the shipped model on small files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.emotion.config import EmotionSettings
from models.emotion.labels import EMOTIONS, GOEMOTIONS
from models.emotion.measuring import served
from models.emotion.measuring.concerns import ConcernFigures, Scored
from models.emotion.measuring.evaluation import (
    Confused,
    confusions,
    draw_curve,
    evaluate,
    evaluate_messages,
)
from models.emotion.measuring.figures import Format, Labelled, MessageFormat
from models.emotion.measuring.signs import SignFigures
from models.emotion.reading import Reading
from models.emotion.serving.engine import Engine
from models.emotion.serving.inference import Output
from models.emotion.training.examples import DataProblem
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.screening import Screen

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


def test_labelled_texts_are_read_in_their_judged_copy(
    tmp_path: Path, settings: EmotionSettings
) -> None:
    out = tmp_path / "predictions.jsonl"
    rows = "I don't know &amp; I  <b>hate</b> it\tanger\nI don\u2019t know & I hate it\tanger\n"
    evaluate(write(tmp_path, rows), "tsv", settings, predictions=out)
    first, second = (json.loads(line) for line in out.read_text().splitlines())
    assert first["probabilities"] == second["probabilities"]


SAID = (
    "thank you so much, i finally understand it\t1\tsolved\tgratitude\n"
    "this is awful\\ni hate it\t-1\tplain\n"
    "\u200b\t\tnone\n"
    "\t0\n"
    "where is the exercise?\n"
    "i want to kill myself\t-1\tplain\n"
)
TEXTS = [line.split("\t")[0].replace("\\n", "\n") for line in SAID.splitlines()]
CONCERNS = SAID.replace("\t-1", "\t1")
MESSAGE_FORMATS: list[MessageFormat] = ["sign", "concern"]


@pytest.mark.parametrize("form", MESSAGE_FORMATS)
def test_a_message_has_a_prediction_in_its_place(
    tmp_path: Path, settings: EmotionSettings, form: MessageFormat
) -> None:
    out = tmp_path / "predictions.jsonl"
    data = write(tmp_path, SAID if form == "sign" else CONCERNS)
    outcome = evaluate_messages(data, form, settings, SafetySettings(), predictions=out)
    assert (outcome.figures.rows, outcome.figures.n) == (6, 4)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(6))
    assert [line["status"] for line in lines] == ["ok", "ok", *["unavailable"] * 2, "ok", "ok"]
    assert [line["sign"] for line in lines[:4]] == [1, -1, 0, 0]
    screen = Screen(SafetySettings())
    assert [line["alarm"] for line in lines] == [screen.message(text).alarm for text in TEXTS]
    assert lines[5]["alarm"]
    # The two characters are a line break, which a reader sees as a blank.
    plain = "this is awful i hate it\n"
    evaluate_messages(write(tmp_path, plain), form, settings, SafetySettings(), predictions=out)
    (alone,) = (json.loads(line) for line in out.read_text().splitlines())
    assert alone == lines[1] | {"row": 0}


def test_signs_are_measured_by_the_band_that_is_asked_for(
    tmp_path: Path, settings: EmotionSettings
) -> None:
    data = write(tmp_path, SAID)
    found = evaluate_messages(data, "sign", settings, SafetySettings()).figures
    assert isinstance(found, SignFigures)
    assert found.accuracy is not None
    assert found.accuracy.share == 1
    assert {kind: s.rows for kind, s in found.by_kind.items()} == {"solved": 1, "plain": 2}
    wide = evaluate_messages(data, "sign", settings, SafetySettings(), band=(0.0, 1.0)).figures
    assert isinstance(wide, SignFigures)
    assert wide.band == (0.0, 1.0)
    assert wide.confusion == ((0, 2, 0), (0, 1, 0), (0, 1, 0))


def test_concerns_are_measured_by_the_settings_of_the_screening(
    tmp_path: Path, settings: EmotionSettings
) -> None:
    data = write(tmp_path, "i want to kill myself\t1\tsuicide\nwhere is it?\t0\tordinary\n")
    found = evaluate_messages(data, "concern", settings, SafetySettings()).figures
    assert isinstance(found, ConcernFigures)
    assert found.alarms.found is not None
    assert found.alarms.alarmed is not None
    assert (found.alarms.found.share, found.alarms.alarmed.share) == (1, 0)
    # Whoever lets each message of some neutrality alarm gets both.
    all_count = SafetySettings.model_validate({"emotions": dict.fromkeys(EMOTIONS, 0.0)})
    found = evaluate_messages(data, "concern", settings, all_count).figures
    assert isinstance(found, ConcernFigures)
    assert found.alarms.alarmed is not None
    assert found.alarms.alarmed.share == 1


@pytest.mark.parametrize("form", MESSAGE_FORMATS)
@pytest.mark.parametrize("rows", ["fine\t1\nbad\tyes\n", "fine\t0\nbad\t7\tkind\n"])
def test_a_bad_row_of_messages_names_file_and_line(
    tmp_path: Path, settings: EmotionSettings, form: MessageFormat, rows: str
) -> None:
    out = tmp_path / "predictions.jsonl"
    with pytest.raises(DataProblem, match=rf"data:2: {form} '\w+': expected"):
        evaluate_messages(write(tmp_path, rows), form, settings, SafetySettings(), predictions=out)
    assert not out.exists()
    with pytest.raises(DataProblem, match=r"nowhere\.tsv"):
        evaluate_messages(tmp_path / "nowhere.tsv", form, settings, SafetySettings())
    (tmp_path / "data").write_bytes(b"\xff\t1\n")
    with pytest.raises(DataProblem, match="data"):
        evaluate_messages(tmp_path / "data", form, settings, SafetySettings())


def test_a_model_that_says_concern_raises_alarms_from_the_operating_point(
    tmp_path: Path,
    settings: EmotionSettings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def post(output: Output) -> list[Reading]:
        return [replace(each, concern=1 - each.valence) for each in engine.post(output)]

    monkeypatch.setattr(served, "build_engine", lambda *_: replace(engine, post=post))
    data = write(tmp_path, "thank you so much\t0\tnear\nthis is awful, i hate it\t1\tplain\n")
    out, plots = tmp_path / "out.jsonl", tmp_path / "plots"
    for concern_at in (None, 0.05, 0.99):
        outcome = evaluate_messages(
            data,
            "concern",
            settings,
            SafetySettings(),
            concern_at=concern_at,
            predictions=out,
            plot=plots,
        )
        found = outcome.figures
        assert isinstance(found, ConcernFigures)
        assert found.concern_at == (concern_at or settings.concern.at)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        for line in lines:
            assert line["concern"] == pytest.approx(1 - line["valence"], abs=1e-4)
            assert line["alarm"] == (line["concern"] >= found.concern_at)
        assert (found.roc_auc, found.average_precision) == (1, 1)
        assert outcome.pictures == (plots / "concern.svg",)
    shipped = settings.concern.model_copy(update={"hints_at": 0.01})
    hinting = settings.model_copy(update={"concern": shipped})
    data = write(tmp_path, '{"messages": ["hm", "where is page 3?"], "concern": 1}\n')
    evaluate_messages(
        data, "dialogues", hinting, SafetySettings(), concern_at=0.99, predictions=out
    )
    assert json.loads(out.read_text()) == {"row": 0, "alarm": True, "at": 0, "by": "messages"}


def test_the_curve_of_concern_is_drawn(tmp_path: Path) -> None:
    scored = Scored(
        concern=np.array([0.9, 0.2, 0.6, 0.1]),
        by_words=np.array([False, True, False, False]),
        truth=np.array([True, True, False, False]),
    )
    (file,) = draw_curve(tmp_path / "plots", scored, 0.5)
    picture = ET.parse(file).getroot()
    lines = [e.attrib["points"].split() for e in picture.iter() if e.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [5, 5]  # of each probability, and of none
    said = "".join(picture.itertext())
    assert "the model alone" in said
    assert "100.0% of those a person should know of, found, 50.0%" in said
    assert draw_curve(tmp_path / "none", None, 0.5) == ()
    assert not (tmp_path / "none").exists()
