"""Handing mail to an SMTP server, whatever that server does."""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtplib.protocol import SMTPProtocol
from smtp_sink import ACCEPT_THEN_DROP, DRIP, DROP, HANG, RESET, SmtpSink

from feedsvc.config import SmtpRelaySettings
from feedsvc.errors import RelayUnavailable
from feedsvc.model.relay import Envelope, Verdict
from feedsvc.relays.smtp import SmtpRelay, stuff_dots
from feedsvc.relays.smtp_limits import SmtpLimits

pytestmark = pytest.mark.anyio

ALICE = Envelope("b+1@example.com", "alice@example.com")
CAROL = Envelope("b+2@example.com", "carol@example.com")
MESSAGE = b"From: n@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: News\r\n\r\nHello\r\n"
QUICK = SmtpLimits(session_seconds=0.5, command_seconds=0.2, dot_seconds=0.2, quit_seconds=0.2)


def relay_to(sink: SmtpSink, limits: SmtpLimits = QUICK, **settings: Any) -> SmtpRelay:
    context = settings.pop("tls_context", None)
    values = {"type": "smtp", "host": "localhost", "port": sink.port, "tls": "none"} | settings
    return SmtpRelay(SmtpRelaySettings(**values), limits=limits, tls_context=context)


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
    connection = await relay_to(sink).open()
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
    connection = await relay_to(sink).open()
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
    connection = await relay_to(sink).open()
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
    connection = await relay_to(sink).open()
    await connection.send(ALICE, MESSAGE, permit)
    assert asked == [0]


async def test_data_is_not_said_before_the_permit_is_given(sink: SmtpSink) -> None:
    gate = asyncio.Event()

    async def permit() -> bool:
        await gate.wait()
        return True

    answered = asyncio.Event()
    sink.at_rcpt = lambda _recipient: answered.set()
    connection = await relay_to(sink).open()
    sending = asyncio.create_task(connection.send(ALICE, MESSAGE, permit))
    await answered.wait()
    assert "DATA" not in sink.commands
    gate.set()
    assert (await sending).verdict is Verdict.ACCEPTED


async def test_a_withheld_message_resets_the_session(sink: SmtpSink, permit: Any) -> None:
    permit.answer = False
    connection = await relay_to(sink).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.WITHHELD
    assert "DATA" not in sink.commands
    assert sink.commands[-1] == "RSET"


async def test_so_many_messages_then_a_fresh_connection(sink: SmtpSink, permit: Any) -> None:
    connection = await relay_to(sink, messages_per_connection=2).open()
    for _ in range(5):
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    await connection.close()
    assert sink.connections == 3
    assert sink.commands.count("QUIT") == 3


async def test_a_server_that_closes_after_some_messages_is_simply_called_again(
    sink: SmtpSink, permit: Any
) -> None:
    connection = await relay_to(sink).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    sink.on("MAIL", DROP, times=1)
    assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    assert permit.asked == 2
    assert sink.connections == 2


async def test_a_slow_reply_to_the_dot_is_waited_for(sink: SmtpSink, permit: Any) -> None:
    sink.on("DOT", "usual", delay_seconds=0.3)
    limits = SmtpLimits(session_seconds=1, command_seconds=0.1, dot_seconds=2)
    connection = await relay_to(sink, limits).open()
    assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED


def test_the_reply_to_the_dot_may_take_ten_minutes() -> None:
    assert SmtpLimits().dot_seconds == 600


@pytest.mark.parametrize("action", [DROP, HANG, DRIP, "421 busy", "554 5.7.1 go away"])
@pytest.mark.parametrize("step", ["CONNECT", "EHLO"])
async def test_a_server_that_does_not_want_us_is_unavailable(
    sink: SmtpSink, step: str, action: str
) -> None:
    sink.on(step, action)
    with pytest.raises(RelayUnavailable):
        await relay_to(sink).open()


async def test_nobody_listening_is_unavailable(sink: SmtpSink) -> None:
    relay = relay_to(sink, port=1)
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
    connection = await relay_to(sink).open()
    result = await connection.send(ALICE, MESSAGE + text, permit)
    await connection.close()
    assert result.verdict is Verdict.ACCEPTED
    (mail,) = sink.accepted
    lines = (MESSAGE + text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")
    assert mail.message == lines.replace(b"\n", b"\r\n") + b"\r\n"
    assert sink.commands[-1] == "QUIT"


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".a\r\n.b\r\n", b"..a\r\n..b\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\n.b\rc", b"a\r\n..b\r\nc\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed(message: bytes, wire: bytes) -> None:
    assert stuff_dots(message) == wire


async def test_what_the_server_cannot_carry_is_not_sent_to_it(permit: Any) -> None:
    async with SmtpSink(extensions=("SIZE 1000",)) as sink:
        connection = await relay_to(sink).open()
        lilei = Envelope("b@example.com", "李雷@xn--fsqu00a.xn--4rr70v")
        result = await connection.send(lilei, MESSAGE, permit)
        assert (result.verdict, "SMTPUTF8" in result.text) == (Verdict.BLOCKED, True)
        result = await connection.send(ALICE, MESSAGE + "早报\r\n".encode(), permit)
        assert (result.verdict, "8BITMIME" in result.text) == (Verdict.BLOCKED, True)
        assert permit.asked == 0
        assert sink.accepted == []


async def test_extensions_are_used_where_offered(sink: SmtpSink, permit: Any) -> None:
    connection = await relay_to(sink).open()
    lilei = Envelope("b@example.com", "李雷@xn--fsqu00a.xn--4rr70v")
    message = MESSAGE + "早报\r\n".encode()
    assert (await connection.send(lilei, message, permit)).verdict is Verdict.ACCEPTED
    mail_from = f"MAIL FROM:<b@example.com> SIZE={len(message)} BODY=8BITMIME SMTPUTF8"
    assert sink.commands[1:3] == [mail_from, "RCPT TO:<李雷@xn--fsqu00a.xn--4rr70v>"]


async def test_mail_goes_over_starttls_after_signing_in(certificate: Any, permit: Any) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        relay = relay_to(
            sink,
            tls="required",
            username="news",
            password="secret",
            tls_context=certificate.client,
        )
        connection = await relay.open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await connection.close()
        assert [command.split()[0] for command in sink.clear_commands] == ["EHLO", "STARTTLS"]
        assert any(command.startswith("MAIL") and "SIZE" in command for command in sink.commands)


async def test_mail_goes_over_implicit_tls(certificate: Any, permit: Any) -> None:
    async with SmtpSink(tls=certificate.server, implicit_tls=True) as sink:
        relay = relay_to(sink, tls="implicit", tls_context=certificate.client)
        connection = await relay.open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await connection.close()
        assert sink.clear_commands == []


async def test_without_starttls_nothing_is_said_in_clear(permit: Any) -> None:
    async with SmtpSink(login=("news", "secret")) as sink:
        relay = relay_to(sink, tls="required", username="news", password="secret")
        with pytest.raises(RelayUnavailable, match="STARTTLS"):
            await relay.open()
        assert not any(command.startswith(("AUTH", "MAIL")) for command in sink.commands)


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("localhost", False), ("127.0.0.1", True)],
    ids=["unknown authority", "another name"],
)
async def test_a_certificate_that_is_not_the_servers_ends_the_session(
    certificate: Any, host: str, trusted: bool
) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        relay = relay_to(
            sink,
            host=host,
            tls="required",
            username="news",
            password="secret",
            tls_context=certificate.client if trusted else None,
        )
        with pytest.raises(RelayUnavailable, match=r"(?i)certificate"):
            await relay.open()
        assert not any(command.startswith(("AUTH", "MAIL")) for command in sink.commands)


async def test_the_certificate_check_can_be_turned_off(certificate: Any, permit: Any) -> None:
    async with SmtpSink(tls=certificate.server) as sink:
        relay = relay_to(sink, tls="required", verify_certificate=False)
        connection = await relay.open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await connection.close()


async def test_a_wrong_password_is_said_once_and_without_the_password(certificate: Any) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        relay = relay_to(
            sink,
            tls="required",
            username="news",
            password="wrong-canary",
            tls_context=certificate.client,
        )
        with pytest.raises(RelayUnavailable, match="password refused: 535") as raised:
            await relay.open()
        assert raised.value.code == 535
        assert "wrong-canary" not in str(raised.value)
        assert sum(command.startswith("AUTH") for command in sink.commands) == 1


async def test_being_cancelled_ends_the_connection(sink: SmtpSink, permit: Any) -> None:
    sink.on("DOT", HANG)
    limits = SmtpLimits(command_seconds=5, dot_seconds=60)
    connection = await relay_to(sink, limits).open()
    sending = asyncio.create_task(connection.send(ALICE, MESSAGE, permit))
    await sink.hanging.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await connection.close()
    assert "QUIT" not in sink.commands


def test_the_library_still_has_what_we_use_of_it() -> None:
    for name in ("execute_command", "write", "read_response"):
        assert callable(getattr(SMTPProtocol, name))
    smtp = aiosmtplib.SMTP(hostname="localhost")
    assert smtp.protocol is None
    assert smtp.is_ehlo_or_helo_needed
    assert smtp.esmtp_extensions == {}
    assert issubclass(aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPException)


async def test_the_library_reads_the_reply_to_what_we_write_ourselves(sink: SmtpSink) -> None:
    smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
    await smtp.connect()
    await smtp.ehlo()
    protocol = smtp.protocol
    assert protocol is not None
    assert (await protocol.execute_command(b"MAIL", b"FROM:<a@example.com>")).code == 250
    assert (await protocol.execute_command(b"RCPT", b"TO:<b@example.com>")).code == 250
    assert (await protocol.execute_command(b"DATA")).code == 354
    protocol.write(b"x\r\n.\r\n")
    assert (await protocol.read_response(timeout=1)).code == 250
    with pytest.raises(ValueError, match="control"):
        await protocol.execute_command(b"RCPT", b"TO:<a\r\nb>")
    await smtp.quit()


def test_our_tls_is_modern_and_checks_names() -> None:
    settings = SmtpRelaySettings(type="smtp", host="mail.example.com")
    context = SmtpRelay(settings)._tls_context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_the_sink_runs_as_a_process_with_a_log(tmp_path: Path, permit: Any) -> None:
    script = Path(__file__).parents[1] / "smtp_sink.py"
    log = tmp_path / "sink.jsonl"
    command = [sys.executable, str(script), "--log", str(log), "--rule", "RCPT:carol@=550 5.1.1 no"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        settings = SmtpRelaySettings(type="smtp", host="127.0.0.1", port=port, tls="none")
        connection = await SmtpRelay(settings).open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        assert (await connection.send(CAROL, MESSAGE, permit)).verdict is Verdict.REFUSED
        await connection.close()
    finally:
        process.kill()
        await process.wait()
    (line,) = log.read_text().splitlines()
    assert '"recipient": "alice@example.com"' in line
    assert '"message_id": "<1@example.com>"' in line
