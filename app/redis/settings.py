"""How masterx reaches Redis, and what it keeps there: `MASTERX_REDIS__*`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from app.process.setting_sources import Group, Secret

PREFIX: Final = "MASTERX_REDIS__"


class RedisSettings(Group):
    """Push log, pub/sub, client-retry memory, role heartbeats."""

    url: Annotated[str, Secret()] = Field(
        "redis://127.0.0.1:6379/0", description="redis://, or rediss:// for TLS"
    )
    username: str | None = Field(None, description="of an ACL user; None: the one in the URL")
    password: SecretStr | None = Field(None, description="None: the one in the URL")
    ca_file: Path | None = Field(
        None,
        description="PEM of the authorities to trust with rediss://; None: those of the system",
    )
    prefix: str = Field("mx", description="of every key")
    log_length: int = Field(500, ge=1, description="pushes kept for a learner who reconnects")
    log_ttl: float = Field(86_400, gt=0, description="seconds an idle learner's push log is kept")
    dedupe_ttl: float = Field(
        600, gt=0, description="seconds in which a client's retry is recognised at the edge"
    )

    @property
    def encrypted(self) -> bool:
        """Whether connections use TLS."""
        return urlsplit(self.url).scheme == "rediss"

    @property
    def login_setting(self) -> str:
        """Which setting holds the password in use."""
        return PREFIX + ("URL" if self.password is None else "PASSWORD")

    @model_validator(mode="after")
    def _the_connection_can_work(self) -> RedisSettings:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        parts = urlsplit(self.url)
        if parts.scheme not in {"redis", "rediss", "unix"}:
            yield f"{PREFIX}URL must begin with redis://, rediss:// (TLS) or unix://"
        if self.ca_file is not None and not self.encrypted:
            yield f"{PREFIX}CA_FILE has no effect without TLS: begin {PREFIX}URL with rediss://"
        for name, in_url in (("username", parts.username), ("password", parts.password)):
            if getattr(self, name) is not None and in_url:
                yield f"{PREFIX}URL and {PREFIX}{name.upper()} both give one: keep one of them"
        if self.username and self.password is None and not parts.password:
            yield f"set {PREFIX}PASSWORD: {PREFIX}USERNAME needs it"
