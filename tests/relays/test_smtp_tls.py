"""TLS and signing in: what is asked for is done, or nothing is said."""

import asyncio
import ssl
from typing import Any

import pytest
from relay_world import ALICE, BOTH_LOOPS, MESSAGE, SHORT, greet, offers, relay_to, serve
from smtp_sink import DROP, HANG, SmtpSink

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.errors import RelayUnavailable
from feedsvc.model.relay import Verdict
from feedsvc.relays.smtp import SmtpRelay
from feedsvc.relays.smtp_limits import SmtpLimits

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=BOTH_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loop that feedsvc runs on where it can, and the one that Python has."""
    return request.param


async def test_mail_goes_over_starttls_after_signing_in(certificate: Any, permit: Any) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        relay = relay_to(
            sink.port,
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
        relay = relay_to(sink.port, tls="implicit", tls_context=certificate.client)
        connection = await relay.open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await connection.close()
        assert sink.clear_commands == []


async def test_without_starttls_nothing_is_said_in_clear(permit: Any) -> None:
    async with SmtpSink(login=("news", "secret")) as sink:
        relay = relay_to(sink.port, tls="required", username="news", password="secret")
        with pytest.raises(RelayUnavailable, match="STARTTLS"):
            await relay.open()
        assert not any(command.startswith(("AUTH", "MAIL")) for command in sink.commands)


CERTIFICATES = {
    "unknown authority": ("localhost", "certificate", False, "self-signed"),
    "another name": ("127.0.0.1", "certificate", True, "another name"),
    "expired": ("localhost", "expired_certificate", True, "expired"),
}


@pytest.mark.parametrize("way", ["required", "implicit"])
@pytest.mark.parametrize("case", CERTIFICATES)
async def test_a_certificate_that_is_not_good_ends_the_session(
    request: pytest.FixtureRequest, case: str, way: str
) -> None:
    host, fixture, is_trusted, reason = CERTIFICATES[case]
    certificate = request.getfixturevalue(fixture)
    async with SmtpSink(
        tls=certificate.server, implicit_tls=way == "implicit", login=("news", "secret")
    ) as sink:
        relay = relay_to(
            sink.port,
            host=host,
            tls=way,
            username="news",
            password="secret",
            tls_context=certificate.client if is_trusted else None,
        )
        with pytest.raises(RelayUnavailable, match=rf"certificate.*{reason}"):
            await relay.open()
        assert not any(command.startswith(("AUTH", "MAIL")) for command in sink.commands)


async def test_the_certificate_check_can_be_turned_off(certificate: Any, permit: Any) -> None:
    async with SmtpSink(tls=certificate.server) as sink:
        relay = relay_to(sink.port, tls="required", verify_certificate=False)
        connection = await relay.open()
        assert (await connection.send(ALICE, MESSAGE, permit)).verdict is Verdict.ACCEPTED
        await connection.close()


async def test_a_wrong_password_is_said_once_and_without_the_password(certificate: Any) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        relay = relay_to(
            sink.port,
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


def test_our_tls_is_modern_and_checks_names() -> None:
    settings = SmtpRelaySettings(type="smtp", host="mail.example.com")
    context = SmtpRelay(settings)._tls_context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_messages_go_in_groups_over_tls(certificate: Any, permit: Any) -> None:
    async with SmtpSink(tls=certificate.server, extensions=offers("pipelined")) as sink:
        relay = relay_to(sink.port, tls="required", tls_context=certificate.client)
        connection = await relay.open()
        message = MESSAGE + b"x" * 900 + b"\r\n" * 2000
        for _ in range(3):
            assert (await connection.send(ALICE, message, permit)).verdict is Verdict.ACCEPTED
        await connection.close()
        assert [mail.message for mail in sink.accepted] == [message] * 3
        assert sink.connections == 1


async def test_what_was_put_behind_the_answer_to_starttls_ends_the_session(
    certificate: Any,
) -> None:
    """CVE-2011-0411 and its kin: those octets came in clear, from anybody."""
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        sink.on("STARTTLS", "220 go ahead\r\n250 sink\r\n250 AUTH PLAIN")
        relay = relay_to(
            sink.port,
            tls="required",
            username="news",
            password="secret",
            tls_context=certificate.client,
        )
        with pytest.raises(RelayUnavailable, match="somebody may sit in between"):
            await relay.open()
        assert not any(command.startswith(("AUTH", "MAIL")) for command in sink.commands)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("454 4.7.0 TLS not available", 454),
        ("421 4.3.2 going down", 421),
        ("220 go\r\nwhat?", None),
        (DROP, None),
        (HANG, None),
    ],
    ids=["454", "421", "no smtp", "drop", "hang"],
)
async def test_starttls_that_fails_is_never_followed_by_anything_in_clear(
    certificate: Any, answer: str, code: int | None
) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        sink.on("STARTTLS", answer)
        relay = relay_to(
            sink.port,
            SmtpLimits(tls_seconds=SHORT),
            tls="required",
            username="news",
            password="secret",
            tls_context=certificate.client,
        )
        with pytest.raises(RelayUnavailable) as raised:
            await relay.open()
        assert raised.value.code == code
        assert raised.value.reason
        assert [command.split()[0] for command in sink.commands] == ["EHLO", "STARTTLS"]


async def test_a_handshake_that_never_ends_is_given_up(certificate: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, "STARTTLS")
        await reader.readline()
        writer.write(b"220 go ahead\r\n")
        await reader.read()

    async with serve(talk) as port:
        limits = SmtpLimits(tls_seconds=SHORT)
        relay = relay_to(port, limits, tls="required", tls_context=certificate.client)
        with pytest.raises(RelayUnavailable, match="too slow: TLS"):
            await relay.open()


async def test_tls_on_a_port_that_begins_in_clear_says_what_to_change(certificate: Any) -> None:
    async with SmtpSink(tls=certificate.server) as sink:
        relay = relay_to(sink.port, tls="implicit", tls_context=certificate.client)
        with pytest.raises(RelayUnavailable, match=r"TLS failed.*STARTTLS"):
            await relay.open()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("421 4.3.2 going down", "signing in refused: 421"),
        ("454 4.7.0 temporary failure", "signing in refused: 454"),
        ("535 5.7.8 no", "user name or password refused: 535"),
        (DROP, "closed the connection"),
    ],
)
async def test_a_sign_in_that_fails_is_told_from_a_wrong_password(
    certificate: Any, reply: str, reason: str
) -> None:
    async with SmtpSink(tls=certificate.server, login=("news", "secret")) as sink:
        sink.on("AUTH", reply)
        relay = relay_to(
            sink.port,
            tls="required",
            username="news",
            password="secret",
            tls_context=certificate.client,
        )
        with pytest.raises(RelayUnavailable, match=reason) as raised:
            await relay.open()
        assert raised.value.code == (int(reply[:3]) if reply[:3].isdigit() else None)


async def test_a_server_without_a_way_to_sign_in_is_said_so(certificate: Any) -> None:
    async with SmtpSink(tls=certificate.server) as sink:
        relay = relay_to(
            sink.port,
            tls="required",
            username="news",
            password="secret",
            tls_context=certificate.client,
        )
        with pytest.raises(RelayUnavailable, match="AUTH"):
            await relay.open()


@pytest.mark.parametrize(
    ("refusal", "ways"),
    [(b"535 5.7.8 no", [b"PLAIN"]), (b"504 5.5.4 not this", [b"PLAIN", b"LOGIN", b"CRAM-MD5"])],
    ids=["wrong password", "way not known"],
)
async def test_another_way_to_sign_in_is_tried_only_where_this_one_is_not_known(
    refusal: bytes, ways: list[bytes]
) -> None:
    tried: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, "AUTH CRAM-MD5 LOGIN PLAIN XOAUTH2")
        while (line := await reader.readline()).startswith(b"AUTH "):
            tried.append(line.split()[1])
            writer.write(refusal + b"\r\n")

    async with serve(talk) as port:
        relay = relay_to(port, username="news", password="secret")
        with pytest.raises(RelayUnavailable, match="refused") as raised:
            await relay.open()
        assert raised.value.code == int(refusal[:3])
    assert tried == ways
