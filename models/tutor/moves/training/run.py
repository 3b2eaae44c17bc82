"""Fitting the model on MathDial, and measuring it on problems left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from models.tutor.moves.serving import artefact
from models.tutor.moves.serving.card import LabelledSource, MoveFigures, MovesCard
from models.tutor.moves.serving.dialogue import MOVES, Move
from models.tutor.moves.serving.model import (
    MoveModel,
    Softmax,
    Tagger,
    feature_names,
    fingerprint,
    move_features,
    stack,
    table_row,
)
from models.tutor.moves.training.figures import Judged, figures
from models.tutor.moves.training.readers import DataProblem, Example, read
from models.tutor.moves.training.regression import Labels, fit

TABLE = 4_096  # hashed words and pairs of the tagger
FOLDS = 5
SEED = 7
TAGGER_PENALTY = 5e-4
MOVES_PENALTY = 0.02
FILE = Path("tutor_moves", "mathdial.jsonl")

Report = Callable[[str], None]


def train(data: Path, folder: Path, report: Report) -> str:
    """Measure by cross-validation, fit on everything, write the artefact; returns its version.

    data: the folder that holds `tutor_moves/`. Raises DataProblem.
    """
    file = data / FILE
    examples = labelled(file)
    measured = measure(examples, report)
    report("fitting on everything")
    tagger, head = fit_moves(examples)
    model = MoveModel(tagger, head, frozenset(fingerprint(e.group) for e in examples), version="")
    card = MovesCard(
        moves=list(MOVES),
        features=feature_names(tagger),
        penalties={"tagger": TAGGER_PENALTY, "moves": MOVES_PENALTY},
        seed=SEED,
        folds=FOLDS,
        source=LabelledSource(
            name=file.name,
            licence="CC-BY-SA 4.0",
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            dialogues=len({e.row for e in examples}),
            turns=len(examples),
        ),
        measured=measured,
        repeat_accuracy=repeat_accuracy(examples),
    )
    return artefact.save(folder, card, model)


def labelled(path: Path) -> list[Example]:
    """The teacher turns of a file whose move is known. Raises DataProblem."""
    examples = [e for e in read(path) if e.gold is not None]
    if len({e.group for e in examples}) < FOLDS:
        raise DataProblem(f"{path}: fewer than {FOLDS} labelled dialogues: nothing to learn from")
    if len({e.group for e in _past(examples)}) < FOLDS:
        raise DataProblem(f"{path}: fewer than {FOLDS} long dialogues")
    return examples


def folds(groups: Sequence[str], count: int = FOLDS) -> Iterator[tuple[list[int], list[int]]]:
    """(train, test) row numbers, a whole group on one side; the same for the same groups."""
    names = sorted(set(groups))
    order = np.random.default_rng(SEED).permutation(len(names))
    fold = {names[i]: place % count for place, i in enumerate(order)}
    for k in range(count):
        test = [i for i, group in enumerate(groups) if fold[group] == k]
        if test and len(test) < len(groups):
            inside = set(test)
            yield [i for i in range(len(groups)) if i not in inside], test


def fit_moves(examples: Sequence[Example]) -> tuple[Tagger, Softmax]:
    """The tagger and the head.

    The head learns from taggers that never saw the dialogue (cross-fitted): one that did would
    look more certain than it is on new dialogues.
    """
    past = _past(examples)
    crossed: dict[str, Tagger] = {}
    for train_rows, test_rows in folds([e.group for e in past]):
        fold_tagger = _fit_tagger([past[i] for i in train_rows])
        crossed |= {past[i].group: fold_tagger for i in test_rows}
    tagger = _fit_tagger(past)
    # A problem without a tagger of its own has no past teacher turn to read.
    rows = stack(move_features(e.context, crossed.get(e.group, tagger)) for e in examples)
    return tagger, fit(rows, _labels(examples), len(MOVES), MOVES_PENALTY)


def measure(examples: Sequence[Example], report: Report) -> MoveFigures:
    """On problems that neither the head nor its tagger saw."""
    judged: list[Judged] = []
    for k, (train_rows, test_rows) in enumerate(folds([e.group for e in examples])):
        report(f"moves: fold {k + 1} of {FOLDS}")
        tagger, head = fit_moves([examples[i] for i in train_rows])
        test = [examples[i] for i in test_rows]
        rows = head.probabilities(stack(move_features(e.context, tagger) for e in test)).tolist()
        judged += [
            Judged(e.group, gold, dict(zip(MOVES, row, strict=True)))
            for e, gold, row in zip(test, _moves(test), rows, strict=True)
        ]
    return figures(judged)


def repeat_accuracy(examples: Sequence[Example]) -> float:
    """Of saying the teacher's last move again, and the commonest first move at the start."""
    last: dict[int, Move] = {}
    pairs = []
    for e, gold in zip(examples, _moves(examples), strict=True):
        pairs.append((last.get(e.row), gold))
        last[e.row] = gold
    first = Counter(gold for before, gold in pairs if before is None).most_common(1)[0][0]
    return sum(gold is (before or first) for before, gold in pairs) / len(pairs)


def _past(examples: Sequence[Example]) -> list[Example]:
    """Turns that stand before another: what closes a dialogue is never read as a past move."""
    last = {e.row: e for e in examples}
    return [e for e in examples if last[e.row] is not e]


def _fit_tagger(examples: Sequence[Example]) -> Tagger:
    rows = csr_array(np.array([table_row(e.said, TABLE) for e in examples], dtype=np.float32))
    return Tagger(fit(rows, _labels(examples), len(MOVES), TAGGER_PENALTY))


def _labels(examples: Sequence[Example]) -> Labels:
    return np.array([MOVES.index(move) for move in _moves(examples)])


def _moves(examples: Sequence[Example]) -> list[Move]:
    """Of labelled examples, one each."""
    return [e.gold for e in examples if e.gold is not None]
