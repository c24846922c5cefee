"""A test mail shows the edition that most readers would get; whoever asks changes nothing."""

from datetime import timedelta

import pytest
from edition_desk import NOW
from review_desk import ReviewDesk

from feedsvc.db.engine import Database
from feedsvc.editions.notes import add_note
from feedsvc.editions.registry import find_newsletter
from feedsvc.editions.review import approve, drop_article, reorder, set_intro, skip_draft
from feedsvc.editions.trial import Trial, plan_edition, plan_next
from feedsvc.errors import NotFound
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import Cohort, Edition, EditionKind, EditionState, Letter
from feedsvc.model.newsletter import Newsletter, Schedule

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(database: Database) -> ReviewDesk:
    """Four articles, and nobody who reads them."""
    desk = ReviewDesk(database)
    await desk.open()
    for title in ("旧闻", "夜市回来了", "Night buses", "屋顶花园"):
        await desk.publish(title)
    return desk


async def next_one(
    desk: ReviewDesk, schedule: str | None = None, language: str | None = None
) -> Trial:
    async with desk.database.read() as session:
        row = await find_newsletter(session, "daily")
        return await plan_next(session, row, schedule, NOW, language)


async def this_one(desk: ReviewDesk, edition_id: int, language: str | None = None) -> Trial:
    async with desk.database.read() as session:
        row = await find_newsletter(session, "daily")
        return await plan_edition(session, row, edition_id, NOW, language)


def shown(trial: Trial) -> list[str]:
    assert trial.digest is not None
    return [article.title for article in trial.digest.articles]


# The next edition


async def test_the_next_edition_is_what_most_readers_would_get(desk: ReviewDesk) -> None:
    await desk.join("carol", cursor=0)
    for name in ("alice", "bob"):
        await desk.join(name, cursor=2)
    trial = await next_one(desk)
    assert shown(trial) == ["屋顶花园", "Night buses"]
    assert (trial.edition_id, trial.kind, trial.language) == (None, EditionKind.DIGEST, "zh")
    assert trial.digest is not None
    # 08:00 in Shanghai of the day after NOW, which is 08:00 there.
    assert trial.digest.due_at == NOW + timedelta(days=1)


async def test_readers_for_whom_nothing_is_left_are_not_asked_about(desk: ReviewDesk) -> None:
    await desk.join("alice", cursor=1)
    for name in ("bob", "li.lei"):
        await desk.join(name, cursor=3)
    await desk.change_newsletter(filter='title contains "Night" or title contains "夜市"')
    assert shown(await next_one(desk)) == ["Night buses", "夜市回来了"]


async def test_without_readers_it_is_what_has_come_since_the_last_edition(
    desk: ReviewDesk,
) -> None:
    assert len(shown(await next_one(desk))) == 4
    await desk.change(Schedule, desk.schedule_id, since_seq=1)
    assert len(shown(await next_one(desk))) == 3
    await desk.add_edition(EditionState.DONE, cut_seq=2)
    await desk.add_edition(EditionState.CANCELLED, cut_seq=4)
    assert shown(await next_one(desk)) == ["屋顶花园", "Night buses"]


async def test_there_is_no_test_where_there_is_nothing_new(desk: ReviewDesk) -> None:
    await desk.join("alice", cursor=4)
    await desk.add_edition(EditionState.DONE, cut_seq=4)
    with pytest.raises(NotFound, match="daily has nothing new for its readers yet"):
        await next_one(desk)


async def test_what_is_beyond_the_limit_is_counted_and_too_few_are_told(
    desk: ReviewDesk,
) -> None:
    await desk.change(Schedule, desk.schedule_id, max_items=1, min_items=4)
    digest = (await next_one(desk)).digest
    assert digest is not None
    assert (len(digest.articles), digest.more_count, digest.too_few) == (1, 3, False)
    assert [one.title for one in digest.more] == ["Night buses", "夜市回来了", "旧闻"]
    await desk.change(Schedule, desk.schedule_id, min_items=5)
    digest = (await next_one(desk)).digest
    assert digest is not None
    assert digest.too_few


async def test_notes_stand_in_it_as_of_its_hour_and_in_the_language_asked_for(
    desk: ReviewDesk,
) -> None:
    for text, language, begins in (
        ("放假", "zh", 23),
        ("Holidays", "en", 23),
        ("later", None, 25),
    ):
        await desk.do(
            add_note,
            desk.newsletter_id,
            text,
            starts_at=NOW + timedelta(hours=begins),
            ends_at=None,
            language=language,
            by="operator",
            now=NOW,
        )
    assert [
        (trial.language, trial.digest and trial.digest.notes)
        for trial in (await next_one(desk), await next_one(desk, language="en-GB"))
    ] == [("zh", ("放假",)), ("en", ("Holidays",))]


async def test_a_schedule_is_named_where_there_are_several(desk: ReviewDesk) -> None:
    assert shown(await next_one(desk, "morning"))
    with pytest.raises(NotFound, match=r"no schedule 'evening' \(there are: morning\)"):
        await next_one(desk, "evening")
    async with desk.database.write() as session:
        session.add(
            Schedule(
                newsletter_id=desk.newsletter_id,
                key="each",
                label="每篇",
                cron="",
                zone="Asia/Shanghai",
                since=NOW,
                since_seq=3,
            )
        )
        await session.flush()
    with pytest.raises(NotFound, match="several schedules: name one of each, morning"):
        await next_one(desk)
    assert shown(await next_one(desk, "each")) == ["屋顶花园"]


# Editions that are there


async def test_a_draft_is_the_next_edition_with_what_was_decided_about_it(
    desk: ReviewDesk,
) -> None:
    await desk.join("li.lei", cursor=1)
    draft = await desk.draft()
    await desk.publish("太晚了")
    await desk.do(drop_article, draft, desk.articles["屋顶花园"], "operator", NOW)
    await desk.do(reorder, draft, [desk.articles["夜市回来了"]])
    await desk.do(set_intro, draft, "大家好")
    for trial in (await next_one(desk), await this_one(desk, draft)):
        assert trial.edition_id == draft
        assert shown(trial) == ["夜市回来了", "Night buses"]
        assert trial.digest is not None
        assert trial.digest.intro == "大家好"
        assert trial.digest.due_at == NOW + timedelta(hours=2)
    await desk.do(approve, draft, "operator", NOW)
    assert shown(await this_one(desk, draft)) == ["夜市回来了", "Night buses"]


async def test_a_draft_for_everybodys_own_zone_has_its_nominal_day(desk: ReviewDesk) -> None:
    await desk.change(Schedule, desk.schedule_id, own_zone=True)
    await desk.join("li.lei", cursor=1)
    draft = await desk.draft(period="2026-11-23T08:00")
    digest = (await this_one(desk, draft)).digest
    assert digest is not None
    assert str(digest.day) == "2026-11-23"


async def test_an_edition_that_went_is_shown_as_most_got_it(desk: ReviewDesk) -> None:
    edition = await desk.add_edition(EditionState.DONE)
    async with desk.database.write() as session:
        english = Cohort(
            edition_id=edition,
            content_key="e",
            language="en",
            theme="plain",
            subject="The night market is back",
            html="h",
            text="t",
            page="p",
        )
        session.add(english)
        await session.flush()
    await desk.add_mail(edition, "alice", DeliveryState.SENT, cohort_id=english.id)
    stored = (await this_one(desk, edition)).stored
    assert stored is not None
    assert stored.subject == "The night market is back"
    stored = (await this_one(desk, edition, "zh-TW")).stored
    assert stored is not None
    assert stored.subject == "夜市回来了"


async def test_a_letter_is_shown_before_it_goes(desk: ReviewDesk) -> None:
    letter = await desk.announce()
    async with desk.database.write() as session:
        session.add(Letter(edition_id=letter, subject="放假", body="十月七日回来"))
        await session.flush()
    trial = await this_one(desk, letter)
    assert trial.letter is not None
    assert (trial.letter.subject, trial.kind) == ("放假", EditionKind.ANNOUNCEMENT)


async def test_an_edition_without_a_mail_cannot_be_shown(desk: ReviewDesk) -> None:
    await desk.join("li.lei", cursor=1)
    draft = await desk.draft()
    await desk.do(skip_draft, draft, NOW)
    with pytest.raises(NotFound, match=f"edition {draft} is skipped, and holds no mail"):
        await this_one(desk, draft)
    with pytest.raises(NotFound, match="there is no edition 99"):
        await this_one(desk, 99)
    async with desk.database.write() as session:
        other = Newsletter(
            key="weekly",
            title="周刊",
            language="zh-CN",
            from_name="新闻",
            from_address="news@example.com",
            sender="示例报社",
            postal_address="上海市示例路 1 号",
        )
        session.add(other)
        await session.flush()
    await desk.change(Edition, draft, newsletter_id=other.id)
    with pytest.raises(NotFound, match=f"edition {draft} is none of daily"):
        await this_one(desk, draft)
