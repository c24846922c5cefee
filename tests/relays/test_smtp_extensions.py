"""What a server offers is used, and nothing it cannot carry is handed to it."""

from dataclasses import replace
from typing import Any

import pytest
from relay_world import ALICE, LILEI, MESSAGE, relay_to
from smtp_sink import SmtpSink

from feedsvc.model.relay import Envelope, Meaning, Verdict

pytestmark = pytest.mark.anyio

SMALL = ("SIZE 1000",)


async def test_an_address_the_server_cannot_carry_is_refused_and_not_called_dead(
    permit: Any,
) -> None:
    async with SmtpSink(extensions=SMALL) as sink:
        connection = await relay_to(sink.port).open()
        result = await connection.send(LILEI, MESSAGE, permit)
        assert result.verdict is Verdict.REFUSED
        assert result.meaning is Meaning.UNUSABLE_ADDRESS
        assert not result.address_dead
        assert "SMTPUTF8" in result.text
        assert permit.asked == 0
        assert len(sink.commands) == 1
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("envelope", "message", "reason"),
    [
        (ALICE, MESSAGE + "早报\r\n".encode(), "8BITMIME"),
        (Envelope("退信@example.com", ALICE.recipient), MESSAGE, "SMTPUTF8"),
        (Envelope("b@example.com>\r\nDATA", ALICE.recipient), MESSAGE, "return path"),
        (ALICE, MESSAGE + b"x" * 999 + b"\r\n", "998 octets"),
    ],
    ids=["8bit", "our return path", "injection by our return path", "a line too long"],
)
async def test_what_is_our_fault_is_not_the_readers(
    permit: Any, envelope: Envelope, message: bytes, reason: str
) -> None:
    async with SmtpSink(extensions=SMALL) as sink:
        connection = await relay_to(sink.port).open()
        result = await connection.send(envelope, message, permit)
        assert (result.verdict, result.meaning) == (Verdict.BLOCKED, Meaning.OUR_FAULT)
        assert reason in result.text
        assert permit.asked == 0
        assert len(sink.commands) == 1


async def test_extensions_are_used_where_offered(sink: SmtpSink, permit: Any) -> None:
    connection = await relay_to(sink.port).open()
    message = MESSAGE + "早报\r\n".encode()
    assert (await connection.send(LILEI, message, permit)).verdict is Verdict.ACCEPTED
    mail_from = f"MAIL FROM:<b+3@example.com> SIZE={len(message)} BODY=8BITMIME SMTPUTF8"
    assert sink.commands[1:3] == [mail_from, "RCPT TO:<李雷@xn--fsqu00a.xn--4rr70v>"]


async def test_an_ascii_address_does_not_ask_for_smtputf8(sink: SmtpSink, permit: Any) -> None:
    connection = await relay_to(sink.port).open()
    idn = Envelope("b@example.com", "lilei@xn--fsqu00a.xn--4rr70v")
    assert (await connection.send(idn, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    assert sink.commands[1] == f"MAIL FROM:<b@example.com> SIZE={len(MESSAGE)}"


async def test_content_that_was_vouched_for_is_written_as_it_is(
    sink: SmtpSink, permit: Any
) -> None:
    content = MESSAGE + b"x" * 998 + b"\r\n"
    connection = await relay_to(sink.port).open()
    ready = replace(ALICE, is_wire_ready=True)
    assert (await connection.send(ready, content, permit)).verdict is Verdict.ACCEPTED
    assert sink.accepted[0].message == content


async def test_content_that_was_vouched_for_but_has_no_end_is_looked_at_all_the_same(
    sink: SmtpSink, permit: Any
) -> None:
    connection = await relay_to(sink.port).open()
    ready = replace(ALICE, is_wire_ready=True)
    assert (await connection.send(ready, MESSAGE + b"\n.\nend", permit)).verdict is Verdict.ACCEPTED
    await connection.close()
    assert sink.accepted[0].message == MESSAGE + b"\r\n.\r\nend\r\n"
    assert sink.commands[-1] == "QUIT"
