"""Every MongoDB client that masterx opens.

Errors:
    Rejected       the server answers and does not take this client: certificate, user, password
    UnusableFile   a certificate that cannot be read
"""

from __future__ import annotations

from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure

from app.mongo.settings import PREFIX, MongoSettings
from app.process.errors import Rejected
from app.process.tls import client_context, fault_of

SETTING: Final = f"{PREFIX}URL"
_AUTHENTICATION_FAILED: Final = frozenset({11, 18, 8000})
"""UserNotFound, AuthenticationFailed, AtlasError (of a login)."""

Client = AsyncMongoClient[dict[str, Any]]


def connect(
    settings: MongoSettings, *, find_within: float, answer_within: float | None = None
) -> Client:
    """A client. Opens nothing yet; close it with `close`.

    Args:
        find_within: seconds to find the server and to open a connection.
        answer_within: seconds for one answer; None: no limit of its own.

    Raises:
        Rejected: the URL cannot be used.
        UnusableFile
    """
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": int(find_within * 1000),
        "connectTimeoutMS": int(find_within * 1000),
    }
    if answer_within is not None:
        options["socketTimeoutMS"] = int(answer_within * 1000)
    if settings.tls:
        options["tls"] = True
    if settings.ca_file is not None or settings.certificate_file is not None:
        # PyMongo reads them, too, but does not say which setting named them.
        client_context(PREFIX, ca_file=settings.ca_file, certificate_file=settings.certificate_file)
    if settings.ca_file is not None:
        options["tlsCAFile"] = str(settings.ca_file)
    if settings.certificate_file is not None:
        options["tlsCertificateKeyFile"] = str(settings.certificate_file)
    try:
        return AsyncMongoClient(settings.url, **options)
    except (ConfigurationError, InvalidURI, ValueError) as error:
        # Its text may hold a part of the URL, and so of the password.
        reason = f"the URL cannot be used ({type(error).__name__}); escape user and password"
        raise Rejected("MongoDB", settings.url, reason, SETTING) from None


def rejection(settings: MongoSettings, error: Exception) -> Rejected | None:
    """What to put right, where an error says that waiting does not help; None where it may."""
    found = trouble(error)
    return None if found is None else Rejected("MongoDB", settings.url, found[1], found[0])


def trouble(error: Exception) -> tuple[str, str] | None:
    """The setting that a refused connection is due to, and the reason; None for another error."""
    if isinstance(error, OperationFailure):
        # Raised while connecting, so without a command of ours: the server refuses the login.
        if error.code in _AUTHENTICATION_FAILED:
            return SETTING, "it refuses this user or password"
        return None
    fault = fault_of(error)
    if fault is None:
        return None
    setting = {"authority": "CA_FILE", "own": "CERTIFICATE_FILE", "plain": "TLS"}
    return PREFIX + setting.get(fault.kind, "URL"), fault.reason
