"""Why a mail stands where it stands, in words; and what of that is held against a person."""

from datetime import timedelta

import pytest
from delivery_world import NOW

from feedsvc.deliveries.outcomes import Facts, Policy, SubscriberEffect, decide_outcome
from feedsvc.kit.replies import Phase, classify
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import Meaning, SendResult, Verdict

POLICY = Policy(timedelta(minutes=5), "carry", "resend")
DIGEST = Facts(1, 1, True, 0, 0, NOW + timedelta(hours=24))
S, E = DeliveryState, SubscriberEffect

REASONS = [
    (Phase.RCPT, 550, "5.1.1 User unknown", S.FAILED, E.DEAD,
     "refused: 550 5.1.1 User unknown (the address does not exist)"),
    (Phase.DOT, 550, "5.1.1 User unknown", S.FAILED, E.FAILURE,
     "refused: 550 5.1.1 User unknown (the address does not exist)"),
    (Phase.RCPT, 550, "5.1.2 Host unknown", S.FAILED, E.FAILURE,
     "refused: 550 5.1.2 Host unknown (the domain does not exist, or takes no mail)"),
    (Phase.RCPT, 552, "5.2.2 over quota", S.FAILED, E.FAILURE,
     "refused: 552 5.2.2 over quota (the mailbox is full)"),
    (Phase.RCPT, 550, "42", S.FAILED, E.FAILURE, "refused: 550 42"),
    (Phase.DOT, 550, "42", S.FAILED, E.NONE, "blocked: 550 42"),
    (Phase.DOT, 552, "5.3.4 too big", S.FAILED, E.NONE,
     "refused: 552 5.3.4 too big (the mail is too large for them: shorten the newsletter)"),
    (Phase.DOT, 550, "SPF check failed", S.FAILED, E.NONE,
     "blocked: 550 SPF check failed (list the sending server in the SPF record of the return path's"
     " domain)"),
    (Phase.RCPT, 450, "Greylisted", S.DEFERRED, E.NONE,
     "refused for now: 450 Greylisted (not known there yet; the same mail is taken a little"
     " later)"),
    (Phase.RCPT, 550, "Ip frequency limited", S.DEFERRED, E.NONE,
     "refused for now: 550 Ip frequency limited (too much mail at once)"),
    (Phase.RCPT, 450, "用户邮箱已满", S.DEFERRED, E.NONE,
     "refused for now: 450 用户邮箱已满 (the mailbox is full)"),
    (Phase.RCPT, 454, "Relay access denied", S.PENDING, E.NONE,
     "the relay was not available: 454 Relay access denied (this relay does not send mail of ours"
     " on: give its username and password, or let it relay for this machine's address)"),
    (Phase.MAIL, 501, "must be same as authorization user", S.PENDING, E.NONE,
     "the relay was not available: 501 must be same as authorization user (this relay takes mail"
     " only from the address that signs in: give the newsletter that address in `from`, and set"
     " returns.address to it, without {token})"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "code", "text", "state", "effect", "reason"),
    REASONS,
    ids=[f"{row[0]} {row[1]} {row[2]}" for row in REASONS],
)
def test_a_reason_is_in_words_a_person_can_read(
    phase: Phase, code: int, text: str, state: DeliveryState, effect: SubscriberEffect, reason: str
) -> None:
    outcome = decide_outcome(DIGEST, classify(phase, code, text), NOW, POLICY)
    assert (outcome.state, outcome.effect, outcome.reason) == (state, effect, reason)


@pytest.mark.parametrize("meaning", Meaning)
@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.REFUSED])
def test_only_a_refusal_is_held_against_a_person(verdict: Verdict, meaning: Meaning) -> None:
    result = SendResult(verdict, 550, "5.1.1 no such user", meaning=meaning)
    assert decide_outcome(DIGEST, result, NOW, POLICY).effect is E.NONE


@pytest.mark.parametrize(
    "meaning",
    [
        Meaning.POLICY,
        Meaning.OUR_FAULT,
        Meaning.THROTTLED,
        Meaning.GREYLISTED,
        Meaning.TOO_LARGE,
    ],
)
def test_a_refusal_because_of_us_is_not_even_then(meaning: Meaning) -> None:
    result = SendResult(Verdict.REFUSED, 550, "no", meaning=meaning)
    assert decide_outcome(DIGEST, result, NOW, POLICY).effect is E.NONE
