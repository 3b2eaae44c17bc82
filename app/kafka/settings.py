"""How masterx reaches Kafka, and what it asks of the topics: `MASTERX_KAFKA__*`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, model_validator

from app.process.setting_sources import Group

PREFIX: Final = "MASTERX_KAFKA__"
MOST_FETCH_PAUSE: Final = 10.0
"""Seconds: behind a longer pause a worker looks as if it stood still."""
_WITH_PASSWORD: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class KafkaSettings(Group):
    """The log that everything passes through."""

    bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port...]")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="of the listener at `bootstrap`; SASL_SSL for most managed Kafkas"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = (
        Field(None, description="how to log in, with a SASL_ protocol")
    )
    sasl_username: str | None = Field(None, description="of PLAIN and SCRAM")
    sasl_password: SecretStr | None = Field(None, description="of PLAIN and SCRAM")
    oauth_token_file: Path | None = Field(
        None,
        description="file with the token of OAUTHBEARER; read anew for each connection, so "
        "whoever renews the token replaces the file",
    )
    ca_file: Path | None = Field(
        None, description="PEM of the authorities to trust; None: those of the system"
    )
    certificate_file: Path | None = Field(
        None, description="PEM of this client's certificate, where the broker asks for one"
    )
    key_file: Path | None = Field(
        None, description="PEM of its key; None: it is in certificate_file"
    )
    key_password: SecretStr | None = Field(None, description="of that key, where it has one")
    topic_prefix: str = Field("", description="before every topic's name, on a shared cluster")
    partitions: int = Field(
        12,
        ge=1,
        description="of every topic; fixed once they are created. Not set: topics that exist keep "
        "theirs, and masterx up creates new ones with embedded.partitions",
    )
    replication: int = Field(1, ge=1, description="replicas of every topic; 3 in production")
    retention_days: float = Field(7, gt=0, description="of the non-compacted topics")
    chat_days: float = Field(7, gt=0, description="how long chat text is kept")
    min_compaction_lag: float = Field(
        86_400, ge=0, description="seconds a compacted record is safe from compaction"
    )
    delete_retention: float = Field(
        604_800, ge=0, description="seconds a tombstone stays; longer than any consumer's downtime"
    )
    linger: float = Field(0.0, ge=0, description="seconds a producer waits to fill a batch")
    max_buffered: int = Field(
        2_000, ge=1, description="records the gateway holds that Kafka has not acknowledged"
    )
    request_timeout: float = Field(20.0, gt=0, description="seconds until a produce fails")
    fetch_wait: float = Field(0.5, gt=0, description="seconds an idle broker may hold a fetch")
    empty_fetch_pause: float = Field(
        0.008,
        ge=0,
        le=MOST_FETCH_PAUSE,
        description="seconds between a worker's fetches from a broker that answers an empty one "
        "at once (the embedded one does), for roles without a pause of their own "
        "(worker.fetch_pauses); 0: the broker is Kafka, no worker looks for what the embedded one "
        "does otherwise",
    )
    idle_fetch_pause: float = Field(
        0.02,
        ge=0,
        le=MOST_FETCH_PAUSE,
        description="seconds between those fetches when none has brought a record for a second",
    )

    @property
    def encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.security_protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        """Whether a client logs in with SASL."""
        return self.security_protocol.startswith("SASL")

    @model_validator(mode="after")
    def _the_connection_can_work(self) -> KafkaSettings:
        problems = [*self._login_problems(), *self._certificate_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _login_problems(self) -> Iterator[str]:
        mechanism, protocol = self.sasl_mechanism, self.security_protocol
        if not self.authenticated:
            for name in ("sasl_mechanism", "sasl_username", "sasl_password", "oauth_token_file"):
                if getattr(self, name) is not None:
                    yield (
                        f"{_variable(name)} has no effect with {_variable('security_protocol')}="
                        f"{protocol}: set that to SASL_SSL, or take this one away"
                    )
            return
        if mechanism is None:
            yield (
                f"set {_variable('sasl_mechanism')} to {', '.join(_WITH_PASSWORD)} or OAUTHBEARER: "
                f"{_variable('security_protocol')}={protocol} logs in"
            )
            return
        wanted = ("sasl_username", "sasl_password")
        unwanted: tuple[str, ...] = ("oauth_token_file",)
        if mechanism == "OAUTHBEARER":
            wanted, unwanted = unwanted, wanted  # type: ignore[assignment]
        for name in wanted:
            if not _given(getattr(self, name)):
                yield f"set {_variable(name)}: {mechanism} needs it"
        for name in unwanted:
            if getattr(self, name) is not None:
                yield f"{_variable(name)} has no effect with {mechanism}: take it away"

    def _certificate_problems(self) -> Iterator[str]:
        files = ("ca_file", "certificate_file", "key_file", "key_password")
        if not self.encrypted:
            for name in files:
                if getattr(self, name) is not None:
                    yield (
                        f"{_variable(name)} has no effect with {_variable('security_protocol')}="
                        f"{self.security_protocol}: set that to "
                        f"{'SASL_SSL' if self.authenticated else 'SSL'}, or take this one away"
                    )
        elif self.certificate_file is None:
            for name in ("key_file", "key_password"):
                if getattr(self, name) is not None:
                    yield f"set {_variable('certificate_file')}: {_variable(name)} belongs to it"


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _given(value: str | SecretStr | Path | None) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
