"""How well the reply guard tells fit replies from unfit ones, and what it costs.

    python -m bench.guard [FILE ...] [--teachers MATHDIAL] [--wrong]

Without a file: both halves of the authored set (`models/tutor/corpus/replies`). Each reply comes in
pieces as models send them. `--teachers` reads a file of MathDial instead: each turn of a teacher is
a fit reply. `--wrong` lists the replies that were judged wrongly. Intervals: 95%, Wilson.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from models.emotion.config import LanguageSettings
from models.emotion.language import LanguageNames
from models.evaluation.scores import wilson
from models.tutor.guard.config import GuardSettings
from models.tutor.guard.measuring import REPLIES, Reply, judged, read
from models.tutor.moves.training.readers import read as read_turns
from schemas.vocabulary import Speaker, Task


def main() -> None:
    """Judge each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=sorted(REPLIES.glob("*.jsonl")))
    parser.add_argument("--teachers", type=Path)
    parser.add_argument("--wrong", action="store_true")
    given = parser.parse_args()
    names = LanguageNames(LanguageSettings())
    sets = (
        {file: list(read(file)) for file in given.files}
        if given.teachers is None
        else {given.teachers: list(teachers(given.teachers))}
    )
    for file, replies in sets.items():
        told = [(reply, judged(reply, GuardSettings(), names.of)) for reply in replies]
        print(f"\n{file.name}")
        fit = [found for reply, found in told if reply.fit]
        print(line("fit, passed", sum(found is None for found in fit), len(fit)))
        unfit = [(reply, found) for reply, found in told if not reply.fit]
        if unfit:
            print(line("unfit, caught", sum(found is not None for _, found in unfit), len(unfit)))
        rows, caught = Counter[str](), Counter[str]()
        for reply, found in unfit:
            rows[str(reply.reason)] += 1
            caught[str(reply.reason)] += found is not None
        for reason, count in sorted(rows.items()):
            print(line(f"  {reason}", caught[reason], count))
        if given.wrong:
            for reply, found in told:
                if reply.fit != (found is None):
                    print(
                        f"- {reply.reason or 'fit'} judged {found or 'fit'}: {reply.reply[:150]!r}"
                    )
        print(f"{cost([reply for reply, _ in told], names):.1f} microseconds a piece (median of 5)")


def teachers(file: Path) -> Iterator[Reply]:
    """What teachers said in MathDial, in direct mode: they were free to tell the answer."""
    for turn in read_turns(file):
        said = [each.text for each in turn.context.turns]
        asked = bool(said) and turn.context.turns[-1].speaker is Speaker.STUDENT
        if turn.said:
            yield Reply(
                mode=Task.DIRECT,
                rung=0,
                learner=said.pop() if asked else "",
                before=(turn.context.question, *said),
                answer=(),
                reply=turn.said,
                fit=True,
                reason=None,
                language="en",
            )


def line(name: str, hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{name:<16}{hits:4} of {of:4}  {hits / of:.3f} ({low:.3f} to {high:.3f})"


def cost(replies: list[Reply], names: LanguageNames) -> float:
    """Microseconds of a processor for a piece of four characters, set-up included."""
    rounds: list[float] = []
    rng = random.Random(0)
    for _ in range(5):
        pieces, begin = 0, time.process_time()
        for reply in replies:
            judged(reply, GuardSettings(), names.of, rng=rng)
            pieces += len(reply.reply) // 4 + 1
        rounds.append((time.process_time() - begin) / pieces * 1e6)
    return sorted(rounds)[2]


if __name__ == "__main__":
    main()
