"""A message outside of deliveries is handed over once, and what the relay says of it is told."""

import socket
from pathlib import Path

import pytest
from relay_world import ALICE, MESSAGE
from smtp_sink import ACCEPT_THEN_DROP, SmtpSink

from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.errors import MailRefused, RelayUnavailable
from feedsvc.model.relay import Message, Relay
from feedsvc.relays.eml_folder import EmlFolderRelay
from feedsvc.relays.once import hand_over_once
from feedsvc.relays.smtp import SmtpRelay

pytestmark = pytest.mark.anyio
MAIL = Message(ALICE, MESSAGE)


def relay_to(port: int, name: str = "main") -> Relay:
    settings = SmtpRelaySettings(type="smtp", host="127.0.0.1", port=port, tls="none")
    return SmtpRelay(settings, name=name)


def nobody() -> Relay:
    """A relay that nobody answers for."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return relay_to(unused.getsockname()[1], "away")


def mails_in(folder: Path) -> int:
    return len(list(folder.glob("*.eml")))


async def test_a_message_is_handed_over_and_the_session_closed(sink: SmtpSink) -> None:
    name, reply = await hand_over_once([relay_to(sink.port)], MAIL)
    assert (name, reply.code) == ("main", 250)
    assert [(mail.recipient, mail.sender) for mail in sink.accepted] == [
        (ALICE.recipient, ALICE.return_path)
    ]
    assert sink.commands[-1] == "QUIT"


async def test_the_next_relay_is_tried_when_one_cannot_be_reached(
    sink: SmtpSink, tmp_path: Path
) -> None:
    sink.on("MAIL", "451 4.3.0 not now", times=1)
    folder = EmlFolderRelay(tmp_path, name="files")
    name, _ = await hand_over_once([nobody(), relay_to(sink.port), folder], MAIL)
    assert name == "files"
    assert mails_in(tmp_path) == 1


async def test_that_no_relay_can_be_reached_is_said_of_the_last(sink: SmtpSink) -> None:
    sink.on("CONNECT", "554 5.7.1 go away")
    with pytest.raises(RelayUnavailable, match=r"^relay main: .*554 5\.7\.1 go away"):
        await hand_over_once([nobody(), relay_to(sink.port)], MAIL)


@pytest.mark.parametrize(
    ("step", "reply", "said"),
    [
        ("RCPT", "550 5.1.1 no such user", r"^relay main refuses it: 550 5\.1\.1 no such user"),
        ("RCPT", "450 4.2.0 greylisted", r"^relay main does not take it now: 450 4\.2\.0 grey"),
        ("DOT", "554 5.7.1 spam", r"^relay main refuses it, because of us: 554 5\.7\.1 spam"),
        ("DOT", ACCEPT_THEN_DROP, "^relay main gave no reply .* may have arrived"),
    ],
    ids=["refused", "deferred", "blocked", "unknown"],
)
async def test_a_refusal_is_told_with_the_reply_and_nobody_else_is_asked(
    sink: SmtpSink, tmp_path: Path, step: str, reply: str, said: str
) -> None:
    sink.on(step, reply)
    with pytest.raises(MailRefused, match=said):
        await hand_over_once([relay_to(sink.port), EmlFolderRelay(tmp_path)], MAIL)
    assert mails_in(tmp_path) == 0
    assert sink.connections == 1
