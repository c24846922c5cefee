"""A relay that hands mail to an SMTP server over kept connections (RFC 5321).

One recipient a message; MAIL, RCPT and DATA go together where the server offers PIPELINING
(RFC 2920). Which reply means what is kit/replies' knowledge. Decides nothing about trying again.
"""

import ssl
import time
from collections.abc import Callable

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.errors import RelayUnavailable
from feedsvc.kit.replies import Phase, classify
from feedsvc.model.relay import Envelope, Permit, RelayConnection, SendResult, Verdict
from feedsvc.relays.smtp_channel import SmtpChannel
from feedsvc.relays.smtp_limits import SmtpLimits
from feedsvc.relays.smtp_order import Order, write_down
from feedsvc.relays.smtp_replies import Reply
from feedsvc.relays.smtp_session import SmtpSession, open_session

#: What a message is announced with, and the replies after which it goes on.
_STEPS = (
    (Phase.MAIL, range(250, 251)),
    (Phase.RCPT, range(250, 260)),
    (Phase.DATA, range(354, 355)),
)
#: The server waits for content (RFC 5321 §3.3).
_LISTENING = 354


class SmtpRelay:
    """An SMTP server, as configured. `tls_context` stands in for the system's trust."""

    def __init__(
        self,
        settings: SmtpRelaySettings,
        *,
        limits: SmtpLimits | None = None,
        tls_context: ssl.SSLContext | None = None,
        name: str = "smtp",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.connections = settings.connections
        self.first_connections = min(settings.first_connections, settings.connections)
        self.idle_seconds = settings.idle_seconds
        self.settings = settings
        self.limits = limits or SmtpLimits()
        self.monotonic = monotonic
        self._tls_context = tls_context or _tls_context(settings)

    async def open(self) -> RelayConnection:
        """Connect, upgrade to TLS and sign in, as configured. Raises RelayUnavailable."""
        return _SmtpConnection(self, await self.open_session())

    async def open_session(self) -> SmtpSession:
        """A session that is ready for MAIL FROM. Raises RelayUnavailable."""
        return await open_session(self.name, self.settings, self.limits, self._tls_context)


class _SmtpConnection:
    """One session at a time; a session that ended is replaced when the next message comes."""

    def __init__(self, relay: SmtpRelay, session: SmtpSession) -> None:
        self._relay = relay
        limits = self._limits = relay.limits
        self._step_limits = (limits.mail_seconds, limits.rcpt_seconds, limits.data_seconds)
        self._session: SmtpSession | None = None
        self._handed = 0
        self._ends_at = 0.0
        self._keep(session)

    @property
    def is_usable(self) -> bool:
        """The session stands and may carry another message."""
        return self._session is not None and self._session.channel.is_open and not self._is_spent()

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        """Hand one message over, by a fresh session where the last one has ended."""
        order = write_down(envelope, message)
        if isinstance(order, SendResult):
            return order
        is_permitted: bool | None = None
        try:
            while True:
                session = self._session
                if session is None or not self.is_usable:
                    session = await self._renew()
                is_kept = self._handed > 0
                if problem := order.find_missing(session):
                    return problem
                commands = order.compose(session)
                self._announce(session, commands)
                if is_permitted is None:
                    # Asked for once MAIL FROM is on its way, so that its commit hides behind the
                    # round trip; it is on record before any reply is acted upon.
                    is_permitted = await permit()
                if not is_permitted:
                    return await self._withhold(session)
                replies = await self._collect(session, commands)
                # QUIRK: some providers close without a word after so many messages, or when idle.
                if replies or not is_kept or not session.channel.is_dropped:
                    return await self._judge(session.channel, order, replies)
        except RelayUnavailable as error:
            return SendResult(Verdict.UNAVAILABLE, error.code, error.reason)
        except BaseException:
            self._discard()
            raise

    async def close(self) -> None:
        """QUIT, and do not wait long for the answer."""
        session, self._session = self._session, None
        if session is None:
            return
        channel = session.channel
        if channel.is_open:
            channel.write(b"QUIT\r\n", (self._limits.quit_seconds,))
            try:
                await channel.replies()
            finally:
                channel.close()

    def _keep(self, session: SmtpSession) -> None:
        self._session, self._handed = session, 0
        self._ends_at = self._relay.monotonic() + self._relay.settings.connection_seconds

    def _is_spent(self) -> bool:
        return (
            self._handed >= self._relay.settings.messages_per_connection
            or self._relay.monotonic() >= self._ends_at
        )

    async def _renew(self) -> SmtpSession:
        """A fresh session in place of the last. Raises RelayUnavailable."""
        await self.close()
        session = await self._relay.open_session()
        self._keep(session)
        return session

    def _announce(self, session: SmtpSession, commands: tuple[bytes, ...]) -> None:
        """Say what is coming; all of it at once where the server can read it so."""
        if session.has_pipelining:
            session.channel.write(b"".join(commands), self._step_limits)
        else:
            session.channel.write(commands[0], self._step_limits[:1])

    async def _collect(self, session: SmtpSession, commands: tuple[bytes, ...]) -> list[Reply]:
        """Replies to MAIL, RCPT and DATA; where they go singly, up to the first refusal."""
        channel = session.channel
        replies = await channel.replies()
        if not session.has_pipelining:
            for number in (1, 2):
                if len(replies) < number or replies[-1].code not in _STEPS[number - 1][1]:
                    break
                channel.write(commands[number], self._step_limits[number : number + 1])
                replies += await channel.replies()
        if replies:
            self._handed += 1
        return replies

    async def _judge(self, channel: SmtpChannel, order: Order, replies: list[Reply]) -> SendResult:
        """Stop at the first refusal; where there is none, hand the content over."""
        for (phase, welcome), reply in zip(_STEPS, replies, strict=False):
            if reply.code not in welcome:
                result = classify(phase, reply.code, reply.text)
                if result.verdict is Verdict.UNAVAILABLE or replies[-1].code == _LISTENING:
                    # A server that listens though nobody was taken must not hear a message
                    # (RFC 2920 §3.1); without one it has nothing to keep.
                    self._discard()
                else:
                    await self._reset(channel)
                return result
        if len(replies) < len(_STEPS) or channel.problem is not None:
            # Not one octet of the message has been written: certainly not sent.
            self._discard()
            return SendResult(Verdict.UNAVAILABLE, channel.closing_code, channel.problem or "")
        return await self._hand_over(channel, order.content)

    async def _hand_over(self, channel: SmtpChannel, content: bytes) -> SendResult:
        """Write the content; after that only a reply tells, without one nobody knows (RFC 1047)."""
        channel.write_content(content, self._limits.dot_seconds)
        replies = await channel.replies()
        if not replies:
            self._discard()
            return SendResult(Verdict.UNKNOWN, text=f"no reply to the final dot: {channel.problem}")
        result = classify(Phase.DOT, replies[0].code, replies[0].text)
        if not channel.is_open or result.verdict is Verdict.UNKNOWN:
            self._discard()
        elif channel.is_writing:
            self._discard()
            if result.verdict is Verdict.ACCEPTED:
                return SendResult(Verdict.UNKNOWN, result.code, "taken before it was all written")
        return result

    async def _withhold(self, session: SmtpSession) -> SendResult:
        """Nothing may be sent: take MAIL back, or leave where the server listens already."""
        if session.has_pipelining or not await session.channel.replies():
            self._discard()
        else:
            await self._reset(session.channel)
        return SendResult(Verdict.WITHHELD)

    async def _reset(self, channel: SmtpChannel) -> None:
        """Make the session ready for the next message, or end it."""
        if channel.is_open:
            channel.write(b"RSET\r\n", (self._limits.reset_seconds,))
            replies = await channel.replies()
            if replies and replies[0].code == 250:
                return
        self._discard()

    def _discard(self) -> None:
        """Drop the connection without a word: whatever it would still say is in doubt."""
        session, self._session = self._session, None
        if session is not None:
            session.channel.abort()


def _tls_context(settings: SmtpRelaySettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not settings.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
