"""How well the reply guard tells fit replies from unfit ones, and what it costs.

    python -m bench.guard [FILE ...] [--wrong]

Without a file: both halves of the authored set (`models/tutor/corpus/replies`). Each reply comes in
pieces as models send them. `--wrong` lists the replies that were judged wrongly. Intervals: 95%,
Wilson.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path

from models.emotion.config import LanguageSettings
from models.emotion.language import LanguageNames
from models.evaluation.scores import wilson
from models.tutor.guard.config import GuardSettings
from models.tutor.guard.measuring import REPLIES, Reply, context_of, judged, read


def main() -> None:
    """Judge each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=sorted(REPLIES.glob("*.jsonl")))
    parser.add_argument("--wrong", action="store_true")
    given = parser.parse_args()
    names = LanguageNames(LanguageSettings())
    for file in given.files:
        told = [(reply, judged(reply, GuardSettings(), names.of)) for reply in read(file)]
        print(f"\n{file.name}")
        fit = [found for reply, found in told if reply.fit]
        print(line("fit, passed", sum(found is None for found in fit), len(fit)))
        unfit = [(reply, found) for reply, found in told if not reply.fit]
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
            context_of(reply)
            judged(reply, GuardSettings(), names.of, rng=rng)
            pieces += len(reply.reply) // 4 + 1
        rounds.append((time.process_time() - begin) / pieces * 1e6)
    return sorted(rounds)[2]


if __name__ == "__main__":
    main()
