"""The whole walk: a file in a folder becomes feeds and a digest, and a reader can leave."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import feedparser
import pytest
from newsroom_walk import BASE_URL, Inbox, Walk

from feedsvc.errors import SourceUnavailable

pytestmark = pytest.mark.anyio
LI_LEI = "li.lei@example.com"
ALICE = "alice@example.com"


async def test_from_a_file_to_feeds_to_a_digest_to_leaving(walk: Walk, inbox: Inbox) -> None:
    walk.write("old.md", "早已有的文章")
    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    walk.write("new.md", "老街书店开了夜场", section="文化", topics="[书店, 城市]")
    await walk.ingest()

    for name, version in (("rss.xml", "rss20"), ("atom.xml", "atom10")):
        answer = await walk.web.get(f"/feeds/all/{name}")
        parsed = feedparser.parse(answer.content, response_headers=dict(answer.headers))
        assert (parsed.bozo, parsed.version) == (False, version)
        assert {entry.title for entry in parsed.entries} == {"早已有的文章", "老街书店开了夜场"}
        tagged = {"If-None-Match": answer.headers["etag"]}
        assert (await walk.web.get(f"/feeds/all/{name}", headers=tagged)).status_code == 304
    items = (await walk.web.get("/feeds/all/feed.json")).json()["items"]
    assert len(items) == 2

    await walk.next_morning()
    assert len(inbox.to(LI_LEI)) == 2  # the confirmation, and the digest
    digest = inbox.to(LI_LEI)[1]
    assert digest.defects == []
    assert "老街书店开了夜场" in digest["Subject"]
    parts = {part.get_content_type(): part for part in digest.iter_parts()}
    assert [*parts] == ["text/plain", "text/html"]
    for part in parts.values():
        assert part.defects == []
        assert "老街书店开了夜场" in part.get_content()
        assert "早已有的文章" not in part.get_content()  # there at the first scan: not announced
        assert "上海市例子路一号" in part.get_content()
    assert digest["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    leave = re.fullmatch(rf"<{BASE_URL}(/\S+)>", digest["List-Unsubscribe"])
    assert leave is not None
    assert (await walk.web.get(leave[1])).status_code == 200
    walk.write("third.md", "第三篇")
    await walk.ingest()
    answer = await walk.web.post(leave[1], data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    await walk.next_morning()
    assert len(inbox.to(LI_LEI)) == 2


async def test_looking_at_the_page_to_leave_does_not_unsubscribe(walk: Walk, inbox: Inbox) -> None:
    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    for number in range(2):
        walk.write(f"{number}.md", f"第{number}篇")
        await walk.ingest()
        await walk.next_morning()
        digest = inbox.to(LI_LEI)[-1]
        await walk.web.get(digest["List-Unsubscribe"].strip("<>").removeprefix(BASE_URL))
    assert len(inbox.to(LI_LEI)) == 3


async def test_the_same_twice_sends_once(walk: Walk, inbox: Inbox) -> None:
    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    walk.write("new.md", "新闻")
    for _ in range(2):
        await walk.ingest()
    await walk.next_morning()
    await walk.send()
    async with walk.app.database.write() as session:
        from feedsvc.editions.fire import fire_by_hand
        from feedsvc.editions.registry import find_newsletter

        row = await find_newsletter(session, "daily")
        edition_id = await fire_by_hand(session, row.newsletter, walk.now)
    await walk.app.pipeline.compose(edition_id)
    await walk.app.pipeline.deliver()
    assert len(inbox.to(LI_LEI)) == 2


async def test_a_refusal_for_now_is_tried_again_and_one_for_good_is_not(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    await walk.subscribe(ALICE, inbox)
    walk.write("new.md", "新闻")
    await walk.ingest()
    inbox.replies = {
        LI_LEI: ["451 4.2.0 Greylisted, try again"],
        ALICE: ["550 5.1.1 No such user", "550 5.1.1 No such user"],
    }
    inbox.attempts.clear()
    await walk.next_morning()
    assert sorted(inbox.attempts) == [ALICE, LI_LEI]
    await walk.send()
    assert len(inbox.attempts) == 2  # not before its time
    walk.now += timedelta(minutes=20)
    await walk.send()
    assert inbox.attempts[2:] == [LI_LEI]
    assert len(inbox.to(LI_LEI)) == 2
    assert len(inbox.to(ALICE)) == 1


async def test_an_article_scheduled_for_later_is_published_and_mailed_at_its_time(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    walk.write("later.md", "明晚的消息", date="2026-11-22 20:00")
    await walk.ingest()
    await walk.next_morning()
    assert "明晚的消息" not in (await walk.web.get("/feeds/all/rss.xml")).text
    assert len(inbox.to(LI_LEI)) == 1
    walk.now = walk.now.replace(hour=12, minute=1)  # 20:01 in Shanghai
    await walk.app.pipeline.publish()
    assert "明晚的消息" in (await walk.web.get("/feeds/all/rss.xml")).text
    await walk.next_morning()
    assert len(inbox.to(LI_LEI)) == 2


async def test_an_empty_period_sends_nothing_and_leaves_a_reason(walk: Walk, inbox: Inbox) -> None:
    from feedsvc.editions.progress import load_edition

    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    await walk.next_morning()
    async with walk.app.database.read() as session:
        edition = await load_edition(session, 1)
    assert (edition.state, edition.reason) == (
        "skipped",
        "nothing to send: 1 nothing new since their last mail",
    )
    assert len(inbox.to(LI_LEI)) == 1


async def test_a_withdrawal_whose_publication_failed_reaches_the_feeds_all_the_same(
    walk: Walk,
) -> None:
    walk.write("wrong.md", "写错了")
    await walk.ingest()
    (walk.articles / "wrong.md").unlink()
    await walk.app.pipeline.ingest("folder")  # and the process dies before it publishes
    assert "写错了" in (await walk.web.get("/feeds/all/rss.xml")).text
    walk.now += timedelta(seconds=2)
    await walk.app.pipeline.sweep()
    await walk.app.jobs.drain()
    assert "写错了" not in (await walk.web.get("/feeds/all/rss.xml")).text


async def test_what_is_new_goes_out_although_too_much_is_missing_to_be_withdrawn(
    walk: Walk, inbox: Inbox
) -> None:
    for number in range(4):
        walk.write(f"{number}.md", f"旧闻{number}号")
    await walk.ingest()
    await walk.subscribe(LI_LEI, inbox)
    for number in range(2):
        (walk.articles / f"{number}.md").unlink()
    walk.write("new.md", "新闻")
    walk.now += timedelta(seconds=2)
    with pytest.raises(SourceUnavailable, match="2 of 4 articles are missing"):
        await walk.app.pipeline.ingest("folder")
    await walk.app.pipeline.publish()
    feed = (await walk.web.get("/feeds/all/rss.xml")).text
    assert all(f"旧闻{number}号" in feed for number in range(4))
    assert "新闻" in feed
    await walk.next_morning()
    assert len(inbox.to(LI_LEI)) == 2


@pytest.mark.fault
async def test_a_file_that_is_still_being_written_is_looked_at_again_until_it_is_whole(
    walk: Walk,
) -> None:
    await walk.ingest()
    looks = 0
    path = walk.articles / "long.md"

    async def keep_writing() -> None:
        nonlocal looks
        while looks < 8:
            looks += 1
            path.write_text(f"---\ntitle: 长文\n---\n\n第{looks}段。\n", encoding="utf-8")
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_writing())
        await asyncio.sleep(0)
        walk.now = datetime.now(UTC) + timedelta(minutes=1)
        await walk.app.pipeline.ask_ingest("folder")
        await walk.app.jobs.drain()
    assert "第8段" in (await walk.web.get("/feeds/all/rss.xml")).text
