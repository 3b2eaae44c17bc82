from __future__ import annotations

from pathlib import Path

import pytest

from models.emotion.training import examples
from models.emotion.training.examples import DataProblem, LabelledDialogue, LabelledMessage
from schemas.topics.emotions import Emotion


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


@pytest.mark.parametrize("labels", ["28", "joy", "3,", "-29", "-1", "3,-28"])
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


@pytest.mark.parametrize("rating", ["nan", "inf", "-inf", "9", "0.9", "5.01", "high"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_emobank_ratings_off_the_scale_name_the_line(
    tmp_path: Path, rating: str, axis: int
) -> None:
    ratings = ["3", "3", "3"]
    ratings[axis] = rating
    text = f"id,split,V,A,D,text\n1,dev,1,3,5,a\n2,dev,{','.join(ratings)},b\n"
    with pytest.raises(DataProblem, match=rf"e\.csv:3: V,A,D: '{rating}' is not in 1-5"):
        list(examples.emobank(write(tmp_path / "e.csv", text)))


def test_an_emobank_row_that_is_too_short_names_the_line(tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "id,split,V,A,D,text\n1,dev,1,3,5,a\n2,dev\n")
    with pytest.raises(DataProblem, match=r"e\.csv:3: text: missing"):
        list(examples.emobank(file))


def test_a_quote_that_is_never_closed_names_the_line(tmp_path: Path) -> None:
    rest = "3,dev,3,3,3,c\n" * 12_000
    file = write(tmp_path / "e.csv", f'id,split,V,A,D,text\n1,dev,1,3,5,a\n2,dev,3,3,3,"b\n{rest}')
    with pytest.raises(DataProblem, match=r"e\.csv:\d+: not CSV: field larger"):
        list(examples.emobank(file))


def test_posts_and_essays_off_their_scales_name_the_line(tmp_path: Path) -> None:
    posts = write(tmp_path / "p.csv", "id,post_text,Urgency_1_7\n1,a,7\n2,b,\n3,c,8\n")
    with pytest.raises(DataProblem, match=r"p\.csv:4: Urgency_1_7: '8' is not in 1-7"):
        list(examples.forum_urgency(posts))
    essays = write(tmp_path / "m.csv", "message_id,essay,distress_bin\na_1,x,1\na_2,y,\n")
    with pytest.raises(DataProblem, match=r"m\.csv:3: distress_bin: '' is not in 0-1"):
        list(examples.empathy_distress(essays))


def test_posts_and_essays_are_rescaled_and_grouped(tmp_path: Path) -> None:
    posts = write(tmp_path / "p.csv", "id,post_text,Urgency_1_7\n7,a,4.0\n7,b,\n")
    assert [(i, e.text, e.urgency) for i, e in examples.forum_urgency(posts)] == [
        ("7", "a", 0.5),
        ("7", "b", None),
    ]
    essays = write(tmp_path / "m.csv", "message_id,essay,distress_bin\nann_2,x,1\n")
    assert list(examples.empathy_distress(essays)) == [
        ("ann", examples.Example("x", {Emotion.DISTRESS: 1.0}))
    ]


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


def test_signs_and_concerns_may_lack_all_but_the_text(tmp_path: Path) -> None:
    rows = "a\t-1\tirony\tjoy\tmore\nb\t 1 \nc\t0\t\nd\t\tslang\ne\n\t0\n"
    assert list(examples.signs(write(tmp_path / "s.tsv", rows))) == [
        LabelledMessage("a", -1, "irony", ("joy", "more")),
        LabelledMessage("b", 1, ""),
        LabelledMessage("c", 0, ""),
        LabelledMessage("d", None, "slang"),
        LabelledMessage("e", None, ""),
        LabelledMessage("", 0, ""),
    ]
    rows = "a\t1\tsuicide/hint\r\nb\t0\nc\t\n"
    assert list(examples.concerns(write(tmp_path / "c.tsv", rows))) == [
        LabelledMessage("a", 1, "suicide/hint"),
        LabelledMessage("b", 0, ""),
        LabelledMessage("c", None, ""),
    ]


def test_a_message_of_several_lines_stands_in_one(tmp_path: Path) -> None:
    file = write(tmp_path / "s.tsv", "one\\ntwo\\n\\nthree\t1\n")
    assert [row.text for row in examples.signs(file)] == ["one\ntwo\n\nthree"]
    assert [row.text for row in examples.concerns(file)] == ["one\ntwo\n\nthree"]
    # In the other formats the two characters are what the text holds.
    file = write(tmp_path / "t.tsv", "one\\ntwo\tjoy\n")
    assert [row.text for row in examples.tsv(file)] == ["one\\ntwo"]


@pytest.mark.parametrize("label", ["2", "-2", "+1", "1.0", "joy", "1,0", "true"])
def test_a_sign_that_is_none_names_the_line(tmp_path: Path, label: str) -> None:
    file = write(tmp_path / "s.tsv", f"fine\t1\nbad\t{label}\tplain\n")
    with pytest.raises(DataProblem) as told:
        list(examples.signs(file))
    assert str(told.value) == f"{file}:2: sign '{label}': expected -1, 0 or 1"


@pytest.mark.parametrize("label", ["-1", "2", "yes", "0.5"])
def test_a_concern_that_is_none_names_the_line(tmp_path: Path, label: str) -> None:
    file = write(tmp_path / "c.tsv", f"fine\t1\n\t\nbad\t{label}\n")
    with pytest.raises(DataProblem) as told:
        list(examples.concerns(file))
    assert str(told.value) == f"{file}:3: concern '{label}': expected 0 or 1"


def test_dialogues_may_lack_label_and_kind(tmp_path: Path) -> None:
    rows = (
        '{"messages": ["a\\nb", "c"], "concern": 1, "kind": "suicide/hint", "more": 1}\n'
        '{"messages": [], "concern": 0}\n{"messages": ["d"], "concern": null, "kind": null}\n'
    )
    assert list(examples.dialogues(write(tmp_path / "d.jsonl", rows))) == [
        LabelledDialogue(("a\nb", "c"), 1, "suicide/hint"),
        LabelledDialogue((), 0, ""),
        LabelledDialogue(("d",), None, ""),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("[]", "expected an object"),
        ('{"concern": 1}', "messages: expected a list of texts"),
        ('{"messages": "a"}', "messages: expected a list of texts"),
        ('{"messages": ["a", 1]}', "messages: expected a list of texts"),
        ('{"messages": [], "concern": 2}', "concern 2: expected 0 or 1"),
        ('{"messages": [], "concern": true}', "concern True: expected 0 or 1"),
        ('{"messages": [], "concern": "1"}', "concern '1': expected 0 or 1"),
        ('{"messages": [], "kind": 1}', "kind 1: expected a text"),
        ("{", "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_a_dialogue_that_is_none_names_the_line(tmp_path: Path, row: str, said: str) -> None:
    file = write(tmp_path / "d.jsonl", f'{{"messages": ["a"]}}\n{row}\n')
    with pytest.raises(DataProblem) as told:
        list(examples.dialogues(file))
    assert str(told.value).startswith(f"{file}:2: {said}")
