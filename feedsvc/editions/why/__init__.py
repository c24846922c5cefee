"""Why somebody got an article, or did not, in a sentence. Pure: stored facts in, an answer out.

Rules are asked in order, and the first that knows answers: what arrived, what never was for
anybody, what was settled for this person and how, then what stands between them and the next mail.
"""

from collections.abc import Callable

from feedsvc.editions.why.choices import compare_topics, find_block, find_refusal
from feedsvc.editions.why.coming import still_to_come
from feedsvc.editions.why.facts import Facts, Mail
from feedsvc.editions.why.fates import Explanation, Fate, answer
from feedsvc.editions.why.settled import settled_by_edition, settled_by_rule
from feedsvc.editions.why.words import at, before, describe_reply, edition_of, withdrawn_at
from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import OPEN_STATES, DeliveryState
from feedsvc.model.edition import EditionState, ItemOutcome

__all__ = ["Explanation", "Fate", "explain"]

_SHOWN = (ItemOutcome.MAILED, ItemOutcome.AND_MORE)


def explain(facts: Facts) -> Explanation:
    """Why this person got this article, or did not."""
    for rule in _RULES:
        if (found := rule(facts)) is not None:
            return found
    return Explanation(
        Fate.UNKNOWN,
        f"It is settled for them (they have everything up to number {facts.reader.cursor}; this is"
        f" number {facts.article.seq}), but nothing that is still stored says how.",
    )


def _arrived(facts: Facts) -> Explanation | None:
    for look in facts.looks:
        if look.mail is None or look.mail.state is not DeliveryState.SENT:
            continue
        where = f"{edition_of(facts, look)}, sent {at(facts, look.mail.changed_at)}"
        tail = f": {describe_reply(look.mail) or 'accepted'}.{before(facts, look)}"
        if look.outcome is ItemOutcome.MAILED:
            return answer(Fate.ARRIVED, f"They got it in {where}{tail}", look)
        if look.outcome is ItemOutcome.AND_MORE:
            return answer(
                Fate.AND_MORE,
                f'It was beyond the limit of their mail, and counted under "and n more" in'
                f" {where}{tail}",
                look,
            )
    for look in facts.looks:
        if look.mail and look.mail.state is DeliveryState.HELD and look.outcome in _SHOWN:
            return answer(
                Fate.HELD,
                f"It is in their mail of {edition_of(facts, look)}, which was handed over without"
                f" a reply {at(facts, look.mail.changed_at)} and waits for a decision:"
                f" feedsvc deliveries uncertain list --edition {look.edition_id}",
                look,
            )
    return None


def _unpublished(facts: Facts) -> Explanation | None:
    article = facts.article
    if article.state is ArticleState.SCHEDULED:
        return Explanation(
            Fate.SCHEDULED,
            f"It is not published yet: its time is {at(facts, article.published_at)}.",
        )
    if article.state is ArticleState.HELD:
        return Explanation(
            Fate.HELD_BACK, "It is not published: its author (draft) or the operator holds it back."
        )
    return None


def _on_its_way(facts: Facts) -> Explanation | None:
    for look in reversed(facts.looks):
        mail = look.mail
        if mail is None or mail.state not in OPEN_STATES or look.outcome not in _SHOWN:
            continue
        if (blocked := find_block(facts)) is not None:
            return Explanation(
                blocked.outcome,
                f"{blocked.sentence} Their mail of edition {look.edition_id}, not sent yet, is"
                " left out when its turn comes.",
                look.edition_id,
            )
        where = f"It is in their mail of {edition_of(facts, look)}"
        if look.state is EditionState.PAUSED:
            why = f" ({look.reason})" if look.reason else ""
            return answer(
                Fate.EDITION_PAUSED,
                f"{where}, which is paused{why}; go on with: feedsvc editions resume"
                f" {look.edition_id}",
                look,
            )
        return answer(Fate.ON_ITS_WAY, f"{where}: {_progress(facts, mail)}.", look)
    return None


def _progress(facts: Facts, mail: Mail) -> str:
    if mail.state in (DeliveryState.CLAIMED, DeliveryState.DOT):
        return f"a worker has it in hand since {at(facts, mail.changed_at)}"
    due = f"next try {at(facts, mail.next_at)}"
    if mail.state is DeliveryState.DEFERRED:
        last = describe_reply(mail) or mail.reason
        return f"deferred after {mail.attempt} tries, {due}" + (f"; last: {last}" if last else "")
    return f"it waits to be sent, {due}"


def _never_for_anybody(facts: Facts) -> Explanation | None:
    article = facts.article
    if article.announce:
        return None
    scanned = article.first_scan_at
    how = (
        f"source {article.source} held it when it was first read"
        if scanned is None or article.stored_at <= scanned
        else f"it came in an import, or was published once before it came to {article.source}"
    )
    return Explanation(
        Fate.NOT_ANNOUNCED,
        f"It is not announced: {how} ({at(facts, article.stored_at)}). Such articles are in feeds"
        " and archives, and in nobody's mail.",
    )


def _stopped(facts: Facts) -> Explanation | None:
    """Nothing will come of it as things are: the article, the person, or their choices."""
    if facts.settled:
        return None
    if facts.article.state is ArticleState.WITHDRAWN:
        return Explanation(
            Fate.WITHDRAWN,
            f"It was withdrawn{withdrawn_at(facts)}, before an edition came to mail it to them.",
        )
    return find_block(facts) or find_refusal(facts) or compare_topics(facts)


_RULES: tuple[Callable[[Facts], Explanation | None], ...] = (
    _arrived,
    _unpublished,
    _on_its_way,
    _never_for_anybody,
    settled_by_edition,
    settled_by_rule,
    _stopped,
    still_to_come,
)
