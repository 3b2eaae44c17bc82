"""One loaded model: the steps that the reader schedules. torch is imported only from here on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.config import EmotionSettings
from models.emotion.cpu.hardware import share_heaps
from models.emotion.cpu.precision import PrecisionChoice, choose_device
from models.emotion.serving.inference import (
    Collate,
    Post,
    PostReadings,
    Run,
    RunNetwork,
    Tokenise,
    TokeniseTexts,
)

# Known-good texts of several lengths: they warm the model, and tell a failing model
# from a failing text.
WARM_TEXTS = (
    "ok",
    "I think I finally get it, thank you so much!",
    "I have tried this exercise five times now and I still do not see where the minus comes from. "
    * 3,
)


@dataclass(frozen=True, slots=True)
class Engine:
    """The steps of one model version; tests replace single ones."""

    tokenise: Tokenise
    collate: Collate
    run: Run
    post: Post
    version: str
    length_step: int = 1  # see Precision.length_step
    meet_sizes: Callable[[], None] = lambda: None  # of batches

    def warm(self) -> None:
        """What makes first calls slow. Raises what the model raises."""
        self.meet_sizes()
        self.try_texts(WARM_TEXTS)

    def try_texts(self, texts: Sequence[str]) -> None:
        """Run every step once for each text. Raises what the model raises."""
        for text in texts:
            self.post(self.run(self.collate(self.tokenise([text]))))


def load_engine(settings: EmotionSettings) -> Engine:
    """Load the settings' artefact and its encoders onto the device (some seconds).

    Raises ArtefactProblem, EncoderNotFound, or torch's error for a device that is not there.
    """
    share_heaps()
    return build_engine(load(settings.artefact), settings)


def build_engine(artefact: Artefact, settings: EmotionSettings) -> Engine:
    """The engine of an artefact in memory."""
    device = choose_device(settings)
    choice = PrecisionChoice(settings, artefact.card, device)
    network = artefact.network(settings.encoders)
    precision = choice.made()
    tokenise = TokeniseTexts(
        settings.encoders or artefact.card.encoders, settings.max_tokens, precision.length_step
    )
    run = RunNetwork(network, device, precision)
    return Engine(
        tokenise,
        tokenise.collate,
        run,
        PostReadings(artefact.card, artefact.version),
        artefact.version,
        precision.length_step,
        partial(run.warm, max(settings.batch_tokens, settings.max_tokens)),
    )
