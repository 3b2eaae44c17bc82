"""How masterx reaches MongoDB, and for how long it keeps what: `MASTERX_MONGO__*`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from app.process.setting_sources import Group, Secret

PREFIX: Final = "MASTERX_MONGO__"


class MongoSettings(Group):
    """History, for analytics and for the profile."""

    url: Annotated[str, Secret()] = Field(
        "mongodb://127.0.0.1:27017", description="mongodb:// or mongodb+srv://, with user@"
    )
    tls: bool = Field(False, description="encrypt; mongodb+srv:// does so anyway")
    ca_file: Path | None = Field(
        None, description="PEM of the authorities to trust; None: those of the system"
    )
    certificate_file: Path | None = Field(
        None, description="PEM of this client's certificate and key, where the server asks for one"
    )
    database: str = "masterx"
    chat_days: float = Field(7, gt=0, description="days until a stored chat text expires")
    accepted_days: float = Field(
        14, gt=0, description="days for which a retry of an event is known, however late it comes"
    )
    history_days: float = Field(365, gt=0, description="days until other history expires")
    state_every: float = Field(
        60.0,
        ge=0,
        description="seconds of which `state_history` keeps a learner's newest state only; "
        "0: every state",
    )

    @property
    def encrypted(self) -> bool:
        """Whether connections use TLS."""
        said = self._said_in_url
        return self.tls or (urlsplit(self.url).scheme == "mongodb+srv" if said is None else said)

    @property
    def _said_in_url(self) -> bool | None:
        options = {
            name.lower(): value.lower() for name, value in parse_qsl(urlsplit(self.url).query)
        }
        said = options.get("tls", options.get("ssl"))
        return None if said is None else said == "true"

    @model_validator(mode="after")
    def _the_connection_can_work(self) -> MongoSettings:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if urlsplit(self.url).scheme not in {"mongodb", "mongodb+srv"}:
            yield f"{PREFIX}URL must begin with mongodb:// or mongodb+srv://"
        if self.tls and self._said_in_url is False:
            yield f"{PREFIX}TLS is true and {PREFIX}URL says tls=false: take one of them away"
        for name in ("ca_file", "certificate_file"):
            if getattr(self, name) is not None and not self.encrypted:
                yield f"{PREFIX}{name.upper()} has no effect without TLS: set {PREFIX}TLS=true"
