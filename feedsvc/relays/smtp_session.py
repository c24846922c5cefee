"""From a host name to a session that is ready for MAIL FROM: aiosmtplib connects, does TLS and
signs in; a channel of ours then takes its transport over.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.errors import RelayUnavailable
from feedsvc.relays.smtp_channel import SmtpChannel
from feedsvc.relays.smtp_limits import SmtpLimits
from feedsvc.relays.smtp_replies import MalformedReply, Reply, ReplyParser
from feedsvc.relays.smtp_words import say_failure

#: Ways to sign in, the one that works everywhere first.
_SIGN_IN = ("plain", "login", "cram-md5")
#: "Not this way": the server names a way to sign in that it does not have.
_NO_SUCH_WAY = frozenset({500, 502, 504, 534})


@dataclass(frozen=True, slots=True)
class SmtpSession:
    """A channel, and what the server at its end offers (RFC 5321 §2.2)."""

    channel: SmtpChannel
    has_pipelining: bool
    has_size: bool
    has_8bitmime: bool
    has_smtputf8: bool


async def open_session(
    relay: str, settings: SmtpRelaySettings, limits: SmtpLimits, context: ssl.SSLContext
) -> SmtpSession:
    """Connect, upgrade to TLS and sign in, as configured. Raises RelayUnavailable."""
    smtp = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        local_hostname=settings.helo,
        use_tls=settings.tls == "implicit",
        start_tls=False,
        tls_context=context,
        timeout=None,
    )
    try:
        async with _limit("opening a session", limits.session_seconds):
            await _connect(smtp, settings, limits)
            async with _limit("EHLO", limits.ehlo_seconds):
                # After STARTTLS what was offered before is forgotten (RFC 3207 §4.2).
                await smtp.ehlo()
            await _sign_in(smtp, settings, limits)
        return _take_over(smtp)
    except (aiosmtplib.SMTPException, OSError, ValueError, _OpeningFailed) as error:
        smtp.close()
        code = getattr(error, "code", None)
        raise RelayUnavailable(relay, say_failure(error), code if code != -1 else None) from error
    except BaseException:
        smtp.close()
        raise


class _OpeningFailed(Exception):
    """The session cannot be opened; the text is for the operator."""


@asynccontextmanager
async def _limit(what: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        if isinstance(error, aiosmtplib.SMTPException):
            raise
        raise _OpeningFailed(f"too slow: {what} took over {seconds:g} s") from error


async def _connect(smtp: aiosmtplib.SMTP, settings: SmtpRelaySettings, limits: SmtpLimits) -> None:
    async with _limit("connecting", limits.connect_seconds):
        await smtp.connect()
    if settings.tls != "required":
        return
    async with _limit("EHLO", limits.ehlo_seconds):
        await smtp.ehlo()
    # SECURITY: never on in clear; whoever sits between us and the server can hide the offer.
    if not smtp.supports_extension("starttls"):
        raise _OpeningFailed(
            'the server does not offer STARTTLS, and tls is "required" ("implicit" is for TLS from'
            ' the first byte, "none" for a server on this machine)'
        )
    watch = _ClearWatch(smtp)
    try:
        async with _limit("TLS", limits.tls_seconds):
            await smtp.starttls(timeout=limits.tls_seconds)
    except Exception:
        watch.check()
        raise
    watch.check()


async def _sign_in(smtp: aiosmtplib.SMTP, settings: SmtpRelaySettings, limits: SmtpLimits) -> None:
    if settings.username is None or settings.password is None:
        return
    ways = [way for way in _SIGN_IN if way in smtp.server_auth_methods]
    if not ways:
        raise _OpeningFailed("the server offers no way to sign in that we know (AUTH)")
    password = settings.password.get_secret_value()
    refused: aiosmtplib.SMTPAuthenticationError | None = None
    for way in ways:
        sign_in = getattr(smtp, f"auth_{way.replace('-', '')}")
        try:
            async with _limit("AUTH", limits.auth_seconds):
                await sign_in(settings.username, password)
            return
        except aiosmtplib.SMTPAuthenticationError as error:
            refused = error
            # A wrong password is said once: servers lock accounts that guess.
            if error.code not in _NO_SUCH_WAY:
                break
    raise refused or _OpeningFailed("AUTH failed")


def _transport(smtp: aiosmtplib.SMTP) -> asyncio.Transport:
    if not smtp.is_connected:
        raise _OpeningFailed("the connection was lost")
    # QUIRK: uvloop's transports have all of asyncio's methods and are no subclass.
    return cast(asyncio.Transport, smtp.transport)


def _take_over(smtp: aiosmtplib.SMTP) -> SmtpSession:
    """From here on the library knows nothing of what happens on its transport."""
    transport = _transport(smtp)
    channel = SmtpChannel(transport)
    transport.set_protocol(channel)
    return SmtpSession(
        channel,
        has_pipelining=smtp.supports_extension("pipelining"),
        has_size=smtp.supports_extension("size"),
        has_8bitmime=smtp.supports_extension("8bitmime"),
        has_smtputf8=smtp.supports_extension("smtputf8"),
    )


class _ClearWatch(asyncio.Protocol):
    """Looks at what still comes in clear once STARTTLS is said, and passes it on.

    SECURITY: octets behind the answer were put there by somebody who wants them read as if they
    had come through TLS (CVE-2011-0411 and its kin). The library drops them; we leave.
    """

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        transport = _transport(smtp)
        self.has_extra = False
        self._inner = cast(SMTPProtocol, smtp.protocol)
        self._parser = ReplyParser()
        self._replies: list[Reply] = []
        transport.set_protocol(self)

    def check(self) -> None:
        if self.has_extra:
            raise _OpeningFailed(
                "the server's answer to STARTTLS came with more: somebody may sit in between"
            )

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data, self._replies)
        except MalformedReply:
            self.has_extra = bool(self._replies)
        if self._replies and (len(self._replies) > 1 or not self._parser.is_between):
            self.has_extra = True
        self._inner.data_received(data)

    def eof_received(self) -> bool:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
