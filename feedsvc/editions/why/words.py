"""The words that answers about an article are made of: times, editions, replies. Pure."""

from collections.abc import Iterable
from datetime import datetime

from feedsvc.editions.wall_clock import find_zone
from feedsvc.editions.why.facts import Facts, Look, Mail
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import EditionKind

_KINDS = {
    EditionKind.DIGEST: "edition",
    EditionKind.ANNOUNCEMENT: "announcement",
    EditionKind.WELCOME: "welcome edition",
    EditionKind.CORRECTION: "correction",
}
#: States of mails that are told as what came before.
_EARLIER = {
    DeliveryState.FAILED: "failed",
    DeliveryState.EXPIRED: "expired",
    DeliveryState.UNCERTAIN: "was in doubt",
    DeliveryState.SUPERSEDED: "was taken over",
    DeliveryState.SKIPPED: "was skipped",
}


def at(facts: Facts, when: datetime) -> str:
    """An instant as it is in the zone of the person's editions."""
    zone = find_zone(facts.reader.zone)
    return f"{when.astimezone(zone):%a %Y-%m-%d %H:%M} {zone}"


def edition_of(facts: Facts, look: Look) -> str:
    """An edition by its id, and when it was due."""
    return f"{_KINDS[look.kind]} {look.edition_id} ({at(facts, look.due_at)})"


def capital(text: str) -> str:
    """The text with a capital at its beginning, and nowhere else."""
    return text[:1].upper() + text[1:]


def describe_reply(mail: Mail) -> str:
    """What a mail server said; empty where none did."""
    return f"{mail.reply_code or ''} {mail.reply_text or ''}".strip()


def list_topics(topics: Iterable[str], none: str = "all") -> str:
    """Topics in words."""
    return ", ".join(sorted(topics)) or none


def before(facts: Facts, look: Look) -> str:
    """What became of earlier mails that held the article, as a sentence; empty for none."""
    told = [
        f"that of edition {one.edition_id} {_EARLIER[one.mail.state]}"
        for one in facts.looks
        if one.mail is not None and one.edition_id < look.edition_id and one.mail.state in _EARLIER
    ]
    return f" Of earlier mails with it, {', '.join(told)}." if told else ""


def say_next(facts: Facts) -> str:
    """With which edition an article comes that is still to come."""
    if facts.each_article:
        return (
            f"It comes with the next edition of their schedule, {facts.reader.schedule}, once"
            " nothing has changed for its settling time."
        )
    if facts.next_due_at is None:
        return f"But their schedule, {facts.reader.schedule}, does not come due again."
    return (
        f"It comes with the next edition of their schedule, {facts.reader.schedule}, at"
        f" {at(facts, facts.next_due_at)}."
    )


def withdrawn_at(facts: Facts) -> str:
    """When the article was withdrawn, behind a blank; empty where that is not known."""
    when = facts.article.withdrawn_at
    return f" {at(facts, when)}" if when else ""
