"""What we use of aiosmtplib is there, and does what we rely on."""

import asyncio
import inspect
from typing import Any

import aiosmtplib
import pytest
from aiosmtplib.protocol import SMTPProtocol
from relay_world import EXTENSIONS
from smtp_sink import SmtpSink

pytestmark = pytest.mark.anyio


def test_the_library_has_what_we_use_of_it() -> None:
    smtp = aiosmtplib.SMTP(hostname="localhost", start_tls=False, timeout=None)
    assert (smtp.protocol, smtp.transport, smtp.is_connected) == (None, None, False)
    assert smtp.server_auth_methods == []
    assert not smtp.supports_extension("PIPELINING")
    for name in ("connect", "ehlo", "starttls", "auth_plain", "auth_login", "auth_crammd5"):
        assert inspect.iscoroutinefunction(getattr(smtp, name)), name
    assert "timeout" in inspect.signature(smtp.starttls).parameters
    assert list(inspect.signature(smtp.auth_plain).parameters)[:2] == ["username", "password"]
    for name in ("data_received", "eof_received", "connection_lost"):
        assert callable(getattr(SMTPProtocol, name)), name


def test_the_librarys_errors_are_what_we_take_them_for() -> None:
    assert issubclass(aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPResponseException)
    assert issubclass(aiosmtplib.SMTPTimeoutError, (TimeoutError, aiosmtplib.SMTPException))
    assert aiosmtplib.SMTPHeloError(554, "no").code == 554
    assert aiosmtplib.SMTPException("why").message == "why"


class _Listener(asyncio.Protocol):
    def __init__(self) -> None:
        self.heard = b""
        self.something = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.something.set()


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["clear", "starttls"])
async def test_its_transport_can_be_taken_over(certificate: Any, is_encrypted: bool) -> None:
    async with SmtpSink(
        tls=certificate.server if is_encrypted else None, extensions=(*EXTENSIONS, "PIPELINING")
    ) as sink:
        smtp = aiosmtplib.SMTP(
            hostname="localhost",
            port=sink.port,
            start_tls=False,
            tls_context=certificate.client,
            timeout=None,
        )
        await smtp.connect()
        await smtp.ehlo()
        if is_encrypted:
            await smtp.starttls(timeout=5)
            assert not smtp.supports_extension("pipelining")
            await smtp.ehlo()
        assert smtp.supports_extension("pipelining")
        transport, listener = smtp.transport, _Listener()
        assert isinstance(transport, asyncio.Transport)
        transport.set_protocol(listener)
        transport.writelines((b"RSET\r\n", b"QUIT\r\n"))
        while not listener.heard.endswith(b"bye\r\n"):
            listener.something.clear()
            await listener.something.wait()
        assert listener.heard == b"250 2.0.0 ok\r\n221 2.0.0 bye\r\n"
        assert transport.get_write_buffer_size() == 0
        transport.abort()
