"""Past editions on the site: which there are, what is shown of them, and what never is."""

from datetime import timedelta

import pytest
from past_editions import (
    WEEK,
    Mail,
    add_edition,
    change,
    change_newsletter,
    cohort_of,
    withdraw,
)
from small_press import BASE_URL, NOW, XHTML, SmallPress, links, parse, words

from feedsvc.kit.tokens import Scope
from feedsvc.model.edition import Cohort, EditionKind, EditionState
from feedsvc.model.newsletter import Schedule

pytestmark = pytest.mark.anyio

KINDS_NOT_SHOWN = [EditionKind.WELCOME, EditionKind.CORRECTION]
STATES_NOT_SHOWN = sorted({*EditionState} - {EditionState.SENDING, EditionState.DONE})


async def test_a_newsletter_has_a_page_that_says_what_it_is_and_when_it_comes(
    press: SmallPress,
) -> None:
    number = await add_edition(press)
    await change_newsletter(press, "daily", description="每天的新文章")
    response = await press.get("/newsletters/daily")
    text = words(response)
    assert "每天的新文章" in text
    assert "每天早上every day at 08:00 (Asia/Shanghai)" in text
    assert "Next: 23 November 2026, 08:00 (Asia/Shanghai)" in text  # it is 08:00 of the 22nd there
    assert "晨报：夜市回来了" in text
    assert "示例报社" in text
    assert {"/subscribe/daily", f"/newsletters/daily/editions/{number}"} <= set(links(response))
    chinese = words(await press.get("/newsletters/daily?lang=zh"))
    assert "下一期：2026年11月23日 08:00（Asia/Shanghai）" in chinese
    assert "往期内容" in chinese


async def test_rhythms_of_ones_own_zone_and_of_each_article_are_said_in_words(
    press: SmallPress,
) -> None:
    await change(press, Schedule, 1, own_zone=True)
    await change(press, Schedule, 2, cron="")
    text = words(await press.get("/newsletters/daily"))
    assert "every day at 08:00, your time" in text
    assert "Next: 23 November 2026, 08:00 where you are" in text
    assert "for each article, soon after it appears" in text


async def test_every_way_to_newsletters_leads_to_their_pages(press: SmallPress) -> None:
    number = await add_edition(press)
    assert "/newsletters" in links(await press.get("/"))
    assert "/newsletters/daily" in links(await press.get("/subscribe"))
    listed = await press.get("/newsletters")
    assert {"/newsletters/daily", "/newsletters/weekly"} <= set(links(listed))
    assert f"/newsletters/daily/editions/{number}" in links(listed)
    assert "Board" not in listed.text


async def test_editions_are_listed_newest_first_and_paged(press: SmallPress) -> None:
    numbers = [
        await add_edition(press, Mail(f"第 {day} 期"), due_at=NOW - timedelta(days=100 - day))
        for day in range(33)
    ]
    newest = numbers[::-1]
    first = await press.get("/newsletters/daily/editions")
    assert edition_links(first) == newest[:30]
    assert f"/newsletters/daily/editions?before={newest[29]}" in links(first)
    second = await press.get(f"/newsletters/daily/editions?before={newest[29]}")
    assert edition_links(second) == newest[30:]
    assert "Older editions" not in words(second)
    assert 'name="robots"' in second.text
    assert 'name="robots"' not in first.text
    assert "no older editions" in words(await press.get("/newsletters/daily/editions?before=1"))
    on_its_page = edition_links(await press.get("/newsletters/daily"))
    assert on_its_page == newest[:5]


@pytest.mark.parametrize("state", STATES_NOT_SHOWN)
async def test_what_has_not_gone_out_is_nowhere(press: SmallPress, state: EditionState) -> None:
    await check_absent(press, await add_edition(press, state=state))


@pytest.mark.parametrize("kind", KINDS_NOT_SHOWN)
async def test_what_was_for_some_is_not_shown_to_all(press: SmallPress, kind: EditionKind) -> None:
    number = await add_edition(press, kind=kind, schedule=None, letter={"audience": {}})
    await check_absent(press, number)


async def test_an_edition_made_by_hand_is_not_shown(press: SmallPress) -> None:
    await check_absent(press, await add_edition(press, schedule=None))


async def test_an_edition_that_went_to_nobody_is_not_shown(press: SmallPress) -> None:
    number = await add_edition(press)
    async with press.database.write() as session:
        await session.delete(await session.get_one(Cohort, await cohort_of(press, number)))
    await check_absent(press, number)


async def test_an_announcement_is_shown_when_it_was_for_everybody(press: SmallPress) -> None:
    to_all = await add_edition(
        press, kind=EditionKind.ANNOUNCEMENT, schedule=None, letter={"audience": {}}
    )
    to_some = await add_edition(
        press,
        kind=EditionKind.ANNOUNCEMENT,
        schedule=None,
        letter={"audience": {"topics": ["音乐"]}},
        due_at=NOW,
    )
    assert edition_links(await press.get("/newsletters/daily/editions")) == [to_all]
    assert (await press.get(f"/newsletters/daily/editions/{to_some}")).status_code == 404


async def test_an_edition_is_shown_by_the_mail_that_most_with_all_topics_got(
    press: SmallPress,
) -> None:
    number = await add_edition(
        press,
        Mail("少数主题", topics=("音乐",), readers=900),
        Mail("English", language="en", readers=800),
        Mail("刚来的人", readers=3),
        Mail("多数人", readers=40),
    )
    page = await press.get(f"/newsletters/daily/editions/{number}")
    assert "<title>多数人</title>" in page.text
    assert "多数人" in words(await press.get("/newsletters/daily"))


@pytest.mark.parametrize("language", ["zh", "fr"])
async def test_an_edition_without_known_readers_is_shown_in_the_newsletters_language(
    press: SmallPress, language: str
) -> None:
    mails = (Mail("English", language="en"), Mail("中文", language="zh-CN"))
    number = await add_edition(press, *mails, with_groups=False)
    await change_newsletter(press, "daily", language=language)
    page = await press.get(f"/newsletters/daily/editions/{number}")
    assert f"<title>{'中文' if language == 'zh' else 'English'}</title>" in page.text


async def test_an_archived_page_is_the_mails_with_a_way_around_it(press: SmallPress) -> None:
    article = await press.add_article("a", title="夜市回来了", summary="河边的夜市周五重新开张。")
    older = await add_edition(press, due_at=NOW - 2 * WEEK)
    number = await add_edition(press, Mail(articles=[article]))
    newer = await add_edition(press, due_at=NOW)
    path = f"/newsletters/daily/editions/{number}"
    response = await press.get(path)
    page = parse(response)
    assert "河边的夜市周五重新开张。" in response.text
    assert ".article { color: #111; }" in response.text
    assert "<!--[if mso]>" in response.text
    base = f"{BASE_URL}/newsletters/daily"
    expected = {base, f"{base}/editions", f"{base}/editions/{older}", f"{base}/editions/{newer}"}
    (bar,) = page.iter(f"{XHTML}nav")
    assert {one.get("href") for one in bar.iter(f"{XHTML}a")} == expected
    assert bar.get("lang") == "zh-Hans"
    (canonical,) = [one for one in page.iter(f"{XHTML}link") if one.get("rel") == "canonical"]
    assert canonical.get("href") == BASE_URL + path
    headers = response.headers
    assert "sandbox" in headers["content-security-policy"]
    assert headers["cache-control"] == "public, max-age=60"
    assert "x-robots-tag" not in headers
    again = await press.get(path, **{"if-none-match": headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_withdrawn_article_is_cut_out_of_the_page_at_once(press: SmallPress) -> None:
    bad = await press.add_article("bad", title="市长受贿", summary="有人说市长收了一大笔钱。")
    good = await press.add_article("good", title="夜市回来了", summary="河边的夜市周五重新开张。")
    mail = Mail("晨报：市长受贿", articles=[bad, good])
    number = await add_edition(press, mail)
    path = f"/newsletters/daily/editions/{number}"
    assert "市长" in (await press.get(path)).text
    await withdraw(press, bad)
    token = press.keyring.sign(Scope.VIEW, await cohort_of(press, number))
    for one in (path, f"/editions/{token}", "/newsletters/daily", "/newsletters"):
        response = await press.get(one)
        assert "市长" not in response.text
        assert "articles/bad" not in response.text
        parse(response)
    for one in (path, f"/editions/{token}"):
        text = (await press.get(one)).text
        assert text.count("本文已撤回。") == 1
        assert "河边的夜市周五重新开张。" in text
        assert "<title>晨报，2026年11月15日</title>" in text
    assert "晨报，2026年11月15日" in words(await press.get("/newsletters/daily"))


async def test_a_headline_beyond_the_limit_is_cut_out_too(press: SmallPress) -> None:
    good = await press.add_article("good", title="夜市回来了", summary="河边的夜市周五重新开张。")
    bad = await press.add_article("bad", title="市长受贿", summary="有人说市长收了一大笔钱。")
    number = await add_edition(press, Mail(articles=[good], more=[bad]))
    await withdraw(press, bad)
    text = (await press.get(f"/newsletters/daily/editions/{number}")).text
    assert "市长" not in text
    assert "<li>本文已撤回。</li>" in text


@pytest.mark.parametrize("beyond_the_limit", [False, True])
async def test_where_nothing_is_marked_a_plain_page_takes_its_place(
    press: SmallPress, beyond_the_limit: bool
) -> None:
    bad = await press.add_article("bad", title="市长受贿", summary="有人说市长收了一大笔钱。")
    good = await press.add_article("good", title="夜市回来了", summary="河边的夜市周五重新开张。")
    mail = Mail("晨报：市长受贿", articles=[bad, good], marked=False)
    if beyond_the_limit:
        mail = Mail("晨报：市长受贿", articles=[good], more=[bad], marked=False)
    number = await add_edition(press, mail)
    await withdraw(press, bad)
    token = press.keyring.sign(Scope.VIEW, await cohort_of(press, number))
    for path in (f"/newsletters/daily/editions/{number}", f"/editions/{token}"):
        response = await press.get(path)
        assert response.status_code == 200
        assert "市长" not in response.text
        assert "河边的夜市周五重新开张。" in words(response)
        assert "An article of this edition has been withdrawn." in words(response)
        assert "/articles/good" in "".join(links(response))
    assert response.headers["x-robots-tag"] == "noindex"
    assert response.headers["referrer-policy"] == "no-referrer"


async def test_a_personal_page_is_told_to_nobody(press: SmallPress) -> None:
    cohort_id = await cohort_of(press, await add_edition(press, newsletter="board"))
    response = await press.get(f"/editions/{press.keyring.sign(Scope.VIEW, cohort_id)}")
    assert response.status_code == 200
    assert response.headers["x-robots-tag"] == "noindex"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"


async def test_a_private_newsletter_reads_like_one_that_is_not_there(press: SmallPress) -> None:
    number = await add_edition(press, newsletter="board")
    for below in ("", "/editions", f"/editions/{number}", "/editions.atom"):
        private = await press.get(f"/newsletters/board{below}")
        unknown = await press.get(f"/newsletters/bored{below}")
        assert private.status_code == unknown.status_code == 404
        assert private.text.replace("board", "") == unknown.text.replace("bored", "")


async def test_a_newsletter_without_an_archive_has_a_page_and_nothing_below(
    press: SmallPress,
) -> None:
    number = await add_edition(press)
    await change_newsletter(press, "daily", archive=False)
    page = await press.get("/newsletters/daily")
    assert page.status_code == 200
    assert not [link for link in links(page) if "/editions" in link]
    assert "editions.atom" not in page.text
    for below in ("editions", f"editions/{number}", "editions.atom"):
        assert (await press.get(f"/newsletters/daily/{below}")).status_code == 404


async def test_a_retired_newsletter_is_gone_for_good(press: SmallPress) -> None:
    number = await add_edition(press)
    await change_newsletter(press, "daily", retired=True)
    for below in ("", "/editions", f"/editions/{number}", "/editions.rss"):
        response = await press.get(f"/newsletters/daily{below}")
        assert response.status_code == 410
        assert "no more" in words(response)
        assert "夜市" not in response.text
    assert "daily" not in (await press.get("/newsletters")).text
    await change_newsletter(press, "daily", public=False)
    assert (await press.get("/newsletters/daily")).status_code == 404


@pytest.mark.parametrize(
    "below",
    [
        "daily/editions/999",
        "daily/editions/0",
        "daily/editions/-1",
        "daily/editions/１",
        f"daily/editions/{'9' * 40}",
        "daily/editions/x",
        "daily/editions.xml",
        "daily/editions?before=0",
        "da%00ily",
        f"{'a' * 3000}",
        "nothing",
    ],
)
async def test_odd_addresses_of_editions_get_a_page_and_no_fault(
    press: SmallPress, below: str
) -> None:
    await add_edition(press)
    response = await press.get(f"/newsletters/{below}")
    assert response.status_code == (422 if "before" in below else 404)
    parse(response)


async def test_an_edition_is_found_under_its_own_newsletter_only(press: SmallPress) -> None:
    number = await add_edition(press)
    assert (await press.get(f"/newsletters/weekly/editions/{number}")).status_code == 404


async def test_pages_of_the_archive_are_sound_small_and_the_same_for_head(
    press: SmallPress,
) -> None:
    for day in range(31):
        number = await add_edition(press, due_at=NOW - timedelta(days=40 - day))
    for path in (
        "/newsletters",
        "/newsletters/daily",
        "/newsletters/daily/editions",
        f"/newsletters/daily/editions/{number}",
        "/newsletters/daily/editions.atom",
    ):
        response = await press.get(path)
        head = await press.client.head(path)
        assert (head.status_code, head.headers) == (200, response.headers)
        assert len(response.content) < 100_000
        assert "<script" not in response.text
        if not path.endswith("atom"):
            parse(response)
        assert "an address goes here" not in response.text
    again = await press.get("/newsletters/daily")
    known = {"if-none-match": again.headers["etag"]}
    assert (await press.get("/newsletters/daily", **known)).status_code == 304


async def check_absent(press: SmallPress, number: int) -> None:
    listed = await press.get("/newsletters/daily/editions")
    assert edition_links(listed) == []
    assert "None has been sent yet." in words(listed)
    assert (await press.get(f"/newsletters/daily/editions/{number}")).status_code == 404
    feed = await press.get("/newsletters/daily/editions.atom")
    assert (feed.status_code, "<entry" in feed.text) == (200, False)


def edition_links(response: object) -> list[int]:
    start = "/newsletters/daily/editions/"
    return [int(one[len(start) :]) for one in links(response) if one.startswith(start)]  # type: ignore[arg-type]
