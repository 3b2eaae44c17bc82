"""CPU time of a learner's message of some 20 tokens: what it takes to know what can be read.

    python -m bench.message [--against FOLDER] [--pairs 15] [--texts 200]

Prints the steps before the model (emoji as words, the language, the share of known pieces), each
alone, and the whole way of a message: judged copy to reading, one message at a time, one thread.
`--against` an artefact of an earlier release measures that release's way beside it: no such steps,
and its graph. Both in turn, in pairs, in one process; the median of the pairs' differences counts.

Release 0.2's artefact: `git show v0.2.0:models/emotion/artefacts/fast/FILE` for each of its files.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.settings import get_settings
from models.emotion.artefact.artefact import load
from models.emotion.config import EmotionSettings
from models.emotion.language import Languages
from models.emotion.model_text import in_words
from models.emotion.serving.engine import Engine, build_engine
from models.judged import judged_copy

TOKENS = range(18, 23)
SENTENCE = (
    "i really do not get why this answer is wrong but thanks for the help anyway lol can you show "
    "me one more step because my teacher said the minus goes in front of both of them"
)

Step = Callable[[str], object]


def texts_of(engine: Engine, count: int) -> list[str]:
    """Made-up messages of 18 to 22 tokens."""
    chance, words = random.Random(7), SENTENCE.split()
    texts: list[str] = []
    while len(texts) < count:
        text = " ".join(chance.choices(words, k=chance.randint(14, 20)))
        if len(engine.tokenise([text])[0][0]) in TOKENS:
            texts.append(text)
    return texts


def cpu_ms(step: Step, texts: Sequence[str]) -> float:
    """Milliseconds of CPU for a text, of all threads."""
    began = time.process_time()
    for text in texts:
        step(text)
    return (time.process_time() - began) * 1e3 / len(texts)


def plain(text: str) -> str:
    return " ".join(judged_copy(text).split())


def read(engine: Engine, text: str) -> object:
    return engine.post(engine.run(engine.collate(engine.tokenise([text]))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", type=Path, help="folder of an earlier artefact")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--texts", type=int, default=200)
    options = parser.parse_args()
    settings: EmotionSettings = get_settings().emotion.model_copy(update={"threads": 1})
    engine = build_engine(load(settings.artefact), settings)
    languages = Languages(engine.languages, settings.language)
    texts = texts_of(engine, options.texts)
    tokens = {text: engine.tokenise([text])[0] for text in texts}

    def ours(text: str) -> object:
        copy = plain(text)
        languages.knows(copy)
        engine.known(tokens[text])
        return read(engine, in_words(copy))

    steps: dict[str, Step] = {
        "judged copy": plain,
        "+ language": languages.knows,
        "+ emoji as words": in_words,
        "+ known pieces": lambda text: engine.known(tokens[text]),
        "whole": ours,
    }
    earlier: Step | None = None
    if options.against:
        other = build_engine(load(options.against), settings)
        earlier = lambda text: read(other, plain(text))  # noqa: E731
    figures: dict[str, list[float]] = {name: [] for name in steps}
    pairs: list[tuple[float, float]] = []
    for step in (*steps.values(), *([earlier] if earlier else [])):
        cpu_ms(step, texts)  # not counted
    for number in range(options.pairs):
        for name, step in steps.items():
            if name != "whole":
                figures[name].append(cpu_ms(step, texts))
        # Who goes first changes: a machine that warms up, or is disturbed, is fair to both.
        if earlier is not None and number % 2:
            before = cpu_ms(earlier, texts)
            figures["whole"].append(cpu_ms(ours, texts))
        else:
            figures["whole"].append(cpu_ms(ours, texts))
            before = cpu_ms(earlier, texts) if earlier else 0.0
        pairs.append((figures["whole"][-1], before))
    for name, values in figures.items():
        print(f"{name:20}{statistics.median(values):8.3f} ms CPU a text")
    if earlier is not None:
        print(f"{'whole, earlier':20}{statistics.median(b for _, b in pairs):8.3f} ms CPU a text")
        more = sorted(now - before for now, before in pairs)
        print(
            f"more: median {statistics.median(more):+.3f} ms of {len(pairs)} pairs "
            f"(quartiles {more[len(more) // 4]:+.3f} to {more[3 * len(more) // 4]:+.3f})"
        )


if __name__ == "__main__":
    main()
