"""The checker finds every change that breaks somebody, and lets the others pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from app.contracts.json_schema import Direction
from tests.contracts.compatibility import breaks

RECEIVED, SENT = Direction.RECEIVED, Direction.SENT

MESSAGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "share": {"type": "number", "minimum": 0.0, "maximum": 1.0},
        "count": {"type": "integer", "minimum": 0},
        "kind": {"$ref": "#/$defs/Kind"},
        "version": {"const": 1, "type": "integer"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "time": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "minItems": 1},
        "mix": {
            "type": "object",
            "propertyNames": {"$ref": "#/$defs/Kind"},
            "additionalProperties": {"type": "number", "maximum": 1.0},
        },
        "code": {"type": "string", "pattern": "^[a-z]+$"},
    },
    "required": ["id", "kind"],
    "$defs": {
        "Kind": {"type": "string", "enum": ["a", "b"]},
        "Part": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "size": {"type": "integer"},
                "inner": {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}]},
            },
            "required": ["name"],
        },
    },
}

Edit = Callable[[dict[str, Any]], object]


def prop(name: str, **changes: Any) -> Edit:
    return lambda schema: schema["properties"][name].update(changes)


def replace(name: str, value: Any) -> Edit:
    return lambda schema: schema["properties"].__setitem__(name, value)


def without(name: str, *keywords: str) -> Edit:
    return lambda schema: [schema["properties"][name].pop(keyword) for keyword in keywords]


def required(*names: str) -> Edit:
    return lambda schema: schema.__setitem__("required", list(names))


def part(edit: Edit) -> Edit:
    return lambda schema: edit(schema["$defs"]["Part"])


def kinds(*values: str) -> Edit:
    return lambda schema: schema["$defs"]["Kind"].__setitem__("enum", list(values))


def removed(name: str) -> Edit:
    return lambda schema: schema["properties"].pop(name)


BREAKING = [
    # field by field: what changes, for whom, and where it is found
    ("a field is removed", RECEIVED, removed("note"), "note"),
    ("a field is removed", SENT, removed("note"), "note"),
    ("a nested field is removed", RECEIVED, part(removed("size")), "parts[].size"),
    ("a nested field is removed", SENT, part(removed("size")), "parts[].size"),
    ("optional becomes required", RECEIVED, required("id", "kind", "count"), "count"),
    ("nested optional becomes required", RECEIVED, part(required("name", "size")), "parts[].size"),
    ("required becomes optional", SENT, required("id"), "kind"),
    ("nested required becomes optional", SENT, part(required()), "parts[].name"),
    ("number narrows to integer", RECEIVED, prop("share", type="integer"), "share"),
    ("integer widens to number", SENT, prop("count", type="number"), "count"),
    ("string becomes integer", RECEIVED, replace("id", {"type": "integer"}), "id"),
    ("string becomes integer", SENT, replace("id", {"type": "integer"}), "id"),
    ("any type is sent", SENT, replace("count", {}), "count"),
    ("null is no longer accepted", RECEIVED, replace("note", {"type": "string"}), "note"),
    ("an alternative is dropped", RECEIVED, replace("time", {"type": "number"}), "time"),
    (
        "an alternative is added",
        SENT,
        replace("time", {"anyOf": [{"type": t} for t in ("number", "string", "boolean")]}),
        "time",
    ),
    (
        "null may be sent",
        SENT,
        replace("id", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "id",
    ),
    ("an enum value is removed", RECEIVED, kinds("a"), "kind"),
    ("an enum value is removed", SENT, kinds("a"), "kind"),
    ("free text becomes an enum", RECEIVED, prop("code", enum=["x"]), "code"),
    ("an enum becomes free text", SENT, replace("kind", {"type": "string"}), "kind"),
    ("a constant changes", RECEIVED, prop("version", const=2), "version"),
    ("a constant changes", SENT, prop("version", const=2), "version"),
    (
        "a constant becomes a choice",
        SENT,
        replace("version", {"type": "integer", "enum": [1, 2]}),
        "version",
    ),
    ("a maximum falls", RECEIVED, prop("share", maximum=0.5), "share"),
    ("a minimum rises", RECEIVED, prop("count", minimum=1), "count"),
    ("a length falls", RECEIVED, prop("id", maxLength=32), "id"),
    ("a bound appears", RECEIVED, prop("code", maxLength=8), "code"),
    ("a maximum rises", SENT, prop("share", maximum=100.0), "share"),
    ("a bound disappears", SENT, without("share", "maximum"), "share"),
    ("a minimum falls", SENT, prop("count", minimum=-1), "count"),
    ("more items are needed", RECEIVED, prop("parts", minItems=2), "parts"),
    ("a list may be empty", SENT, prop("parts", minItems=0), "parts"),
    ("items change type", RECEIVED, prop("parts", items={"type": "string"}), "parts[]"),
    ("items may be anything", SENT, without("parts", "items"), "parts[]"),
    ("a pattern changes", RECEIVED, prop("code", pattern="^[A-Z]+$"), "code"),
    ("a pattern disappears", SENT, without("code", "pattern"), "code"),
    ("unknown fields are refused", RECEIVED, lambda s: s.update(additionalProperties=False), "{}"),
    (
        "a map's values narrow",
        RECEIVED,
        prop("mix", additionalProperties={"type": "number", "maximum": 0.5}),
        "mix{}",
    ),
    ("a map's values widen", SENT, prop("mix", additionalProperties=True), "mix{}"),
    ("a keyword that is not known appears", RECEIVED, prop("code", format="email"), "code"),
]

COMPATIBLE = [
    ("nothing changes", RECEIVED, lambda schema: None),
    ("nothing changes", SENT, lambda schema: None),
    ("an optional field is added", RECEIVED, replace("fresh", {"type": "string"})),
    (
        "a field is added",
        SENT,
        lambda s: (replace("fresh", {"type": "string"})(s), required("id", "kind", "fresh")(s)),
    ),
    ("a nested field is added", SENT, part(replace("fresh", {"type": "string"}))),
    ("required becomes optional", RECEIVED, required("id")),
    ("optional becomes required", SENT, required("id", "kind", "count")),
    ("integer widens to number", RECEIVED, prop("count", type="number")),
    ("number narrows to integer", SENT, prop("share", type="integer")),
    (
        "an alternative is added",
        RECEIVED,
        replace("id", {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    ),
    ("an alternative is dropped", SENT, replace("time", {"type": "number"})),
    ("an enum value is added", RECEIVED, kinds("a", "b", "c")),
    ("an enum value is added", SENT, kinds("a", "b", "c")),
    ("an enum becomes free text", RECEIVED, replace("kind", {"type": "string"})),
    ("a maximum rises", RECEIVED, prop("share", maximum=2.0)),
    ("a maximum falls", SENT, prop("share", maximum=0.5)),
    ("a bound disappears", RECEIVED, without("id", "maxLength")),
    ("a bound appears", SENT, prop("code", maxLength=8)),
    ("words change", SENT, prop("id", description="another sentence", title="Id")),
    ("a definition moves inline", SENT, replace("kind", {"type": "string", "enum": ["a", "b"]})),
]


def changed(edit: Edit) -> dict[str, Any]:
    schema = copy.deepcopy(MESSAGE)
    edit(schema)
    return schema


@pytest.mark.parametrize(
    ("direction", "edit", "path"),
    [pytest.param(d, e, p, id=f"{name} ({d})") for name, d, e, p in BREAKING],
)
def test_a_breaking_change_is_found_where_it_is(direction, edit, path):
    new = changed(edit)
    assert new != MESSAGE, "the example changes nothing"

    found = breaks(MESSAGE, new, direction)

    assert path in {one.path for one in found}, found


@pytest.mark.parametrize(
    ("direction", "edit"),
    [pytest.param(d, e, id=f"{name} ({d})") for name, d, e in COMPATIBLE],
)
def test_a_compatible_change_passes(direction, edit):
    assert breaks(MESSAGE, changed(edit), direction) == []


def test_a_change_in_a_recursive_type_is_found_once_and_ends():
    new = changed(part(prop("size", type="string")))

    found = breaks(MESSAGE, new, RECEIVED)

    assert [one.path for one in found] == ["parts[].size"]


def test_a_break_reads_as_a_sentence():
    (found,) = breaks(MESSAGE, changed(kinds("a")), SENT)[:1]

    assert str(found) == "kind: values removed: ['b']"
