"""Whether a contract may change from one version to the next, for those who rely on it.

Compares the subset of JSON Schema that our messages use; a keyword it does not know
is a break when it differs, so that nothing passes unread.

What we receive: every message that was valid stays valid, and no field is dropped.
What we send: no field disappears or becomes optional, no type or bound widens.
New fields are always welcome, and so are new values of an enum that we send
(readers are told to ignore what they do not know).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.contracts.json_schema import Direction

Schema = dict[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_COMPARED = {
    *_LOWER,
    *_UPPER,
    *("$ref", "type", "properties", "required", "additionalProperties", "propertyNames"),
    *("items", "enum", "const"),
}
_ALTERNATIVES = ("anyOf", "oneOf")
# Words for people and for code generators; none of them makes a message valid or not.
_REMARKS = {"$schema", "$id", "$defs", "title", "description", "default", "examples"}
_REMARKS |= {"discriminator", "deprecated"}


@dataclass(frozen=True, slots=True)
class Break:
    """One change that somebody's code would not survive."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or '(message)'}: {self.reason}"


def breaks(old: Schema, new: Schema, direction: Direction) -> list[Break]:
    """Every breaking change between two versions of one message's schema."""
    return list(_Comparison(old, new, direction).schemas(old, new, ""))


@dataclass(slots=True)
class _Comparison:
    old_root: Schema
    new_root: Schema
    direction: Direction
    seen: set[tuple[str, str]] = field(default_factory=set)

    @property
    def receiving(self) -> bool:
        return self.direction is Direction.RECEIVED

    def schemas(self, old: Any, new: Any, path: str) -> Iterator[Break]:
        refs = (_ref(old), _ref(new))
        if all(refs):
            if refs in self.seen:
                return  # a recursive type, compared where it was first met
            self.seen.add(refs)
        old, new = _resolve(old, self.old_root), _resolve(new, self.new_root)
        if _has_alternatives(old) or _has_alternatives(new):
            yield from self._alternatives(old, new, path)
            return
        yield from self._types(old, new, path)
        yield from self._values(old, new, path)
        yield from self._bounds(old, new, path)
        yield from self._fields(old, new, path)
        yield from self._parts(old, new, path)
        yield from self._unknown(old, new, path)

    def _alternatives(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        narrow, wide = (old, new) if self.receiving else (new, old)
        for part in _branches(narrow):
            found: list[list[Break]] = []
            for other in _branches(wide):
                pair = (part, other) if self.receiving else (other, part)
                # A trial: what it has seen counts only for itself.
                trial = _Comparison(self.old_root, self.new_root, self.direction, set(self.seen))
                found.append(list(trial.schemas(*pair, path)))
            closest = min(found, key=len)
            if closest and len(_branches(wide)) > 1:
                verb = "no longer accepted" if self.receiving else "may now be sent"
                yield Break(path, f"an alternative is {verb} ({closest[0].reason})")
            else:
                yield from closest

    def _types(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        before, after = _types_of(old), _types_of(new)
        narrow, wide = (before, after) if self.receiving else (after, before)
        if wide is None:
            return
        if narrow is None or not all(_fits(name, wide) for name in narrow):
            yield Break(path, f"type {_names(before)} became {_names(after)}")

    def _values(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        before, after = _values_of(old), _values_of(new)
        if before is None and after is None:
            return
        if before is None:
            if self.receiving:
                yield Break(path, f"only {after} are accepted now")
            return
        if after is None:
            if not self.receiving:
                yield Break(path, "may hold any value now")
            return
        removed = [value for value in before if value not in after]
        if removed:
            yield Break(path, f"values removed: {removed}")
        elif not self.receiving and "const" in old and "const" not in new:
            yield Break(path, f"was always {old['const']!r}")

    def _bounds(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        narrow, wide = (old, new) if self.receiving else (new, old)
        for name in (*_LOWER, *_UPPER):
            if name not in wide:
                continue
            sign = 1 if name in _LOWER else -1
            if name not in narrow or sign * narrow[name] < sign * wide[name]:
                yield Break(path, f"{name} was {old.get(name)}, is {new.get(name)}")

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            below = f"{path}.{name}" if path else name
            if name not in after:
                yield Break(below, "removed")
            else:
                yield from self.schemas(before[name], after[name], below)
        was, now = set(old.get("required", ())), set(new.get("required", ()))
        if self.receiving:
            for name in sorted(now - was):
                yield Break(f"{path}.{name}" if path else name, "became required")
        else:
            for name in sorted((was - now) & set(after)):
                yield Break(f"{path}.{name}" if path else name, "may be absent now")

    def _parts(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        """Items of lists; names and values of maps. Absent and true mean anything."""
        for name, suffix in (
            ("items", "[]"),
            ("propertyNames", "{}"),
            ("additionalProperties", "{}"),
        ):
            before, after = old.get(name, True), new.get(name, True)
            narrow, wide = (before, after) if self.receiving else (after, before)
            if wide is True or narrow is False:
                continue
            if narrow is True or wide is False:
                yield Break(path + suffix, f"{name} {'narrowed' if self.receiving else 'widened'}")
            else:
                yield from self.schemas(before, after, path + suffix)

    def _unknown(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        for name in sorted((old.keys() | new.keys()) - _COMPARED - _REMARKS):
            if old.get(name) != new.get(name):
                yield Break(path, f"{name} was {old.get(name)!r}, is {new.get(name)!r}")


def _ref(schema: Any) -> str:
    return str(schema.get("$ref", "")) if isinstance(schema, dict) else ""


def _resolve(schema: Any, root: Schema) -> Schema:
    found = dict(schema)
    while "$ref" in found:
        node: Any = root
        for part in found.pop("$ref").removeprefix("#/").split("/"):
            node = node[part]
        found = {**node, **found}
    return found


def _branches(schema: Schema) -> list[Schema]:
    beside = {name: value for name, value in schema.items() if name not in _ALTERNATIVES}
    branches = [branch for name in _ALTERNATIVES for branch in schema.get(name, ())]
    return [{**beside, **branch} for branch in branches] or [schema]


def _has_alternatives(schema: Schema) -> bool:
    return any(name in schema for name in _ALTERNATIVES)


def _types_of(schema: Schema) -> list[str] | None:
    found = schema.get("type")
    return [found] if isinstance(found, str) else found


def _fits(name: str, wide: list[str]) -> bool:
    return name in wide or (name == "integer" and "number" in wide)


def _names(types: list[str] | None) -> str:
    return " or ".join(types) if types else "anything"


def _values_of(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found: list[Any] | None = schema.get("enum")
    return found
