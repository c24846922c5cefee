"""Articles that are a person's, and still to come to them."""

from feedsvc.editions.why.facts import Facts, Look, Mail
from feedsvc.editions.why.fates import Explanation, Fate, answer
from feedsvc.editions.why.settled import cancelled_with_articles, not_shown
from feedsvc.editions.why.words import at, capital, describe_reply, edition_of, say_next
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import (
    OPEN_EDITIONS,
    EditionKind,
    EditionState,
    GroupOutcome,
    ItemOutcome,
)
from feedsvc.model.newsletter import CatchUp


def still_to_come(facts: Facts) -> Explanation | None:
    """It is theirs, and not settled: what the newest edition came to, or when the next is due."""
    if facts.settled:
        return None
    for look in reversed(facts.looks):
        if (found := _after(facts, look)) is not None:
            return found
    if facts.under_way is not None:
        return Explanation(
            Fate.WAITING,
            f"It has not been in an edition for them. {say_next(facts)} The mail of edition"
            f" {facts.under_way} to them must end first.",
            facts.under_way,
        )
    if facts.next_due_at is None and not facts.each_article:
        return Explanation(
            Fate.NEVER_DUE, f"Their schedule, {facts.reader.schedule}, does not come due again."
        )
    return Explanation(
        Fate.COMES_NEXT, f"It has not been in an edition for them yet. {say_next(facts)}"
    )


def _after(facts: Facts, look: Look) -> Explanation | None:
    """What one edition means for an article that is still to come."""
    if look.kind is not EditionKind.DIGEST:
        return None
    if look.mail is not None:
        return _after_mail(facts, look, look.mail)
    where = edition_of(facts, look)
    if look.state is EditionState.CANCELLED:
        if look.drops_articles:
            return cancelled_with_articles(facts, look)
        return answer(Fate.CANCELLED, f"{capital(where)} was cancelled. {say_next(facts)}", look)
    if look.missed is CatchUp.MERGE:
        return answer(
            Fate.MISSED,
            f"{capital(where)} could not go when it was due, and the schedule says to let its"
            f" articles come with the next (catch_up). {say_next(facts)}",
            look,
        )
    if look.group is GroupOutcome.CARRIED:
        if look.outcome is ItemOutcome.DUPLICATE:
            return not_shown(facts, look)
        return answer(
            Fate.CARRIED,
            f"At {where} there were fewer than {facts.reader.min_items} articles for them, so it"
            f" was carried over ({look.carried} of at most {facts.reader.carry_max} times)."
            f" {say_next(facts)}",
            look,
        )
    return _in_preparation(facts, look)


def _in_preparation(facts: Facts, look: Look) -> Explanation | None:
    where = edition_of(facts, look)
    if look.state in OPEN_EDITIONS and look.curated_out:
        return answer(Fate.DROPPED_FROM_EDITION, f"An operator took it out of {where}.", look)
    if look.state is EditionState.DRAFT:
        return answer(
            Fate.IN_DRAFT,
            f"It is in {where}, a draft that waits for approval: feedsvc editions approve"
            f" {look.edition_id}",
            look,
        )
    if look.state is EditionState.SKIPPED and look.group is None:
        why = f" ({look.reason})" if look.reason else ""
        return answer(
            Fate.EDITION_SKIPPED, f"{capital(where)} did not go{why}. {say_next(facts)}", look
        )
    if look.state is EditionState.PAUSED:
        return answer(
            Fate.EDITION_PAUSED,
            f"It comes with {where}, which is paused; go on with: feedsvc editions resume"
            f" {look.edition_id}",
            look,
        )
    if look.state is EditionState.COMPOSING or (
        look.state in (EditionState.FROZEN, EditionState.SENDING) and look.composed_at is None
    ):
        fault = f" ({look.reason})" if look.reason else ""
        ahead = look.due_at > facts.now
        being = "which comes to their zone then" if ahead else f"which is being composed{fault}"
        return answer(Fate.BEING_COMPOSED, f"It comes with {where}, {being}.", look)
    if look.waiting and facts.under_way is not None:
        return answer(
            Fate.WAITING,
            f"It comes with {where}: their mail is made when that of edition {facts.under_way},"
            " which is on its way, has ended.",
            look,
        )
    return None


_ENDED = {
    DeliveryState.FAILED: (Fate.FAILED, "failed"),
    DeliveryState.EXPIRED: (Fate.EXPIRED, "could not be sent in time"),
    DeliveryState.UNCERTAIN: (Fate.UNCERTAIN, "was handed over without a reply and may be there"),
    DeliveryState.SUPERSEDED: (Fate.SUPERSEDED, "was taken over by a later edition"),
    DeliveryState.SKIPPED: (Fate.SKIPPED, "was not sent"),
}


def _after_mail(facts: Facts, look: Look, mail: Mail) -> Explanation | None:
    """A mail that has ended without closing its window: the article comes again."""
    if mail.state not in _ENDED:
        return None
    where = edition_of(facts, look)
    if look.state is EditionState.CANCELLED:
        if look.drops_articles:
            return cancelled_with_articles(facts, look)
        return answer(
            Fate.CANCELLED,
            f"{capital(where)} was cancelled before their mail was sent. {say_next(facts)}",
            look,
        )
    fate, what = _ENDED[mail.state]
    said = describe_reply(mail)
    because = "; ".join(one for one in (mail.reason, said) if one)
    if said and mail.reason and said in mail.reason:
        because = mail.reason
    return answer(
        fate,
        f"Their mail of {where} {what} {at(facts, mail.changed_at)}"
        f"{f': {because}' if because else ''}. {say_next(facts)}",
        look,
    )
