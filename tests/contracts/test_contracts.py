"""The committed contracts are what the code says, are valid, and break nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

from app.contracts.asyncapi import CLOSE_CODES
from app.contracts.export import contracts, documents, export, render
from app.contracts.json_schema import Direction
from app.kafka.topics import catalogue
from app.settings import KafkaSettings
from schemas.wire.errors import CloseCode
from tests.contracts.compatibility import breaks
from tests.schemas.examples import EXAMPLES

COMMITTED = Path(__file__).parents[2] / "contracts"
BASELINE = COMMITTED / "baseline"
CONTRACTS = {contract.path: contract for contract in contracts()}
ASYNCAPI = documents()["asyncapi.json"]
OPENAPI = documents()["openapi.json"]

# Every keyword that our schemas may use. A misplaced pydantic constraint shows up
# as an unknown one ("ge"), which every validator would silently ignore.
KEYWORDS = set(Draft202012Validator.VALIDATORS) | {
    *("$schema", "$id", "$defs", "title", "description", "default", "discriminator")
}


def committed(directory: Path) -> set[str]:
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*.json")}
    return {path for path in found if not path.startswith("baseline/")}


# -- drift --------------------------------------------------------------------------------


def test_the_committed_files_are_what_the_code_says():
    generated = {path: render(document) for path, document in documents().items()}

    assert committed(COMMITTED) == set(generated), "files differ: run `make schemas`, commit"
    for path, text in generated.items():
        on_disk = (COMMITTED / path).read_text(encoding="utf-8")
        assert on_disk == text, f"contracts/{path} is out of date: run `make schemas`, commit"


def test_export_is_stable_and_does_not_depend_on_the_environment(tmp_path, monkeypatch):
    export(tmp_path / "first")
    monkeypatch.setenv("MASTERX_KAFKA__PARTITIONS", "3")
    monkeypatch.setenv("MASTERX_GATEWAY__PORT", "9")
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    written = export(tmp_path / "second")

    assert [path.relative_to(tmp_path / "second").as_posix() for path in written] == sorted(
        documents()
    )
    for path in written:
        twin = tmp_path / "first" / path.relative_to(tmp_path / "second")
        assert path.read_bytes() == twin.read_bytes()
        assert path.read_bytes().endswith(b"}\n")


# -- JSON Schema --------------------------------------------------------------------------


def keywords(schema: Any) -> Iterator[str]:
    """Every keyword in a schema; names of properties and definitions are not keywords."""
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        yield keyword
        if keyword in ("properties", "$defs"):
            for below in value.values():
                yield from keywords(below)
        elif keyword in ("anyOf", "oneOf", "allOf"):
            for below in value:
                yield from keywords(below)
        elif keyword in ("items", "additionalProperties", "propertyNames"):
            yield from keywords(value)


@pytest.mark.parametrize("path", CONTRACTS)
def test_a_schema_is_valid_and_says_only_what_validators_read(path):
    schema = json.loads((COMMITTED / path).read_text(encoding="utf-8"))

    Draft202012Validator.check_schema(schema)

    assert set(keywords(schema)) <= KEYWORDS
    assert schema["$id"].startswith("urn:masterx:")
    assert schema["description"], "a contract says what it is for"


@pytest.mark.parametrize("path", CONTRACTS)
def test_a_real_message_satisfies_its_schema(path):
    contract = CONTRACTS[path]
    validator = Draft202012Validator(contract.json_schema())
    examples = EXAMPLES[contract.model]
    assert examples

    for message in examples:
        validator.validate(json.loads(message.json_bytes()))


@pytest.mark.parametrize("path", [p for p, c in CONTRACTS.items() if c.direction is Direction.SENT])
def test_a_sent_message_without_a_required_field_does_not(path):
    contract = CONTRACTS[path]
    schema = contract.json_schema()
    document = json.loads(EXAMPLES[contract.model][0].json_bytes())

    for name in schema["required"]:
        less = {key: value for key, value in document.items() if key != name}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(less, schema)


def test_every_topic_with_a_schema_and_no_other_has_a_contract():
    named = {topic.name for topic in catalogue(KafkaSettings()) if topic.schema}

    assert named == {
        path.removeprefix("topics/").removesuffix(".json")
        for path in CONTRACTS
        if path.startswith("topics/")
    }


def test_fields_are_written_in_camel_case():
    for contract in CONTRACTS.values():
        schema = contract.json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            assert not [name for name in part.get("properties", {}) if "_" in name]


# -- AsyncAPI -----------------------------------------------------------------------------


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str, document: Any = ASYNCAPI) -> Any:
    assert reference.startswith("#/"), f"{reference} points outside the document"
    node = document
    for part in reference.removeprefix("#/").split("/"):
        assert part in node, f"{reference} points nowhere"
        node = node[part]
    return node


def test_every_reference_resolves():
    found = set(references(ASYNCAPI))

    assert found
    for reference in found:
        resolve(reference)


def test_every_channel_has_an_address_a_server_and_messages_with_payloads():
    for name, channel in ASYNCAPI["channels"].items():
        assert channel["address"], name
        assert channel["servers"], name
        assert channel["messages"], name
        for message in channel["messages"].values():
            payload = resolve(resolve(message["$ref"])["payload"]["$ref"])
            assert payload["type"] == "object", name


def test_every_operation_points_to_messages_of_its_channel():
    for name, operation in ASYNCAPI["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        for part in (operation, *([operation["reply"]] if "reply" in operation else [])):
            channel = part["channel"]["$ref"]
            resolve(channel)
            assert part["messages"], name
            for message in part["messages"]:
                assert message["$ref"].startswith(f"{channel}/messages/"), name


def test_every_message_of_a_channel_is_part_of_an_operation():
    used = set(references(ASYNCAPI["operations"]))
    for channel, found in ASYNCAPI["channels"].items():
        for message in found["messages"]:
            assert f"#/channels/{channel}/messages/{message}" in used


def test_payloads_are_valid_schemas():
    for schema in ASYNCAPI["components"]["schemas"].values():
        # AsyncAPI's default schema format is a superset of draft 07.
        jsonschema.Draft7Validator.check_schema(schema)
        assert set(keywords(schema)) <= KEYWORDS


def test_the_socket_has_both_directions_its_security_and_its_close_codes():
    actions = {
        operation["action"]
        for operation in ASYNCAPI["operations"].values()
        if operation["channel"]["$ref"] == "#/channels/socket"
    }
    codes = {value for name, value in vars(CloseCode).items() if name.isupper()}

    assert actions == {"send", "receive"}
    assert {
        ref["$ref"].rsplit("/", 1)[1] for ref in ASYNCAPI["servers"]["gateway"]["security"]
    } == {*ASYNCAPI["components"]["securitySchemes"]}
    assert codes == set(CLOSE_CODES)
    assert set(ASYNCAPI["channels"]["socket"]["x-close-codes"]) == {str(int(c)) for c in codes}


@pytest.mark.parametrize("topic", catalogue(KafkaSettings()), ids=lambda topic: topic.name)
def test_retention_and_compaction_are_those_of_the_catalogue(topic):
    if topic.schema is None:
        assert topic.name not in ASYNCAPI["channels"], "a changelog is nobody else's business"
        return
    binding = ASYNCAPI["channels"][topic.name]["bindings"]["kafka"]["topicConfiguration"]
    config = topic.config(KafkaSettings())

    assert ("compact" in binding["cleanup.policy"]) == topic.compacted
    assert str(binding.get("retention.ms")) == config.get("retention.ms", "None")
    assert str(binding["max.message.bytes"]) == config["max.message.bytes"]


# -- OpenAPI ------------------------------------------------------------------------------


def test_every_reference_of_the_rest_document_resolves():
    found = set(references(OPENAPI))

    assert found
    for reference in found:
        resolve(reference, OPENAPI)


def test_the_rest_document_is_openapi_3_1_with_valid_schemas():
    assert OPENAPI["openapi"].startswith("3.1.")
    for schema in OPENAPI["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_path_of_a_learner_needs_a_token_and_names_its_refusals():
    learners = [path for path in OPENAPI["paths"] if path.startswith("/api/")]

    assert learners
    for path in learners:
        for operation in OPENAPI["paths"][path].values():
            assert operation["security"] == [{"bearer": []}], path
            assert {"401", "403", "429"} <= set(operation["responses"]), path


# -- backward compatibility ---------------------------------------------------------------


def test_the_baseline_holds_contracts():
    assert {path.split("/")[0] for path in committed(BASELINE)} == {"topics", "readers", "wire"}


@pytest.mark.parametrize("path", sorted(committed(BASELINE)))
def test_nothing_released_is_broken(path):
    assert path in CONTRACTS, f"contracts/{path} was released and is gone"
    old = json.loads((BASELINE / path).read_text(encoding="utf-8"))

    found = breaks(old, CONTRACTS[path].json_schema(), CONTRACTS[path].direction)

    assert not found, "\n".join(map(str, found))
