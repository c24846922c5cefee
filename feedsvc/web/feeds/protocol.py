"""The server's side of a connection, with a shorter way for those who ask for feed documents.

uvicorn makes a scope, an event, a task and two timers for each request, which costs several times
what answering from memory does. Here a GET of a document is answered as soon as its headers are
read, by the same endpoint and with the same bytes; every other request, and every one that could
have to wait, goes uvicorn's own way. What is special about HTTP/1.1 (pipelining, connections that
end, upgrades) stays with uvicorn.

Bounds that uvicorn lacks are here, too, for every request: how long a connection may say nothing,
how long and how large the head of a request may be, what may follow it, and how long an answer may
wait to be read.

QUIRK: this leans on the inner life of uvicorn's HttpToolsProtocol, which may change with any
version; tests/web/test_feed_serving_live.py tells when it did.
"""

from asyncio import Transport
from asyncio.events import TimerHandle
from dataclasses import dataclass
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from feedsvc.web.feeds.answers import Answer


class PollServer(Protocol):
    """Answers requests that need no waiting."""

    def answer_poll(
        self, target: bytes, headers: list[tuple[bytes, bytes]], peer: tuple[str, int] | None
    ) -> Answer | None:
        """The answer to a GET of a request target; None where there is more to it."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """What a client may make a connection cost.

    SECURITY: without these a client that sends a byte now and then keeps its connection for ever,
    and a head that does not end fills the memory.
    """

    #: From the first byte of a request's head to its last, and to the first of the first request.
    head_seconds: float = 15.0
    #: Without any byte of what is waiting for it being taken.
    unread_seconds: float = 60.0
    head_bytes: int = 64 * 1024
    #: Head, body and what is between the chunks of it; the application takes less.
    message_bytes: int = 1024 * 1024


def feed_protocol(feeds: PollServer, patience: Patience | None = None) -> type[HttpToolsProtocol]:
    """A protocol class for uvicorn's `http` setting; patience None: as in Patience."""
    members = {"feeds": feeds, "patience": patience or Patience()}
    return type("FeedProtocol", (_FeedProtocol,), members)


_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class _FeedProtocol(HttpToolsProtocol):
    feeds: PollServer
    patience: Patience

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._is_answered = False
        self._active_at = 0.0
        #: When the head began that has not ended; 0: none has.
        self._head_at = 0.0
        self._in_message = False
        #: Of the message that is coming, without the piece in which it began.
        self._message_bytes = 0
        self._watch: TimerHandle | None = None
        #: Bytes nobody had taken at the last look, and since when none of them has been.
        self._unread = 0
        self._unread_at = 0.0
        self._date_headers: object = None
        self._date = b""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._active_at = self._head_at = self.loop.time()
        self._watch = self.loop.call_later(self._period, self._look)

    def data_received(self, data: bytes) -> None:
        self._active_at = self.loop.time()
        if self._in_message:
            self._message_bytes += len(data)
        super().data_received(data)
        if self._in_message and self._message_bytes > self.patience.head_bytes:
            self._refuse_too_much()

    def _refuse_too_much(self) -> None:
        if self.transport.is_closing():
            return
        if self._head_at:
            if not self._is_answering():
                self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()
        elif self._message_bytes > self.patience.message_bytes:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_answered = False
        self._head_at = self._active_at
        self._in_message = True
        self._message_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_at = 0.0
        if self._answer_at_once():
            self._is_answered = True
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # it makes the scope, which holds the list of headers
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        if not self._is_answered:
            super().on_message_complete()

    def _answer_at_once(self) -> bool:
        parser = self.parser
        if (
            parser.get_method() != b"GET"
            or self._is_answering()
            or self.flow.write_paused
            or self.transport.is_closing()
            or parser.should_upgrade()
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
        ):
            return False
        try:
            answer = self.feeds.answer_poll(self.url, self.headers, self.client)
        except Exception:
            # The parser would make a bad request of it; the usual way fails alike, and says so.
            return False
        if answer is None:
            return False
        self.transport.write(b"".join((answer.head, self._own_headers(), answer.body)))
        self.server_state.total_requests += 1
        return True

    def _own_headers(self) -> bytes:
        """The server's headers (Date), and the empty line behind all headers."""
        headers = self.server_state.default_headers
        if headers is not self._date_headers:  # it makes a new list every second
            self._date_headers = headers
            self._date = b"".join(b"%s: %s\r\n" % one for one in headers) + b"\r\n"
        return self._date

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _period(self) -> float:
        """Seconds from one look at the connection to the next, at most."""
        most = min(self.timeout_keep_alive, self.patience.head_seconds)
        return max(min(most, self.patience.unread_seconds / 2), 0.1)

    def _look(self) -> None:
        # One timer for many requests: it looks when it rings what the connection is waiting for.
        now = self.loop.time()
        if self._unread_seconds(now) >= self.patience.unread_seconds:
            self.transport.abort()
            return
        left = self._period
        if not (self.transport.is_closing() or self._is_answering()):
            left = min(left, self._idle_left(now))
            if left <= 0:
                self.transport.close()
                left = self._period
        self._watch = self.loop.call_later(left, self._look)

    def _idle_left(self, now: float) -> float:
        """Seconds until the connection has said nothing for too long."""
        if self._head_at:
            return self._head_at + self.patience.head_seconds - now
        if self.timeout_keep_alive_task is not None:
            return self._period  # uvicorn counts them
        return self._active_at + self.timeout_keep_alive - now

    def _unread_seconds(self, now: float) -> float:
        """Seconds in which nothing has been taken of what was written."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread or self._active_at > self._unread_at:
            self._unread_at = now
        self._unread = unread
        return now - self._unread_at
