"""Subscribers ask, confirm and leave through the pages; nobody learns anything of others."""

from datetime import timedelta

import httpx2
import pytest
from small_press import NOW, XHTML, SmallPress, links, parse, words
from sqlalchemy import select

from feedsvc.kit.tokens import Scope
from feedsvc.model.delivery import Delivery
from feedsvc.model.subscriber import AddressState, Subscriber, SubscriptionState

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


async def test_the_form_shows_every_rhythm_in_words(press: SmallPress) -> None:
    response = await press.get("/subscribe/daily?lang=zh")
    text = words(response)
    assert "订阅《晨报》" in text
    assert "每天 08:00（Asia/Shanghai）" in text
    page = parse(response)
    inputs = {one.get("name"): one for one in page.iter(f"{XHTML}input")}
    assert inputs["address"].get("autocomplete") == "email"
    assert inputs["name"].get("autocomplete") == "name"
    labelled = {one.get("for") for one in page.iter(f"{XHTML}label")}
    assert {"address", "name", "language"} <= labelled
    (form,) = page.iter(f"{XHTML}form")
    assert (form.get("method"), form.get("action")) == ("post", "/subscribe/daily?lang=zh")


async def test_newsletters_are_listed_without_the_private_one(press: SmallPress) -> None:
    response = await press.get("/subscribe")
    assert "/subscribe/daily" in links(response)
    assert "Weekly & more" in words(response)
    assert "Board" not in response.text
    assert (await press.get("/subscribe/board")).status_code == 404
    assert (await press.get("/subscribe/nothing")).status_code == 404


async def test_from_the_form_to_the_first_article_and_out_again(press: SmallPress) -> None:
    response = await press.ask("lilei@example.com", name="李雷", schedule="weekly")
    assert response.status_code == 200
    assert press.pokes == 1
    await press.add_article("new")
    path = await press.confirmation_path()
    press.now = NOW + HOUR
    shown = await press.get(f"{path}?lang=zh")
    assert "订阅《晨报》？" in words(shown)
    assert "每周一 08:00（Asia/Shanghai）" in words(shown)
    (subscription,) = await press.subscriptions()
    assert subscription.state is SubscriptionState.PENDING

    done = await press.client.post(path)
    assert done.status_code == 200
    assert "You are subscribed" in words(done)
    (subscription,) = await press.subscriptions()
    assert (subscription.state, subscription.cursor) == (SubscriptionState.ACTIVE, 1)
    assert "示例报社" in subscription.consent_text
    assert "You are subscribed" in words(await press.get(path))

    leaving = press.unsubscribe_path(subscription)
    assert "Unsubscribe from “晨报”?" in words(await press.get(leaving))
    assert (await press.subscriptions())[0].state is SubscriptionState.ACTIVE
    left = await press.client.post(leaving)
    assert "You are unsubscribed from “晨报”" in words(left)
    assert "/subscribe/daily" in links(left)
    assert (await press.subscriptions())[0].state is SubscriptionState.UNSUBSCRIBED
    assert "You are unsubscribed" in words(await press.get(leaving))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"address": ""}, "Enter your e-mail address."),
        ({"address": "no at sign"}, "Enter an e-mail address like"),
        ({"address": "李雷@example.com"}, "such letters before the @"),
        ({"address": "a@example.com\r\nBcc: b@example.com"}, "Enter an e-mail address like"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"name": "a\r\nBcc: b@example.com"}, "one line of plain text"),
        ({"name": "a\u2028b"}, "one line of plain text"),
        ({"name": "a\x00b"}, "one line of plain text"),
        ({"name": "\u202egpj.exe"}, "one line of plain text"),
        ({"schedule": "hourly"}, "Choose how often"),
        ({"language": "tlh"}, "Choose one of the languages"),
    ],
)
async def test_a_mistake_is_said_at_its_field_and_what_was_typed_stays(
    press: SmallPress, typed: dict[str, str], said: str
) -> None:
    response = await press.client.post(
        "/subscribe/daily",
        data={"address": "good@example.com", "name": "Ann", "schedule": "weekly", "language": "en"}
        | typed,
    )
    assert response.status_code == 422
    assert words(response).count(said) == 2  # at the top, and at the field
    assert response.headers["cache-control"] == "no-store"
    assert await press.subscribers() == []
    page = parse(response)
    inputs = {one.get("name"): one.get("value") for one in page.iter(f"{XHTML}input")}
    if "address" not in typed:
        assert inputs["address"] == "good@example.com"
    if "name" not in typed:
        assert inputs["name"] == "Ann"
    (field,) = typed
    assert f'href="#{field}"' in response.text
    assert 'aria-invalid="true"' in response.text


async def test_a_script_typed_as_a_name_stays_text(press: SmallPress) -> None:
    response = await press.ask("broken", name='"><script>alert(1)</script>')
    assert response.status_code == 422
    assert not list(parse(response).iter(f"{XHTML}script"))


async def test_the_answer_is_the_same_for_every_address(press: SmallPress) -> None:
    await press.subscribe("active@example.com")
    gone = await press.subscribe("left@example.com")
    await press.client.post(press.unsubscribe_path(gone))
    await press.ask("pending@example.com")
    await press.ask("dead@example.com")
    async with press.database.write() as session:
        rows = (await session.execute(select(Subscriber))).scalars()
        for subscriber in rows:
            if subscriber.address == "dead@example.com":
                subscriber.state = AddressState.DEAD
    # The page's own address, in the link to its other language, is what was asked for.
    answers = {
        (
            response.status_code,
            response.text.replace(response.url.path, ""),
            tuple(sorted(set(response.headers.items()) - {length(response)})),
        )
        for response in [
            await press.ask("new@example.com"),
            await press.ask("new@example.com"),
            await press.ask("active@example.com"),
            await press.ask("left@example.com"),
            await press.ask("pending@example.com"),
            await press.ask("dead@example.com"),
            await press.ask("anyone@example.com", "board"),
            await press.ask("anyone@example.com", "nothing"),
            await press.ask("robot@example.com", homepage="https://spam.example"),
        ]
    }
    assert len(answers) == 1
    addresses = [one.address for one in await press.subscribers()]
    assert "anyone@example.com" not in addresses
    assert "robot@example.com" not in addresses


def length(response: httpx2.Response) -> tuple[str, str]:
    """The one header that the path, in the link to the other language, has a say in."""
    return ("content-length", response.headers["content-length"])


async def test_a_name_typed_by_anybody_is_in_no_row_a_mail_is_addressed_by(
    press: SmallPress,
) -> None:
    await press.ask("victim@example.com", name="Buy http://evil.example")
    assert [one.name for one in await press.subscribers()] == [""]


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
async def test_one_click_leaves_at_once_without_cookie_or_redirect(
    press: SmallPress, form: str
) -> None:
    subscription = await press.subscribe()
    path = press.unsubscribe_path(subscription)
    press.now = NOW + timedelta(days=800)
    for _ in range(3):
        if form == "urlencoded":
            response = await press.client.post(path, data={"List-Unsubscribe": "One-Click"})
        else:
            response = await press.client.post(
                path, files={"List-Unsubscribe": (None, "One-Click")}
            )
        assert response.status_code == 200
        assert "set-cookie" not in response.headers
    (after,) = await press.subscriptions()
    assert after.state is SubscriptionState.UNSUBSCRIBED


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--y\r\nbroken"),
        ("application/json", b'{"a": 1}'),
        ("", b""),
    ],
)
async def test_a_broken_one_click_body_leaves_all_the_same(
    press: SmallPress, content_type: str, body: bytes
) -> None:
    subscription = await press.subscribe()
    path = press.unsubscribe_path(subscription)
    response = await press.client.post(path, content=body, headers={"content-type": content_type})
    assert response.status_code == 200
    (after,) = await press.subscriptions()
    assert after.state is SubscriptionState.UNSUBSCRIBED


async def test_leaving_one_newsletter_leaves_the_other(press: SmallPress) -> None:
    daily = await press.subscribe()
    press.now = NOW + timedelta(days=2)
    await press.ask(newsletter="weekly")
    await press.client.post(await press.confirmation_path())
    await press.client.post(press.unsubscribe_path(daily))
    states = [one.state for one in await press.subscriptions()]
    assert states == [SubscriptionState.UNSUBSCRIBED, SubscriptionState.ACTIVE]


async def test_a_confirmation_that_is_too_old_offers_another(press: SmallPress) -> None:
    await press.ask()
    path = await press.confirmation_path()
    press.now = NOW + timedelta(hours=49)
    for response in (await press.get(path), await press.client.post(path)):
        assert response.status_code == 410
        assert "/subscribe" in links(response)
    assert (await press.subscriptions())[0].state is SubscriptionState.PENDING


async def test_every_bad_link_reads_the_same(press: SmallPress) -> None:
    subscription = await press.subscribe()
    good = press.unsubscribe_path(subscription)
    confirm = await press.confirmation_path()
    token = good.removeprefix("/unsubscribe/")
    flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
    bad = [
        "/unsubscribe/nonsense",
        f"/unsubscribe/{token[:-2]}",
        f"/unsubscribe/{flipped}",
        f"/confirm/{token}",
        confirm.replace("/confirm/", "/unsubscribe/"),
        f"/confirm/{press.keyring.sign(Scope.CONFIRM, 999, 1)}",
    ]
    answers = set()
    for path in bad:
        for response in (await press.get(path), await press.client.post(path)):
            # The link to the other language holds the address itself.
            answers.add((response.status_code, response.text.replace(path, "")))
    assert {status for status, _ in answers} == {404}
    assert len(answers) == 1
    assert (await press.subscriptions())[0].state is SubscriptionState.ACTIVE


async def test_no_address_is_in_any_link(press: SmallPress) -> None:
    subscription = await press.subscribe("alice@example.com")
    for path in (press.unsubscribe_path(subscription), await press.confirmation_path()):
        assert "@" not in path
        assert "alice" not in (await press.get(path)).text


async def test_one_mail_however_often_a_stranger_presses_the_button(press: SmallPress) -> None:
    for newsletter in ("daily", "weekly") * 5:
        await press.ask("victim@example.com", newsletter)
    async with press.database.read() as session:
        assert len((await session.execute(select(Delivery))).scalars().all()) == 1
