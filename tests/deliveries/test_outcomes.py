"""Every arrow of the delivery diagram, as a table."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from delivery_world import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.deliveries.outcomes import (
    CRASHES_ALONE,
    SUSPECT,
    Facts,
    Policy,
    SubscriberEffect,
    Uncertain,
    decide_outcome,
    decide_recovery,
    decide_release,
    decide_unbuildable,
)
from feedsvc.kit.replies import Phase, classify
from feedsvc.model.delivery import OPEN_STATES, DeliveryState
from feedsvc.model.relay import SendResult, Verdict

POLICY = Policy(timedelta(minutes=5), "carry", "resend")
DIGEST = Facts(1, 1, True, 0, 0, NOW + timedelta(hours=24))
#: Announcements and their like have no window either.
NOTICE = replace(DIGEST, has_window=False)
S, E = DeliveryState, SubscriberEffect

ARROWS = [
    ("accepted", SendResult(Verdict.ACCEPTED, 250), S.SENT, True, E.NONE),
    ("deferred", SendResult(Verdict.DEFERRED, 451, "later"), S.DEFERRED, False, E.NONE),
    ("refused", SendResult(Verdict.REFUSED, 552, "full"), S.FAILED, False, E.FAILURE),
    ("dead", SendResult(Verdict.REFUSED, 550, "x", address_dead=True), S.FAILED, False, E.DEAD),
    ("blocked", SendResult(Verdict.BLOCKED, 550, "5.7.1"), S.FAILED, False, E.NONE),
    ("unavailable", SendResult(Verdict.UNAVAILABLE, text="gone"), S.PENDING, False, E.NONE),
    ("unknown", SendResult(Verdict.UNKNOWN), S.UNCERTAIN, False, E.NONE),
    ("withheld", SendResult(Verdict.WITHHELD), S.PENDING, False, E.NONE),
]


@pytest.mark.parametrize(
    ("result", "state", "settles", "effect"),
    [arrow[1:] for arrow in ARROWS],
    ids=[arrow[0] for arrow in ARROWS],
)
def test_a_digest_ends_where_its_reply_says(
    result: SendResult, state: DeliveryState, settles: bool, effect: SubscriberEffect
) -> None:
    outcome = decide_outcome(DIGEST, result, NOW, POLICY)
    assert (outcome.state, outcome.settles, outcome.effect) == (state, settles, effect)
    assert outcome.doubts == (1 if result.verdict is Verdict.UNKNOWN else 0)


def test_every_verdict_has_an_arrow() -> None:
    assert {arrow[1].verdict for arrow in ARROWS} == set(Verdict)


def test_a_blocked_mail_says_so() -> None:
    outcome = decide_outcome(DIGEST, SendResult(Verdict.BLOCKED, 550, "5.7.1 spam"), NOW, POLICY)
    assert outcome.reason == "blocked: 550 5.7.1 spam"


def test_a_taken_mail_clears_the_name_of_a_failing_address() -> None:
    failing = replace(DIGEST, is_failing=True)
    outcome = decide_outcome(failing, SendResult(Verdict.ACCEPTED, 250), NOW, POLICY)
    assert outcome.effect is SubscriberEffect.ALIVE


@pytest.mark.parametrize(
    ("choice", "doubts", "state", "settles"),
    [
        ("carry", 0, S.UNCERTAIN, False),
        ("resend", 0, S.PENDING, False),
        ("resend", 1, S.UNCERTAIN, False),
        ("hold", 0, S.HELD, True),
        ("hold", 1, S.HELD, True),
    ],
)
@pytest.mark.parametrize("has_window", [False, True])
def test_doubt_ends_as_the_policy_says(
    choice: Uncertain, doubts: int, state: DeliveryState, settles: bool, has_window: bool
) -> None:
    policy = replace(POLICY, uncertain_digests=choice, uncertain_notices=choice)
    facts = replace(DIGEST, doubts=doubts, has_window=has_window)
    outcome = decide_outcome(facts, SendResult(Verdict.UNKNOWN, text="EOF"), NOW, policy)
    assert (outcome.state, outcome.settles) == (state, settles)
    assert outcome.doubts == doubts + 1
    assert "may have arrived" in (outcome.reason or "")


def test_digests_and_notices_have_policies_of_their_own() -> None:
    silence = SendResult(Verdict.UNKNOWN)
    assert decide_outcome(DIGEST, silence, NOW, POLICY).state is S.UNCERTAIN
    assert decide_outcome(NOTICE, silence, NOW, POLICY).state is S.PENDING


def test_a_retry_that_would_come_too_late_is_given_up() -> None:
    facts = replace(DIGEST, expires_at=NOW + timedelta(minutes=4))
    outcome = decide_outcome(facts, SendResult(Verdict.DEFERRED, 450, "greylisted"), NOW, POLICY)
    assert outcome.state is S.EXPIRED
    assert "450 greylisted" in (outcome.reason or "")


@pytest.mark.parametrize("text", ["4.2.0 Greylisted", "4.2.2 mailbox full", "4.7.28 unusual rate"])
def test_no_retry_passes_the_end_silently(text: str) -> None:
    """Whatever it waits for: it is tried again before its end, or is given up in words."""
    for attempt, minutes in product(range(1, 12), range(1, 600, 7)):
        facts = replace(DIGEST, attempt=attempt, expires_at=NOW + timedelta(minutes=minutes))
        outcome = decide_outcome(facts, classify(Phase.RCPT, 450, text), NOW, POLICY)
        if outcome.state is S.DEFERRED:
            assert outcome.next_at is not None
            assert NOW < outcome.next_at < facts.expires_at
        else:
            assert outcome.state is S.EXPIRED
            assert text in (outcome.reason or "")


@pytest.mark.parametrize("code", [450, 550, 554])
def test_an_end_after_a_doubt_says_that_something_may_have_arrived(code: int) -> None:
    facts = replace(NOTICE, doubts=1, expires_at=NOW + timedelta(minutes=1))
    outcome = decide_outcome(facts, classify(Phase.RCPT, code, "x"), NOW, POLICY)
    assert outcome.state in (S.FAILED, S.EXPIRED)
    assert (outcome.reason or "").endswith("; an earlier try may have arrived")
    assert outcome.doubts == 1


def test_a_notice_in_doubt_at_its_end_is_not_sent_again() -> None:
    late = replace(NOTICE, expires_at=NOW)
    outcome = decide_outcome(late, SendResult(Verdict.UNKNOWN, text="EOF"), NOW, POLICY)
    assert (outcome.state, outcome.reason) == (
        S.UNCERTAIN,
        "may have arrived; too late to send it once more: EOF",
    )


#: In hand, what happened, choice -> state with no doubt before, and with one.
TABLE: dict[tuple[str, Uncertain], tuple[DeliveryState, DeliveryState]] = {
    **{(event, choice): (state, state)
       for event, state in (
           ("accepted", S.SENT), ("deferred", S.DEFERRED), ("refused", S.FAILED),
           ("blocked", S.FAILED), ("unavailable", S.PENDING), ("withheld", S.PENDING),
           ("died claimed", S.PENDING),
       )
       for choice in ("carry", "resend", "hold")},
    ("unknown", "carry"): (S.UNCERTAIN, S.UNCERTAIN),
    ("unknown", "resend"): (S.PENDING, S.UNCERTAIN),
    ("unknown", "hold"): (S.HELD, S.HELD),
    ("died at the dot", "carry"): (S.UNCERTAIN, S.UNCERTAIN),
    ("died at the dot", "resend"): (S.PENDING, S.UNCERTAIN),
    ("died at the dot", "hold"): (S.HELD, S.HELD),
}  # fmt: skip


@pytest.mark.parametrize("event", [*Verdict, "died claimed", "died at the dot"])
def test_the_whole_diagram(event: str) -> None:
    """Every event in hand, by every policy, kind of mail, doubt before, and number of crashes."""
    choices: tuple[Uncertain, ...] = ("carry", "resend", "hold")
    for choice, has_window, doubts, crashes in product(choices, (False, True), (0, 1, 2), range(4)):
        # The other kind's choice is another one, and must not matter.
        other = choices[choices.index(choice) - 1]
        policy = Policy(
            timedelta(minutes=5), choice if has_window else other, other if has_window else choice
        )
        facts = replace(DIGEST, has_window=has_window, doubts=doubts, crashes=crashes)
        if event.startswith("died"):
            outcome = decide_recovery(
                facts,
                was_dotted=event == "died at the dot",
                was_alone=False,
                now=NOW,
                policy=policy,
            )
        else:
            outcome = decide_outcome(facts, SendResult(Verdict(event)), NOW, policy)
        assert outcome.state is TABLE[event, choice][min(doubts, 1)], (choice, has_window, doubts)
        in_doubt = event in ("unknown", "died at the dot")
        assert outcome.doubts == doubts + in_doubt
        assert outcome.settles == (outcome.state in (S.SENT, S.HELD))
        assert outcome.reason or outcome.state in (S.SENT, S.PENDING)


def test_the_diagram_is_whole() -> None:
    events = {*(verdict.value for verdict in Verdict), "died claimed", "died at the dot"}
    assert set(TABLE) == set(product(events, ("carry", "resend", "hold")))


def test_a_mail_that_ends_sessions_stands_back_a_little_longer_each_time() -> None:
    lost = SendResult(Verdict.UNAVAILABLE, text="connection lost")
    waits = []
    for attempt in (1, 2, 3, 60):
        outcome = decide_outcome(replace(DIGEST, attempt=attempt), lost, NOW, POLICY)
        assert outcome.next_at is not None
        waits.append((outcome.next_at - NOW).total_seconds())
    assert waits == [1, 2, 4, 300]


@pytest.mark.parametrize(("permanent", "state"), [(True, S.FAILED), (False, S.DEFERRED)])
def test_what_cannot_be_made_says_why(permanent: bool, state: DeliveryState) -> None:
    outcome = decide_unbuildable(DIGEST, "no name", permanent, NOW, POLICY)
    assert outcome.state is state
    assert "no name" in (outcome.reason or "")


def test_a_claimed_row_of_a_dead_worker_waits_again_and_is_a_suspect() -> None:
    many = decide_recovery(DIGEST, was_dotted=False, was_alone=False, now=NOW, policy=POLICY)
    assert (many.state, many.crashes, many.doubts) == (S.PENDING, SUSPECT, 0)
    again = replace(DIGEST, crashes=SUSPECT)
    many = decide_recovery(again, was_dotted=False, was_alone=False, now=NOW, policy=POLICY)
    assert many.crashes == SUSPECT


def test_three_deaths_alone_set_a_mail_aside() -> None:
    facts = replace(DIGEST, crashes=SUSPECT)
    for _ in range(CRASHES_ALONE - 1):
        outcome = decide_recovery(facts, was_dotted=False, was_alone=True, now=NOW, policy=POLICY)
        assert outcome.state is S.PENDING
        facts = replace(facts, crashes=outcome.crashes)
    outcome = decide_recovery(facts, was_dotted=False, was_alone=True, now=NOW, policy=POLICY)
    assert outcome.state is S.FAILED
    assert "after 3 crashes" in (outcome.reason or "")


@pytest.mark.parametrize("choice", ["carry", "resend", "hold"])
def test_a_mail_that_kills_at_the_dot_is_not_tried_for_ever(choice: Uncertain) -> None:
    policy = replace(POLICY, uncertain_notices=choice)
    facts, deaths = NOTICE, 0
    while True:
        outcome = decide_recovery(facts, was_dotted=True, was_alone=True, now=NOW, policy=policy)
        deaths += 1
        if outcome.state not in OPEN_STATES:
            break
        facts = replace(facts, doubts=outcome.doubts, crashes=outcome.crashes)
    assert deaths <= 2
    assert outcome.reason


def test_a_mail_that_killed_before_and_may_have_arrived_is_set_aside_as_uncertain() -> None:
    facts = replace(NOTICE, doubts=1, crashes=SUSPECT + CRASHES_ALONE - 1)
    outcome = decide_recovery(facts, was_dotted=False, was_alone=True, now=NOW, policy=POLICY)
    assert (outcome.state, outcome.doubts) == (S.UNCERTAIN, 1)


def test_a_survived_handover_clears_the_suspicion() -> None:
    facts = replace(DIGEST, crashes=3)
    assert decide_outcome(facts, SendResult(Verdict.DEFERRED, 450), NOW, POLICY).crashes == 0


def test_a_dotted_row_of_a_dead_worker_is_in_doubt() -> None:
    outcome = decide_recovery(NOTICE, was_dotted=True, was_alone=True, now=NOW, policy=POLICY)
    assert (outcome.state, outcome.doubts) == (S.PENDING, 1)
    again = replace(NOTICE, doubts=1)
    outcome = decide_recovery(again, was_dotted=True, was_alone=True, now=NOW, policy=POLICY)
    assert (outcome.state, outcome.doubts) == (S.UNCERTAIN, 2)


def test_what_is_released_is_as_it_was_found() -> None:
    facts = replace(DIGEST, doubts=1, crashes=2)
    outcome = decide_release(facts)
    assert (outcome.state, outcome.doubts, outcome.crashes) == (S.PENDING, 1, 2)
    assert outcome.next_at is None


choices: st.SearchStrategy[Uncertain] = st.sampled_from(["carry", "resend", "hold"])


@given(
    st.lists(st.sampled_from([*Verdict, "crash claimed", "crash dotted"]), min_size=1, max_size=30),
    choices,
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_no_history_sends_twice_against_the_policy_or_never_ends(
    history: list[Verdict | str], choice: Uncertain, has_window: bool, alone: bool
) -> None:
    """Of the handovers nobody answered, one more at most follows; an end is an end."""
    policy = replace(POLICY, uncertain_digests=choice, uncertain_notices=choice)
    facts, maybe_arrived, state = replace(DIGEST, has_window=has_window), 0, S.PENDING
    for event in history:
        facts = replace(facts, attempt=facts.attempt + 1)
        if isinstance(event, Verdict):
            outcome = decide_outcome(facts, SendResult(event), NOW, policy)
        else:
            dotted = event == "crash dotted"
            outcome = decide_recovery(
                facts, was_dotted=dotted, was_alone=alone, now=NOW, policy=policy
            )
        maybe_arrived += event in (Verdict.ACCEPTED, Verdict.UNKNOWN, "crash dotted")
        state = outcome.state
        assert state not in (S.CLAIMED, S.DOT)
        assert outcome.settles == (state in (S.SENT, S.HELD))
        assert outcome.reason or state in (S.SENT, S.PENDING)
        facts = replace(facts, doubts=outcome.doubts, crashes=outcome.crashes)
        if state not in OPEN_STATES:
            break
    assert maybe_arrived <= (2 if choice == "resend" else 1)
    assert facts.crashes <= SUSPECT + CRASHES_ALONE
