"""Sets written for this project, beside the corpus of utterances: what public data does not hold.

    signs/      how the writer feels, in contrast sets: the same words, the other meaning
    concern/    what a person should know of, and what only sounds like it
    speaking/   the learner's own words, and what learners paste

Files whose name begins with `dev-` were written by others than the rest, and only measure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.emotion.training.examples import (
    DataProblem,
    Example,
    all_of,
    concerns,
    signs,
    speakers,
    tab_separated,
)
from schemas.vocabulary import Concern

DEV: Final = "dev-"
LICENCE: Final = "Apache-2.0 (written for this project)"
LONG: Final = "long"
FRAMES: Final = ("i'm {who} and {text}", "I am {who}. {text}", "{text} i'm {who} btw")
END_WORDS: Final = 70
"""Words of a long text's end, where its feeling is said; the rest is read as showing none."""


def files(folder: Path, *, dev: bool) -> list[Path]:
    """The folder's sets, in name order."""
    return sorted(path for path in folder.glob("*.tsv") if path.name.startswith(DEV) == dev)


def signed(path: Path) -> Iterator[Example]:
    """Of a file of `signs/`. Raises DataProblem."""
    for example in _signed(path):
        if example.kind == LONG and not path.name.startswith(DEV):
            words = example.text.split()
            # One window shows the feeling, another none: the model must not take a lesson's
            # description for a feeling, nor dilute one.
            yield Example(" ".join(words[:END_WORDS]), speaking=True, concern=False)
            yield replace(example, text=" ".join(words[-END_WORDS:]))
        else:
            yield example


def whole(folder: Path) -> list[Example]:
    """The long texts of `signs/` that train, as they were written."""
    found = [example for path in files(folder, dev=False) for example in _signed(path)]
    return [example for example in found if example.kind == LONG]


def _signed(path: Path) -> Iterator[Example]:
    for line, row in enumerate(signs(path), start=1):
        yield Example(
            row.text,
            all_of(path, line, row.more[0] if row.more else ""),
            sign=row.label,
            speaking=True,
            concern=False,
            kind=row.kind,
            authored=path.stem,
        )


def worrying(path: Path) -> Iterator[Example]:
    """Of a file of `concern/`; a kind is a danger and how it is said. Raises DataProblem."""
    known = {str(kind): kind for kind in Concern}
    for line, row in enumerate(concerns(path), start=1):
        kinds: frozenset[Concern] | None = None if row.label is None else frozenset()
        if row.label and not row.kind:
            kinds = None  # of which kind, nobody has said
        elif row.label:
            name = row.kind.split("/")[0]
            if name not in known:
                raise DataProblem(f"{path}:{line}: kind {row.kind!r}: no danger of that name")
            kinds = frozenset({known[name]})
        yield Example(
            row.text,
            concern=None if row.label is None else bool(row.label),
            concerns=kinds,
            speaking=True,
            kind=row.kind,
            authored=path.stem,
        )


def spoken(path: Path) -> Iterator[Example]:
    """Of a file of `speaking/`. Raises DataProblem."""
    for row in speakers(path):
        speaks = None if row.label is None else bool(row.label)
        yield Example(row.text, speaking=speaks, kind=row.kind, authored=path.stem)


def with_identities(examples: Sequence[Example], folder: Path, share: float) -> list[Example]:
    """The examples, and copies of some of them whose writer first says who they are.

    Counterfactual augmentation (Lu et al. 2020, Gender bias in neural NLP): what a person is says
    nothing of danger or feeling, so each sentence means with "i'm Latino and" before it what it
    means without. Which copies are made depends on the texts alone.

    folder: of `groups/`, whose fillings of the slot "self" are drawn from; share: of the examples
    """
    file = folder / "groups.tsv"
    if not file.is_file():
        return [*examples]
    rows = (columns for _, columns in tab_separated(file))
    fillings = [columns[3] for columns in rows if columns[2] == "self"]
    copies = []
    for example in examples:
        drawn = int.from_bytes(hashlib.sha256(example.text.encode()).digest()[:8])
        if drawn % 1_000 < share * 1_000 and example.text and fillings:
            frame = FRAMES[drawn // 1_000 % len(FRAMES)]
            who = fillings[drawn // 10_000 % len(fillings)]
            text = frame.format(who=who, text=example.text)
            copies.append(replace(example, text=text))
    return [*examples, *copies]


def every(
    folder: Path, read: Callable[[Path], Iterator[Example]]
) -> tuple[list[Example], list[Example]]:
    """What trains and what measures."""
    train, dev = (
        [example for path in files(folder, dev=dev) for example in read(path)]
        for dev in (False, True)
    )
    return train, dev
