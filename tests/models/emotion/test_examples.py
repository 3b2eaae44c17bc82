from __future__ import annotations

from pathlib import Path

import pytest

from models.emotion import examples
from models.emotion.examples import DataProblem
from schemas.emotions import Emotion


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_goemotions_rows_teach_their_labels_and_mask_the_rest(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "I love it!\t18,13\tx\n")
    (example,) = examples.goemotions(file)
    assert example.goemotions == (18, 13)
    assert example.emotions[Emotion.AFFECTION] == 1.0
    assert example.emotions[Emotion.EXCITEMENT] == 1.0
    assert example.emotions[Emotion.ANGER] == 0.0
    assert Emotion.FATIGUE not in example.emotions


@pytest.mark.parametrize("row", ["text only\n", "text\t\n", "text\t\tid\n", "text\t \n"])
def test_goemotions_rows_without_labels_are_kept(tmp_path: Path, row: str) -> None:
    (example,) = examples.goemotions(write(tmp_path / "a.tsv", row))
    assert example.goemotions is None
    assert not example.emotions


@pytest.mark.parametrize("labels", ["28", "joy", "3,", "-29"])
def test_goemotions_labels_out_of_range_name_the_line(tmp_path: Path, labels: str) -> None:
    file = write(tmp_path / "a.tsv", f"fine\t1\nbad\t{labels}\n")
    with pytest.raises(DataProblem, match=r"a\.tsv:2: labels"):
        list(examples.goemotions(file))


def test_only_a_newline_ends_a_row(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", 'one\u2028still "one\t1\r\ntwo\x0bmore\t2\n')
    assert [e.text for e in examples.goemotions(file)] == ['one\u2028still "one', "two\x0bmore"]


def test_emobank_is_rescaled_and_may_lack_ratings(tmp_path: Path) -> None:
    file = write(
        tmp_path / "e.csv", 'id,split,V,A,D,text\n1,dev,1,3,5,"a, b"\n2,dev,,,,c\n3,train,2,2,2,d\n'
    )
    first, second = examples.emobank(file, "dev")
    assert first.pad == (0.0, 0.5, 1.0)
    assert first.text == "a, b"
    assert second.pad is None


def test_emobank_without_text_names_the_column(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "id,V,A,D\n1,1,1,1\n")
    with pytest.raises(DataProblem, match="text: column missing"):
        list(examples.emobank(file))


def test_tsv_rows_know_all_41(tmp_path: Path) -> None:
    file = write(tmp_path / "t.tsv", "ugh\tfatigue, boredom\tbatch-1\nhm\t\n")
    first, second = examples.tsv(file)
    assert len(first.emotions) == 41
    assert {e for e, v in first.emotions.items() if v} == {Emotion.FATIGUE, Emotion.BOREDOM}
    assert first.authored == "batch-1"
    assert second.emotions == {}


def test_tsv_with_an_unknown_label_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match=r"t\.tsv:1: label 'bliss'"):
        list(examples.tsv(write(tmp_path / "t.tsv", "x\tbliss\n")))
