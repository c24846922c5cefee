"""Replies mean what they say, not what their first digit says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.kit.replies import MAX_REPLY_TEXT, Meaning, Phase, classify, clean_text, read_reply
from feedsvc.model.relay import Verdict

D, R, B, U = Verdict.DEFERRED, Verdict.REFUSED, Verdict.BLOCKED, Verdict.UNAVAILABLE

RCPT_REPLIES = [
    (550, "5.1.1 <carol@example.com>: Recipient address rejected: User unknown", R, True),
    (550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", R, True),
    (550, "5.1.0 Address rejected.", R, True),
    (550, "No such user here", R, True),
    (554, "delivery error: This user doesn't have a yahoo.com account", R, True),
    (550, "5.4.1 Recipient address rejected: Access denied. AS(201806281)", R, True),
    (550, "Requested action not taken: mailbox unavailable", R, True),
    (550, "5.1.2 Host unknown (Name server: host not found)", R, False),
    (550, "5.4.4 Unable to route: no mail hosts for domain", R, False),
    (501, "5.1.3 Bad recipient address syntax", R, False),
    (550, "5.2.1 The email account that you tried to reach is disabled", R, False),
    (550, "5.1.6 Recipient has moved", R, False),
    (552, "5.2.2 The email account that you tried to reach is over quota", R, False),
    (550, "Mailbox full", R, False),
    (552, "5.3.4 Message size exceeds fixed limit", R, False),
    (550, "5.7.1 Message rejected due to content restrictions", B, False),
    (550, "5.7.26 Unauthenticated email from example.com is not accepted: DMARC", B, False),
    (550, "5.7.515 Access denied, sending domain does not meet the required level", B, False),
    (554, "5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", B, False),
    (554, "5.7.1 <bob@example.net>: Relay access denied", B, False),
    (550, "SPF check failed", B, False),
    (553, "5.1.8 Domain of sender address news@example.com does not exist", B, False),
    (550, "Ip frequency limited", D, False),
    (550, "Domain frequency limited", D, False),
    (550, "Mailbox unavailable or access denied", D, False),
    (451, "DT:SPM mx1, please try again later", D, False),
    (554, "MI:DMC too many mails on this connection", D, False),
    (450, "4.2.0 <alice@example.com>: Recipient address rejected: Greylisted", D, False),
    (451, "4.7.1 Greylisting in action, please come back later", D, False),
    (450, "4.1.1 User unknown, not verified yet", D, False),
    (452, "4.2.2 Over quota", D, False),
    (451, "4.7.652 The mail server has exceeded the maximum number of connections", D, False),
    (421, "4.7.0 Too many errors", U, False),
    (530, "5.7.0 Authentication required", U, False),
    (535, "5.7.8 Error: authentication failed", U, False),
    (503, "5.5.1 Error: need MAIL command", U, False),
    (550, "something nobody has ever said before", R, False),
    (450, "something nobody has ever said before", D, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "verdict", "dead"),
    RCPT_REPLIES,
    ids=[f"{code} {text[:40]}" for code, text, _, _ in RCPT_REPLIES],
)
def test_a_reply_to_rcpt_is_understood(code: int, text: str, verdict: Verdict, dead: bool) -> None:
    result = classify(Phase.RCPT, code, text)
    assert (result.verdict, result.address_dead) == (verdict, dead)
    assert (result.code, result.text) == (code, text)


def test_user_unknown_after_the_dot_kills_no_address() -> None:
    result = classify(Phase.DOT, 550, "Unknown user lilei@example.com")
    assert (result.verdict, result.address_dead) == (R, False)


@pytest.mark.parametrize("code", [421, 450, 530, 535, 550, 553, 554])
def test_a_refused_mail_from_is_the_sessions_affair(code: int) -> None:
    assert classify(Phase.MAIL, code, "5.1.1 no such user").verdict is U


def test_a_message_too_large_for_mail_from_is_its_own_affair() -> None:
    assert classify(Phase.MAIL, 552, "5.3.4 Message too big").verdict is R


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(250, Verdict.ACCEPTED), (251, Verdict.ACCEPTED), (421, D), (451, D), (554, R)]
    + [(code, Verdict.UNKNOWN) for code in (-1, 0, 100, 354, 600, 999)],
)
def test_only_a_plain_reply_to_the_dot_is_an_answer(code: int, verdict: Verdict) -> None:
    assert classify(Phase.DOT, code, "text").verdict is verdict


def test_our_own_fault_at_the_dot_counts_against_nobody() -> None:
    assert classify(Phase.DOT, 503, "5.5.1 bad sequence").verdict is B


@given(st.sampled_from(Phase), st.integers(-10, 1000), st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_reply_has_a_storable_classification(phase: Phase, code: int, text: str) -> None:
    result = classify(phase, code, text)
    assert result.verdict is not Verdict.WITHHELD
    assert len(result.text) <= MAX_REPLY_TEXT
    assert result.text.isprintable()
    assert not result.address_dead or result.verdict is R


def test_only_a_2xx_to_the_dot_is_ever_accepted() -> None:
    accepted = {
        (phase, code)
        for phase in Phase
        for code in range(-1, 1000)
        if classify(phase, code, "2.0.0 ok").verdict is Verdict.ACCEPTED
    }
    assert accepted == {(Phase.DOT, code) for code in range(200, 300)}


def test_a_reply_cannot_smuggle_controls_into_the_log() -> None:
    assert clean_text("5.7.1\r\nno\x00\x1b[31m \udcff") == "5.7.1 no??[31m ?"


def test_a_hostile_reply_is_read_in_no_time() -> None:
    for text in ("user " * 20_000, "mailbox" * 20_000, "a" * 100_000, "no such " * 20_000):
        classify(Phase.RCPT, 550, text)
        assert read_reply(550, text[:MAX_REPLY_TEXT]) in Meaning
