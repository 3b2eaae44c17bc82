"""Texts a second, and waiting times, of our reader beside its peers: same texts, same encoder.

    python -m bench.inference [--texts 2048] [--threads 2] [--loads 50,100,200] [--json]

Peers: `transformers` pipeline(batch_size=32), `sentence-transformers` encode, and
`infinity-emb` where it is installed. All get the texts in the same order, in one run,
one after the other, each three times (the median counts). Ratios count, not absolute
figures: they depend on the machine.

Texts are GoEmotions' dev rows where the data sets are at hand, else made up with the
same lengths. Ours is as served, but for the threads: two here, one by default.
On a GPU (`--device cuda`) all run in bfloat16; `--artefact` measures another profile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from app.settings import get_settings
from models.emotion.artefact.artefact import load
from models.emotion.artefact.card import EmotionCard
from models.emotion.config import EmotionSettings
from models.emotion.language import Languages
from models.emotion.network.encoders import locate
from models.emotion.serving import EmotionReader, Observer
from models.emotion.training.examples import goemotions
from models.judged import judged_copy

T = TypeVar("T")

WORDS = ("i really do not get why this answer is wrong but thanks for the help anyway lol").split()  # noqa: SIM905
PEER_BATCH = 32
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Throughput:
    """One contestant with all texts at once."""

    name: str
    texts_per_second: float
    outside_model: float | None = None  # share of the time in which no forward pass ran


@dataclass(frozen=True, slots=True)
class Waiting:
    """Ours at a steady load: milliseconds from submitting a text to its reading."""

    texts_per_second: float
    p50: float
    p99: float
    reached: float


class ModelTime(Observer):
    """Adds up the seconds of forward passes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tokens = 0
        self.padded = 0

    def batch(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        self.seconds += seconds
        self.tokens += tokens
        self.padded += padded


def texts_of(count: int) -> list[str]:
    """The texts that all are measured with: those that our reader does not turn away."""
    languages = Languages(["en"], get_settings().emotion.language)
    return [text for text in _texts(count) if languages.knows(judged_copy(text))]


def _texts(count: int) -> list[str]:
    file = get_settings().data_dir / "goemotions" / "dev.tsv"
    if file.is_file():
        return [example.text for example in goemotions(file)][:count]
    chance = random.Random(7)
    lengths = [max(2, min(40, round(chance.gauss(14, 7)))) for _ in range(count)]
    return [" ".join(chance.choices(WORDS, k=n)) for n in lengths]


def timed(
    name: str,
    build: Callable[[], Callable[[Sequence[str]], Any]],
    texts: Sequence[str],
) -> Throughput:
    """A peer, after a first batch that is not counted."""
    work = build()
    work(texts[:PEER_BATCH])
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work(texts)
        rates.append(len(texts) / (time.perf_counter() - started))
    return Throughput(name, statistics.median(rates))


def alone(measure: Callable[[], T]) -> T:
    """In a thread that ends: OpenMP's team of a thread that lives on slows all that come after."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(measure).result()


def pipeline(card: EmotionCard, device: str) -> Callable[[Sequence[str]], Any]:
    """`transformers`' text classification with as many labels as ours."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415
    from transformers import pipeline as build  # noqa: PLC0415

    folder = locate(card.encoders[0])
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(card.emotions), dtype=peer_dtype(device)
    )
    classify = build(
        "text-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(folder),
        device=device,
        top_k=None,
        function_to_apply="sigmoid",
    )
    return lambda texts: classify(list(texts), batch_size=PEER_BATCH, truncation=True)


def sentence_transformers(card: EmotionCard, device: str) -> Callable[[Sequence[str]], Any]:
    """Embeddings only, sorted by length, batches of 32."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    model = SentenceTransformer(locate(card.encoders[0]), device=device).to(peer_dtype(device))
    return lambda texts: model.encode(
        list(texts), batch_size=PEER_BATCH, show_progress_bar=False, normalize_embeddings=False
    )


def sentence_transformers_onnx(card: EmotionCard, device: str) -> Callable[[Sequence[str]], Any]:
    """The same on its ONNX backend, dynamic int8. ImportError where `optimum` is not installed."""
    from sentence_transformers import (  # noqa: PLC0415
        SentenceTransformer,
        export_dynamic_quantized_onnx_model,
    )

    if device == "cuda":
        raise ImportError("int8 is for processors")
    if importlib.util.find_spec("optimum") is None:
        raise ImportError("optimum")
    folder = tempfile.mkdtemp()
    model = SentenceTransformer(locate(card.encoders[0]), backend="onnx")
    model.save_pretrained(folder)
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", folder)
    model = SentenceTransformer(
        folder, backend="onnx", model_kwargs={"file_name": "onnx/model_qint8_avx512_vnni.onnx"}
    )
    return lambda texts: model.encode(
        list(texts), batch_size=PEER_BATCH, show_progress_bar=False, normalize_embeddings=False
    )


def infinity(card: EmotionCard, device: str) -> Callable[[Sequence[str]], Any]:
    """`infinity-emb`'s engine, embeddings only. ImportError where it is not installed."""
    from infinity_emb import AsyncEmbeddingEngine, EngineArgs  # noqa: PLC0415

    arguments = EngineArgs(
        model_name_or_path=locate(card.encoders[0]),
        device=device,
        engine="torch",
        batch_size=PEER_BATCH,
        bettertransformer=False,
        dtype="bfloat16" if device == "cuda" else "float32",
    )

    async def embed(texts: Sequence[str]) -> None:
        async with AsyncEmbeddingEngine.from_args(arguments) as engine:
            await engine.embed(sentences=list(texts))

    return lambda texts: asyncio.run(embed(texts))


def peer_dtype(device: str) -> torch.dtype:
    return torch.bfloat16 if device == "cuda" else torch.float32


async def ours(name: str, settings: EmotionSettings, texts: Sequence[str]) -> Throughput:
    """All texts through the reader: normalising, cache, queue and futures included."""
    spent = ModelTime()
    reader = EmotionReader(settings, observer=spent)
    await reader.start()
    try:
        await asyncio.gather(*[await reader.submit(text) for text in texts[:PEER_BATCH]])
        rounds = []
        for _ in range(ROUNDS):
            spent.seconds = 0.0
            started = time.perf_counter()
            await asyncio.gather(*[await reader.submit(text) for text in texts])
            seconds = time.perf_counter() - started
            rounds.append(Throughput(name, len(texts) / seconds, 1 - spent.seconds / seconds))
    finally:
        await reader.stop()
    return sorted(rounds, key=lambda r: r.texts_per_second)[ROUNDS // 2]


async def waiting(
    settings: EmotionSettings, texts: Sequence[str], rate: float, seconds: float
) -> Waiting:
    """Texts at random intervals, submitted when they are due whether or not others are done."""
    reader = EmotionReader(settings)
    await reader.start()
    chance, waits = random.Random(11), []

    async def one(text: str, due: float) -> None:
        await (await reader.submit(text))
        # From when it was due: a text that could not even be submitted in time waits too.
        waits.append(time.perf_counter() - due)

    try:
        started = due = time.perf_counter()
        running = []
        number = 0
        while due - started < seconds:
            due += chance.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            running.append(asyncio.create_task(one(texts[number % len(texts)], due)))
            number += 1
        await asyncio.gather(*running)
        took = time.perf_counter() - started
    finally:
        await reader.stop()
    waits.sort()
    return Waiting(
        rate,
        1e3 * waits[len(waits) // 2],
        1e3 * waits[int(len(waits) * 0.99)],
        len(waits) / took,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--loads", default="50,100,200", help="texts a second, comma separated")
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--artefact", type=Path, default=get_settings().emotion.artefact)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    card = load(options.artefact).card
    texts = texts_of(options.texts)
    settings = get_settings().emotion.model_copy(
        update={
            "artefact": options.artefact,
            "device": options.device,
            "threads": options.threads,
            "cache_size": 0,
            "queue_size": max(512, options.texts),
        }
    )
    device = options.device
    peers: list[Throughput] = []
    for name, build in (
        ("transformers pipeline", pipeline),
        ("sentence-transformers", sentence_transformers),
        ("sentence-transformers int8", sentence_transformers_onnx),
        ("infinity-emb", infinity),
    ):
        try:
            peers.append(alone(lambda n=name, b=build: timed(n, partial(b, card, device), texts)))
        except ImportError:
            continue
        gc.collect()
    served = asyncio.run(ours("ours", settings, texts))
    loads = [
        asyncio.run(waiting(settings, texts, float(rate), options.seconds))
        for rate in options.loads.split(",")
        if rate
    ]
    report = {
        "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, "
        + (torch.cuda.get_device_name() if options.device == "cuda" else platform.processor()),
        "texts": len(texts),
        "throughput": [asdict(t) for t in (*peers, served)],
        "ratios": {
            f"ours to {peer.name}": served.texts_per_second / peer.texts_per_second
            for peer in peers
        },
        "waiting": [asdict(w) for w in loads],
    }
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(report["machine"])
    for t in (*peers, served):
        outside = "" if t.outside_model is None else f"  {t.outside_model:.0%} outside the model"
        print(f"{t.name:28}{t.texts_per_second:10.0f} texts/s{outside}")
    for name, ratio in report["ratios"].items():
        print(f"{name:36}{ratio:6.2f}x")
    for w in loads:
        print(
            f"at {w.texts_per_second:.0f}/s: p50 {w.p50:.1f} ms, p99 {w.p99:.1f} ms"
            f" (reached {w.reached:.0f}/s)"
        )


if __name__ == "__main__":
    main()
