"""Articles that are decided about for a person, and that they did not get."""

from feedsvc.editions.why.choices import (
    compare_topics,
    find_drop,
    find_refusal,
    find_unselected,
    matches,
)
from feedsvc.editions.why.facts import Facts, Look
from feedsvc.editions.why.fates import Explanation, Fate, answer
from feedsvc.editions.why.words import at, capital, edition_of, list_topics, withdrawn_at
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import EditionState, GroupOutcome, ItemOutcome

#: Mails after which the window is closed.
_CLOSING = (DeliveryState.SENT, DeliveryState.HELD)


def settled_by_edition(facts: Facts) -> Explanation | None:
    """An edition after which the article is not looked at again, and did not show it."""
    if not facts.settled:
        return None
    for look in reversed(facts.looks):
        closed = look.mail.state in _CLOSING if look.mail else look.group is GroupOutcome.NOTHING
        if look.group is GroupOutcome.DROPPED:
            return answer(
                Fate.MISSED_DROPPED,
                f"{capital(edition_of(facts, look))} could not go when it was due, and the"
                " schedule says to drop what was in it (catch_up).",
                look,
            )
        if closed:
            return not_shown(facts, look) or _unmatched(facts, look)
    return None


def not_shown(facts: Facts, look: Look) -> Explanation | None:
    where = edition_of(facts, look)
    if look.outcome is ItemOutcome.WITHDRAWN:
        return answer(
            Fate.WITHDRAWN, f"It was withdrawn{withdrawn_at(facts)}, before {where} was sent.", look
        )
    if look.outcome is ItemOutcome.DROPPED:
        return find_drop(facts) or answer(
            Fate.DROPPED_FROM_EDITION, f"An operator took it out of {where}.", look
        )
    if look.outcome is ItemOutcome.DUPLICATE:
        other = look.instead
        got = (
            f'they got article {other.article_id}, "{other.title}", in edition {other.edition_id}'
            if other
            else "they got another article"
        )
        return answer(
            Fate.DUPLICATE, f"It tells the same story as another: {got}; decided in {where}.", look
        )
    return None


def _unmatched(facts: Facts, look: Look) -> Explanation:
    """It was not among their articles when an edition closed its window."""
    # What an operator had kept out by then would stand among its outcomes.
    if (refused := find_unselected(facts)) is not None:
        return answer(refused.outcome, refused.sentence, look)
    topics = look.topics if look.topics is not None else facts.reader.topics
    if not matches(facts, topics):
        then = since = ""
        if topics != facts.reader.topics and facts.reader.topics_since:
            then = " then"
            since = (
                f" They changed their topics to {list_topics(facts.reader.topics)} on"
                f" {at(facts, facts.reader.topics_since)}, after that edition."
            )
        return answer(
            Fate.OTHER_TOPICS,
            f"{capital(edition_of(facts, look))} was made for their topics{then},"
            f" {list_topics(topics)}; the article is on {list_topics(facts.article.topics, 'none')}"
            f".{since}",
            look,
        )
    revised = facts.article.revised_at
    edited = f": it was last revised {at(facts, revised)}" if revised else ""
    return answer(
        Fate.NOT_THEIRS_THEN,
        f"It was not among their articles when {edition_of(facts, look)} was composed, though it"
        f" would be now{edited}. What an edition has closed is not mailed later.",
        look,
    )


def settled_by_rule(facts: Facts) -> Explanation | None:
    """Their cursor is beyond the article without an edition that says so."""
    seq, reader = facts.article.seq, facts.reader
    if not facts.settled or seq is None:
        return None
    for jump in facts.jumps:
        if jump.from_seq < seq <= jump.to_seq:
            return Explanation(
                Fate.SKIPPED_BY_PAUSE,
                f"They had paused, and went on {at(facts, jump.at)} with what was published from"
                f" then on: numbers {jump.from_seq + 1} to {jump.to_seq} were skipped; this is"
                f" number {seq}.",
            )
    if reader.confirmed_seq is not None and seq <= reader.confirmed_seq:
        confirmed = f" {at(facts, reader.confirmed_at)}" if reader.confirmed_at else ""
        return Explanation(
            Fate.BEFORE_CONFIRMATION,
            f"It was published before they confirmed{confirmed}: they get what comes after number"
            f" {reader.confirmed_seq}, and this is number {seq}.",
        )
    for look in facts.looks:
        if look.state is EditionState.CANCELLED and look.drops_articles:
            return cancelled_with_articles(facts, look)
    return find_refusal(facts) or compare_topics(facts)


def cancelled_with_articles(facts: Facts, look: Look) -> Explanation:
    return answer(
        Fate.CANCELLED_DROPPED,
        f"{capital(edition_of(facts, look))} was cancelled by an operator, who dropped its"
        " articles, too.",
        look,
    )
