"""Readers find articles and feeds, in their language, on pages that are sound."""

from datetime import timedelta

import pytest
from small_press import BASE_URL, NOW, XHTML, SmallPress, links, parse, words

from feedsvc.kit.tokens import Scope
from feedsvc.model.article import ArticleState

pytestmark = pytest.mark.anyio


async def test_a_press_that_has_published_nothing_says_what_happens_next(press: SmallPress) -> None:
    response = await press.get("/")
    assert response.status_code == 200
    assert "New articles appear here by themselves." in words(response)


async def test_the_front_page_lists_the_newest_first_and_pages_back(press: SmallPress) -> None:
    for number in range(1, 31):
        await press.add_article(f"a{number}")
    first = await press.get("/")
    listed = [link for link in links(first) if link.startswith("/articles/")]
    assert listed == [f"/articles/a{number}" for number in range(30, 10, -1)]
    assert "/?before=11" in links(first)
    second = await press.get("/?before=11")
    listed = [link for link in links(second) if link.startswith("/articles/")]
    assert listed == [f"/articles/a{number}" for number in range(10, 0, -1)]
    assert "Older articles" not in words(second)


async def test_a_section_can_be_read_alone(press: SmallPress) -> None:
    await press.add_article("tech", section="科技")
    await press.add_article("news", section="要闻")
    response = await press.get("/?section=科技")
    assert [link for link in links(response) if link.startswith("/articles/")] == ["/articles/tech"]
    assert "/?section=%E8%A6%81%E9%97%BB" in links(response)


@pytest.mark.parametrize("state", [ArticleState.SCHEDULED, ArticleState.HELD])
async def test_what_is_not_published_is_nowhere(press: SmallPress, state: ArticleState) -> None:
    await press.add_article("secret", state=state, seq=None)
    assert (await press.get("/articles/secret")).status_code == 404
    assert "secret" not in (await press.get("/")).text


async def test_a_withdrawn_article_is_gone_and_not_told_again(press: SmallPress) -> None:
    await press.add_article("gone", state=ArticleState.WITHDRAWN, title="Slander")
    response = await press.get("/articles/gone")
    assert response.status_code == 410
    assert "withdrawn" in words(response)
    assert "Slander" not in response.text


async def test_an_article_shows_its_words_time_and_origin(press: SmallPress) -> None:
    await press.add_article(
        "dizi",
        title="笛子 <b>与</b> 茶",
        language="zh-CN",
        section="文化",
        authors=["李雷", "韩梅梅"],
        content="<p>第一段<em>着重</em>。</p>",
        url="https://elsewhere.example/dizi",
        updated_at=NOW + timedelta(hours=1),
        enclosures=[
            {"url": "https://cdn.example/a.mp3", "media_type": "audio/mpeg", "length_bytes": 1200}
        ],
    )
    response = await press.get("/articles/dizi", **{"accept-language": "zh-CN,en;q=0.5"})
    text = words(response)
    assert "笛子 <b>与</b> 茶" in text
    assert "李雷、韩梅梅" in text
    assert "2026年11月21日 08:00（Asia/Shanghai）" in text
    assert "修改于 2026年11月22日 09:00（Asia/Shanghai）" in text
    assert "<p>第一段<em>着重</em>。</p>" in response.text
    assert {"https://elsewhere.example/dizi", "https://cdn.example/a.mp3"} <= set(links(response))
    page = parse(response)
    (heading,) = page.iter(f"{XHTML}h1")
    assert heading.get("lang") == "zh-CN"
    (canonical,) = [one for one in page.iter(f"{XHTML}link") if one.get("rel") == "canonical"]
    assert canonical.get("href") == "https://elsewhere.example/dizi"


async def test_every_page_tells_browsers_and_people_of_the_feeds(press: SmallPress) -> None:
    page = parse(await press.get("/"))
    announced = [
        (one.get("type"), one.get("href"))
        for one in page.iter(f"{XHTML}link")
        if one.get("rel") == "alternate"
    ]
    assert announced[0] == ("application/atom+xml", f"{BASE_URL}/feeds/all/atom.xml")
    assert len(announced) == 4
    text = words(await press.get("/feeds"))
    assert f"{BASE_URL}/feeds/all/atom.xml" in text
    assert f"{BASE_URL}/feeds/tech/atom.xml" in text
    told = links(await press.get("/feeds/all"))
    for _, address in announced[1:3]:
        assert address in told


async def test_feed_documents_come_from_the_feed_endpoint(press: SmallPress) -> None:
    response = await press.get("/feeds/all/rss.xml")
    assert response.status_code == 200
    assert response.text == "<rss/>"
    assert (await press.client.post("/feeds/all/rss.xml")).status_code == 405


@pytest.mark.parametrize(
    ("path", "header", "lang"),
    [
        ("/", "", "en"),
        ("/", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("/", "en;q=0.4, zh;q=0.7", "zh-Hans"),
        ("/", "fr, ja", "en"),
        ("/", "zh;q=0, *;q=nonsense, ;;;", "en"),
        ("/?lang=zh", "en", "zh-Hans"),
        ("/?lang=xx", "zh", "zh-Hans"),
        ("/nowhere?lang=zh", "", "zh-Hans"),
    ],
)
async def test_pages_speak_the_readers_language(
    press: SmallPress, path: str, header: str, lang: str
) -> None:
    response = await press.get(path, **{"accept-language": header})
    assert parse(response).get("lang") == lang
    assert response.headers["content-language"] == lang


async def test_a_chosen_language_stays_and_can_be_changed(press: SmallPress) -> None:
    await press.add_article("a", section="科技")
    response = await press.get("/?lang=zh&section=科技")
    own = [link for link in links(response) if link.startswith("/")]
    assert "/?section=%E7%A7%91%E6%8A%80&lang=en" in own
    assert all("lang=" in link for link in own)
    assert "/articles/a?lang=zh" in own


async def test_a_reader_who_has_the_page_gets_no_second_copy(press: SmallPress) -> None:
    await press.add_article("a")
    first = await press.get("/articles/a")
    again = await press.get("/articles/a", **{"if-none-match": f"W/{first.headers['etag']}"})
    assert (again.status_code, again.content) == (304, b"")
    chinese = await press.get(
        "/articles/a", **{"if-none-match": first.headers["etag"], "accept-language": "zh"}
    )
    assert chinese.status_code == 200
    assert chinese.headers["vary"] == "Accept-Language"


async def test_a_mail_can_be_read_in_the_browser_as_it_was_sent(press: SmallPress) -> None:
    cohort_id = await press.add_cohort("<!DOCTYPE html><p style='color:red'>晨报</p>")
    token = press.keyring.sign(Scope.VIEW, cohort_id)
    response = await press.get(f"/editions/{token}")
    assert response.text == "<!DOCTYPE html><p style='color:red'>晨报</p>"
    policy = response.headers["content-security-policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "sandbox" in policy
    assert "script" not in policy
    assert (await press.get(f"/editions/{press.keyring.sign(Scope.VIEW, 999)}")).status_code == 404


async def test_the_stylesheet_may_be_kept_for_ever_under_its_name(press: SmallPress) -> None:
    page = parse(await press.get("/"))
    (sheet,) = [one for one in page.iter(f"{XHTML}link") if one.get("rel") == "stylesheet"]
    response = await press.get(sheet.get("href"))
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in response.headers["cache-control"]
    assert "prefers-color-scheme: dark" in response.text
    assert (await press.get("/static/../keys.json")).status_code == 404
    assert (await press.get("/static/other.css")).status_code == 404


async def test_pages_are_small_and_need_nobody_else(press: SmallPress) -> None:
    for number in range(20):
        await press.add_article(f"a{number}", summary="字" * 240)
    for path in ("/", "/articles/a1", "/feeds", "/subscribe", "/subscribe/daily"):
        response = await press.get(path)
        page = parse(response)
        fetched = [one.get("src") for one in page.iter() if one.get("src")]
        fetched += [
            one.get("href") for one in page.iter(f"{XHTML}link") if one.get("rel") == "stylesheet"
        ]
        assert all(address.startswith("/static/") for address in fetched)
        assert not list(page.iter(f"{XHTML}script"))
        assert len(response.content) < 80_000


async def test_health_is_the_databases(press: SmallPress) -> None:
    assert (await press.get("/healthz")).status_code == 200
    path = press.database.path
    assert path is not None
    await press.database.dispose()
    path.unlink()
    path.mkdir()
    assert (await press.get("/healthz")).status_code == 503
    response = await press.get("/")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "try again" in words(response)
