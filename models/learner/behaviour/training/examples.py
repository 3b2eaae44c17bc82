"""Features and outcomes of every task, from a file or from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from models.evaluation.scores import Bools, Floats
from models.learner.behaviour.serving.population import Population
from models.learner.behaviour.training.replay import (
    Example,
    by_person,
    replay_blocks,
    replay_clips,
    replay_problems,
)
from models.learner.behaviour.training.sources import (
    BlockRow,
    ProblemRow,
    read_assistments,
    read_nback,
    read_offtask,
)


@dataclass(frozen=True, slots=True)
class Examples:
    """n vectors with their rows and people; `labels` has None where the file tells none."""

    rows: tuple[int, ...]
    people: tuple[str, ...]
    features: Floats
    labels: tuple[bool | None, ...]
    total: int
    """Rows of the file, told or not."""
    left_out: int = 0
    """Rows with an outcome of which nothing could be read (n-back blocks without a right trial)."""

    def labelled(self) -> tuple[Floats, Bools, list[str], list[int]]:
        """Features, outcomes, people and positions of those that have an outcome."""
        held = [i for i, label in enumerate(self.labels) if label is not None]
        truth = np.array([bool(self.labels[i]) for i in held], dtype=np.bool_)
        return self.features[held], truth, [self.people[i] for i in held], held


def read_examples(task: str, file: Path, population: Population) -> Examples:
    """What an estimator would have seen at each row. Raises BehaviourDataProblem."""
    if task in ("next_correct", "next_hint"):
        return of_problems(task, read_assistments(file), population)
    if task == "load":
        blocks = read_nback(file)
        return _gather(replay_blocks(blocks, population), above_own_mean(blocks), len(blocks))
    clips = read_offtask(file)
    labels: dict[int, bool | None] = {clip.row: clip.off_task for clip in clips}
    return _gather(replay_clips(clips, population), labels, len(clips))


def of_problems(task: str, rows: Sequence[ProblemRow], population: Population) -> Examples:
    """Of ASSISTments rows, whichever of the two tasks."""
    labels: dict[int, bool | None] = {
        row.row: row.correct
        if task == "next_correct"
        else (None if row.hints is None else row.hints > 0)
        for row in rows
    }
    return _gather(replay_problems(rows, population), labels, len(rows))


def above_own_mean(blocks: Sequence[BlockRow]) -> dict[int, bool | None]:
    """Whether a block was rated above its person's mean rating; None without a rating."""
    labels: dict[int, bool | None] = dict.fromkeys((block.row for block in blocks), None)
    for theirs in by_person(block for block in blocks if block.rating is not None).values():
        mean = fmean(block.rating for block in theirs if block.rating is not None)
        labels.update(
            (block.row, block.rating > mean) for block in theirs if block.rating is not None
        )
    return labels


def _gather(examples: Iterable[Example], labels: dict[int, bool | None], total: int) -> Examples:
    found = sorted(examples)
    told = sum(label is not None for label in labels.values())
    read = sum(labels[example.row] is not None for example in found)
    return Examples(
        rows=tuple(example.row for example in found),
        people=tuple(example.person for example in found),
        features=np.array([example.features for example in found], dtype=np.float64),
        labels=tuple(labels[example.row] for example in found),
        total=total,
        left_out=told - read,
    )
