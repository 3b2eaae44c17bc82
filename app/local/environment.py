"""Settings as environment variables, so that a child process has exactly its parent's."""

from __future__ import annotations

import os
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr

from app.settings import Settings

PREFIX = "MASTERX_"


def environment(settings: Settings) -> dict[str, str]:
    """Every setting as `MASTERX_<GROUP>__<FIELD>`, secrets in clear.

    `Settings()` in a process with these variables equals `settings`.
    """
    return dict(_flatten(settings, PREFIX))


def child_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with its MASTERX_* variables replaced by `settings`."""
    # Settings reads variables in any case.
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(PREFIX)}
    return kept | environment(settings)


def _flatten(model: BaseModel, prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        key = prefix + name.upper()
        if isinstance(value, BaseModel):
            pairs += _flatten(value, f"{key}__")
        else:
            pairs.append((key, _text(value)))
    return pairs


def _text(value: Any) -> str:
    if value is None:
        return "null"  # Settings.model_config: env_parse_none_str
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        return orjson.dumps(value, default=_json, option=orjson.OPT_NON_STR_KEYS).decode()
    return str(value)


def _json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return list(value)
    return str(value)
