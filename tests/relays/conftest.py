"""A message, permits, and a certificate to test TLS with."""

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from smtp_sink import SmtpSink

from feedsvc.model.relay import Envelope

ALICE = Envelope("b+1@example.com", "alice@example.com")
MESSAGE = (
    b"From: News <news@example.com>\r\nTo: alice@example.com\r\n"
    b"Date: Sun, 22 Nov 2026 06:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
    b"Subject: News\r\n\r\n.a line with a dot\r\n..two\r\n\r\n.\r\nend\r\n"
)


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


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with SmtpSink() as sink:
        yield sink


@dataclass
class Certificate:
    """A self-signed certificate for localhost, both ends of it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl: TLS to relays is not tested")
    folder: Path = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    client = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    return Certificate(server, client)
