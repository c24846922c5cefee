"""A relay that hands mail to an SMTP server over kept connections (RFC 5321).

aiosmtplib connects, does TLS and signs in; messages then go by commands on the same connection,
one recipient each. Which reply means what is kit/replies' knowledge. Decides nothing about
trying again.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from contextlib import suppress

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from feedsvc.config import SmtpRelaySettings
from feedsvc.errors import InvalidAddress, RelayUnavailable
from feedsvc.kit.replies import Phase, classify, clean_text
from feedsvc.model.relay import Envelope, Permit, RelayConnection, SendResult, Verdict
from feedsvc.relays.path import encode_path, encode_return_path
from feedsvc.relays.smtp_limits import SmtpLimits

#: What can go wrong on a connection that was fine: lost, too slow, not SMTP.
_FAULTS = (aiosmtplib.SMTPException, OSError, ValueError)


class SmtpRelay:
    """An SMTP server, as configured. `tls_context` stands in for the system's trust."""

    def __init__(
        self,
        settings: SmtpRelaySettings,
        *,
        limits: SmtpLimits | None = None,
        tls_context: ssl.SSLContext | None = None,
        name: str = "smtp",
    ) -> None:
        self.name = name
        self.connections = settings.connections
        self.settings = settings
        self.limits = limits or SmtpLimits()
        self._tls_context = tls_context or _tls_context(settings)

    async def open(self) -> RelayConnection:
        """Connect, upgrade to TLS and sign in, as configured. Raises RelayUnavailable."""
        return _SmtpConnection(self, await self.connect())

    async def connect(self) -> aiosmtplib.SMTP:
        """A session that is ready for MAIL FROM. Raises RelayUnavailable."""
        settings = self.settings
        smtp = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.helo,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            use_tls=settings.tls == "implicit",
            # SECURITY: True fails when STARTTLS is not offered; None would go on in clear.
            start_tls=settings.tls == "required",
            tls_context=self._tls_context,
            timeout=self.limits.command_seconds,
        )
        try:
            async with asyncio.timeout(self.limits.session_seconds):
                await smtp.connect()
                if smtp.is_ehlo_or_helo_needed:
                    # After STARTTLS the extensions are forgotten (RFC 3207 §4.2).
                    await smtp.ehlo()
        except (*_FAULTS, TimeoutError) as error:
            smtp.close()
            reason = _say(error)
            if "STARTTLS" in reason:
                reason += (
                    ' (relay.tls is "required"; "implicit" is for TLS from the first byte, "none"'
                    " for a server on this machine)"
                )
            raise RelayUnavailable(self.name, reason, getattr(error, "code", None)) from error
        except asyncio.CancelledError:
            smtp.close()
            raise
        return smtp


class _SmtpConnection:
    """One session at a time; a session that ended is replaced when the next message comes."""

    def __init__(self, relay: SmtpRelay, smtp: aiosmtplib.SMTP) -> None:
        self._relay = relay
        self._limits = relay.limits
        self._smtp: aiosmtplib.SMTP | None = smtp
        self._handed = 0

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        """Hand one message over, by a fresh session where the last one has ended."""
        try:
            sender, recipient = (
                encode_return_path(envelope.return_path),
                encode_path(envelope.recipient),
            )
        except InvalidAddress as error:
            return SendResult(Verdict.REFUSED, text=str(error))
        if self._handed >= self._relay.settings.messages_per_connection:
            await self.close()
        try:
            protocol = await self._ready()
        except RelayUnavailable as error:
            return SendResult(Verdict.UNAVAILABLE, error.code, error.reason)
        options, missing = self._mail_options(sender + recipient, message)
        if missing:
            return SendResult(Verdict.BLOCKED, text=f"the relay does not offer {missing}")
        # The mark is asked for together with MAIL FROM, so that its commit hides behind the
        # round trip.
        asking = asyncio.ensure_future(permit())
        try:
            result = await self._hand_over(protocol, sender, recipient, options, message, asking)
        except BaseException:
            asking.cancel()
            self._discard()
            raise
        if not asking.done():
            # Refused before the mark was awaited: it must be on record before the refusal is.
            await asyncio.wait([asking])
        return result

    async def close(self) -> None:
        """QUIT, and do not wait long for the answer."""
        if self._smtp is not None and self._smtp.is_connected:
            with suppress(*_FAULTS):
                await self._smtp.quit(timeout=self._limits.quit_seconds)
        self._discard()

    async def _ready(self) -> SMTPProtocol:
        if self._smtp is None or not self._smtp.is_connected or self._smtp.protocol is None:
            self._discard()
            self._smtp = await self._relay.connect()
        protocol = self._smtp.protocol
        if protocol is None:
            raise RelayUnavailable(self._relay.name, "the connection was lost")
        return protocol

    def _mail_options(self, paths: bytes, message: bytes) -> tuple[list[bytes], str | None]:
        """Parameters of MAIL FROM, and what the message needs that is not offered."""
        extensions = self._smtp.esmtp_extensions if self._smtp is not None else {}
        options = [b"SIZE=%d" % len(message)] if "size" in extensions else []
        if not message.isascii():
            if "8bitmime" not in extensions:
                return options, "8BITMIME"
            options.append(b"BODY=8BITMIME")
        if not paths.isascii():
            if "smtputf8" not in extensions:
                return options, "SMTPUTF8, which this address needs"
            options.append(b"SMTPUTF8")
        return options, None

    async def _hand_over(
        self,
        protocol: SMTPProtocol,
        sender: bytes,
        recipient: bytes,
        options: list[bytes],
        message: bytes,
        asking: Awaitable[bool],
    ) -> SendResult:
        seconds = self._limits.command_seconds
        try:
            try:
                reply = await protocol.execute_command(
                    b"MAIL", b"FROM:" + sender, *options, timeout=seconds
                )
            except aiosmtplib.SMTPServerDisconnected:
                if not self._handed:
                    raise
                # QUIRK: some providers close without a word after so many messages, or when idle.
                protocol = await self._ready()
                reply = await protocol.execute_command(
                    b"MAIL", b"FROM:" + sender, *options, timeout=seconds
                )
            self._handed += 1
            if reply.code != 250:
                return await self._refused(protocol, Phase.MAIL, reply)
            reply = await protocol.execute_command(b"RCPT", b"TO:" + recipient, timeout=seconds)
            if not 250 <= reply.code <= 259:
                return await self._refused(protocol, Phase.RCPT, reply)
            if not await asking:
                await self._reset(protocol)
                return SendResult(Verdict.WITHHELD)
            reply = await protocol.execute_command(b"DATA", timeout=seconds)
            if reply.code != 354:
                return await self._refused(protocol, Phase.DATA, reply)
            protocol.write(stuff_dots(message))
        except (*_FAULTS, RelayUnavailable) as error:
            # Not one octet of the message has been written: certainly not sent.
            self._discard()
            return SendResult(Verdict.UNAVAILABLE, getattr(error, "code", None), _say(error))
        return await self._await_verdict(protocol)

    async def _await_verdict(self, protocol: SMTPProtocol) -> SendResult:
        """The reply to the dot; without one nobody knows (RFC 1047)."""
        try:
            reply = await protocol.read_response(timeout=self._limits.dot_seconds)
        except _FAULTS as error:
            self._discard()
            return SendResult(Verdict.UNKNOWN, text=f"no reply to the final dot: {_say(error)}")
        result = classify(Phase.DOT, reply.code, reply.message)
        if result.verdict is Verdict.UNKNOWN or reply.code == 421 or _is_writing(protocol):
            self._discard()
        return result

    async def _refused(
        self, protocol: SMTPProtocol, phase: Phase, reply: aiosmtplib.SMTPResponse
    ) -> SendResult:
        result = classify(phase, reply.code, reply.message)
        if result.verdict is Verdict.UNAVAILABLE:
            self._discard()
        else:
            await self._reset(protocol)
        return result

    async def _reset(self, protocol: SMTPProtocol) -> None:
        """Make the session ready for the next message, or end it."""
        try:
            reply = await protocol.execute_command(b"RSET", timeout=self._limits.command_seconds)
        except _FAULTS:
            self._discard()
        else:
            if reply.code != 250:
                self._discard()

    def _discard(self) -> None:
        """Drop the connection without a word: whatever it would still say is in doubt."""
        if self._smtp is not None:
            self._smtp.close()
        self._smtp, self._handed = None, 0


def stuff_dots(message: bytes) -> bytes:
    """The message as DATA wants it: dots doubled at line starts, ended by the dot's own line.

    SECURITY: `message` must hold no CR or LF but in CRLF; else a server that takes a bare LF for
    a line end could read a second message (CVE-2023-51764 and its kin). What is not clean is
    mended here rather than trusted.
    """
    if message.count(b"\n") != (pairs := message.count(b"\r\n")) or message.count(b"\r") != pairs:
        message = b"\r\n".join(message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + b".\r\n"


def _is_writing(protocol: SMTPProtocol) -> bool:
    transport = protocol.transport
    return isinstance(transport, asyncio.WriteTransport) and bool(transport.get_write_buffer_size())


def _tls_context(settings: SmtpRelaySettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not settings.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _say(error: BaseException) -> str:
    """One line on what went wrong; the code too, where the server gave one."""
    if isinstance(error, RelayUnavailable):
        return error.reason
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return clean_text(f"user name or password refused: {error.code} {error.message}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return clean_text(f"{error.code} {error.message}")
    if isinstance(error, TimeoutError) and not str(error):
        return "too slow"
    return clean_text(str(error)) or type(error).__name__
