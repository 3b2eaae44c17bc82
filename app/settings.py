"""One settings tree. Every field can be set by the environment: `MASTERX_<GROUP>__<FIELD>`.

A secret can be in a file that `MASTERX_<GROUP>__<FIELD>_FILE` names. The groups of Kafka, Redis,
MongoDB, the tutor and the models are in their rooms; this is the name for all of them.

`masterx settings` prints the effective values with secrets masked. Anything that
decides about a person is here or in a trained artefact, never a literal in code.

Raises pydantic.ValidationError that names the field when a value cannot be used, and
pydantic_settings.SettingsError that names the variable when a file cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.kafka.settings import MOST_FETCH_PAUSE, KafkaSettings
from app.mongo.settings import MongoSettings
from app.process.setting_sources import Group, SecretFiles
from app.redis.settings import RedisSettings
from app.tutor.config import TutorSettings
from models.emotion.config import EmotionSettings
from models.learner.config import LearnerSettings
from models.words.words import ENGLISH, Words, load

__all__ = [
    "DEVELOPMENT_SECRET",
    "MIN_SECRET",
    "AuthSettings",
    "ClockSettings",
    "EmbeddedSettings",
    "GatewaySettings",
    "KafkaSettings",
    "LogSettings",
    "MongoSettings",
    "RedisSettings",
    "Settings",
    "WorkerSettings",
    "get_settings",
]

DEVELOPMENT_SECRET = "masterx-development-secret-not-for-production"  # noqa: S105
MIN_SECRET = 32
"""Characters of an HS256 secret in production: RFC 7518 asks for 256 bits."""


SEGMENT_DAYS = 1
"""Days in one segment of a topic: Kafka deletes a record at most so much later than asked."""


class WorkerSettings(Group):
    """Consumer groups and their timing (docs/architecture.md says why these values)."""

    group_prefix: str = Field("masterx", description="consumer groups are <prefix>-<role>")
    instance: str = Field("", description="stable name of this worker; empty: no static membership")
    session_timeout: float = Field(10.0, gt=1, description="seconds until a silent worker is out")
    heartbeat_interval: float = Field(1.0, gt=0)
    rebalance_timeout: float = Field(6.0, gt=0, description="seconds for workers to rejoin")
    max_poll_interval: float = Field(300.0, gt=0)
    commit_interval: float = Field(1.0, gt=0)
    in_flight: int = Field(512, ge=1, description="records read but not yet acknowledged, a worker")
    batch_size: int = Field(256, ge=1, description="records that push and history write at once")
    fetch_pauses: dict[str, Annotated[float, Field(ge=0, le=MOST_FETCH_PAUSE)]] = Field(
        {},
        description="seconds between two fetches of a role, by its name, where the broker does not "
        "hold an empty one (the embedded one does not); for those not named tutor 0.03, history "
        "0.25, others kafka.empty_fetch_pause",
    )
    stall_timeout: float = Field(
        60.0, gt=0, description="seconds without progress despite lag until not alive"
    )
    join_timeout: float = Field(
        180.0,
        gt=0,
        description="seconds in which the group must give a worker its partitions; it ends itself "
        "after them, to begin anew with the broker there is",
    )
    shutdown_timeout: float = Field(
        10.0,
        gt=0,
        description="seconds from SIGTERM to the end at most, whatever the worker waits for; "
        "keep it below the grace period of whoever stops it",
    )
    format_hold: float = Field(
        600.0,
        ge=0,
        description="seconds for which every fresh worker of a role must have said that it reads a "
        "new format of its records before this one writes it: how long a rolling deploy can be "
        "rolled back",
    )
    status_host: str = "127.0.0.1"
    status_port: int = Field(
        0, ge=0, le=65_535, description="of /metrics and /healthz; 0: any free"
    )

    @model_validator(mode="after")
    def _a_rebalance_fits_in_a_session(self) -> WorkerSettings:
        # While members rejoin, the coordinator answers nobody: a longer wait than the
        # session would cost every worker its lease whenever one of them dies.
        if self.rebalance_timeout + self.heartbeat_interval >= self.session_timeout:
            raise ValueError(
                "worker.session_timeout must be above rebalance_timeout + heartbeat_interval"
            )
        return self


class AuthSettings(Group):
    """Who may speak. HS256 with a shared secret, or JWKS with issuer and audience."""

    secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="of HS256; ignored with a jwks_url"
    )
    issuer: str | None = Field("masterx", description="required `iss`; None: not checked")
    audience: str | None = Field("masterx", description="required `aud`; None: not checked")
    jwks_url: str | None = Field(
        None, description="where the public keys are; switches to RS/ES/EdDSA"
    )
    jwks_ttl: float = Field(300, gt=0, description="seconds until the keys are fetched again")
    jwks_timeout: float = Field(5, gt=0, description="seconds that a fetch may take in all")
    jwks_stale_for: float = Field(
        3_600, ge=0, description="seconds after jwks_ttl that keys serve while no fetch succeeds"
    )
    max_lifetime: float = Field(
        31_536_000, gt=0, description="seconds from now that a token's `exp` may lie ahead"
    )
    leeway: float = Field(5, ge=0, description="seconds of clock difference forgiven")
    consent_claim: str = Field("consent", description="claim that must be true to process")
    role_claim: str = Field("role", description="learner, observer, service or admin")
    learners_claim: str = Field("learners", description="whom an observer may see")


class GatewaySettings(Group):
    """The edge."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    allowed_origins: tuple[str, ...] = Field(
        ("http://127.0.0.1:8000", "http://localhost:8000"),
        description="for CORS and for the WebSocket's Origin; a client that sends none may pass",
    )
    max_message_bytes: int = Field(
        256 * 1024,
        ge=1024,
        description="of a message or body; 500 interactions of the usual size fit",
    )
    max_text_length: int = Field(8_000, ge=1, description="characters of a chat message")
    requests_per_minute: int = Field(100, ge=1, description="REST, per user")
    messages_per_second: float = Field(30, gt=0, description="WebSocket, per user")
    message_burst: int = Field(300, ge=1, description="WebSocket, per user")
    max_handshakes: int = Field(
        1_000,
        ge=1,
        description="connections that have not sent a whole request, or whose token "
        "is being checked; beyond it the oldest that has not sent one is cut",
    )
    handshake_timeout: float = Field(
        10,
        gt=0,
        description="seconds for a request's head, for its body, for checking a socket's "
        "token, and for its first reading of the push log",
    )
    max_connections: int = Field(10_000, ge=1)
    max_connections_per_user: int = Field(20, ge=1)
    probe_timeout: float = Field(
        2,
        gt=0,
        description="seconds in which the sockets of a learner at max_connections_per_user "
        "must answer a ping; the oldest that does not makes way for the new one",
    )
    max_outbox_bytes: int = Field(
        1_000_000, ge=1024, description="unsent bytes at which a slow client is closed (4408)"
    )
    ping_interval: float = Field(20, gt=0, description="seconds between WebSocket pings")
    most_poll_wait: float = Field(
        25,
        gt=0,
        description="seconds that a poll for pushes may wait for one, and waits if it says no "
        "`wait`; keep it below the idle timeout of the proxies in front",
    )
    shutdown_timeout: float = Field(5, gt=0)
    reconnect_spread: float = Field(
        5,
        ge=0,
        description="seconds over which the clients of a gateway that ends are asked to come back",
    )
    unacknowledged: int = Field(
        200,
        ge=1,
        description="events that a client is asked to have under way at most; two devices of a "
        "learner together must stay below the learner.seen ids that tell a retry",
    )
    status_host: str = Field("127.0.0.1", description="of the private port; keep it private")
    status_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="of /metrics and the details of /readyz; 0: any free, the log says which",
    )


class ClockSettings(Group):
    """When a device's clock is guessed from its events, which say no `sentAt`."""

    least: float = Field(
        300, gt=0, description="seconds off from which a clock is corrected; below, it is delay"
    )
    most: float = Field(
        43_200, gt=0, description="seconds off up to which it is; above, the page was offline"
    )

    @model_validator(mode="after")
    def _least_is_below_most(self) -> ClockSettings:
        if self.least >= self.most:
            raise ValueError("clock.least must be below clock.most")
        return self


class EmbeddedSettings(Group):
    """Services that `masterx up` starts itself when they are not named elsewhere."""

    enabled: bool = Field(True, description="start a broker, Redis and a MongoDB-wire store")
    data_dir: Path = Field(Path(".masterx"), description="where they keep their data")
    host: str = "127.0.0.1"
    kafka_port: int = Field(9092, ge=0, le=65_535, description="0: any free")
    redis_port: int = Field(6379, ge=0, le=65_535, description="0: any free")
    mongo_port: int = Field(27017, ge=0, le=65_535, description="0: any free")
    share_processes: bool = Field(
        True,
        description="masterx up runs emotion, learner and push in one process, and tutor and "
        "history in another: less memory, and one fate; false: a process for each role",
    )
    partitions: int = Field(
        2,
        ge=1,
        description="of the topics that it creates on its own broker, about one a core; topics "
        "that exist keep theirs, and kafka.partitions decides if it is set",
    )
    start_timeout: float = Field(60, gt=0, description="seconds until a service counts as failed")


class LogSettings(Group):
    """Structured logs; never a text, never a token."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = Field(False, description="one JSON object a line, for collectors")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="MASTERX_",
        env_nested_delimiter="__",
        env_parse_none_str="null",  # MASTERX_AUTH__ISSUER=null: not checked
        extra="forbid",
        frozen=True,
    )

    environment: Literal["development", "production"] = "development"
    language: str = Field(
        ENGLISH,
        description="of what masterx says by itself to learners and teachers: the name of a file "
        "in models/words/",
    )
    data_dir: Path = Field(
        Path("data"), description="folder of labelled data sets, for `train` only"
    )
    kafka: KafkaSettings = KafkaSettings()
    worker: WorkerSettings = WorkerSettings()
    redis: RedisSettings = RedisSettings()
    mongo: MongoSettings = MongoSettings()
    auth: AuthSettings = AuthSettings()
    gateway: GatewaySettings = GatewaySettings()
    clock: ClockSettings = ClockSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    log: LogSettings = LogSettings()
    emotion: EmotionSettings = EmotionSettings()
    learner: LearnerSettings = LearnerSettings()
    tutor: TutorSettings = TutorSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment with the files that it names."""
        return init_settings, SecretFiles(settings_cls)

    @field_validator("language")
    @classmethod
    def _has_words(cls, language: str) -> str:
        load(language)
        return language

    @field_validator("learner")
    @classmethod
    def _speaks(cls, learner: LearnerSettings, info: ValidationInfo) -> LearnerSettings:
        return learner.speaking(load(info.data.get("language", ENGLISH)))

    @property
    def words(self) -> Words:
        """What masterx says by itself, in the deployment's language."""
        return load(self.language)

    @model_validator(mode="after")
    def _what_is_embedded_has_no_tls(self) -> Settings:
        if not self.embedded.enabled:
            return self
        wants = {
            "KAFKA__BOOTSTRAP": self.kafka.security_protocol != "PLAINTEXT",
            "REDIS__URL": self.redis.password is not None,
            "MONGO__URL": self.mongo.tls,
        }
        for name, secured in wants.items():
            group, field = name.lower().split("__")
            if secured and field not in getattr(self, group).model_fields_set:
                raise ValueError(
                    f"set MASTERX_{name}: without it masterx starts a server of its own, which "
                    "knows neither TLS nor users"
                )
        return self

    @model_validator(mode="after")
    def _a_request_ends_before_its_worker_counts_as_stalled(self) -> Settings:
        tutor = self.tutor
        if tutor.timeouts.overall + tutor.replies.text_timeout >= self.worker.stall_timeout:
            raise ValueError(
                "worker.stall_timeout must be above tutor.timeouts.overall + "
                "tutor.replies.text_timeout"
            )
        return self

    @model_validator(mode="after")
    def _a_record_outlives_what_it_guards_against(self) -> Settings:
        # A learner's record knows which records of the topics it holds. Deleted before they
        # are, a redelivery would count again, or what was erased would.
        kept = max(self.kafka.retention_days, self.kafka.chat_days) + SEGMENT_DAYS
        for name in ("inactive_days", "marker_days"):
            if getattr(self.learner, name) <= kept:
                raise ValueError(
                    f"learner.{name} must be above {kept:g}: kafka.retention_days or "
                    f"kafka.chat_days, and {SEGMENT_DAYS} for the segment that a record is in"
                )
        return self

    @model_validator(mode="after")
    def _production_trusts_nobody(self) -> Settings:
        if self.environment != "production":
            return self
        problems = list(_why_not_in_production(self.auth))
        if problems:
            raise ValueError("production needs other settings: " + "; ".join(problems))
        return self


def _why_not_in_production(auth: AuthSettings) -> Iterator[str]:
    """What would let somebody forge a token, each with the variable to set."""
    secret = auth.secret.get_secret_value()
    if auth.jwks_url is not None:
        if not auth.jwks_url.lower().startswith("https://"):
            yield "MASTERX_AUTH__JWKS_URL must begin with https://"
    elif secret == DEVELOPMENT_SECRET:
        yield "set MASTERX_AUTH__SECRET or MASTERX_AUTH__JWKS_URL, the development secret is public"
    elif len(secret) < MIN_SECRET:
        yield f"MASTERX_AUTH__SECRET must have {MIN_SECRET} characters or more"
    if not auth.issuer:
        yield "MASTERX_AUTH__ISSUER must be set"
    if not auth.audience:
        yield "MASTERX_AUTH__AUDIENCE must be set"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment once."""
    return Settings()
