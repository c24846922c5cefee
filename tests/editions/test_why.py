"""Why somebody got an article, or did not: a row for each answer, decided from values alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from feedsvc.editions.why import Fate, explain
from feedsvc.editions.why.facts import (
    AskedArticle,
    AskedReader,
    Dropped,
    Facts,
    Jump,
    Look,
    Mail,
    Told,
)
from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import DeliveryState as D
from feedsvc.model.edition import EditionKind, GroupOutcome, ItemOutcome
from feedsvc.model.edition import EditionState as E
from feedsvc.model.newsletter import CatchUp
from feedsvc.model.subscriber import AddressState, Resume, SubscriptionState

NOW = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
#: 08:00 in Shanghai.
MORNING = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)

ARTICLE = AskedArticle(
    id=40,
    title="夜市回来了",
    state=ArticleState.PUBLISHED,
    seq=12,
    announce=True,
    source="folder",
    section="社会",
    topics=("夜市",),
    language="zh-CN",
    published_at=MORNING - DAY,
    stored_at=MORNING - DAY,
    first_scan_at=MORNING - 9 * DAY,
)
READER = AskedReader(
    subscriber_id=3,
    subscription_id=5,
    newsletter="daily",
    newsletter_retired=False,
    schedule="morning",
    schedule_retired=False,
    zone="Asia/Shanghai",
    state=SubscriptionState.ACTIVE,
    address_state=AddressState.GOOD,
    cursor=10,
    topics=(),
    confirmed_at=MORNING - 5 * DAY,
    confirmed_seq=4,
    carry_max=3,
    min_items=2,
)
SETTLED = replace(READER, cursor=15)
LOOK = Look(
    edition_id=7,
    kind=EditionKind.DIGEST,
    state=E.SENDING,
    due_at=MORNING,
    composed_at=MORNING,
    topics=(),
)


def facts(**values: Any) -> Facts:
    """Facts of an article that is to come with tomorrow's edition, but for these."""
    defaults: dict[str, Any] = {
        "article": ARTICLE,
        "reader": READER,
        "now": NOW,
        "next_due_at": MORNING + DAY,
    }
    return Facts(**(defaults | values))


def look(state: E = E.SENDING, **values: Any) -> Look:
    return replace(LOOK, state=state, **values)


def mail(state: D, **values: Any) -> Mail:
    defaults: dict[str, Any] = {
        "delivery_id": 70,
        "state": state,
        "changed_at": MORNING + timedelta(minutes=5),
        "next_at": MORNING + timedelta(minutes=20),
        "attempt": 1,
    }
    return Mail(**(defaults | values))


def shown(state: D, outcome: ItemOutcome = ItemOutcome.MAILED, **values: Any) -> Look:
    """An edition in whose mail to them the article is."""
    return look(mail=mail(state, **values), outcome=outcome)


EDITION = "edition 7 (Mon 2026-11-23 08:00 Asia/Shanghai)"
NEXT = (
    "It comes with the next edition of their schedule, morning,"
    " at Tue 2026-11-24 08:00 Asia/Shanghai."
)
SAID = "550 5.1.1 no such user here"
REFUSED = {"reply_code": 550, "reply_text": "5.1.1 no such user here", "reason": "refused"}

#: What is known, the answer, and words that must be in it.
ROWS: dict[str, tuple[Facts, Fate, tuple[str, ...]]] = {
    "got it": (
        facts(reader=SETTLED, looks=[shown(D.SENT, reply_code=250, reply_text="2.0.0 ok")]),
        Fate.ARRIVED,
        (f"They got it in {EDITION}, sent Mon 2026-11-23 08:05 Asia/Shanghai: 250 2.0.0 ok.",),
    ),
    "got it in the welcome edition, though it is older": (
        facts(
            article=replace(ARTICLE, seq=2, announce=False),
            reader=SETTLED,
            looks=[replace(shown(D.SENT), kind=EditionKind.WELCOME)],
        ),
        Fate.ARRIVED,
        ("welcome edition 7",),
    ),
    "got it after an earlier mail had failed": (
        facts(
            reader=SETTLED,
            looks=[replace(shown(D.FAILED), edition_id=6), shown(D.SENT)],
        ),
        Fate.ARRIVED,
        ("Of earlier mails with it, that of edition 6 failed.",),
    ),
    "counted as more": (
        facts(reader=SETTLED, looks=[shown(D.SENT, ItemOutcome.AND_MORE)]),
        Fate.AND_MORE,
        ('counted under "and n more" in ' + EDITION,),
    ),
    "waits to be sent": (
        facts(looks=[shown(D.PENDING)]),
        Fate.ON_ITS_WAY,
        (f"in their mail of {EDITION}: it waits", "next try Mon 2026-11-23 08:20 Asia/Shanghai"),
    ),
    "deferred": (
        facts(looks=[shown(D.DEFERRED, attempt=2, reply_code=451, reply_text="4.7.1 later")]),
        Fate.ON_ITS_WAY,
        ("deferred after 2 tries", "last: 451 4.7.1 later"),
    ),
    "in a worker's hands": (
        facts(looks=[shown(D.DOT)]),
        Fate.ON_ITS_WAY,
        ("a worker has it in hand since",),
    ),
    "its edition is paused, mail made": (
        facts(looks=[replace(shown(D.PENDING), state=E.PAUSED, reason="too many bounces")]),
        Fate.EDITION_PAUSED,
        ("paused (too many bounces)", "feedsvc editions resume 7"),
    ),
    "its edition is paused, mail not made": (
        facts(looks=[look(E.PAUSED, composed_at=None)]),
        Fate.EDITION_PAUSED,
        ("feedsvc editions resume 7",),
    ),
    "held for a decision": (
        facts(reader=SETTLED, looks=[shown(D.HELD)]),
        Fate.HELD,
        ("waits for a decision", "uncertain list --edition 7"),
    ),
    "in doubt": (
        facts(looks=[shown(D.UNCERTAIN, reason="no reply to the dot")]),
        Fate.UNCERTAIN,
        ("may be there", "no reply to the dot", NEXT),
    ),
    "refused": (
        facts(looks=[shown(D.FAILED, **REFUSED)]),
        Fate.FAILED,
        ("refused; 550 5.1.1 no such user here", NEXT),
    ),
    "refused, and the reason holds the reply": (
        facts(looks=[shown(D.FAILED, **(REFUSED | {"reason": f"refused: {SAID}"}))]),
        Fate.FAILED,
        (f": refused: {SAID}. It comes",),
    ),
    "expired": (facts(looks=[shown(D.EXPIRED)]), Fate.EXPIRED, ("in time", NEXT)),
    "taken over": (facts(looks=[shown(D.SUPERSEDED)]), Fate.SUPERSEDED, ("later edition", NEXT)),
    "not sent, by its rule": (
        facts(looks=[shown(D.SKIPPED, reason="paused")]),
        Fate.SKIPPED,
        ("was not sent", "paused", NEXT),
    ),
    "withdrawn before the edition": (
        facts(
            article=replace(ARTICLE, state=ArticleState.WITHDRAWN, withdrawn_at=MORNING - 2 * DAY),
            reader=SETTLED,
            looks=[shown(D.SENT, ItemOutcome.WITHDRAWN)],
        ),
        Fate.WITHDRAWN,
        (f"withdrawn Sat 2026-11-21 08:00 Asia/Shanghai, before {EDITION}",),
    ),
    "withdrawn before any edition": (
        facts(article=replace(ARTICLE, state=ArticleState.WITHDRAWN)),
        Fate.WITHDRAWN,
        ("before an edition came",),
    ),
    "taken out of its edition": (
        facts(reader=SETTLED, looks=[shown(D.SENT, ItemOutcome.DROPPED)]),
        Fate.DROPPED_FROM_EDITION,
        (f"took it out of {EDITION}",),
    ),
    "taken out of a draft": (
        facts(looks=[look(E.DRAFT, curated_out=True)]),
        Fate.DROPPED_FROM_EDITION,
        ("took it out",),
    ),
    "kept out of the newsletter": (
        facts(dropped=Dropped(MORNING, "operator")),
        Fate.DROPPED_FROM_NEWSLETTER,
        ("kept out of daily since Mon 2026-11-23 08:00 Asia/Shanghai, by operator",),
    ),
    "kept out of the newsletter when its edition went": (
        facts(
            reader=SETTLED,
            dropped=Dropped(MORNING, "operator"),
            looks=[shown(D.SENT, ItemOutcome.DROPPED)],
        ),
        Fate.DROPPED_FROM_NEWSLETTER,
        ("by operator",),
    ),
    "the same story": (
        facts(
            reader=SETTLED,
            looks=[
                replace(shown(D.SENT, ItemOutcome.DUPLICATE), instead=Told(31, "夜市重开", 6)),
            ],
        ),
        Fate.DUPLICATE,
        ('they got article 31, "夜市重开", in edition 6', EDITION),
    ),
    "the same story, no mail at all": (
        facts(
            reader=SETTLED,
            looks=[look(E.DONE, group=GroupOutcome.NOTHING, outcome=ItemOutcome.DUPLICATE)],
        ),
        Fate.DUPLICATE,
        ("they got another article",),
    ),
    "not of the newsletter": (
        facts(refused_by=('section in ("科技")', 'not topic = "夜市"')),
        Fate.NOT_SELECTED,
        ('section in ("科技"); not topic = "夜市"',),
    ),
    "not of the newsletter, and settled": (
        facts(reader=SETTLED, refused_by=('section in ("科技")',), looks=[look(mail=mail(D.SENT))]),
        Fate.NOT_SELECTED,
        ('section in ("科技")',),
    ),
    "not their topics": (
        facts(reader=replace(READER, topics=("公交", "图书馆"), topics_since=MORNING - 3 * DAY)),
        Fate.OTHER_TOPICS,
        (
            "topics are 公交, 图书馆, since Fri 2026-11-20 08:00 Asia/Shanghai",
            "the article is on 夜市.",
        ),
    ),
    "not their topics then": (
        facts(
            reader=replace(SETTLED, topics=(), topics_since=NOW),
            looks=[look(mail=mail(D.SENT), topics=("公交",))],
        ),
        Fate.OTHER_TOPICS,
        (
            "made for their topics then, 公交",
            "They changed their topics to all on Mon 2026-11-23 14:30",
        ),
    ),
    "theirs now, but not then": (
        facts(
            article=replace(ARTICLE, revised_at=NOW),
            reader=SETTLED,
            looks=[look(group=GroupOutcome.NOTHING)],
        ),
        Fate.NOT_THEIRS_THEN,
        ("last revised Mon 2026-11-23 14:30 Asia/Shanghai",),
    ),
    "there at the first scan": (
        facts(article=replace(ARTICLE, announce=False, stored_at=MORNING - 9 * DAY)),
        Fate.NOT_ANNOUNCED,
        ("source folder held it when it was first read",),
    ),
    "imported": (
        facts(article=replace(ARTICLE, announce=False)),
        Fate.NOT_ANNOUNCED,
        ("import",),
    ),
    "before they confirmed": (
        facts(reader=replace(SETTLED, confirmed_seq=12)),
        Fate.BEFORE_CONFIRMATION,
        ("after number 12, and this is number 12", "Wed 2026-11-18 08:00 Asia/Shanghai"),
    ),
    "scheduled": (
        facts(article=replace(ARTICLE, seq=None, state=ArticleState.SCHEDULED, published_at=NOW)),
        Fate.SCHEDULED,
        ("its time is Mon 2026-11-23 14:30 Asia/Shanghai",),
    ),
    "held back": (
        facts(article=replace(ARTICLE, seq=None, state=ArticleState.HELD)),
        Fate.HELD_BACK,
        ("not published",),
    ),
    "comes with the next": (facts(), Fate.COMES_NEXT, (NEXT,)),
    "comes as soon as it has settled": (
        facts(each_article=True, next_due_at=None),
        Fate.COMES_NEXT,
        ("once nothing has changed",),
    ),
    "their schedule is over": (facts(next_due_at=None), Fate.NEVER_DUE, ("morning",)),
    "in a draft": (facts(looks=[look(E.DRAFT)]), Fate.IN_DRAFT, ("feedsvc editions approve 7",)),
    "being composed": (
        facts(looks=[look(E.COMPOSING, composed_at=None, reason="cannot be composed: …")]),
        Fate.BEING_COMPOSED,
        ("being composed (cannot be composed: …)",),
    ),
    "their zone's hour is to come": (
        facts(looks=[look(composed_at=None, due_at=NOW + DAY)]),
        Fate.BEING_COMPOSED,
        ("edition 7 (Tue 2026-11-24 14:30", "comes to their zone then"),
    ),
    "waits for an earlier mail, edition made": (
        facts(looks=[look(waiting=True)], under_way=6),
        Fate.WAITING,
        ("that of edition 6",),
    ),
    "waits for an earlier mail": (facts(under_way=6), Fate.WAITING, (NEXT, "edition 6")),
    "carried over": (
        facts(looks=[look(E.DONE, group=GroupOutcome.CARRIED, carried=2)]),
        Fate.CARRIED,
        ("fewer than 2 articles", "2 of at most 3 times", NEXT),
    ),
    "carried over, but of a story they got": (
        facts(looks=[look(group=GroupOutcome.CARRIED, outcome=ItemOutcome.DUPLICATE)]),
        Fate.DUPLICATE,
        ("the same story",),
    ),
    "nobody approved it": (
        facts(looks=[look(E.SKIPPED, reason="nobody approved it in time")]),
        Fate.EDITION_SKIPPED,
        ("did not go (nobody approved it in time)", NEXT),
    ),
    "cancelled before a mail was made": (
        facts(looks=[look(E.CANCELLED)]),
        Fate.CANCELLED,
        (f"E{EDITION[1:]} was cancelled.", NEXT),
    ),
    "cancelled before their mail went": (
        facts(looks=[replace(shown(D.SKIPPED), state=E.CANCELLED)]),
        Fate.CANCELLED,
        ("before their mail was sent", NEXT),
    ),
    "cancelled with its articles": (
        facts(reader=SETTLED, looks=[look(E.CANCELLED, drops_articles=True)]),
        Fate.CANCELLED_DROPPED,
        ("who dropped its articles",),
    ),
    "cancelled with its articles, not through": (
        facts(looks=[replace(shown(D.SKIPPED), state=E.CANCELLED, drops_articles=True)]),
        Fate.CANCELLED_DROPPED,
        ("who dropped its articles",),
    ),
    "missed, merged": (
        facts(looks=[look(missed=CatchUp.MERGE)]),
        Fate.MISSED,
        ("could not go when it was due", NEXT),
    ),
    "missed, dropped": (
        facts(reader=SETTLED, looks=[look(missed=CatchUp.DROP, group=GroupOutcome.DROPPED)]),
        Fate.MISSED_DROPPED,
        ("drop what was in it",),
    ),
    "paused until a day": (
        facts(
            reader=replace(
                READER,
                state=SubscriptionState.PAUSED,
                state_since=MORNING,
                paused_until=MORNING + 3 * DAY,
            )
        ),
        Fate.PAUSED,
        (
            "since Mon 2026-11-23 08:00 Asia/Shanghai until Thu 2026-11-26 08:00",
            "comes afterwards",
        ),
    ),
    "paused until they say so, from now": (
        facts(reader=replace(READER, state=SubscriptionState.PAUSED, resume=Resume.NOW)),
        Fate.PAUSED,
        ("until they say so", "is skipped"),
    ),
    "paused, with a mail on its way": (
        facts(reader=replace(READER, state=SubscriptionState.PAUSED), looks=[shown(D.PENDING)]),
        Fate.PAUSED,
        ("Their mail of edition 7, not sent yet, is left out",),
    ),
    "skipped by their pause": (
        facts(reader=SETTLED, jumps=[Jump(NOW, 10, 14)]),
        Fate.SKIPPED_BY_PAUSE,
        ("numbers 11 to 14 were skipped; this is number 12",),
    ),
    "not confirmed": (
        facts(reader=replace(READER, state=SubscriptionState.PENDING, cursor=None)),
        Fate.NOT_CONFIRMED,
        ("daily",),
    ),
    "unsubscribed": (
        facts(reader=replace(READER, state=SubscriptionState.UNSUBSCRIBED, state_since=MORNING)),
        Fate.UNSUBSCRIBED,
        ("unsubscribed from daily since Mon 2026-11-23 08:00 Asia/Shanghai",),
    ),
    "address dead": (
        facts(
            reader=replace(READER, address_state=AddressState.DEAD),
            looks=[shown(D.FAILED, **REFUSED)],
        ),
        Fate.ADDRESS_DEAD,
        ("last reply: 550 5.1.1 no such user here",),
    ),
    "complained": (
        facts(reader=replace(READER, address_state=AddressState.COMPLAINED)),
        Fate.COMPLAINED,
        ("spam",),
    ),
    "schedule gone": (
        facts(reader=replace(READER, schedule_retired=True)),
        Fate.STRANDED,
        ("schedule, morning, is not in the configuration",),
    ),
    "newsletter gone": (
        facts(reader=replace(READER, newsletter_retired=True)),
        Fate.RETIRED,
        ("newsletter daily",),
    ),
    "nothing is stored": (facts(reader=SETTLED), Fate.UNKNOWN, ("number 15", "number 12")),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_an_answer_is_a_sentence_of_what_is_known(row: tuple[Facts, Fate, tuple[str, ...]]) -> None:
    known, outcome, words = row
    found = explain(known)
    assert found.outcome is outcome
    assert found.sentence[0].isupper()
    for part in words:
        assert part in found.sentence
    assert "None" not in found.sentence


def test_there_is_a_row_for_each_answer() -> None:
    assert {outcome for _, outcome, _ in ROWS.values()} == set(Fate)


def test_an_answer_names_the_edition_that_decided() -> None:
    assert explain(ROWS["carried over"][0]).edition_id == 7
    assert explain(ROWS["comes with the next"][0]).edition_id is None


def test_of_several_editions_the_newest_tells_what_comes() -> None:
    failed = replace(shown(D.FAILED, reason="refused"), edition_id=6)
    carried = look(E.DONE, group=GroupOutcome.CARRIED, carried=1)
    assert explain(facts(looks=[failed, carried])).outcome is Fate.CARRIED


def test_times_are_told_where_a_zone_is_gone() -> None:
    known = facts(reader=replace(READER, zone="Asia/Atlantis"))
    assert "00:00 UTC" in explain(known).sentence
