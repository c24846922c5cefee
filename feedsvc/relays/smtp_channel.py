"""Commands and replies on a transport that somebody else opened: one asyncio protocol.

Writes what it is given, collects as many replies as are due, and ends the connection when one
does not come in time, is none, or comes unasked. Knows nothing of messages and their outcomes.
"""

import asyncio
from collections.abc import Sequence

from feedsvc.kit.replies import clean_text
from feedsvc.relays.smtp_replies import MalformedReply, Reply, ReplyParser

#: "I am closing this session", wherever it comes (RFC 5321 §3.8).
CLOSING = 421
# SECURITY: taken for the answer to what is written next, it could call a message sent.
_UNASKED = "a reply that nobody asked for"


class SmtpChannel(asyncio.Protocol):
    """One connection, used by one task at a time. `problem` says why it has ended, if it has."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.problem: str | None = None
        #: The other side left without a word.
        self.is_dropped = False
        #: 421 where the other side said that it leaves.
        self.closing_code: int | None = None
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parser = ReplyParser()
        self._replies: list[Reply] = []
        #: Seconds for each reply that is due; as many replies as this is long.
        self._limits: Sequence[float] = ()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Commands can be written, as far as we know."""
        return self.problem is None

    @property
    def is_writing(self) -> bool:
        """Something that was written has not left yet."""
        return self._transport.get_write_buffer_size() > 0

    def write(self, data: bytes, limits: Sequence[float]) -> None:
        """Write commands; a reply is due for each of `limits`, that many seconds after the last."""
        self._expect(limits)
        if self.problem is None:
            self._transport.write(data)

    def write_content(self, content: bytes, seconds: float) -> None:
        """Write a message and its dot; the reply and all of the writing have `seconds`."""
        self._expect((seconds,))
        self._transport.writelines((content, b".\r\n"))

    async def replies(self) -> list[Reply]:
        """The replies that are due, in order: all of them, or fewer and a `problem`."""
        if len(self._replies) < len(self._limits) and self.problem is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._replies

    def close(self) -> None:
        """End the connection once everything written has left."""
        self._end("closed")
        self._transport.close()

    def abort(self) -> None:
        """End the connection now; what has not left is dropped."""
        self._end("closed")
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        replies: list[Reply] = []
        problem = None
        try:
            self._parser.feed(data, replies)
        except MalformedReply as error:
            problem = str(error)
        for reply in replies:
            if self.problem is None:
                self._take(reply)
        if problem is not None:
            self._fail(problem)
        elif self.problem is None:
            self._go_on(came=len(replies))

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_dropped = self.is_dropped or self.problem is None
        self._end(f"connection lost: {exc}" if exc else "connection lost")

    def _expect(self, limits: Sequence[float]) -> None:
        self._replies, self._limits = [], limits
        if self.problem is None:
            self._set_deadline(limits[0])

    def _take(self, reply: Reply) -> None:
        is_due = len(self._replies) < len(self._limits)
        if is_due:
            self._replies.append(reply)
        if reply.code == CLOSING:
            self.closing_code = CLOSING
            self._fail(f"{reply.code} {reply.text}")
        elif not is_due:
            self._fail(f"{_UNASKED}: {reply.code} {reply.text}")

    def _go_on(self, came: int) -> None:
        """Wake who waits when all replies are here, else grant the next one its time."""
        taken = len(self._replies)
        if taken < len(self._limits):
            if came:
                self._set_deadline(self._limits[taken])
            return
        if not self._parser.is_between:
            self._fail(_UNASKED)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, problem: str) -> None:
        self._end(problem)
        self._transport.abort()

    def _end(self, problem: str) -> None:
        if self.problem is None:
            self.problem = clean_text(problem)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_deadline(self, seconds: float) -> None:
        # One timer is kept and looks again when it rings early: setting one for each reply
        # would cost more than reading it.
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._ring_at(self._deadline)

    def _ring_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        taken = len(self._replies)
        if taken >= len(self._limits) or self.problem is not None:
            return
        if self._loop.time() < self._deadline:
            self._ring_at(self._deadline)
        else:
            self._fail(f"too slow: no reply within {self._limits[taken]:g} s")
