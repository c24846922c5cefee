"""Handing mail to an SMTP server, whatever that server does."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from relay_world import ALICE, CAROL, EXTENSIONS, MESSAGE, SHORT, relay_to, short
from smtp_sink import ACCEPT_THEN_DROP, ASK, DRIP, DROP, HANG, RESET, SmtpSink

from feedsvc.errors import RelayUnavailable
from feedsvc.model.relay import Verdict
from feedsvc.relays.smtp_limits import SmtpLimits

pytestmark = pytest.mark.anyio

DROPPED = [
    ("MAIL", DROP, Verdict.UNAVAILABLE),
    ("MAIL", RESET, Verdict.UNAVAILABLE),
    ("MAIL", HANG, Verdict.UNAVAILABLE),
    ("RCPT", DROP, Verdict.UNAVAILABLE),
    ("RCPT", HANG, Verdict.UNAVAILABLE),
    ("RCPT", DRIP, Verdict.UNAVAILABLE),
    ("DATA", DROP, Verdict.UNAVAILABLE),
    ("DATA", HANG, Verdict.UNAVAILABLE),
    ("BODY", DROP, Verdict.UNKNOWN),
    ("BODY", RESET, Verdict.UNKNOWN),
    ("DOT", DROP, Verdict.UNKNOWN),
    ("DOT", RESET, Verdict.UNKNOWN),
    ("DOT", HANG, Verdict.UNKNOWN),
    ("DOT", DRIP, Verdict.UNKNOWN),
    ("DOT", ACCEPT_THEN_DROP, Verdict.UNKNOWN),
    ("DOT", "what?", Verdict.UNKNOWN),
    ("DOT", "354 still listening", Verdict.UNKNOWN),
]


@pytest.mark.parametrize(
    ("step", "action", "verdict"), DROPPED, ids=[f"{s} {a}" for s, a, _ in DROPPED]
)
async def test_a_lost_connection_is_in_doubt_only_once_the_message_was_written(
    sink: SmtpSink, permit: Any, step: str, action: str, verdict: Verdict
) -> None:
    sink.on(step, action, times=1)
    connection = await relay_to(sink.port, short()).open()
    result = await connection.send(ALICE, MESSAGE, permit)
    assert result.verdict is verdict
    assert result.text
    assert permit.asked == 1
    sink.forget_rules()
    assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    await connection.close()


REFUSED = [
    ("MAIL", "451 4.3.2 not now", Verdict.UNAVAILABLE),
    ("MAIL", "550 5.7.1 sender rejected", Verdict.UNAVAILABLE),
    ("MAIL", "421 4.3.2 going down", Verdict.UNAVAILABLE),
    ("MAIL", "552 5.3.4 too big", Verdict.REFUSED),
    ("RCPT", "450 4.2.0 greylisted", Verdict.DEFERRED),
    ("RCPT", "550 5.1.1 no such user", Verdict.REFUSED),
    ("RCPT", "550 5.7.1 spam", Verdict.BLOCKED),
    ("RCPT", "421 4.7.0 too many", Verdict.UNAVAILABLE),
    ("RCPT", "530 5.7.0 authentication required", Verdict.UNAVAILABLE),
    ("DATA", "451 4.3.0 try again", Verdict.DEFERRED),
    ("DATA", "550 5.7.1 policy", Verdict.BLOCKED),
    ("DATA", "421 4.3.2 going down", Verdict.UNAVAILABLE),
    ("DOT", "451 4.3.0 try again", Verdict.DEFERRED),
    ("DOT", "421 4.3.2 going down", Verdict.DEFERRED),
    ("DOT", "552 5.2.2 mailbox full", Verdict.REFUSED),
    ("DOT", "554 5.7.1 looks like spam", Verdict.BLOCKED),
]


@pytest.mark.parametrize(
    ("step", "reply", "verdict"), REFUSED, ids=[f"{s} {r}" for s, r, _ in REFUSED]
)
async def test_a_refusal_is_told_by_where_it_came(
    sink: SmtpSink, permit: Any, step: str, reply: str, verdict: Verdict
) -> None:
    sink.on(step, reply, times=1)
    connection = await relay_to(sink.port).open()
    result = await connection.send(ALICE, MESSAGE, permit)
    assert (result.verdict, result.code) == (verdict, int(reply[:3]))
    assert permit.asked == 1
    assert sink.accepted == []
    assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    await connection.close()
    assert sink.recipients() == ["carol@example.com"]


async def test_one_dead_address_stops_nobody_else_on_the_same_connection(
    sink: SmtpSink, permit: Any
) -> None:
    sink.on("RCPT", "550 5.1.1 no such user", match="carol@")
    connection = await relay_to(sink.port).open()
    results = [await connection.send(one, MESSAGE, permit) for one in (ALICE, CAROL, ALICE)]
    assert [one.verdict for one in results] == [
        Verdict.ACCEPTED,
        Verdict.REFUSED,
        Verdict.ACCEPTED,
    ]
    assert results[1].address_dead
    assert sink.connections == 1


async def test_the_permit_is_asked_for_before_the_reply_to_mail_from(sink: SmtpSink) -> None:
    asked: list[int] = []

    async def permit() -> bool:
        asked.append(sum(command.startswith("DATA") for command in sink.commands))
        return True

    sink.on("MAIL", "usual", delay_seconds=0.05)
    connection = await relay_to(sink.port).open()
    await connection.send(ALICE, MESSAGE, permit)
    assert asked == [0]


async def test_nothing_is_said_after_mail_from_before_the_permit_where_commands_go_singly(
    permit: Any,
) -> None:
    gate, asked = asyncio.Event(), asyncio.Event()

    async def slow_permit() -> bool:
        asked.set()
        await gate.wait()
        return True

    async def note(_step: str, _argument: str) -> None:
        await asked.wait()

    async with SmtpSink(extensions=EXTENSIONS) as sink:
        sink.on("MAIL", ASK)
        sink.at_ask = note
        connection = await relay_to(sink.port).open()
        sending = asyncio.create_task(connection.send(ALICE, MESSAGE, slow_permit))
        await asked.wait()
        assert not any(command.startswith("DATA") for command in sink.commands)
        gate.set()
        assert (await sending).verdict is Verdict.ACCEPTED


async def test_a_withheld_message_resets_the_session_where_commands_go_singly(permit: Any) -> None:
    permit.answer = False
    async with SmtpSink(extensions=EXTENSIONS) as sink:
        connection = await relay_to(sink.port).open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.WITHHELD
        assert [command[:4] for command in sink.commands] == ["EHLO", "MAIL", "RSET"]
        permit.answer = True
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        assert sink.connections == 1


async def test_a_withheld_message_is_never_taken_though_the_server_listened(
    sink: SmtpSink, permit: Any
) -> None:
    permit.answer = False
    connection = await relay_to(sink.port).open()
    for _ in range(3):
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.WITHHELD
    permit.answer = True
    assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    await connection.close()
    assert sink.recipients() == ["carol@example.com"]


async def test_a_refusal_is_not_told_before_the_mark_is_on_record(sink: SmtpSink) -> None:
    gate, refused = asyncio.Event(), asyncio.Event()

    async def permit() -> bool:
        await gate.wait()
        return True

    async def note(_step: str, _argument: str) -> None:
        refused.set()

    sink.on("MAIL", ASK)
    sink.at_ask = note
    sink.on("RCPT", "550 5.1.1 no such user")
    connection = await relay_to(sink.port).open()
    sending = asyncio.create_task(connection.send(CAROL, MESSAGE, permit))
    await refused.wait()
    assert not sending.done()
    gate.set()
    assert (await sending).verdict is Verdict.REFUSED


async def test_a_permit_that_fails_ends_the_connection(sink: SmtpSink) -> None:
    async def permit() -> bool:
        raise RuntimeError("the committer is gone")

    connection = await relay_to(sink.port).open()
    with pytest.raises(RuntimeError, match="committer"):
        await connection.send(ALICE, MESSAGE, permit)
    assert not connection.is_usable
    assert sink.accepted == []


async def test_a_slow_reply_to_the_dot_is_waited_for(sink: SmtpSink, permit: Any) -> None:
    sink.on("DOT", "usual", delay_seconds=0.5)
    limits = SmtpLimits(mail_seconds=0.4, rcpt_seconds=0.4, data_seconds=0.4)
    connection = await relay_to(sink.port, limits).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED


def test_a_server_has_the_time_that_rfc_5321_grants_it() -> None:
    limits = SmtpLimits()
    minutes = [limits.mail_seconds, limits.rcpt_seconds, limits.data_seconds, limits.dot_seconds]
    assert [seconds / 60 for seconds in minutes] == [5, 5, 2, 10]


@pytest.mark.parametrize("action", [DROP, HANG, DRIP, "421 busy", "554 5.7.1 go away"])
@pytest.mark.parametrize("step", ["CONNECT", "EHLO"])
async def test_a_server_that_does_not_want_us_is_unavailable(
    sink: SmtpSink, step: str, action: str
) -> None:
    sink.on(step, action)
    with pytest.raises(RelayUnavailable):
        await relay_to(sink.port, SmtpLimits(session_seconds=SHORT)).open()


async def test_nobody_listening_is_unavailable(sink: SmtpSink) -> None:
    relay = relay_to(1)
    with pytest.raises(RelayUnavailable, match="port 1"):
        await relay.open()


@pytest.mark.parametrize(
    "text",
    [b"a\n.\nMAIL FROM:<eve@example.com>\n", b"a\r.\rx", b"a\r\n.\r\nQUIT\r\n", b"a\n.\r\nb\r\n"],
    ids=["bare lf", "bare cr", "crlf", "mixed"],
)
async def test_a_body_cannot_end_the_message_early(
    sink: SmtpSink, permit: Any, text: bytes
) -> None:
    connection = await relay_to(sink.port).open()
    result = await connection.send(ALICE, MESSAGE + text, permit)
    await connection.close()
    assert result.verdict is Verdict.ACCEPTED
    (mail,) = sink.accepted
    lines = (MESSAGE + text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")
    assert mail.message == lines.replace(b"\n", b"\r\n") + b"\r\n"
    assert sink.commands[-1] == "QUIT"


async def test_being_cancelled_ends_the_connection(sink: SmtpSink, permit: Any) -> None:
    sink.on("DOT", HANG)
    limits = SmtpLimits()
    connection = await relay_to(sink.port, limits).open()
    sending = asyncio.create_task(connection.send(ALICE, MESSAGE, permit))
    await sink.hanging.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await connection.close()
    assert "QUIT" not in sink.commands


async def test_the_sink_runs_as_a_process_with_a_log(tmp_path: Path, permit: Any) -> None:
    script = Path(__file__).parents[1] / "smtp_sink.py"
    log = tmp_path / "sink.jsonl"
    command = [sys.executable, str(script), "--log", str(log), "--rule", "RCPT:carol@=550 5.1.1 no"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        connection = await relay_to(port, SmtpLimits()).open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.REFUSED
        await connection.close()
    finally:
        process.kill()
        await process.wait()
    (line,) = log.read_text().splitlines()
    assert '"recipient": "alice@example.com"' in line
    assert '"message_id": "<1@example.com>"' in line
