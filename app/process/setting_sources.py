"""What every group of settings is built on: strict groups, secrets, and files that hold secrets.

A secret setting has a twin: `MASTERX_AUTH__SECRET_FILE=/run/secrets/auth` names a file whose
content is the value of `MASTERX_AUTH__SECRET`. A mounted secret so never stands in an environment
that `docker inspect` or a crash report shows.

Errors:
    pydantic_settings.SettingsError   a variable and its twin are both set, or the file cannot be
                                      read; the text names the variables and the path
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

FILE: Final = "_FILE"
"""Behind a secret setting's variable: the file that holds its value."""


class Group(BaseModel):
    """Settings that belong together. A name that does not exist is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret:
    """Marks a field that is no SecretStr but may hold a password, such as a URL."""


def secret_variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The variable of each secret setting, e.g. MASTERX_AUTH__SECRET."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        kinds = (field.annotation, *get_args(field.annotation))
        if SecretStr in kinds or any(isinstance(one, Secret) for one in field.metadata):
            yield variable
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from secret_variables(field.annotation, f"{variable}__")


def read_secret(variable: str, path: Path) -> str:
    """The content of a secret's file, without its last newline.

    Args:
        variable: which names the file; for the error.

    Raises:
        ValueError: names variable and path.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{variable}: cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {path} is not UTF-8 text") from None
    if "\0" in text:
        raise ValueError(f"{variable}: {path} holds a NUL, which no environment can pass on")
    return text.removesuffix("\n").removesuffix("\r")


class SecretFiles(EnvSettingsSource):
    """The environment; in place of a secret setting, what its `<NAME>_FILE` holds."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self.env_vars = self._with_secrets(self.env_vars)

    def _with_secrets(self, given: Mapping[str, str | None]) -> Mapping[str, str | None]:
        found = dict(given)
        for variable in secret_variables(self.settings_cls, self.env_prefix):
            twin = variable + FILE
            path = found.pop(twin.lower(), None)
            if path is None:
                continue
            if other := _also_set(variable, found):
                raise SettingsError(f"{other} and {twin} are both set: keep one of them")
            try:
                found[variable.lower()] = read_secret(twin, Path(path))
            except ValueError as error:
                raise SettingsError(str(error)) from None
        return found


def _also_set(variable: str, found: Mapping[str, Any]) -> str | None:
    """The variable that gives the same setting in clear, be it as a part of its group's JSON."""
    if variable.lower() in found:
        return variable
    group, _, name = variable.rpartition("__")
    try:
        fields = json.loads(found.get(group.lower()) or "{}")
    except ValueError:
        return None  # the environment's own parser tells
    return group if isinstance(fields, dict) and name.lower() in fields else None
