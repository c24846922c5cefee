"""What comes in is bounded, what goes out is guarded, and looking changes nothing."""

import asyncio
from collections import deque
from typing import Any

import pytest
import structlog
from small_press import BASE_URL, SmallPress, links, parse, words
from sqlalchemy import text

from feedsvc.kit.tokens import Scope
from feedsvc.web import security

pytestmark = pytest.mark.anyio

SCANNERS = (
    "Mozilla/5.0 (compatible; BarracudaCentral/2.0)",
    "GoogleImageProxy",
    "Slackbot-LinkExpanding 1.0",
)


async def test_looking_at_everything_changes_nothing(press: SmallPress) -> None:
    await press.add_article("a", section="科技")
    await press.add_article("b", section="文化", url="https://elsewhere.example/b")
    subscription = await press.subscribe("alice@example.com")
    await press.ask("bob@example.com", "weekly")
    cohort_id = await press.add_cohort("<!DOCTYPE html><title>t</title><a href='/feeds'>f</a>")
    start = [
        "/",
        press.unsubscribe_path(subscription),
        await press.confirmation_path(),
        f"/editions/{press.keyring.sign(Scope.VIEW, cohort_id)}",
        "/healthz",
    ]
    before = await press.dump()
    waiting, seen = deque(start), set(start)
    while waiting:
        path = waiting.popleft()
        for agent in SCANNERS:
            response = await press.get(path, **{"user-agent": agent})
            assert response.status_code == 200, path
            await press.client.head(path, headers={"user-agent": agent})
        await press.client.options(path)
        if "text/html" not in response.headers["content-type"]:
            continue
        for link in links(response):
            link = link.removeprefix(BASE_URL)
            if link.startswith("/") and link not in seen and "/tech/" not in link:
                is_document = link.startswith("/feeds/") and link.endswith((".xml", ".json"))
                if is_document and not link.endswith("all/rss.xml"):
                    continue  # not built in this press
                seen.add(link)
                waiting.append(link)
    told = {"/articles/a", "/subscribe/daily", "/feeds/all", "/feeds/all/rss.xml", "/feeds.opml"}
    assert told <= seen
    assert await press.dump() == before
    assert press.pokes == 2


@pytest.mark.parametrize("path", ["/", "/feeds", "/subscribe/daily", "/healthz"])
async def test_head_answers_like_get_and_other_methods_are_refused(
    press: SmallPress, path: str
) -> None:
    got, head = await press.get(path), await press.client.head(path)
    assert head.status_code == got.status_code == 200
    assert head.headers == got.headers
    refused = await press.client.delete(path)
    assert refused.status_code == 405
    assert "GET" in refused.headers["allow"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example"},
        {"forwarded": "host=evil.example"},
    ],
)
async def test_no_link_is_made_from_what_the_request_says_the_host_is(
    press: SmallPress, headers: dict[str, str]
) -> None:
    await press.add_article("a")
    for path in ("/", "/articles/a", "/feeds", "/subscribe/daily", "/nowhere", "/subscribe/"):
        response = await press.get(path, **headers)
        assert "evil.example" not in response.text
        assert "location" not in response.headers
    await press.client.post(
        "/subscribe/daily",
        data={"address": "a@example.com", "schedule": "morning", "language": "en"},
        headers=headers,
    )
    assert "evil.example" not in await press.dump()


@pytest.mark.parametrize(
    "path", ["//evil.example", "//evil.example/%2e%2e", "/\\evil.example", "/%0d%0aX-A: b"]
)
async def test_odd_paths_lead_nowhere(press: SmallPress, path: str) -> None:
    response = await press.client.get(f"http://inside.test{path}")
    assert response.status_code == 404
    assert "x-a" not in response.headers
    assert not any(link.startswith(("//", "/\\")) for link in links(response))


@pytest.mark.parametrize(
    "path",
    [
        "/?before=0",
        "/?before=x",
        "/?before=99999999999999999999999",
        "/?section=a%00b",
        "/articles/a%00b",
        f"/articles/{'a' * 5000}",
        "/subscribe/%00",
    ],
)
async def test_odd_questions_get_a_page_and_no_fault(press: SmallPress, path: str) -> None:
    response = await press.get(path)
    assert response.status_code in (404, 422)
    parse(response)


@pytest.mark.parametrize(
    "path",
    ["/", "/subscribe/daily", "/confirm/x", "/unsubscribe/x", "/nowhere", "/feeds/all/rss.xml"],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_no_route_takes_a_large_body(press: SmallPress, path: str, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b"a" * 1024

    body = pieces() if chunked else b"a" * (security.MAX_BODY_BYTES + 1)
    response = await press.client.post(path, content=body)
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert "too much" in words(response)


async def test_a_form_of_many_fields_is_refused(press: SmallPress) -> None:
    body = "&".join(f"f{number}=" for number in range(1000))
    response = await press.client.post(
        "/subscribe/daily",
        content=body,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code == 400
    parse(response)


async def test_a_body_that_never_ends_is_not_waited_for(
    press: SmallPress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "BODY_TIMEOUT_SECONDS", 0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/subscribe/daily",
        "raw_path": b"/subscribe/daily",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-length", b"10")],
        "server": ("inside.test", 80),
        "client": ("192.0.2.1", 1),
    }
    await press.application(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_pages_may_do_nothing_but_show_themselves(press: SmallPress) -> None:
    await press.add_article("a")
    for path in ("/", "/articles/a", "/feeds", "/subscribe/daily", "/nowhere"):
        headers = (await press.get(path)).headers
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["style-src"] == "'self'"
        assert policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "script-src" not in policy
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "set-cookie" not in headers


async def test_only_articles_show_images_from_elsewhere(press: SmallPress) -> None:
    await press.add_article("a")
    assert "https:" in (await press.get("/articles/a")).headers["content-security-policy"]
    assert "https:" not in (await press.get("/")).headers["content-security-policy"]


async def test_personal_pages_are_kept_nowhere_and_tell_nobody_their_address(
    press: SmallPress,
) -> None:
    subscription = await press.subscribe()
    cohort_id = await press.add_cohort("<!DOCTYPE html><title>t</title>")
    for path in (
        press.unsubscribe_path(subscription),
        await press.confirmation_path(),
        f"/editions/{press.keyring.sign(Scope.VIEW, cohort_id)}",
        "/unsubscribe/nonsense",
    ):
        headers = (await press.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
    public = (await press.get("/")).headers
    assert public["referrer-policy"] == "strict-origin"
    assert "public" in public["cache-control"]
    assert (await press.get(f"{press.unsubscribe_path(subscription)}/x.css")).status_code == 404


async def test_a_fault_is_a_plain_page_and_a_line_in_the_log_without_what_was_typed(
    press: SmallPress,
) -> None:
    async with press.database.write() as session:
        await session.execute(text("DROP TABLE notice"))
    with structlog.testing.capture_logs() as logs:
        response = await press.ask("canary@example.com", name="Canary")
    assert response.status_code == 500
    assert "Traceback" not in response.text
    assert "notice" not in response.text
    assert response.headers["cache-control"] == "no-store"
    (line,) = [one for one in logs if one["log_level"] == "error"]
    assert line["route"] == "/subscribe/{key}"
    assert "canary" not in str(logs).lower()


async def test_nothing_said_in_the_log_names_a_person(press: SmallPress) -> None:
    with structlog.testing.capture_logs() as logs:
        subscription = await press.subscribe("canary@example.com")
        await press.client.post(press.unsubscribe_path(subscription))
    assert [one["event"] for one in logs] == [
        "subscription requested",
        "subscribed",
        "unsubscribed",
    ]
    assert "canary" not in str(logs)


@pytest.mark.parametrize("work_seconds", [0.0004, 0.0011])
async def test_an_evened_out_block_takes_a_whole_number_of_steps(work_seconds: float) -> None:
    clock = asyncio.get_running_loop()
    begun = clock.time()
    async with security.evened_out(0.01):
        while clock.time() - begun < work_seconds:
            pass
    assert clock.time() - begun >= 0.0099
