"""TLS as a client sees it: the certificates to show and to trust, and what a handshake failed of.

Kafka's, Redis' and MongoDB's clients wrap OpenSSL's errors each in its own way, but keep its words;
`fault_of` reads those.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from app.process.errors import Misconfigured


class UnusableFile(Misconfigured):
    """A certificate or key that cannot be read, or used. The text names setting and path."""


def client_context(
    prefix: str,
    *,
    ca_file: Path | None,
    certificate_file: Path | None = None,
    key_file: Path | None = None,
    key_password: SecretStr | None = None,
) -> ssl.SSLContext:
    """TLS 1.2 or later; the server's certificate and host name are always checked.

    Args:
        prefix: of the settings' variables, e.g. MASTERX_KAFKA__; for errors.

    Raises:
        UnusableFile
    """
    context = _trusting(f"{prefix}CA_FILE", ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        # Never OpenSSL's own question on the terminal: a service has none.
        password = "" if key_password is None else key_password.get_secret_value()
        try:
            context.load_cert_chain(certificate_file, key_file, lambda: password)
        except (OSError, ValueError) as error:
            raise UnusableFile(
                _of_chain(prefix, certificate_file, key_file, error, protected=bool(password))
            ) from error
    return context


def _trusting(setting: str, ca_file: Path | None) -> ssl.SSLContext:
    """A context that trusts these authorities and no others; None: those of the system."""
    if ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError as error:
        raise UnusableFile(f"{setting}: {ca_file} holds no PEM certificate") from error
    except OSError as error:
        raise UnusableFile(f"{setting}: cannot read {ca_file}: {error.strerror}") from error


def _of_chain(
    prefix: str, certificate: Path, key: Path | None, error: Exception, *, protected: bool
) -> str:
    for setting, path in (("CERTIFICATE_FILE", certificate), ("KEY_FILE", key)):
        if path is not None:
            try:
                path.read_bytes()
            except OSError as unreadable:
                return f"{prefix}{setting}: cannot read {path}: {unreadable.strerror}"
    holds_key, key_setting = key or certificate, "KEY_FILE" if key else "CERTIFICATE_FILE"
    if "KEY_VALUES_MISMATCH" in str(error):
        return f"{prefix}{key_setting}: the key in {holds_key} is not that of {certificate}"
    if b"ENCRYPTED" in holds_key.read_bytes():
        said = "does not open" if protected else "is not set, and needed for"
        return f"{prefix}KEY_PASSWORD {said} the key in {holds_key}"
    if b"PRIVATE KEY" not in holds_key.read_bytes():
        return f"{prefix}{key_setting}: {holds_key} holds no PEM key" + (
            "" if key else f"; set {prefix}KEY_FILE" if prefix.endswith("KAFKA__") else ""
        )
    return f"{prefix}CERTIFICATE_FILE: {certificate} holds no PEM certificate that can be used"


Kind = Literal["authority", "host", "expired", "own", "plain"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a handshake failed.

    Attributes:
        kind: authority: nobody trusted signed the server's certificate; host: it is another
            host's; expired: its time is over, or has not begun; own: the server wants a
            certificate, or not this one; plain: the server does not speak TLS there.
        reason: a sentence for the operator.
    """

    kind: Kind
    reason: str


_FAULTS: Final[tuple[tuple[Kind, str, str], ...]] = (
    (
        "host",
        r"hostname mismatch|ip address mismatch|doesn't match|is not valid for",
        "its certificate is for another host name; name it here as its certificate does",
    ),
    ("expired", r"certificate has expired|not yet valid", "its certificate has expired; renew it"),
    (
        "authority",
        r"certificate_?\s?verify_?\s?failed",
        "no authority that is trusted here signed its certificate; name the one that did",
    ),
    (
        "own",
        r"alert[_ ](certificate|bad|unknown|unsupported|access|handshake|no)"
        r"|certificate[_ ]required|decrypt[_ ]error",
        "it refuses the certificate of this client, or asks for one; name one that it trusts",
    ),
    (
        "plain",
        r"wrong[_ ]version[_ ]number|record[_ ]layer[_ ]failure",
        "it does not speak TLS at this port",
    ),
)


def fault_of(error: BaseException) -> Fault | None:
    """What went wrong in a TLS handshake; None where it was something else."""
    text = " ".join(_texts(error)).lower()
    for kind, words, reason in _FAULTS:
        if re.search(words, text):
            return Fault(kind, reason)
    return None


def _texts(error: BaseException | None) -> list[str]:
    found: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        found.append(str(error))
        error = error.__cause__ or error.__context__
    return found
