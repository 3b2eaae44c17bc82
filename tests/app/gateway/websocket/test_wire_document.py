"""docs/wire.md says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from agents.runtime.ports import PushKind
from schemas.wire.client import CLIENT_TYPES, read_client
from schemas.wire.errors import CloseCode, ErrorCode
from schemas.wire.server import ServerMessage

TEXT = (Path(__file__).resolve().parents[4] / "docs" / "wire.md").read_text(encoding="utf-8")


SENT = {model.model_fields["type"].default: model for model in get_args(ServerMessage)}


def examples() -> list[dict[str, Any]]:
    found = []
    for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL):
        rest = block.strip()
        while rest:
            document, end = json.JSONDecoder().raw_decode(rest)
            found.append(document)
            rest = rest[end:].strip()
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=[one["type"] for one in EXAMPLES])
def test_each_example_is_a_message(example):
    if example["type"] in CLIENT_TYPES:
        assert read_client(example).type == example["type"]
        return
    model = SENT[example["type"]]
    if "user_state" not in model.model_fields:  # a state is shortened there
        model.read(example)


def test_every_type_code_and_close_code_is_explained():
    shown = {one["type"] for one in EXAMPLES}
    assert shown >= {*CLIENT_TYPES, *PushKind}
    ours = [str(value) for name, value in vars(CloseCode).items() if name.isupper()]
    for word in [*ErrorCode, *ours]:
        assert word in TEXT or str(word).startswith("invalid_")
