"""Replies mean what they say, not what their first digit says."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.kit.replies import (
    MAX_REPLY_TEXT,
    Meaning,
    Phase,
    advice,
    classify,
    clean_text,
    hide_addresses,
)
from feedsvc.kit.reply_rules import RULES, Rule
from feedsvc.model.relay import Verdict

D, R, B, U = Verdict.DEFERRED, Verdict.REFUSED, Verdict.BLOCKED, Verdict.UNAVAILABLE


def test_a_reply_is_kept_as_it_was_given() -> None:
    result = classify(Phase.RCPT, 550, "5.1.1 <carol@example.com>: User\nunknown")
    assert (result.code, result.text) == (550, "5.1.1 <carol@example.com>: User unknown")


def test_user_unknown_after_the_dot_kills_no_address() -> None:
    result = classify(Phase.DOT, 550, "Unknown user lilei@example.com")
    assert (result.verdict, result.address_dead) == (R, False)
    assert result.meaning is Meaning.DEAD_ADDRESS


@pytest.mark.parametrize("phase", [Phase.DATA, Phase.DOT])
def test_a_refusal_nobody_understands_counts_against_nobody_once_they_were_agreed_to(
    phase: Phase,
) -> None:
    assert classify(phase, 554, "42").verdict is B
    assert classify(Phase.RCPT, 554, "42").verdict is R


@pytest.mark.parametrize("code", [421, 450, 530, 535, 550, 553, 554])
def test_a_refused_mail_from_is_the_sessions_affair(code: int) -> None:
    assert classify(Phase.MAIL, code, "5.1.1 no such user").verdict is U


@pytest.mark.parametrize("text", ["5.3.4 Message too big", "", "5.2.2 over quota"])
def test_a_message_too_large_for_mail_from_is_its_own_affair(text: str) -> None:
    result = classify(Phase.MAIL, 552, text)
    assert (result.verdict, result.meaning) == (R, Meaning.TOO_LARGE)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(250, Verdict.ACCEPTED), (251, Verdict.ACCEPTED), (421, D), (451, D), (554, B)]
    + [(code, Verdict.UNKNOWN) for code in (-1, 0, 100, 354, 600, 999)],
)
def test_only_a_plain_reply_to_the_dot_is_an_answer(code: int, verdict: Verdict) -> None:
    assert classify(Phase.DOT, code, "text").verdict is verdict


def test_our_own_fault_at_the_dot_counts_against_nobody() -> None:
    assert classify(Phase.DOT, 503, "5.5.1 bad sequence").verdict is B


@pytest.mark.parametrize(
    "text",
    [
        "5.7.1 <no-such-user@example.com>: refused",
        "5.7.1 <unknown.user@example.com> refused",
        "5.7.1 refused: [192.5.1.1] and 5.1.1.7",
        "5.7.1 refused 15.1.1",
    ],
)
def test_names_and_numbers_are_taken_for_no_reason(text: str) -> None:
    assert classify(Phase.RCPT, 550, text).verdict is B


def test_an_address_that_speaks_of_spam_can_be_dead() -> None:
    result = classify(Phase.RCPT, 550, "5.1.1 <spam.policy@dkim.example.com>: User unknown")
    assert result.address_dead


@given(st.sampled_from(Phase), st.integers(-10, 1000), st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_reply_has_a_storable_classification(phase: Phase, code: int, text: str) -> None:
    result = classify(phase, code, text)
    assert result.verdict is not Verdict.WITHHELD
    assert len(result.text) <= MAX_REPLY_TEXT
    assert result.text.isprintable()
    assert not result.address_dead or (result.verdict is R and phase is Phase.RCPT)


@pytest.mark.parametrize("phase", Phase)
def test_nobody_is_counted_for_what_is_not_about_them(phase: Phase) -> None:
    """A block on us, too much at once and our own mistakes: never REFUSED, whatever the code."""
    innocent = ("5.7.1 blocked using a list", "frequency limited", "5.7.8 sign in first")
    for code in range(400, 600):
        for text in innocent:
            assert classify(phase, code, text).verdict is not R


def test_no_temporary_reply_ends_a_mail() -> None:
    for phase in Phase:
        for code in range(400, 500):
            for text in ("", "5.1.1 user unknown", "5.7.1 blocked", "mailbox full"):
                assert classify(phase, code, text).verdict in (D, U)


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


def test_addresses_do_not_get_into_the_log() -> None:
    said = "5.1.1 <carol@example.com>: 用户lilei@例子.中国不存在 unknown"
    assert hide_addresses(said) == "5.1.1 … … unknown"


WORST = [
    "user ",
    "mailbox",
    "a",
    "no such ",
    "recipient address x ",
    "5.1.0 ",
    "exceeded ",
    "a.b@",
    "@",
    "用户",
    "(",
    "must be the same as the ",
    "relay access is ",
    "invalid recipient address ",
    "host or domain name ",
    "\udcd3\udcc3",
    "Ã",
]


@pytest.mark.parametrize("words", WORST, ids=[ascii(words) for words in WORST])
def test_a_hostile_reply_is_read_in_no_time(words: str) -> None:
    text = words * (100_000 // len(words) + 1)

    def read(code: int) -> None:
        classify(Phase.RCPT, code, text)
        advice(Meaning.UNKNOWN, text)

    assert _seconds(read) < 0.05


@pytest.mark.parametrize("words", ["user ", "no such ", "recipient address x ", "5.1.0 ", "用户"])
def test_every_rule_takes_time_as_the_text_is_long(words: str) -> None:
    """Were one of them quadratic, ten times the text would take a hundred times as long."""
    short, long = words * (5_000 // len(words)), words * (50_000 // len(words))
    for rule in RULES:
        for_short = _seconds(_search(rule, short))
        for_long = _seconds(_search(rule, long))
        assert for_long < 40 * max(for_short, 0.001), rule.words.pattern[:80]


def _search(rule: Rule, text: str) -> Callable[[int], object]:
    return lambda _: rule.words.search(text)


def _seconds(work: Callable[[int], object]) -> float:
    """Of the processor, the better of two; the code differs, lest the second be remembered."""
    taken = []
    for code in (550, 554):
        begun = time.process_time()
        work(code)
        taken.append(time.process_time() - begun)
    return min(taken)
