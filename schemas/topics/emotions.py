"""Topic `emotions`: what the model read in one chat message."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.base import Derived, Flag, Message, Number, Unit
from schemas.times import ClockOffset


class Emotion(StrEnum):
    """The 41 classes, in their fixed order (the order of every probability vector)."""

    JOY = "joy"
    SADNESS = "sadness"
    ANGER = "anger"
    FEAR = "fear"
    SURPRISE = "surprise"
    DISGUST = "disgust"
    PRIDE = "pride"
    SHAME = "shame"
    GUILT = "guilt"
    GRATITUDE = "gratitude"
    JEALOUSY = "jealousy"
    ADMIRATION = "admiration"
    SYMPATHY = "sympathy"
    FRUSTRATION = "frustration"
    SATISFACTION = "satisfaction"
    CURIOSITY = "curiosity"
    CONFIDENCE = "confidence"
    ANXIETY = "anxiety"
    EXCITEMENT = "excitement"
    CONFUSION = "confusion"
    ENGAGEMENT = "engagement"
    FLOW_STATE = "flow_state"
    COGNITIVE_OVERLOAD = "cognitive_overload"
    BREAKTHROUGH_MOMENT = "breakthrough_moment"
    MASTERY = "mastery"
    ELATION = "elation"
    AFFECTION = "affection"
    CONCENTRATION = "concentration"
    DOUBT = "doubt"
    BOREDOM = "boredom"
    AWE = "awe"
    DISAPPOINTMENT = "disappointment"
    DISTRESS = "distress"
    BITTERNESS = "bitterness"
    CONTEMPT = "contempt"
    EMBARRASSMENT = "embarrassment"
    FATIGUE = "fatigue"
    PAIN = "pain"
    CONTENTMENT = "contentment"
    SERENITY = "serenity"
    NEUTRAL = "neutral"


class Unread(StrEnum):
    """Why a message was not read although the model worked."""

    UNSUPPORTED_LANGUAGE = "unsupported_language"
    """It is in a language that the model was not trained on."""
    NOTHING_TO_READ = "nothing_to_read"
    """Nothing can be seen in it, or the model knows too few of its pieces."""
    NOT_THE_LEARNER = "not_the_learner"
    """It is a pasted exercise or code: the learner does not speak in it."""


class PAD(Message):
    """Pleasure (valence), arousal and dominance, each in [0, 1] (Mehrabian and Russell, 1974)."""

    valence: Unit
    arousal: Unit
    dominance: Unit


class EmotionRead(Derived):
    """The reading of one message.

    `probabilities` holds only classes that the model was trained on; a class
    without training data is absent, not zero. When the message was not read, `status`
    is `unavailable` and there are no probabilities: `reason` says why, and is absent
    where the model could not be used within its bound.
    """

    clock_offset: ClockOffset
    status: str = Field(
        default="ok",
        pattern="^(ok|unavailable)$",
        description="ok, or unavailable: the message was not read",
    )
    reason: Unread | None = Field(
        default=None, description="why it was not read; absent where it was, or the model was down"
    )
    coverage: Unit | None = Field(
        default=None,
        description="share of the message that was read; absent where nothing was, and in records "
        "from before it was told",
    )
    model_version: str = Field(default="", description="names the emotion model")
    probabilities: dict[Emotion, Unit] = Field(
        default_factory=dict, description="calibrated probability of each class that it knows"
    )
    top: Emotion | None = Field(default=None, description="the most probable class")
    pad: PAD | None = None
    wants_reply: Flag | None = Field(
        default=None, description="as the chat message said it; its text is not here"
    )
    affect: tuple[Number, ...] = Field(
        default=(),
        max_length=64,
        description="the model's affect embedding, for nets fitted to the same model_version; "
        "single numbers mean nothing",
    )
