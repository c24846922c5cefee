"""Permits, a server of each way of talking, and certificates to test TLS with."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from relay_world import offers
from smtp_sink import SmtpSink


@dataclass
class PermitDesk:
    """Hands out permits and remembers the asking."""

    answer: bool = True
    asked: int = 0
    log: list[str] = field(default_factory=list)

    async def __call__(self) -> bool:
        self.asked += 1
        return self.answer


@pytest.fixture
def permit() -> PermitDesk:
    return PermitDesk()


@pytest.fixture(params=["singly", "pipelined"])
async def sink(request: pytest.FixtureRequest) -> AsyncIterator[SmtpSink]:
    """A server that takes commands one by one, and one that takes them in groups."""
    async with SmtpSink(extensions=offers(request.param)) as sink:
        yield sink


@dataclass
class Certificate:
    """A self-signed certificate, for both ends of a connection."""

    server: ssl.SSLContext
    #: Trusts it.
    client: ssl.SSLContext


def _make_certificate(folder: Path, name: str, ends: timedelta) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return Certificate(server, ssl.create_default_context(cafile=str(file)))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Good for localhost."""
    return _make_certificate(tmp_path_factory.mktemp("tls"), "localhost", timedelta(days=2))


@pytest.fixture(scope="session")
def expired_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Was good for localhost until yesterday."""
    return _make_certificate(tmp_path_factory.mktemp("tls"), "localhost", timedelta(days=-1))
