"""What every relay promises, built-in or not: these tests run against each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Envelope as ReceivedEnvelope
from relay_world import BOTH_LOOPS

from feedsvc.config_relays import EmlFolderRelaySettings, SmtpRelaySettings
from feedsvc.model.relay import Envelope, Meaning, Relay, Verdict
from feedsvc.relays.open import open_relay

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=BOTH_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loop that feedsvc runs on where it can, and the one that Python has."""
    return request.param


ALICE = Envelope("b+1@example.com", "alice@example.com")


@dataclass
class Case:
    """A relay, and a way to see what it took: (recipient, message) pairs."""

    relay: Relay
    taken: Callable[[], list[tuple[str, bytes]]]


class _Keeper:
    def __init__(self, *extensions: str) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self._extensions = extensions

    async def handle_EHLO(
        self, _s: SMTP, session: Any, _e: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], *(f"250-{one}" for one in self._extensions), responses[-1]]

    async def handle_DATA(self, _s: SMTP, _e: Any, envelope: ReceivedEnvelope) -> str:
        content = envelope.original_content or b""
        self.taken += [(recipient, content) for recipient in envelope.rcpt_tos]
        return "250 2.0.0 taken"


def _read_folder(folder: Path) -> list[tuple[str, bytes]]:
    taken = []
    for path in sorted(folder.glob("*.eml")):
        trace, delivered, message = path.read_bytes().split(b"\r\n", 2)
        assert trace.startswith(b"Return-Path: <")
        taken.append((delivered.removeprefix(b"Delivered-To: ").decode(), message))
    return taken


@pytest.fixture(params=["smtp", "smtp pipelined", "eml_folder"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    if request.param == "eml_folder":
        settings = EmlFolderRelaySettings(type="eml_folder", path=Path("outbox"))
        yield Case(
            open_relay(settings, tmp_path, "main"), lambda: _read_folder(tmp_path / "outbox")
        )
        return
    keeper = _Keeper(*(["PIPELINING"] if request.param == "smtp pipelined" else []))
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keeper, hostname="127.0.0.1"), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    smtp = SmtpRelaySettings(type="smtp", host="127.0.0.1", port=port, tls="none")
    yield Case(open_relay(smtp, tmp_path, "main"), lambda: keeper.taken)
    server.close()
    await server.wait_closed()


def _message(number: int, body: bytes = b"Hello\r\n") -> bytes:
    head = b"From: n@example.com\r\nDate: Sun, 22 Nov 2026 06:00:00 +0000\r\n"
    return head + b"Message-ID: <%d@example.com>\r\n\r\n" % number + body


async def test_a_message_arrives_byte_for_byte(case: Case, permit: Any) -> None:
    body = b".dot\r\n..two\r\n\r\n.\r\nQUIT\r\n" + b"x" * 998 + b"\r\n"
    connection = await case.relay.open()
    result = await connection.send(ALICE, _message(1, body), permit)
    await connection.close()
    assert result.verdict is Verdict.ACCEPTED
    assert permit.asked == 1
    assert case.taken() == [("alice@example.com", _message(1, body))]


async def test_a_message_that_was_vouched_for_arrives_byte_for_byte(
    case: Case, permit: Any
) -> None:
    ready = Envelope(ALICE.return_path, ALICE.recipient, is_wire_ready=True)
    message = _message(1, b"=2E\r\n" + b"x" * 998 + b"\r\n")
    connection = await case.relay.open()
    assert (await connection.send(ready, message, permit)).verdict is Verdict.ACCEPTED
    await connection.close()
    assert case.taken() == [("alice@example.com", message)]


async def test_a_return_path_that_cannot_be_written_is_not_the_readers_fault(
    case: Case, permit: Any
) -> None:
    connection = await case.relay.open()
    envelope = Envelope("b@example.com>\r\nRCPT TO:<eve@example.com", ALICE.recipient)
    result = await connection.send(envelope, _message(1), permit)
    await connection.close()
    assert (result.verdict, result.meaning) == (Verdict.BLOCKED, Meaning.OUR_FAULT)
    assert case.taken() == []


async def test_a_relay_says_what_whoever_keeps_its_connections_must_know(
    case: Case, permit: Any
) -> None:
    relay: Any = case.relay
    assert relay.name == "main"
    assert 1 <= relay.first_connections <= relay.connections
    assert relay.idle_seconds >= 0
    connection: Any = await relay.open()
    assert connection.is_usable
    assert (await connection.send(ALICE, _message(1), permit)).verdict is Verdict.ACCEPTED
    assert connection.is_usable
    await connection.close()


async def test_without_a_permit_nothing_is_handed_over(case: Case, permit: Any) -> None:
    permit.answer = False
    connection = await case.relay.open()
    result = await connection.send(ALICE, _message(1), permit)
    assert result.verdict is Verdict.WITHHELD
    assert case.taken() == []
    permit.answer = True
    assert (await connection.send(ALICE, _message(2), permit)).verdict is Verdict.ACCEPTED
    await connection.close()
    assert len(case.taken()) == 1


async def test_nothing_is_taken_before_the_permit_is_given(case: Case) -> None:
    seen: list[int] = []

    async def permit() -> bool:
        seen.append(len(case.taken()))
        return True

    connection = await case.relay.open()
    await connection.send(ALICE, _message(1), permit)
    await connection.close()
    assert seen == [0]
    assert len(case.taken()) == 1


async def test_a_connection_carries_many_messages(case: Case, permit: Any) -> None:
    connection = await case.relay.open()
    people = [f"person{number}@example.com" for number in range(20)]
    for number, person in enumerate(people):
        envelope = Envelope("b@example.com", person)
        result = await connection.send(envelope, _message(number), permit)
        assert result.verdict is Verdict.ACCEPTED
    await connection.close()
    assert sorted(recipient for recipient, _ in case.taken()) == sorted(people)
    messages = dict(case.taken())
    assert all(messages[person] == _message(number) for number, person in enumerate(people))


@pytest.mark.parametrize(
    "address",
    ["", "alice@example.com>\r\nRCPT TO:<eve@example.com", "a b@example.com", '"a"@example.com'],
    ids=["none", "injection", "blank", "quoted"],
)
async def test_an_address_that_cannot_be_written_is_refused(
    case: Case, permit: Any, address: str
) -> None:
    connection = await case.relay.open()
    result = await connection.send(Envelope("b@example.com", address), _message(1), permit)
    await connection.close()
    assert (result.verdict, result.meaning) == (Verdict.REFUSED, Meaning.UNUSABLE_ADDRESS)
    assert not result.address_dead
    assert case.taken() == []


async def test_closing_twice_is_harmless(case: Case) -> None:
    connection = await case.relay.open()
    await connection.close()
    await connection.close()
