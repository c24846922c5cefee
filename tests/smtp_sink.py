"""An SMTP server that does what a test tells it to, and remembers what it took.

In a test:

    async with SmtpSink() as sink:
        sink.on("RCPT", "550 5.1.1 no such user", match="carol@")
        sink.on("DOT", ACCEPT_THEN_DROP, times=1)
        ...                                     # send to 127.0.0.1:sink.port
        assert [mail.recipient for mail in sink.accepted] == ["alice@example.com"]

As a process, with a log that survives its kill (one JSON object a line, on disk before the reply):

    python tests/smtp_sink.py --port 2525 --log sink.jsonl \\
        --rule 'RCPT:carol@=550 5.1.1 no such user' --rule 'DOT%0.1=accept_then_drop'

The port is printed on the first line of standard output.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path

#: Where a rule can act. BODY is after the message's first octet, DOT after its last.
STEPS = ("CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "DOT", "RSET")
#: What can be done instead of a reply.
DROP = "drop"  # close without a word; at DOT the message is not taken
RESET = "reset"  # the same by RST
HANG = "hang"  # never answer
DRIP = "drip"  # answer one octet at a time, for ever
USUAL = "usual"  # the good answer; for rules that only delay
ASK = "ask"  # wait for `at_ask`, then the good answer; at DOT the message has been taken by then
ACCEPT_THEN_DROP = "accept_then_drop"  # at DOT: take the message, lose the reply


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message the sink has taken responsibility for."""

    sender: str
    recipient: str
    message: bytes
    at: float
    replied: bool = True

    @property
    def message_id(self) -> str:
        """The Message-ID field."""
        head = self.message.partition(b"\r\n\r\n")[0]
        return str(message_from_bytes(head).get("Message-ID", ""))


@dataclass(slots=True)
class _Rule:
    step: str
    action: str
    match: str = ""
    times: int | None = None
    chance: float = 1.0
    delay_seconds: float = 0.0


@dataclass(slots=True)
class _Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    encrypted: bool = False
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)


class _Over(Exception):
    """This session has ended."""


class SmtpSink:
    """Listens on a free port of the loopback; single recipients are all it is asked for."""

    def __init__(
        self,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        login: tuple[str, str] | None = None,
        extensions: tuple[str, ...] = ("SIZE 33554432", "8BITMIME", "SMTPUTF8"),
        log: Path | None = None,
        keep_bytes: bool = True,
        log_bytes: bool = False,
        seed: int = 0,
    ) -> None:
        self.port = port
        self.accepted: list[Accepted] = []
        self.commands: list[str] = []
        #: Commands seen before TLS where TLS is offered.
        self.clear_commands: list[str] = []
        self.connections = 0
        self.open_connections = 0
        self.most_connections = 0
        #: Set once a client has been left without an answer (HANG).
        self.hanging = asyncio.Event()
        #: Called with the recipient when its RCPT is answered; for acting in the middle.
        self.at_rcpt: Callable[[str], object] | None = None
        #: Awaited with step and argument where a rule says ASK.
        self.at_ask: Callable[[str, str], Awaitable[None]] | None = None
        self._tls, self._implicit_tls, self._login = tls, implicit_tls, login
        self._extensions = extensions
        self._rules: list[_Rule] = []
        self._random = random.Random(seed)
        self._keep_bytes, self._log_bytes = keep_bytes, log_bytes
        self._log = log.open("ab", buffering=0) if log else None
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    def on(
        self,
        step: str,
        action: str,
        *,
        match: str = "",
        times: int | None = None,
        chance: float = 1.0,
        delay_seconds: float = 0.0,
    ) -> None:
        """Answer a step so, where its argument (at DOT: the recipient) contains `match`."""
        assert step in STEPS, step
        self._rules.append(_Rule(step, action, match, times, chance, delay_seconds))

    def forget_rules(self) -> None:
        """Behave well from now on."""
        self._rules.clear()

    async def __aenter__(self) -> "SmtpSink":
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            self.port,
            limit=1 << 26,
            ssl=self._tls if self._implicit_tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()
        if self._log:
            self._log.close()

    def recipients(self) -> list[str]:
        """Whom messages were accepted for, in order, repeats included."""
        return [mail.recipient for mail in self.accepted]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.connections += 1
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)
        session = _Session(reader, writer, encrypted=self._implicit_tls)
        try:
            await self._talk(session)
        except (_Over, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            session.writer.transport.abort()
        finally:
            self.open_connections -= 1
            self._sessions.discard(task)
            # Not waited for: before Python 3.12 a failed TLS handshake would never let us go.
            session.writer.close()

    async def _talk(self, session: _Session) -> None:
        await self._answer(session, "CONNECT", "", "220 sink ESMTP")
        while True:
            line = (await session.reader.readuntil(b"\r\n")).decode("utf-8", "replace").rstrip()
            self.commands.append(line)
            if not session.encrypted:
                self.clear_commands.append(line)
            verb, _, argument = line.partition(" ")
            await self._command(session, verb.upper(), argument)

    async def _command(self, session: _Session, verb: str, argument: str) -> None:
        match verb:
            case "EHLO" | "HELO":
                await self._answer(session, "EHLO", argument, self._greeting(session))
            case "STARTTLS":
                if self._tls is None or session.encrypted:
                    await self._say(session, "502 5.5.1 not offered")
                    return
                await self._answer(session, "STARTTLS", "", "220 go ahead")
                await session.writer.start_tls(self._tls)
                session.encrypted = True
            case "AUTH":
                await self._answer(session, "AUTH", argument, self._judge_login(argument))
            case "MAIL":
                if await self._answer(session, "MAIL", argument, "250 2.1.0 ok"):
                    session.sender = argument[argument.index("<") + 1 : argument.index(">")]
                    session.recipients.clear()
            case "RCPT":
                recipient = argument[argument.index("<") + 1 : argument.index(">")]
                if session.sender is None:
                    await self._say(session, "503 5.5.1 MAIL first")
                    return
                if self.at_rcpt is not None:
                    result = self.at_rcpt(recipient)
                    if asyncio.iscoroutine(result):
                        await result
                if await self._answer(session, "RCPT", recipient, "250 2.1.5 ok"):
                    session.recipients.append(recipient)
            case "DATA":
                await self._data(session)
            case "RSET":
                session.sender, session.recipients = None, []
                await self._answer(session, "RSET", "", "250 2.0.0 ok")
            case "QUIT":
                await self._say(session, "221 2.0.0 bye")
                raise _Over
            case _:
                await self._say(session, "500 5.5.2 unknown command")

    def _greeting(self, session: _Session) -> str:
        offers = list(self._extensions)
        if self._tls is not None and not session.encrypted:
            offers.append("STARTTLS")
        if self._login is not None:
            offers.append("AUTH PLAIN")
        lines = ["sink", *offers]
        return "\r\n".join(
            f"250{'-' if number < len(lines) else ' '}{line}"
            for number, line in enumerate(lines, 1)
        )

    def _judge_login(self, argument: str) -> str:
        _, user, password = base64.b64decode(argument.split()[-1]).decode().split("\0")
        right = (user, password) == self._login
        return "235 2.7.0 welcome" if right else "535 5.7.8 authentication failed"

    async def _data(self, session: _Session) -> None:
        if not session.recipients:
            await self._say(session, "554 5.5.1 no valid recipients")
            return
        recipient = session.recipients[0]
        if not await self._answer(session, "DATA", recipient, "354 go ahead"):
            return
        begin = await session.reader.readexactly(1)
        await self._act(session, "BODY", recipient)
        body = begin + await session.reader.readuntil(b"\r\n.\r\n")
        message = body[:-3].replace(b"\r\n..", b"\r\n.")
        message = message[1:] if message.startswith(b"..") else message
        rule = self._find("DOT", recipient)
        if rule is None or rule.action in (ACCEPT_THEN_DROP, USUAL, ASK):
            replied = rule is None or rule.action in (USUAL, ASK)
            for one in session.recipients:
                self._accept(session.sender or "", one, message, replied)
        await self._ask(rule, "DOT", recipient)
        await self._carry_out(session, rule, "250 2.0.0 taken")
        session.sender, session.recipients = None, []

    def _accept(self, sender: str, recipient: str, message: bytes, replied: bool) -> None:
        kept = message if self._keep_bytes else b""
        mail = Accepted(sender, recipient, kept, time.time(), replied)
        self.accepted.append(mail)
        if self._log is not None:
            entry = {
                "at": mail.at,
                "sender": sender,
                "recipient": recipient,
                "message_id": Accepted(sender, recipient, message, 0).message_id,
                "sha256": hashlib.sha256(message).hexdigest(),
                "bytes": len(message),
                "replied": replied,
            }
            if self._log_bytes:
                entry["message"] = message.decode("latin-1")
            self._log.write(json.dumps(entry).encode() + b"\n")
            os.fsync(self._log.fileno())

    def _find(self, step: str, argument: str) -> _Rule | None:
        for rule in self._rules:
            if rule.step != step or rule.match not in argument or rule.times == 0:
                continue
            if rule.chance < 1 and self._random.random() >= rule.chance:
                continue
            if rule.times is not None:
                rule.times -= 1
            return rule
        return None

    async def _act(self, session: _Session, step: str, argument: str) -> None:
        rule = self._find(step, argument)
        if rule is not None:
            await self._carry_out(session, rule, "")

    async def _answer(self, session: _Session, step: str, argument: str, usual: str) -> bool:
        """Whether the usual positive reply was given."""
        rule = self._find(step, argument)
        await self._ask(rule, step, argument)
        reply = await self._carry_out(session, rule, usual)
        return reply[:1] in ("2", "3")

    async def _ask(self, rule: _Rule | None, step: str, argument: str) -> None:
        if rule is not None and rule.action == ASK and self.at_ask is not None:
            await self.at_ask(step, argument)

    async def _carry_out(self, session: _Session, rule: _Rule | None, usual: str) -> str:
        if rule is None:
            await self._say(session, usual)
            return usual
        if rule.delay_seconds:
            await asyncio.sleep(rule.delay_seconds)
        match rule.action:
            case "drop" | "accept_then_drop":
                raise _Over
            case "reset":
                session.writer.transport.abort()
                raise _Over
            case "hang":
                self.hanging.set()
                await asyncio.Event().wait()
            case "drip":
                while True:
                    session.writer.write(b"2")
                    await session.writer.drain()  # ends it when the client has gone
                    await asyncio.sleep(0.02)
            case "usual" | "ask":
                await self._say(session, usual)
                return usual
            case _:
                await self._say(session, rule.action)
                if rule.action.startswith("421"):
                    raise _Over
        return rule.action

    async def _say(self, session: _Session, reply: str) -> None:
        if reply:
            session.writer.write(reply.encode() + b"\r\n")
            await session.writer.drain()


@contextlib.asynccontextmanager
async def open_sink(**options: object) -> AsyncIterator[SmtpSink]:
    """A sink for the length of a block."""
    async with SmtpSink(**options) as sink:  # type: ignore[arg-type]
        yield sink


def _parse_rule(text: str) -> tuple[str, str, str, float]:
    """`STEP[:match][%chance]=action` as step, action, match and chance."""
    left, _, action = text.partition("=")
    left, _, chance = left.partition("%")
    step, _, match = left.partition(":")
    return step, action, match, float(chance or 1)


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--rule", action="append", default=[], help="STEP[:match][%%chance]=action")
    parser.add_argument("--reply-delay", type=float, default=0, help="seconds before each reply")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sink = SmtpSink(port=options.port, log=options.log, keep_bytes=False, seed=options.seed)
    for rule in options.rule:
        step, action, match, chance = _parse_rule(rule)
        sink.on(step, action, match=match, chance=chance)
    if options.reply_delay:
        for step in ("MAIL", "RCPT", "DATA", "DOT"):
            sink.on(step, "usual", delay_seconds=options.reply_delay)
    async with sink:
        print(sink.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
