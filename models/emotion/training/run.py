"""Training: sources -> batches -> losses -> calibrated artefact with its card. Resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.emotion.artefact.artefact import Artefact, load, tokenizer_name
from models.emotion.artefact.card import LIMITS, EmotionCard
from models.emotion.exporting.export import export
from models.emotion.labels import EMOTIONS
from models.emotion.model_text import model_text
from models.emotion.network.encoders import write_tokenizer
from models.emotion.network.network import EmotionNetwork, Logits
from models.emotion.network.storing import network_of, pack, save
from models.emotion.serving.gpu import Pad
from models.emotion.serving.tokenising import Tokeniser
from models.emotion.training.averaging import AveragedWeights, average_with, check_soup
from models.emotion.training.distilling import Ratings, rated_by
from models.emotion.training.fitting import fit_card, groups_for_card
from models.emotion.training.losses import Targets, Variances, loss, targets, variances
from models.emotion.training.recipe import Recipe
from models.emotion.training.sources import SplitSource, load_sources
from models.emotion.training.starting import begin_at_frequencies, start
from models.emotion.training.widening import widened
from schemas.topics.emotions import Emotion

CHECKPOINT = "checkpoint.pt"
TAUGHT = "taught-{}.safetensors"
MEGABATCH = 50  # batches among which texts are sorted by length
ENCODE_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands; `loss` is smoothed."""

    phase: str
    step: int
    steps: int
    loss: float | None = None


Report = Callable[[Progress], None]


def train(recipe: Recipe, data: Path, out: Path, progress: Report = lambda _: None) -> Artefact:
    """Fit the recipe's network on the sources under `data`, write the artefact to `out`.

    An interrupted run goes on from `out/checkpoint.pt` when started again; that file
    is removed once the artefact is written. Raises FileNotFoundError for a missing
    source or teacher, DataProblem for a broken source, ValueError for a soup of other shapes.
    """
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    for what, folders in (*recipe.teachers, ("soup", recipe.soup)):
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(
                    f"{what}: no artefact at {folder}; make it with `masterx train "
                    "emotion` and the profile that is named so, or leave it out of the recipe"
                )
    soup = [network_of(load(folder)).state_dict() for folder in recipe.soup]
    torch.manual_seed(recipe.seed)
    sources = load_sources(data, recipe)
    groups = groups_for_card(recipe.corpus / "groups")  # a bad row is told now, not at the end
    card = new_card(recipe, sources)
    network, packaged = start(recipe, card)
    check_soup(network, soup)
    tokenisers = []
    for i, encoder in enumerate(recipe.encoders):
        write_tokenizer(encoder, out / tokenizer_name(i))
        tokenisers.append(Tokeniser(out / tokenizer_name(i), recipe.max_tokens))
    run = TrainingRun(
        recipe,
        card,
        network,
        sources,
        tokenisers,
        checkpoint=out / CHECKPOINT,
        progress=progress,
    )
    run.fit()
    average_with(network, soup)
    if recipe.shape.wide:
        progress(Progress("fitting the wide part", 0, 0))
        network.wide = widened(recipe, card, sources, tokenisers[0])
    tensors = pack(network, packaged)
    # Calibrated and measured as stored, rounding included.
    rounded = save(out, card, tensors)
    phase = progress_of(progress)
    fitted = save(out, fit_card(rounded, sources, recipe.losses, phase, groups), tensors)
    artefact = export(fitted, sources, phase) if recipe.graph else fitted
    for intermediate in [out / CHECKPOINT, *out.glob(TAUGHT.format("*"))]:
        intermediate.unlink(missing_ok=True)
    return artefact


def progress_of(report: Report) -> Callable[[str], None]:
    """A report of phases only."""
    return lambda phase: report(Progress(phase, 0, 0))


def new_card(recipe: Recipe, sources: Sequence[SplitSource]) -> EmotionCard:
    """What is known of the artefact before training."""
    public: set[Emotion] = set()
    authored: set[Emotion] = set()
    for source in sources:
        for example in source.train:
            present = {e for e, target in example.emotions.items() if target > 0}
            (authored if example.authored else public).update(present)
    emotions = [e for e in EMOTIONS if e in public | authored]
    return EmotionCard(
        profile=recipe.profile,
        encoders=recipe.encoders,
        tune=recipe.tune,
        max_tokens=recipe.max_tokens,
        shape=recipe.shape,
        emotions=emotions,
        authored=[e for e in emotions if e not in public],
        absent=[e for e in EMOTIONS if e not in emotions],
        sources=[source.describe() for source in sources],
        training=_described(recipe),
        limits=LIMITS,
        reproduce=recipe.reproduce,
    )


def _described(recipe: Recipe) -> dict[str, Any]:
    """The recipe as the card shows it: teachers by their versions, not by folders of ours."""
    elsewhere = {"profile", "encoders", "tune", "max_tokens", "shape", "corpus", "reproduce"}
    shown = recipe.model_dump(mode="json", exclude=elsewhere)
    shown["teachers"] = {
        what: [load(folder).version for folder in folders] for what, folders in recipe.teachers
    }
    shown["soup"] = [load(folder).version for folder in recipe.soup]
    return shown


class TrainingRun:
    """The loop. State that a checkpoint must hold lives here."""

    def __init__(
        self,
        recipe: Recipe,
        card: EmotionCard,
        network: EmotionNetwork,
        sources: Sequence[SplitSource],
        tokenisers: Sequence[Tokeniser],
        *,
        checkpoint: Path,
        progress: Report,
    ) -> None:
        self._recipe = recipe
        self._network = network
        self._progress = progress
        self._checkpoint = checkpoint
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self._device)
        # Half the digits make a GPU twice as fast; few processors have units for them.
        self._halved = recipe.tune != "frozen" and (recipe.halves or self._device.type == "cuda")
        self._examples = [example for source in sources for example in source.train]
        self._shares = [(len(source.train), recipe.repeat(source.name)) for source in sources]
        self._targets = targets(self._examples, card.emotions)
        self._be_taught()
        self._variance = Variances(*(v.to(self._device) for v in variances(self._targets)))
        if recipe.start_from is None:
            begin_at_frequencies(network.heads, self._targets)
        texts = [model_text(e.text) for e in self._examples]
        self._collate = Pad([one.padding_id for one in tokenisers], 1)
        self._tokens = list(zip(*(tokenise(texts) for tokenise in tokenisers), strict=True))
        self._lengths = [len(tokens[0]) for tokens in self._tokens]
        self._pooled = self._encode() if recipe.tune == "frozen" else None
        self._optimiser = _optimiser(network, recipe)
        self._average = AveragedWeights(network, recipe.averaging)
        self._per_epoch = -(-len(self._drawn(0)) // recipe.batch_size)
        self._steps = self._per_epoch * recipe.epochs
        self._step = 0

    def _be_taught(self) -> None:
        """PAD where nobody rated the text; GoEmotions' labels everywhere."""
        teachers = self._recipe.teachers
        if teachers.pad:
            unrated = self._targets.pad.isnan().any(1)
            # Where its author said how the writer feels, a teacher that read it wrong is no help.
            unrated &= self._targets.sign.isnan()
            pad = torch.stack([self._read_by(folder).pad for folder in teachers.pad]).mean(0)
            self._targets.taught_pad[unrated] = pad[unrated]
        if teachers.goemotions:
            labels = [self._read_by(folder).goemotions for folder in teachers.goemotions]
            unsigned = self._targets.sign.isnan()
            self._targets.taught_goemotions[unsigned] = torch.stack(labels).mean(0)[unsigned]

    def _read_by(self, folder: Path) -> Ratings:
        teacher = load(folder)
        return rated_by(
            teacher,
            [model_text(example.text) for example in self._examples],
            self._checkpoint.with_name(TAUGHT.format(teacher.version)),
            device=self._device.type,
            dtype="bfloat16" if self._halved else "float32",
            progress=lambda done, every: self._progress(
                Progress(f"teacher {folder.name} reads", done, every)
            ),
        )

    def fit(self) -> None:
        """Train to the end and leave the averaged weights in the network, on the CPU."""
        self._resume()
        smoothed: float | None = None
        while self._step < self._steps:
            epoch, skip = divmod(self._step, self._per_epoch)
            for batch in list(self._batches(epoch))[skip:]:
                value = self._train_on(batch)
                smoothed = value if smoothed is None else 0.98 * smoothed + 0.02 * value
                self._step += 1
                if self._step % self._recipe.checkpoint_steps == 0:
                    self._save()
                    self._progress(Progress("training", self._step, self._steps, smoothed))
        self._average.copy_to(self._network)
        self._network.to("cpu").eval()

    def _train_on(self, batch: list[int]) -> float:
        self._network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * self._rate()
        picked = Targets(*(t[batch].to(self._device) for t in self._targets))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._halved):
            logits = self._forward(batch)
        value = loss(logits, picked, self._recipe.losses, self._variance)
        self._optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        self._average.update(self._network, self._step)
        return float(value.detach())

    def _forward(self, batch: list[int]) -> Logits:
        if self._pooled is not None:
            logits: Logits = self._network.heads([p[batch] for p in self._pooled])
            return logits
        inputs = self._collate([self._tokens[i] for i in batch]).inputs
        moved = [(ids.to(self._device), mask.to(self._device)) for ids, mask in inputs]
        tuned: Logits = self._network(moved)
        return tuned

    def _rate(self) -> float:
        """Share of the peak learning rate: linear warm-up, then linear to 0."""
        warm = max(1, int(self._recipe.warmup * self._steps))
        if self._step < warm:
            return (self._step + 1) / warm
        return max(0.0, (self._steps - self._step) / max(1, self._steps - warm))

    def _batches(self, epoch: int) -> Iterator[list[int]]:
        """Indices of each step's texts; depends on seed and epoch only."""
        generator = torch.Generator().manual_seed(self._recipe.seed * 1_000 + epoch)
        draws = self._drawn(epoch)
        drawn = [draws[i] for i in torch.randperm(len(draws), generator=generator).tolist()]
        size = self._recipe.batch_size
        batches: list[list[int]] = []
        for at in range(0, len(drawn), size * MEGABATCH):
            some = sorted(drawn[at : at + size * MEGABATCH], key=self._lengths.__getitem__)
            batches += [some[i : i + size] for i in range(0, len(some), size)]
        order = torch.randperm(len(batches), generator=generator).tolist()
        return (batches[i] for i in order)

    def _drawn(self, epoch: int) -> list[int]:
        """Indices of the epoch's texts; of a source that counts .5, another half each time."""
        generator = torch.Generator().manual_seed(self._recipe.seed)
        draws: list[int] = []
        first = 0
        for texts, times in self._shares:
            whole, part = divmod(times, 1)
            draws += list(range(first, first + texts)) * int(whole)
            order = torch.randperm(texts, generator=generator).tolist()
            some = round(texts * part)
            # One after the other, so that no text waits longer than it must.
            draws += [first + order[(epoch * some + i) % texts] for i in range(some)]
            first += texts
        return draws

    @torch.no_grad()
    def _encode(self) -> list[torch.Tensor]:
        """Pooled embeddings of every text, once: a frozen encoder gives the same each epoch."""
        self._network.eval()
        order = sorted(range(len(self._tokens)), key=lambda i: -self._lengths[i])
        pooled = [
            torch.empty(len(order), width, device=self._device) for width in self._network.widths
        ]
        at = 0
        while at < len(order):
            chosen = order[at : at + max(1, ENCODE_TOKENS // self._lengths[order[at]])]
            inputs = self._collate([self._tokens[i] for i in chosen]).inputs
            for kept, encoder, (ids, mask) in zip(
                pooled, self._network.encoders, inputs, strict=True
            ):
                kept[chosen] = encoder(ids.to(self._device), mask.to(self._device))
            at += len(chosen)
            self._progress(Progress("encoding", at, len(order)))
        return pooled

    def _save(self) -> None:
        state: dict[str, Any] = {
            "recipe": self._recipe.model_dump(mode="json"),
            "step": self._step,
            "network": {
                k: v for k, v in self._network.state_dict().items() if k in self._average.names
            },
            "average": self._average.state,
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self._checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        if not self._checkpoint.is_file():
            return
        state = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
        if state["recipe"] != self._recipe.model_dump(mode="json"):
            raise ValueError(
                f"{self._checkpoint}: of a run with another recipe; remove it or train elsewhere"
            )
        self._step = state["step"]
        self._network.load_state_dict(state["network"], strict=False)
        self._average.state = state["average"]
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"].cpu())
        if self._device.type == "cuda" and state["random_cuda"]:
            torch.cuda.set_rng_state_all([each.cpu() for each in state["random_cuda"]])


def _optimiser(network: EmotionNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; no decay of biases and norms; the heads learn faster than the encoder."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            peak = recipe.head_learning_rate if name.startswith("heads.") else recipe.learning_rate
            decay = recipe.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((peak, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": members, "peak": peak, "lr": peak, "weight_decay": decay}
            for (peak, decay), members in groups.items()
        ],
        fused=True,
    )
