"""JSON Schema of what passes, as distinct from what pydantic would take or give in Python."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.base import Message


class Direction(StrEnum):
    """Who writes a message, and so which changes break whom."""

    RECEIVED = "received"
    """Others write it, we read it: what was valid must stay valid."""
    SENT = "sent"
    """We write it, others read it: what they found must stay to be found."""

    @property
    def mode(self) -> Literal["validation", "serialization"]:
        """pydantic's name for it."""
        return "validation" if self is Direction.RECEIVED else "serialization"


class AsTransmitted(GenerateJsonSchema):
    """JSON Schema of what passes: in what we send, absent fields are left out, never null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Only what we receive may be null."""
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """What we send has no defaults: a field is there, or it is unknown."""
        found = super().default_schema(schema)
        if self.mode == "serialization" or found.get("default", ...) is None:
            found.pop("default", None)
        return found

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        """What we send holds every field but those that may be None."""
        if self.mode == "serialization":
            return not _may_be_none(field["schema"])
        return super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A property has its name already."""
        return False


def require_type(schema: dict[str, Any]) -> None:
    """A message on the socket is known by its `type`; only in our own code it has a default."""
    if "type" in schema["properties"]:
        schema["required"] = ["type", *(n for n in schema.get("required", []) if n != "type")]


def _may_be_none(schema: Any) -> bool:
    # What runs before validation may well make None of a value.
    while schema["type"] in {"default", "function-before"}:
        schema = schema["schema"]
    return bool(schema["type"] == "nullable")


def type_name(model: type[Message]) -> str:
    """The `type` of a wire message."""
    return str(model.model_fields["type"].default)
