"""A throwaway certificate authority: certificates of servers and clients, as PEM files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """Signs what it is asked to. `ca_file` is what a client has to trust."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(
            x509.CertificateBuilder()
            .subject_name(self._name)
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        self.ca_file = folder / f"{name}.pem"
        self.ca_file.write_bytes(pem(certificate))

    def issue(
        self,
        name: str,
        *hosts: str,
        password: str | None = None,
        from_: datetime | None = None,
        until: datetime | None = None,
    ) -> Issued:
        """A certificate for these host names or addresses; with a password its key has one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [
            x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            for host in hosts
        ]
        builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = self._sign(builder, from_, until)
        encryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        return Issued(self._folder, name, pem(certificate), key_pem)

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        from_: datetime | None = None,
        until: datetime | None = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            builder.issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(from_ or now - DAY)
            .not_valid_after(until or now + DAY)
            .sign(self._key, hashes.SHA256())
        )


class Issued:
    """`certificate` and `key` apart, and `both` in one file."""

    def __init__(self, folder: Path, name: str, certificate: bytes, key: bytes) -> None:
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        self.both = folder / f"{name}.pem"
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)
        self.both.write_bytes(key + certificate)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
