"""What keeps an article from a person as things are: themselves, the newsletter, their topics."""

from feedsvc.editions.why.facts import Facts
from feedsvc.editions.why.fates import Explanation, Fate
from feedsvc.editions.why.words import at, describe_reply, list_topics
from feedsvc.model.subscriber import AddressState, Resume, SubscriptionState


def find_block(facts: Facts) -> Explanation | None:
    """Why nothing is mailed to the person now."""
    reader = facts.reader
    since = f" since {at(facts, reader.state_since)}" if reader.state_since else ""
    if reader.address_state is AddressState.COMPLAINED:
        return Explanation(
            Fate.COMPLAINED, "They called a mail of ours spam: nothing is sent to their address."
        )
    if reader.address_state is AddressState.DEAD:
        last = next((look.mail for look in reversed(facts.looks) if look.mail), None)
        said = f" (last reply: {describe_reply(last)})" if last and describe_reply(last) else ""
        return Explanation(
            Fate.ADDRESS_DEAD,
            f"Their address does not exist any more{said}: nothing is sent to it.",
        )
    match reader.state:
        case SubscriptionState.PENDING:
            return Explanation(
                Fate.NOT_CONFIRMED,
                f"They have asked for {reader.newsletter}{since} and not confirmed.",
            )
        case SubscriptionState.UNSUBSCRIBED:
            return Explanation(
                Fate.UNSUBSCRIBED, f"They are unsubscribed from {reader.newsletter}{since}."
            )
        case SubscriptionState.PAUSED:
            return Explanation(Fate.PAUSED, _pause(facts, since))
        case SubscriptionState.ACTIVE:
            return _retired(facts)


def _retired(facts: Facts) -> Explanation | None:
    reader = facts.reader
    if reader.newsletter_retired:
        return Explanation(
            Fate.RETIRED,
            f"The newsletter {reader.newsletter} is not in the configuration any more; nothing is"
            " mailed to its subscribers.",
        )
    if reader.schedule_retired:
        return Explanation(
            Fate.STRANDED,
            f"Their schedule, {reader.schedule}, is not in the configuration any more; nothing is"
            " mailed to them until they choose another, or it comes back under that key.",
        )
    return None


def _pause(facts: Facts, since: str) -> str:
    reader = facts.reader
    until = f" until {at(facts, reader.paused_until)}" if reader.paused_until else ""
    then = (
        "what is published meanwhile is skipped"
        if reader.resume is Resume.NOW
        else "what is published meanwhile comes afterwards"
    )
    return f"They have paused{since}{until or ', until they say so'}; {then}."


def find_refusal(facts: Facts) -> Explanation | None:
    """Why the newsletter has the article for nobody."""
    return find_drop(facts) or find_unselected(facts)


def find_unselected(facts: Facts) -> Explanation | None:
    """Why the article is not one of those that the newsletter is made of."""
    if not facts.refused_by:
        return None
    return Explanation(
        Fate.NOT_SELECTED,
        f"The newsletter {facts.reader.newsletter} does not hold it, since this is not so:"
        f" {'; '.join(facts.refused_by)}.",
    )


def find_drop(facts: Facts) -> Explanation | None:
    """Who keeps the article out of the newsletter."""
    if facts.dropped is None:
        return None
    return Explanation(
        Fate.DROPPED_FROM_NEWSLETTER,
        f"It is kept out of {facts.reader.newsletter} since {at(facts, facts.dropped.at)}, by"
        f" {facts.dropped.by}.",
    )


def compare_topics(facts: Facts) -> Explanation | None:
    """Why it is not theirs by the topics they have now."""
    reader, article = facts.reader, facts.article
    if matches(facts, reader.topics):
        return None
    since = f", since {at(facts, reader.topics_since)}" if reader.topics_since else ""
    return Explanation(
        Fate.OTHER_TOPICS,
        f"Their topics are {list_topics(reader.topics)}{since}; the article is on"
        f" {list_topics(article.topics, 'none')}.",
    )


def matches(facts: Facts, topics: tuple[str, ...]) -> bool:
    """Whether the article is for somebody with these topics."""
    return not topics or not set(topics).isdisjoint(facts.article.topics)
