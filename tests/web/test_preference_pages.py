"""Subscribers see and change their choices through a link that names nobody."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from small_press import NOW, XHTML, SmallPress, links, parse, words
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.kit.tokens import Scope
from feedsvc.model.article import ArticleLabel
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    Resume,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
)

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)

CHOICES = {"do": "save", "schedule": "weekly", "which": "all", "language": "zh", "zone": ""}


def page_of(press: SmallPress, subscription: Subscription) -> str:
    return f"/preferences/{press.keyring.sign(Scope.PREFERENCES, subscription.id or 0)}"


async def add_topics(press: SmallPress, *topics: str) -> None:
    article = await press.add_article(f"about-{'-'.join(topics)}", topics=list(topics))
    async with press.database.write() as session:
        session.add_all(
            ArticleLabel(kind="topic", value=one, seq=article.seq or 0) for one in topics
        )


def fields(response: httpx2.Response) -> dict[str, Any]:
    """What the form would send, by name; several values as a list."""
    found: dict[str, Any] = {}
    page = parse(response)
    for one in page.iter(f"{XHTML}input"):
        name, kind = one.get("name"), one.get("type")
        if kind == "checkbox":
            found.setdefault(name, [])
            if one.get("checked") is not None:
                found[name].append(one.get("value"))
        elif kind != "radio" or one.get("checked") is not None:
            found[name] = one.get("value")
    for one in page.iter(f"{XHTML}select"):
        chosen = [
            option.get("value")
            for option in one.iter(f"{XHTML}option")
            if option.get("selected") is not None
        ]
        found[one.get("name")] = chosen[0] if chosen else None
    return found


async def changes(press: SmallPress) -> list[tuple[str, str]]:
    async with press.database.read() as session:
        rows = await session.execute(select(SubscriptionChange).order_by(SubscriptionChange.id))
        return [(one.what, one.by) for one in rows.scalars()]


async def test_the_page_shows_what_is_chosen_and_names_nobody(press: SmallPress) -> None:
    await add_topics(press, "科技", "文化")
    await press.ask("lilei@example.com", name="李雷")
    await press.client.post(await press.confirmation_path())
    (subscription,) = await press.subscriptions()
    response = await press.get(page_of(press, subscription) + "?lang=zh")
    said = words(response)
    assert "《晨报》的订阅设置" in said
    assert "每天 08:00（Asia/Shanghai）" in said
    assert "下一次：2026年11月23日 08:00（Asia/Shanghai）" in said
    assert fields(response) == {
        "schedule": "morning",
        "which": "all",
        "topic": [],
        "language": "zh",
        "zone": "",
        "until": "",
        "resume": "catch_up",
    }
    assert {"科技", "文化"} <= set(said.split())
    for secret in ("lilei", "李雷", "example.com/subscribers", "Weekly & more"):
        assert secret not in response.text
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-robots-tag"] == "noindex"
    assert len(response.content) < 100_000
    assert any(link.startswith("/unsubscribe/") for link in links(response))


async def test_the_page_is_there_in_english(press: SmallPress) -> None:
    subscription = await press.subscribe()
    said = words(await press.get(page_of(press, subscription)))
    assert "Your choices for “晨报”" in said
    assert "Next: 23 November 2026, 08:00 (Asia/Shanghai)" in said


async def test_looking_changes_nothing_whoever_looks(press: SmallPress) -> None:
    subscription = await press.subscribe()
    path = page_of(press, subscription)
    before = await press.dump()
    for query in ("", "?do=pause", "?do=save&schedule=weekly&which=all", "?do=resume"):
        assert (await press.get(path + query, **{"user-agent": "BarracudaCentral"})).is_success
        assert (await press.client.head(path + query)).is_success
        await press.client.options(path + query)
    assert await press.dump() == before


async def test_saving_shows_what_is_true_then(press: SmallPress) -> None:
    await add_topics(press, "科技", "文化", "sport")
    subscription = await press.subscribe()
    path = page_of(press, subscription)
    typed = {
        **CHOICES,
        "which": "some",
        "topic": ["科技", "文化"],
        "language": "en",
        "zone": "america/new york",
    }
    response = await press.client.post(path, data=typed)
    assert response.status_code == 200
    assert "Saved." in words(response)
    shown = fields(response)
    assert (shown["schedule"], shown["which"], shown["language"]) == ("weekly", "some", "en")
    assert (sorted(shown["topic"]), shown["zone"]) == (["文化", "科技"], "America/New_York")
    assert fields(await press.get(path)) == shown
    (row,) = await press.subscriptions()
    assert (row.topics, row.language, row.zone) == (["文化", "科技"], "en", "America/New_York")
    assert row.cursor == subscription.cursor
    assert (await changes(press))[-1] == ("changed", "subscriber")
    back = await press.client.post(path, data={"do": "save", "which": "all", "topic": ["科技"]})
    assert (fields(back)["which"], fields(back)["topic"]) == ("all", [])
    assert (await press.subscriptions())[0].zone == "America/New_York"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"schedule": "hourly"}, "Choose how often"),
        ({"which": "some"}, "Choose a topic, or all"),
        ({"which": "some", "topic": ["never written about"]}, "that are here, or all"),
        ({"which": "some", "topic": [f"t{n}" for n in range(41)]}, "Choose some of the topics"),
        ({"which": "some", "topic": ["a\x00b"]}, "Choose some of the topics"),
        ({"language": "tlh"}, "Choose one of the languages"),
        ({"zone": "Atlantis"}, "Enter a time zone like"),
        ({"zone": '"><script>alert(1)</script>'}, "Enter a time zone like"),
        ({"do": "pause", "until": "2026-11-22"}, "Enter a day to come"),
        ({"do": "pause", "until": "0001-01-01"}, "Enter a day to come"),
        ({"do": "pause", "until": "9999-12-31"}, "Enter a day to come"),
        ({"do": "pause", "until": "tomorrow"}, "Enter a day to come"),
        ({"do": "pause", "resume": "never"}, "Choose what you get afterwards"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_mistake_is_said_at_its_field_and_what_was_typed_stays(
    press: SmallPress, typed: dict[str, Any], said: str
) -> None:
    await add_topics(press, "科技")
    subscription = await press.subscribe()
    before = await press.dump()
    response = await press.client.post(page_of(press, subscription), data={**CHOICES, **typed})
    assert response.status_code == 422
    assert words(response).count(said) == 2  # at the top, and at the field
    assert await press.dump() == before
    assert 'aria-invalid="true"' in response.text
    page = parse(response)
    assert not list(page.iter(f"{XHTML}script"))
    shown = fields(response)
    if "zone" in typed:
        assert shown["zone"] == typed["zone"]
    if "schedule" not in typed:
        assert shown["schedule"] == "weekly"
    ids = {one.get("id") for one in page.iter()}
    (at,) = [link for link in links(response) if link.startswith("#") and link != "#main"]
    assert at.removeprefix("#") in ids


async def test_pausing_until_a_day_and_going_on_before_it(press: SmallPress) -> None:
    subscription = await press.subscribe()
    path = page_of(press, subscription)
    paused = await press.client.post(
        path + "?lang=zh", data={"do": "pause", "until": "2026-12-01", "resume": "now"}
    )
    assert "已暂停到 2026年12月1日 00:00（Asia/Shanghai）" in words(paused)
    assert fields(paused)["until"] == "2026-12-01"
    (row,) = await press.subscriptions()
    assert (row.state, row.resume) == (SubscriptionState.PAUSED, Resume.NOW)
    await press.add_article("meanwhile")
    on = await press.client.post(path, data={"do": "resume", "resume": "catch_up"})
    assert "you get it again" in words(on)
    assert "You get it by e-mail" in words(on)
    (row,) = await press.subscriptions()
    assert (row.state, row.cursor) == (SubscriptionState.ACTIVE, 0)
    assert [what for what, _ in await changes(press)][-2:] == ["paused", "resumed"]


async def test_pausing_until_one_says_so_and_from_then_on(press: SmallPress) -> None:
    subscription = await press.subscribe()
    path = page_of(press, subscription)
    paused = await press.client.post(path, data={"do": "pause", "until": "", "resume": "now"})
    assert "Paused until you say so" in words(paused)
    await press.add_article("meanwhile")
    await press.client.post(path, data={"do": "resume"})
    (row,) = await press.subscriptions()
    assert (row.state, row.cursor) == (SubscriptionState.ACTIVE, 1)


async def test_choices_can_be_changed_while_paused(press: SmallPress) -> None:
    subscription = await press.subscribe()
    path = page_of(press, subscription)
    await press.client.post(path, data={"do": "pause", "until": "", "resume": "now"})
    response = await press.client.post(path, data=CHOICES)
    assert "Paused until you say so" in words(response)
    assert fields(response)["schedule"] == "weekly"


async def test_the_hours_of_a_schedule_in_the_readers_zone_are_shown_there(
    press: SmallPress,
) -> None:
    subscription = await press.subscribe()
    async with press.database.write() as session:
        await session.execute(update(Schedule).values(own_zone=True))
        await session.execute(update(Subscription).values(zone="Europe/Madrid"))
    said = words(await press.get(page_of(press, subscription)))
    assert "Next: 22 November 2026, 08:00 (Europe/Madrid)" in said


async def test_a_schedule_and_a_topic_that_are_gone_are_kept_until_others_are_chosen(
    press: SmallPress,
) -> None:
    subscription = await press.subscribe()
    async with press.database.write() as session:
        await session.execute(
            update(Schedule).where(col(Schedule.key) == "morning").values(retired=True)
        )
        await session.execute(update(Subscription).values(topics=["gone"]))
    path = page_of(press, subscription)
    shown = fields(await press.get(path))
    assert "schedule" not in shown
    assert shown["topic"] == ["gone"]
    kept = {"do": "save", "which": "some", "topic": ["gone"], "language": "zh", "zone": "UTC"}
    assert (await press.client.post(path, data=kept)).status_code == 200
    (row,) = await press.subscriptions()
    assert (row.topics, row.zone, row.schedule_id) == (["gone"], "UTC", subscription.schedule_id)


async def test_who_has_left_is_told_so(press: SmallPress) -> None:
    subscription = await press.subscribe()
    path = page_of(press, subscription)
    await press.client.post(press.unsubscribe_path(subscription))
    before = await press.dump()
    for response in (await press.get(path), await press.client.post(path, data=CHOICES)):
        assert response.status_code == 200
        assert "You are not subscribed to “晨报”" in words(response)
        assert "/subscribe/daily" in links(response)
    assert await press.dump() == before


async def test_a_newsletter_that_has_ended_can_be_left(press: SmallPress) -> None:
    subscription = await press.subscribe()
    async with press.database.write() as session:
        await session.execute(update(Newsletter).values(key=Newsletter.key + "-old"))
    response = await press.get(page_of(press, subscription))
    assert "“晨报” has ended" in words(response)
    assert any(link.startswith("/unsubscribe/") for link in links(response))


async def test_every_bad_link_reads_the_same(press: SmallPress) -> None:
    subscription = await press.subscribe()
    good = page_of(press, subscription).removeprefix("/preferences/")
    other = press.unsubscribe_path(subscription).removeprefix("/unsubscribe/")
    flipped = good[:-1] + ("A" if good[-1] != "A" else "B")
    answers = set()
    for token in ("nonsense", flipped, other, good[:-2]):
        path = f"/preferences/{token}"
        for response in (await press.get(path), await press.client.post(path, data=CHOICES)):
            answers.add((response.status_code, response.text.replace(path, "")))
    assert len(answers) == 1
    assert {status for status, _ in answers} == {404}
    gone = f"/preferences/{press.keyring.sign(Scope.PREFERENCES, 999)}"
    assert "not in our records" in words(await press.get(gone))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("multipart/form-data", b"no boundary"), ("multipart/form-data; boundary=x", b"--y\r\nbad")],
)
async def test_a_broken_form_changes_nothing(
    press: SmallPress, content_type: str, body: bytes
) -> None:
    subscription = await press.subscribe()
    before = await press.dump()
    headers = {"content-type": content_type}
    response = await press.client.post(page_of(press, subscription), content=body, headers=headers)
    assert response.status_code == 400
    assert await press.dump() == before


async def test_the_sign_up_form_takes_topics_and_a_zone(press: SmallPress) -> None:
    await add_topics(press, "科技", "文化")
    shown = fields(await press.get("/subscribe/daily?lang=zh"))
    assert (shown["which"], shown["topic"], shown["zone"]) == ("all", [], "")
    form = {
        "address": "lilei@example.com",
        "schedule": "weekly",
        "language": "zh",
        "which": "some",
        "topic": ["科技"],
        "zone": "europe/madrid",
    }
    assert "topic" not in fields(await press.client.post("/subscribe/daily", data=form))
    await press.client.post(await press.confirmation_path())
    (row,) = await press.subscriptions()
    assert (row.topics, row.language, row.zone) == (["科技"], "zh", "Europe/Madrid")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"zone": "Atlantis"}, "Enter a time zone like"),
        ({"which": "some"}, "Choose a topic, or all"),
        ({"which": "some", "topic": "sport"}, "that are here, or all"),
    ],
)
async def test_a_mistake_at_sign_up_is_said_at_its_field(
    press: SmallPress, typed: dict[str, str], said: str
) -> None:
    await add_topics(press, "科技")
    response = await press.ask("lilei@example.com", **typed)
    assert response.status_code == 422
    assert words(response).count(said) == 2
    assert await press.subscribers() == []
    assert fields(response)["zone"] == typed.get("zone", "")


async def test_a_form_without_the_newer_fields_is_taken_as_before(press: SmallPress) -> None:
    await add_topics(press, "科技")
    assert (await press.ask()).status_code == 200
    await press.client.post(await press.confirmation_path())
    (row,) = await press.subscriptions()
    assert (row.topics, row.zone) == ([], "")
    press.now = NOW + DAY
