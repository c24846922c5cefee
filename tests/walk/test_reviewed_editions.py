"""A reviewed edition from its draft to the inbox: as was decided, and nothing is lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from newsroom_walk import Inbox, Walk
from sqlalchemy import select
from sqlmodel import col

from feedsvc.editions.notes import add_note
from feedsvc.editions.review import approve, drop_article, reorder, set_intro
from feedsvc.model.article import Article
from feedsvc.model.edition import Edition, EditionState

pytestmark = pytest.mark.anyio
#: 08:00 in Shanghai; the draft is made two hours before.
DUE = datetime(2026, 11, 22, tzinfo=UTC)
TITLES = ("夜市回来了", "屋顶花园", "旧图书馆")


@pytest.fixture
async def walk(empty_database_url: str, tmp_path: Path, inbox: Inbox) -> AsyncIterator[Walk]:
    """A draft of three articles for 李雷; one that nobody approves does not go."""
    walk = Walk(tmp_path, empty_database_url, inbox.port, DUE - timedelta(hours=12))
    config = walk.folder / "config.toml"
    rule = 'review = "draft"\nunapproved = "skip"\n'
    schedules = "[newsletters.daily.schedules"
    config.write_text(
        config.read_text("utf-8").replace(schedules, rule + schedules, 1), encoding="utf-8"
    )
    async with walk.open():
        await walk.ingest()
        await walk.subscribe("lilei@example.com", inbox)
        for number, title in enumerate(TITLES):
            walk.write(f"{number}.md", title)
        await walk.ingest()
        walk.now = DUE - timedelta(hours=2)
        await walk.send()
        yield walk


async def editions(walk: Walk) -> list[Edition]:
    async with walk.app.database.read() as session:
        return list((await session.execute(select(Edition).order_by(col(Edition.id)))).scalars())


async def ids(walk: Walk) -> dict[str, int]:
    async with walk.app.database.read() as session:
        rows = await session.execute(select(col(Article.title), col(Article.id)))
        return {title: number or 0 for title, number in rows.all()}


async def catch_up(walk: Walk) -> None:
    """What the sweep asks for."""
    await walk.send()
    for edition in await editions(walk):
        await walk.app.pipeline.compose(edition.id or 0)
    await walk.app.pipeline.deliver()


def text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def digests(inbox: Inbox) -> list[EmailMessage]:
    return [mail for mail in inbox.to("lilei@example.com") if mail["List-Id"]]


async def test_what_was_approved_goes_at_its_hour_as_it_was_put_together(
    walk: Walk, inbox: Inbox
) -> None:
    (draft,) = await editions(walk)
    assert (draft.state, draft.due_at, draft.cut_seq) == (EditionState.DRAFT, DUE, 3)
    number, known = draft.id or 0, await ids(walk)
    walk.write("late.md", "太晚了")
    await walk.ingest()
    async with walk.app.database.write() as session:
        await drop_article(session, number, known["屋顶花园"], "operator", walk.now)
        await reorder(session, number, [known["旧图书馆"]])
        await set_intro(session, number, "大家好，*本周*有三篇。")
        await add_note(
            session,
            draft.newsletter_id,
            "国庆放假",
            starts_at=walk.now,
            ends_at=None,
            language="zh",
            by="operator",
            now=walk.now,
        )
        assert await approve(session, number, "operator", walk.now)
    await catch_up(walk)
    assert digests(inbox) == []
    walk.now = DUE
    await catch_up(walk)
    (mail,) = digests(inbox)
    assert mail["Subject"] == "每日新闻：旧图书馆"
    said = text(mail)
    assert [said.find(one) >= 0 for one in (*TITLES, "太晚了")] == [True, False, True, False]
    assert "国庆放假" in said
    assert "有三篇" in said
    # What came too late for the draft is in the next; what was dropped is not.
    walk.now = DUE + timedelta(hours=22)
    await walk.send()
    *_, later = await editions(walk)
    async with walk.app.database.write() as session:
        assert await approve(session, later.id or 0, "operator", walk.now)
    walk.now = DUE + timedelta(days=1)
    await catch_up(walk)
    *_, mail = digests(inbox)
    assert mail["Subject"] == "每日新闻：太晚了"
    assert "屋顶花园" not in text(mail)


async def test_what_nobody_approved_comes_with_the_next_edition(walk: Walk, inbox: Inbox) -> None:
    walk.now = DUE - timedelta(seconds=1)
    await catch_up(walk)
    assert digests(inbox) == []
    walk.now = DUE
    await catch_up(walk)
    (edition,) = await editions(walk)
    assert digests(inbox) == []
    assert edition.state is EditionState.SKIPPED
    walk.now = DUE + timedelta(hours=22)
    await walk.send()
    *_, later = await editions(walk)
    async with walk.app.database.write() as session:
        await approve(session, later.id or 0, "operator", walk.now)
    walk.now = DUE + timedelta(days=1)
    await catch_up(walk)
    (mail,) = digests(inbox)
    assert all(title in text(mail) for title in TITLES)
