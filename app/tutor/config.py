"""Settings of the tutor: who may answer, for how long, at what price, with whose key.

Providers are one JSON list, `MASTERX_TUTOR__PROVIDERS`. It holds no key: a provider names
the environment variable or the file that does, so that settings can be printed and passed on.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from app.process.setting_sources import FILE, read_secret
from models.tutor.context.config import ContextSettings
from models.tutor.guard.config import GuardSettings
from models.tutor.modes.config import ModeSettings
from models.tutor.providers.config import ChoiceSettings, PriorSettings
from models.tutor.safety.config import SafetySettings

ProviderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""Short and plain: it is a metric's label and part of keys in Redis."""


ThoughtTag = Annotated[str, Field(min_length=2, max_length=32, pattern=r"^[^`\s]+$")]
"""Short, as its beginning is held back, and not what code is put into."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderSettings(_Group):
    """One endpoint that speaks OpenAI's chat completions, with one model."""

    name: ProviderName
    base_url: str = Field(description="up to and without /chat/completions")
    model: str = Field(min_length=1)
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key; or <it>_FILE, a file with it"
    )
    api_key_file: Path | None = Field(None, description="file that holds the key, read at start")
    input_price: float = Field(0.0, ge=0, description="dollars per million tokens of prompt")
    output_price: float = Field(0.0, ge=0, description="dollars per million tokens of answer")
    max_output_tokens: int = Field(1_024, ge=1, description="of one answer")
    max_streams: int = Field(64, ge=1, description="answers at a time, a worker")
    output_limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="how this endpoint calls the limit of an answer's tokens"
    )
    usage_in_stream: bool = Field(
        True, description="ask for token counts; false for endpoints that refuse to be asked"
    )
    extra_body: dict[str, Any] = Field({}, description="more fields of the request, as they are")
    thought_tags: tuple[tuple[ThoughtTag, ThoughtTag], ...] = Field(
        (
            ("<think>", "</think>"),
            ("<thinking>", "</thinking>"),
            ("<thought>", "</thought>"),
            ("<reasoning>", "</reasoning>"),
            ("<seed:think>", "</seed:think>"),
            ("[THINK]", "[/THINK]"),
            ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
        ),
        description="what a model puts around its thoughts; what stands between is not shown",
    )
    starts_in_thought: bool = Field(
        False,
        description="its answers begin with a thought that only a closing tag ends; true: the"
        " beginning is held back until then",
    )
    thought_chars_held: int = Field(
        16_000, ge=1, description="characters of such a beginning that are held back, or void"
    )
    prior: PriorSettings = PriorSettings()

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("should be http(s)://host[:port][/path]")
        if parts.username or parts.password:
            raise ValueError("holds a password; name it by api_key_env or api_key_file")
        return value

    @field_validator("thought_tags")
    @classmethod
    def _tags_differ(
        cls, value: tuple[tuple[ThoughtTag, ThoughtTag], ...]
    ) -> tuple[tuple[ThoughtTag, ThoughtTag], ...]:
        opening, closing = ({pair[side].lower() for pair in value} for side in (0, 1))
        if opening & closing:
            raise ValueError("a tag opens or closes a thought, not both")
        return value

    @model_validator(mode="after")
    def _a_key_is_safe(self) -> ProviderSettings:
        if self.api_key_env and self.api_key_file:
            raise ValueError(f"{self.name}: api_key_env or api_key_file, not both")
        parts = urlsplit(self.base_url)
        keyed = self.api_key_env or self.api_key_file
        if keyed and parts.scheme == "http" and not _loopback(parts.hostname or ""):
            raise ValueError(f"{self.name}: a key must not travel in clear; base_url needs https")
        return self

    def read_key(self) -> SecretStr | None:
        """The key, or None for an endpoint without one.

        Raises ValueError that names the variable or file when it holds none.
        """
        if self.api_key_env is not None:
            key, where = _of_environment(self.api_key_env), f"variable {self.api_key_env}"
        elif self.api_key_file is not None:
            where = f"file {self.api_key_file}"
            try:
                key = self.api_key_file.read_text(encoding="utf-8")
            except OSError as error:
                raise ValueError(f"{self.name}: no key in {where}: {error.strerror}") from None
        else:
            return None
        if not key.strip():
            raise ValueError(f"{self.name}: no key in {where}")
        return SecretStr(key.strip())

    def micros(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost, in millionths of a dollar."""
        return self.input_price * input_tokens + self.output_price * output_tokens


def _of_environment(variable: str) -> str:
    """A key by its variable, or by the file that the variable's twin names; "" for none.

    Raises ValueError that names the variables.
    """
    path = os.environ.get(variable + FILE)
    if path is None:
        return os.environ.get(variable, "")
    if variable in os.environ:
        raise ValueError(f"{variable} and {variable}{FILE} are both set: keep one of them")
    return read_secret(variable + FILE, Path(path))


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TimeoutSettings(_Group):
    """Seconds until something counts as failed."""

    overall: float = Field(45.0, gt=0, description="from a request to its answer or failure")
    connect: float = Field(3.0, gt=0, description="until a provider takes the connection")
    first_text: float = Field(12.0, gt=0, description="from asking a provider to its first text")
    thinking: float = Field(
        30.0, gt=0, description="the same while thoughts come, each within `stall` of the last"
    )
    stall: float = Field(6.0, gt=0, description="between two pieces of an answer")
    tail: float = Field(1.0, gt=0, description="from an answer's end to its token counts")
    store: float = Field(
        5.0, gt=0, description="of a call to Redis, with what a busy process makes it wait"
    )


class RetrySettings(_Group):
    """How often one provider is asked for one answer."""

    attempts: int = Field(2, ge=1, description="of one provider for one request")
    wait: float = Field(0.1, ge=0, description="seconds before the second, where none are named")
    wait_max: float = Field(1.0, ge=0, description="the longest of these waits, with jitter")
    longest_wait: float = Field(
        1.0, ge=0, description="Retry-After up to which we wait; beyond, another one is asked"
    )
    patience: float = Field(
        2.0, ge=0, description="seconds to wait for a provider when none can be asked now"
    )


class BreakerSettings(_Group):
    """When a provider is left alone. Shared by all workers."""

    threshold: int = Field(5, ge=1, description="failures in a row that open the circuit")
    window: float = Field(60.0, gt=0, description="seconds that a failure counts")
    open_for: float = Field(10.0, gt=0, description="seconds until one request may try it again")
    open_max: float = Field(300.0, gt=0, description="doubling with each failed trial, up to this")
    cooldown: float = Field(5.0, ge=0, description="seconds after a 429 that names no Retry-After")
    cooldown_max: float = Field(600.0, ge=0, description="the longest Retry-After believed")


class HedgeSettings(_Group):
    """A second provider is asked when the first is later than usual; the first text wins."""

    enabled: bool = False
    quantile: float = Field(0.95, gt=0.5, lt=1, description="of the first one's usual time")
    at_least: float = Field(0.3, ge=0, description="seconds; never sooner")
    at_most: float = Field(5.0, gt=0, description="seconds; never later")
    share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="of requests that may be asked twice: a slow day is no reason "
        "to double the load",
    )
    burst: float = Field(5.0, ge=1, description="second requests that may be saved up")


class BudgetSettings(_Group):
    """What one learner may use in a day (UTC), all workers together. None: no limit."""

    tokens_per_day: int | None = Field(200_000, ge=1)
    dollars_per_day: float | None = Field(0.5, gt=0)


class ReplySettings(_Group):
    """From a request in Kafka to its reply: how long, how often, what is remembered."""

    lifetime: float = Field(
        900.0, gt=0, description="seconds after its message's receipt that a request is tried"
    )
    retry_first: float = Field(
        5.0, gt=0, description="seconds until a request without an answer is tried again"
    )
    retry_longest: float = Field(60.0, gt=0, description="doubling with each try, up to this")
    memory: float = Field(
        86_400.0, gt=0, description="seconds that a reply is remembered and may be rated"
    )
    piece_interval: float = Field(
        0.2, ge=0, description="seconds between two pieces in the push log; the first goes at once"
    )
    conversation_ttl: float = Field(
        86_400.0, gt=0, description="seconds that an idle learner's conversation stays in Redis"
    )
    conversation_turns: int = Field(
        40, ge=2, description="turns of a conversation that are read back from history"
    )
    earlier_turns: int = Field(
        200, ge=2, description="turns behind a summary that are kept, to be recalled by likeness"
    )
    texts: int = Field(2_000, ge=0, description="recent chat messages held in memory, a worker")
    text_timeout: float = Field(
        5.0, gt=0, description="seconds to read an older chat message from its topic"
    )
    history_timeout: float = Field(
        0.5, gt=0, description="seconds to read a conversation that is not in Redis from MongoDB"
    )
    waiting: int = Field(
        8, ge=1, description="requests of one learner that wait at a time; more are put off"
    )
    retried_at_once: int = Field(64, ge=1, description="requests tried again at a time, a worker")
    outcomes: dict[str, float] = Field(
        {"helpful": 1.0, "not_helpful": 0.0},
        description="what feedback on a reply is worth, in [0, 1]; others teach nothing",
    )

    @model_validator(mode="after")
    def _is_remembered_while_it_lives(self) -> ReplySettings:
        if self.memory <= self.lifetime:
            raise ValueError("tutor.replies.memory must be above tutor.replies.lifetime")
        if not all(0 <= worth <= 1 for worth in self.outcomes.values()):
            raise ValueError("tutor.replies.outcomes: worth is in [0, 1]")
        return self


class HearingSettings(_Group):
    """Messages that are for a person rather than a model."""

    heard_for: float = Field(
        3_600.0,
        ge=0,
        description="seconds; people are told of an older message too, but the learner, who may"
        " have left it behind, is not answered",
    )
    quiet_for: float = Field(
        1_800.0,
        gt=0,
        description="seconds after such a message in which the tutor says nothing unasked",
    )
    raised: int = Field(
        1_000,
        ge=1,
        description="recent messages that called for a person, remembered by a worker, so that each"
        " calls once and none is answered with a lesson",
    )


class LocalSettings(_Group):
    """A language model on this machine, served by `masterx llm` (docs/providers.md)."""

    enabled: bool = Field(False, description="serve it with `masterx up`, and ask it as a provider")
    name: ProviderName = Field("local", description="of the provider")
    model: Path | None = Field(None, description="a GGUF file; None: the packaged SmolLM2-135M")
    host: str = "127.0.0.1"
    port: int = Field(8_091, ge=1, le=65_535)
    context: int = Field(4_096, ge=512, description="tokens of a prompt and its answer")
    streams: int = Field(2, ge=1, description="answers at a time; others wait for a free one")
    threads: int = Field(0, ge=0, description="0: as many as there are cores")

    def provider(self) -> ProviderSettings:
        """It, as a provider."""
        return ProviderSettings(
            name=self.name,
            base_url=f"http://{self.host}:{self.port}/v1",
            model=self.name,
            max_streams=self.streams,
        )


class TutorSettings(_Group):
    """Language-model tutor. Without providers it is off, and says so."""

    providers: tuple[ProviderSettings, ...] = Field(
        (), description="JSON list; the order does not matter"
    )
    temperature: float | None = Field(None, ge=0, le=2, description="None: the model's own")
    max_output_tokens: int = Field(600, ge=1, description="of an answer; a provider's may be less")
    local: LocalSettings = LocalSettings()
    max_output_chars: int = Field(
        16_000, ge=1, description="of an answer; where a provider ignores the limit of tokens"
    )
    max_in_flight: int = Field(512, ge=1, description="requests at a time, a worker")
    chars_per_token: float = Field(
        4.0, gt=0, description="for endpoints that do not report what they used"
    )
    outcomes_refresh: float = Field(
        5.0, gt=0, description="seconds until a worker reads what others have learned"
    )
    timeouts: TimeoutSettings = TimeoutSettings()
    retries: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    hedge: HedgeSettings = HedgeSettings()
    budget: BudgetSettings = BudgetSettings()
    choice: ChoiceSettings = ChoiceSettings()
    replies: ReplySettings = ReplySettings()
    hearing: HearingSettings = HearingSettings()
    context: ContextSettings = ContextSettings()
    modes: ModeSettings = ModeSettings()
    safety: SafetySettings = SafetySettings()
    guard: GuardSettings = GuardSettings()

    @model_validator(mode="after")
    def _names_are_unique(self) -> TutorSettings:
        names = [provider.name for provider in self.all_providers]
        if len(set(names)) != len(names):
            raise ValueError("tutor.providers: two have the same name")
        return self

    @property
    def all_providers(self) -> tuple[ProviderSettings, ...]:
        """Those that are listed, and the local one where it is enabled."""
        return (*self.providers, self.local.provider()) if self.local.enabled else self.providers
