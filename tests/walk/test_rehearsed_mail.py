"""What a rehearsal shows is what is mailed: the same words, when its time has come."""

from datetime import UTC, datetime

import pytest
from newsroom_walk import Inbox, Walk
from sqlalchemy import select
from sqlmodel import col

from feedsvc.editions.registry import find_newsletter
from feedsvc.editions.rehearse import rehearse
from feedsvc.editions.replay import load_rendered, load_replay
from feedsvc.messages.digests import DigestRenderer
from feedsvc.model.edition import Edition
from feedsvc.pipeline.rehearsal import render_rehearsed
from feedsvc.pipeline.shown_mail import ShownMail, show_mail

pytestmark = pytest.mark.anyio


async def rehearsed(walk: Walk) -> list[ShownMail]:
    """The mails of the next morning, as they would be."""
    settings = walk.app.settings
    async with walk.app.database.read() as session:
        row = await find_newsletter(session, "daily")
        (found,) = await rehearse(session, row, walk.now)
    digests = DigestRenderer(
        walk.app.templates, settings.base_url, settings.title, settings.time_zone
    )
    return await render_rehearsed(walk.app.database, digests, found.cohorts)


async def replayed(walk: Walk) -> list[ShownMail]:
    """The mails of the newest edition, as they were."""
    async with walk.app.database.read() as session:
        newest = await session.scalar(select(col(Edition.id)).order_by(col(Edition.id).desc()))
        found = await load_replay(session, newest or 0)
        cohorts = [await load_rendered(session, one.id) for one in found.cohorts]
    return [show_mail("", one.subject, one.html, one.text, one.page) for one in cohorts]


async def test_the_mails_of_the_morning_are_those_of_the_rehearsal(
    walk: Walk, inbox: Inbox
) -> None:
    await walk.ingest()
    await walk.subscribe("li.lei@example.com", inbox)
    await walk.subscribe("alice@example.com", inbox, language="en")
    walk.write("market.md", "夜市回来了", topics="[夜市]")
    walk.write("planned.md", "清晨的消息", date="2026-11-22 07:00")
    await walk.ingest()
    before = await rehearsed(walk)
    walk.now = datetime(2026, 11, 22, tzinfo=UTC)
    await walk.app.pipeline.publish()
    await walk.send()
    after = await replayed(walk)
    assert {one.subject for one in before} == {one.subject for one in after}
    for form in ("html", "text", "page"):
        assert {getattr(one, form) for one in before} == {getattr(one, form) for one in after}
    assert len(inbox.to("li.lei@example.com")) == 2
