"""What PyMongo raises, told apart by whether another try helps."""

from __future__ import annotations

from typing import Final

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    InvalidOperation,
    OperationFailure,
)

from agents.runtime.retrying import Fatal, Retriable, StoreError
from app.mongo.client import SETTING, trouble

STORE: Final = "mongo"
DUPLICATE: Final = 11000

# Codes by which a server refuses this document, now and for ever: BadValue, FailedToParse,
# TypeMismatch, InvalidBSON, DollarPrefixedFieldName, EmptyFieldName, DottedFieldName,
# DocumentValidationFailure, BSONObjectTooLarge, KeyTooLong; 8 is how nx-27017 says it.
REFUSED: Final = frozenset({2, 8, 9, 14, 22, 52, 56, 57, 121, 10334, 17280})
# Codes by which a server refuses this process, whatever it writes: UserNotFound, Unauthorized,
# AuthenticationFailed, CommandNotFound, ReauthenticationRequired, AtlasError (of a login).
DENIED: Final = frozenset({11, 13, 18, 59, 391, 8000})
FULL: Final = frozenset({14031, 12501})
"""OutOfDiskSpace, and a quota of space."""


def meaning(error: Exception) -> StoreError:
    """The kind of what PyMongo (or the network) raised. Its text names no value."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, ConfigurationError | InvalidOperation):
        return Fatal(STORE, f"{type(error).__name__}: {error}", SETTING)
    if isinstance(error, BulkWriteError):
        failures = [*error.details["writeErrors"], *error.details["writeConcernErrors"]]
        codes = {failure.get("code") for failure in failures}
    elif isinstance(error, OperationFailure):
        codes = {error.code}
    elif (found := trouble(error)) is not None:
        return Fatal(STORE, found[1], found[0])
    else:
        return Retriable(STORE, f"no answer ({type(error).__name__})")
    said = f"{type(error).__name__}, code {' '.join(map(str, codes))}"
    if codes & DENIED:
        return Fatal(STORE, f"it refuses this user or command: {said}", SETTING)
    return Retriable(STORE, f"its disk is full: {said}" if codes & FULL else said)
