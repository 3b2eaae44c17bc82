"""Fitting the model on MathDial and Bridge, and measuring it on dialogues left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from models.tutor.moves import artefact
from models.tutor.moves.card import Card, Source
from models.tutor.moves.dialogue import MOVES, STRATEGIES, Example, Move, Speaker
from models.tutor.moves.features import lesson_state
from models.tutor.moves.figures import Figures, Judged, agreement, figures
from models.tutor.moves.model import (
    Evidence,
    MoveModel,
    Tagger,
    fingerprint,
    move_features,
    stack,
    table_row,
)
from models.tutor.moves.readers import DataProblem, Layout, read
from models.tutor.moves.regression import Labels, Softmax, fit

TABLE = 4_096  # hashed words and pairs of the tagger
FOLDS = 5
SEED = 7
TAGGER_PENALTY = 5e-4
MOVES_PENALTY = 0.02
# The last one leaves the labels' frequencies: the honest choice where nothing can be learned.
STRATEGY_PENALTIES = (0.03, 0.1, 0.3, 1.0, 1e6)
FOLDER = "tutor_moves"

Report = Callable[[str], None]


def train(data: Path, folder: Path, report: Report) -> str:
    """Measure by cross-validation, fit on everything, write the artefact; returns its version.

    data: the folder that holds `tutor_moves/`. Raises DataProblem.
    """
    mathdial = _labelled(data / FOLDER / "mathdial.jsonl", Layout.MATHDIAL)
    bridge = _labelled(data / FOLDER / "bridge.json", Layout.BRIDGE)
    if len({group for group, _, _ in _teacher_turns(mathdial)}) < FOLDS:
        raise DataProblem(f"{data / FOLDER / 'mathdial.jsonl'}: fewer than {FOLDS} long dialogues")
    measured = measure_moves(mathdial, report)
    penalty, strategies_measured = choose_strategy_penalty(bridge, report)
    report("fitting on everything")
    tagger, heads = fit_moves(mathdial)
    strategies = fit_strategies(bridge, penalty)
    seen = frozenset(fingerprint(e.group) for e in [*mathdial, *bridge])
    model = MoveModel(tagger, heads, strategies, seen, version="")
    card = Card(
        moves=list(MOVES),
        strategies=list(STRATEGIES),
        features=artefact.features_of(tagger),
        penalties={"tagger": TAGGER_PENALTY, "moves": MOVES_PENALTY, "strategies": penalty},
        seed=SEED,
        folds=FOLDS,
        sources=[
            _source(
                data,
                "mathdial.jsonl",
                licence="CC-BY-SA 4.0",
                dialogues=len({e.row for e in mathdial}),
                turns=len(mathdial),
                teaches="moves",
            ),
            _source(
                data,
                "bridge.json",
                licence="MIT",
                dialogues=len({e.dialogue for e in bridge}),
                turns=len(bridge),
                teaches="strategies",
            ),
        ],
        measured=measured,
        repeat_accuracy=repeat_accuracy(mathdial),
        strategies_measured=strategies_measured,
        strategies_agreement=agreement(
            [(e.dialogue, str(e.gold)) for e in bridge], strategies_measured.baseline
        ),
    )
    return artefact.save(folder, card, model)


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


def fit_tagger(examples: Sequence[tuple[str, Move]]) -> Tagger:
    """On (words of a teacher's turn, its move)."""
    from scipy.sparse import csr_array  # noqa: PLC0415 (training only)

    rows = csr_array(np.array([table_row(said, TABLE) for said, _ in examples], dtype=np.float32))
    labels = np.array([MOVES.index(move) for _, move in examples])
    return Tagger(fit(rows, labels, len(MOVES), TAGGER_PENALTY))


def fit_moves(examples: Sequence[Example]) -> tuple[Tagger, dict[Evidence, Softmax]]:
    """The tagger and a head for each kind of evidence.

    The untagged heads learn from taggers that never saw the dialogue (cross-fitted): one that
    did would look more certain than it is on new dialogues.
    """
    said = _teacher_turns(examples)
    crossed: dict[str, Tagger] = {}
    for train_rows, test_rows in folds([group for group, _, _ in said]):
        fold_tagger = fit_tagger([said[i][1:] for i in train_rows])
        crossed |= {said[i][0]: fold_tagger for i in test_rows}
    tagger = fit_tagger([pair[1:] for pair in said])
    labels = np.array([MOVES.index(Move(str(e.gold))) for e in examples])
    heads = {
        evidence: fit(
            # A problem without a tagger of its own has no past teacher turn to read.
            stack(
                move_features(e.context, evidence, crossed.get(e.group, tagger)) for e in examples
            ),
            labels,
            len(MOVES),
            MOVES_PENALTY,
        )
        for evidence in Evidence
    }
    return tagger, heads


def _teacher_turns(examples: Sequence[Example]) -> list[tuple[str, str, Move]]:
    """(group, words, move) of every tagged teacher turn that stands before one of the examples."""
    longest: dict[int, Example] = {}
    for e in examples:
        known = longest.get(e.row)
        if known is None or e.turn > known.turn:
            longest[e.row] = e
    return [
        (e.group, turn.text, turn.move)
        for e in longest.values()
        for turn in e.context.of(Speaker.TEACHER)
        if turn.move is not None
    ]


def measure_moves(examples: Sequence[Example], report: Report) -> dict[Evidence, Figures]:
    """Of each head, on problems that neither it nor its tagger saw."""
    judged: dict[Evidence, list[Judged]] = {evidence: [] for evidence in Evidence}
    for k, (train_rows, test_rows) in enumerate(folds([e.group for e in examples])):
        report(f"moves: fold {k + 1} of {FOLDS}")
        tagger, heads = fit_moves([examples[i] for i in train_rows])
        test = [examples[i] for i in test_rows]
        for evidence, head in heads.items():
            rows = stack(move_features(e.context, evidence, tagger) for e in test)
            judged[evidence] += _judge(test, head.probabilities(rows).tolist(), MOVES)
    return {evidence: figures(each) for evidence, each in judged.items()}


def fit_strategies(examples: Sequence[Example], penalty: float) -> Softmax:
    """On Bridge's chat lines."""
    rows = stack(lesson_state(e.context) for e in examples)
    return fit(rows, _strategy_labels(examples), len(STRATEGIES), penalty)


def choose_strategy_penalty(examples: Sequence[Example], report: Report) -> tuple[float, Figures]:
    """The penalty of least log loss on sessions left out, with its figures."""
    found: dict[float, Figures] = {}
    for penalty in STRATEGY_PENALTIES:
        report(f"strategies: penalty {penalty:g}")
        judged: list[Judged] = []
        for train_rows, test_rows in folds([e.group for e in examples]):
            head = fit_strategies([examples[i] for i in train_rows], penalty)
            test = [examples[i] for i in test_rows]
            rows = stack(lesson_state(e.context) for e in test)
            judged += _judge(test, head.probabilities(rows).tolist(), STRATEGIES)
        found[penalty] = figures(judged)
    best = min(found, key=lambda penalty: found[penalty].log_loss)
    return best, found[best]


def repeat_accuracy(examples: Sequence[Example]) -> float:
    """Of saying the teacher's last move again, and the commonest first move at the start."""
    first = Counter(e.gold for e in examples if not e.context.of(Speaker.TEACHER))
    right = 0
    for e in examples:
        taught = e.context.of(Speaker.TEACHER)
        right += e.gold == (taught[-1].move if taught else first.most_common(1)[0][0])
    return right / len(examples)


def _judge(
    examples: Sequence[Example], rows: Sequence[Sequence[float]], labels: Sequence[str]
) -> list[Judged]:
    return [
        Judged(e.group, str(e.gold), dict(zip(map(str, labels), row, strict=True)))
        for e, row in zip(examples, rows, strict=True)
    ]


def _strategy_labels(examples: Sequence[Example]) -> Labels:
    return np.array([STRATEGIES.index(e.gold) for e in examples])


def _labelled(path: Path, layout: Layout) -> list[Example]:
    found, examples = read(path)
    if found is not layout:
        raise DataProblem(f"{path}: expected {layout.value}'s layout, found {found.value}'s")
    labelled = [e for e in examples if e.gold is not None]
    if len({e.group for e in labelled}) < FOLDS:
        raise DataProblem(f"{path}: fewer than {FOLDS} labelled dialogues: nothing to learn from")
    return labelled


def _source(
    data: Path, name: str, *, licence: str, dialogues: int, turns: int, teaches: str
) -> Source:
    return Source(
        name=name,
        licence=licence,
        sha256=hashlib.sha256((data / FOLDER / name).read_bytes()).hexdigest(),
        dialogues=dialogues,
        turns=turns,
        teaches=teaches,
    )
