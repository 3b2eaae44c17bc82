"""Training end to end on dialogues with a known rule, and with none."""

import random

import pytest

from models.artefacts import CARD
from models.tutor.moves.serving.artefact import WEIGHTS, ArtefactProblem, load, load_card
from models.tutor.moves.serving.dialogue import MOVES, Move
from models.tutor.moves.serving.model import move_features, stack
from models.tutor.moves.training.evaluation import evaluate, write
from models.tutor.moves.training.figures import most_probable
from models.tutor.moves.training.readers import DataProblem, read
from models.tutor.moves.training.run import fit_moves, folds, train
from tests.models.tutor.moves.dialogues import (
    WORDS,
    at_random,
    data_folder,
    in_turn,
    mathdial_row,
    write_mathdial,
)


def quiet(_phase):
    """Reports nothing."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    data = data_folder(root / "data", [in_turn(5, i) for i in range(40)])
    train(data, root / "artefact", quiet)
    return data, root / "artefact"


def test_what_follows_from_what_stood_before_is_learned(trained):
    measured = load_card(trained[1]).measured

    assert measured.accuracy > 0.75  # the tagger reads the moves
    assert measured.gain > 0.4


def test_moves_that_follow_no_rule_are_not_predicted(tmp_path):
    """If anything of a turn leaked into its context, this would be predicted."""
    source = random.Random(11)
    data = data_folder(tmp_path / "data", [at_random(6, source) for _ in range(60)])
    train(data, tmp_path / "artefact", quiet)

    measured = load_card(tmp_path / "artefact").measured
    assert measured.gain_interval[0] < 0.03
    assert measured.accuracy < 0.4


def test_the_head_does_not_rely_on_words_that_the_tagger_knows_by_heart(tmp_path):
    """Each utterance is one word of its own: to a new dialogue it says nothing of the move."""
    rows = []
    for i in range(60):
        row = mathdial_row(i, in_turn(5, i))
        for n, words in enumerate(WORDS.values()):
            row["conversation"] = row["conversation"].replace(words, f"{spelt(i)}{spelt(n)}")
        rows.append(row)
    examples = read(write_mathdial(tmp_path / "m.jsonl", rows))
    tagger, head = fit_moves(examples)

    features = stack(move_features(e.context, tagger) for e in examples)
    chosen = head.probabilities(features).argmax(1)
    right = sum(MOVES[k] is e.gold for k, e in zip(chosen, examples, strict=True))
    assert right < 0.6 * len(examples)


def spelt(number):
    """A word for a number: digits would all be read as one."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def test_training_again_gives_the_same_artefact(trained, tmp_path):
    data, folder = trained

    assert train(data, tmp_path / "again", quiet) == load(folder).version


def test_a_problem_is_never_on_both_sides():
    groups = [f"g{i % 7}" for i in range(50)]
    tested = []
    for train_rows, test_rows in folds(groups):
        assert not {groups[i] for i in train_rows} & {groups[i] for i in test_rows}
        assert len(train_rows) + len(test_rows) == len(groups)
        tested += test_rows
    assert sorted(tested) == list(range(len(groups)))


def test_too_little_data_is_said(tmp_path):
    data = data_folder(tmp_path / "data", [in_turn(5, i) for i in range(3)])

    with pytest.raises(DataProblem, match="fewer than 5"):
        train(data, tmp_path / "artefact", quiet)


def test_dialogues_of_one_turn_teach_no_tagger(tmp_path):
    data = data_folder(tmp_path / "data", [in_turn(1, i) for i in range(9)])

    with pytest.raises(DataProblem, match="fewer than 5 long dialogues"):
        train(data, tmp_path / "artefact", quiet)


# -- the artefact -------------------------------------------------------------------------


def test_an_artefact_comes_back_as_it_was_written(trained):
    data, folder = trained
    model = load(folder)
    examples = read(data / "tutor_moves" / "mathdial.jsonl")

    right = [
        most_probable(model.probabilities(e.context)) is e.gold for e in examples if e.context.turns
    ]
    assert sum(right) > 0.9 * len(right)
    assert (folder / "card.md").read_text().count(model.version) == 1


def copy(folder, to):
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_an_artefact_of_other_features_is_refused(trained, tmp_path):
    folder = copy(trained[1], tmp_path / "stale")
    card = load_card(folder)
    card.features.reverse()
    (folder / CARD).write_text(card.model_dump_json())

    with pytest.raises(ArtefactProblem, match="train again"):
        load(folder)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_or_broken_file_is_named(trained, tmp_path, name):
    folder = copy(trained[1], tmp_path / "copy")
    (folder / name).write_bytes(b"no")
    with pytest.raises(ArtefactProblem, match=name):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(ArtefactProblem, match=name):
        load(folder)


# -- evaluation ---------------------------------------------------------------------------


def test_dialogues_that_taught_the_model_are_told_from_new_ones(trained, tmp_path):
    rows = [mathdial_row(0, in_turn(5, 0)), mathdial_row(900, in_turn(4, 1))]
    report, predictions = evaluate(write_mathdial(tmp_path / "m.jsonl", rows), load(trained[1]))
    assert (report.teacher_turns, report.labelled, report.seen) == (9, 9, 5)
    assert report.unseen is not None
    assert report.unseen.turns == 4
    assert report.as_json()["accuracy"] == report.all.accuracy
    assert [p.line["turn"] for p in predictions] == [0, 2, 4, 6, 8, 0, 2, 4, 6]


def test_an_unlabelled_file_is_predicted_from_the_words_alone(trained, tmp_path):
    row = mathdial_row(900, in_turn(5, 0))
    for move in Move:
        row["conversation"] = row["conversation"].replace(f"({move})", "")
    path = write_mathdial(tmp_path / "m.jsonl", [row])
    report, predictions = evaluate(path, load(trained[1]))
    write(predictions, tmp_path / "p.jsonl")

    assert report.all is None
    assert report.labelled == 0
    lines = [p.line for p in predictions]
    assert {line["gold"] for line in lines} == {None}
    assert [line["move"] for line in lines][1:] == [m.value for m in in_turn(5, 0)[1:]]
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 5
