"""Mails of stored articles: sections, lead, intro, notes, what is beyond the limit, letters."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from test_mail_render import elements, golden
from test_mail_suspicion import filled

from feedsvc.kit.templating import Templates
from feedsvc.messages.columns import display_width
from feedsvc.messages.digests import DigestRenderer
from feedsvc.messages.render import HTML_LIMIT_BYTES, RenderedMail
from feedsvc.messages.splice import has_markers, slots_in
from feedsvc.model.article import Article
from feedsvc.model.edition import EditionKind
from feedsvc.model.newsletter import Arrangement, Newsletter, Schedule

DUE_AT = datetime(2026, 11, 22, tzinfo=UTC)
ADDRESS = re.compile(r"https?://[^\s<>]+")
INTRO = "早上好！今天的**头条**来自[政府](https://gov.example.com/?a=1&b=2)。\n\n- 第一点\n- 第二点"
NOTES = ("下周一放假，停发一天。", "招聘：详情见 https://news.example.com/jobs，欢迎投稿。")
SHANGHAI = Schedule(
    newsletter_id=1, key="d", label="每天", cron="0 8 * * *", zone="Asia/Shanghai", since=DUE_AT
)
PERSONAL = {"unsubscribe_url", "preferences_url", "view_url", "address"}


def article(number: int, section: str | None = None, **given: Any) -> Article:
    known: dict[str, Any] = {
        "title": f"第 {number} 篇：城市更新行动取得重要进展",
        "summary": "意见提出，到 2030 年，城市更新行动取得重要进展，老旧小区改造更加完善。",
        "content": "",
        "language": "zh-CN",
        "url": f"https://news.example.com/articles/{number}",
        "authors": ["李雷"],
    }
    return Article(
        id=number,
        source="desk",
        source_key=str(number),
        fingerprint="",
        guid=str(number),
        slug=f"a{number}",
        section=section,
        published_at=DUE_AT - timedelta(hours=number),
        updated_at=DUE_AT,
        stored_at=DUE_AT,
        content_hash="",
        **(known | given),
    )


@pytest.fixture(scope="module")
def desk() -> DigestRenderer:
    return DigestRenderer(Templates(None), "https://news.example.com", "晨报", "Asia/Shanghai")


@pytest.fixture
def arranged(chenbao: Newsletter) -> Newsletter:
    chenbao.arrangement = Arrangement(
        by_section=True,
        lead=True,
        subject="{{ newsletter }}｜{{ headline }}{% if count > 1 %}等 {{ count }} 篇{% endif %}",
        preheader="{{ date }}：{{ sections|join('、') }}",
    ).stored()
    return chenbao


@pytest.fixture
def issue() -> list[Article]:
    words = "市政府昨天公布了意见，明确了未来五年的目标。"
    return [
        article(
            1, "时政", content=f"<p>{words}</p>\n<p>第二段谈资金安排。</p>", summary=f"{words}"
        ),
        article(2, "时政"),
        article(3, "时政"),
        article(
            4,
            "文化",
            enclosures=[{"url": "https://news.example.com/4.mp3", "media_type": "audio/mpeg"}],
        ),
        article(5, language="en", title="An English article", summary="In English."),
    ]


def check(mail: RenderedMail) -> None:
    """What holds for every mail: width, links in both parts, a page without anybody's values."""
    for line in mail.text.splitlines():
        assert display_width(line) <= 72 or "://" in line
    html, text = filled(mail)
    hrefs = [str(href) for href in elements(html, "//a/@href")]
    links = [href for href in hrefs if href.startswith("http")]
    assert sorted(links) == sorted(ADDRESS.findall(text))
    assert slots_in(mail.html) == slots_in(mail.text) == PERSONAL
    assert not has_markers(mail.page)
    assert mail.page
    assert len(mail.html.encode()) <= HTML_LIMIT_BYTES
    for form in (mail.html, mail.page):
        assert len(elements(form, "//h1")) == 1


def test_a_chinese_digest_with_all_there_is_looks_as_agreed(
    desk: DigestRenderer, arranged: Newsletter, issue: list[Article]
) -> None:
    mail = desk.render(
        arranged,
        SHANGHAI,
        issue,
        language="zh-CN",
        more=[article(number) for number in range(6, 9)],
        more_count=12,
        due_at=DUE_AT,
        intro=INTRO,
        notes=NOTES,
    )
    check(mail)
    assert mail.subject == "晨报｜第 1 篇：城市更新行动取得重要进展等 17 篇"
    assert "2026年11月22日：时政、文化" in mail.html
    golden("arranged-chinese.html", mail.html)
    golden("arranged-chinese.txt", mail.text)
    golden("arranged-chinese-page.html", mail.page)


def test_an_english_welcome_looks_as_agreed(desk: DigestRenderer, morning_post: Newsletter) -> None:
    articles = [article(1, "City", title="Bridge reopens", summary="At six.", language="en")]
    mail = desk.render(
        morning_post,
        SHANGHAI,
        articles,
        language="en",
        due_at=DUE_AT,
        notes=["Write to [us](mailto:desk@example.com)."],
        kind=EditionKind.WELCOME,
    )
    check(mail)
    assert mail.subject == "Welcome to Morning Post"
    golden("welcome-english.html", mail.html)
    golden("welcome-english.txt", mail.text)


def test_a_chinese_correction_looks_as_agreed(desk: DigestRenderer, chenbao: Newsletter) -> None:
    mail = desk.render_letter(
        chenbao,
        subject="关于昨日报道金额的更正",
        body="昨天的报道将金额写成 3 亿元，应为 **3000 万元**。\n\n> 原文：“3 亿元”\n\n特此更正。",
        language="zh-CN",
        date_at=DUE_AT,
        article=article(7, "时政"),
        kind=EditionKind.CORRECTION,
    )
    check(mail)
    assert mail.subject == "关于昨日报道金额的更正"
    assert "https://news.example.com/articles/7" in mail.page
    golden("correction-chinese.html", mail.html)
    golden("correction-chinese.txt", mail.text)


def test_an_english_announcement_looks_as_agreed(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    mail = desk.render_letter(
        morning_post,
        subject="  We are\nmoving ",
        body="# New rooms\n\nFrom Monday we are at [Quay 14](https://news.example.com/quay).",
        language="en",
        date_at=DUE_AT,
        kind=EditionKind.ANNOUNCEMENT,
    )
    check(mail)
    assert mail.subject == "We are moving"
    assert "Correction" not in mail.html
    golden("announcement-english.html", mail.html)
    golden("announcement-english.txt", mail.text)


def headings(mail: RenderedMail) -> list[str]:
    return [f"{one.tag} {one.text_content().strip()}" for one in elements(mail.html, "//h2|//h3")]


def render(
    desk: DigestRenderer, newsletter: Newsletter, articles: Sequence[Article], **given: Any
) -> RenderedMail:
    return desk.render(newsletter, SHANGHAI, articles, due_at=DUE_AT, language="en", **given)


def test_each_section_has_its_heading_once(desk: DigestRenderer, morning_post: Newsletter) -> None:
    morning_post.arrangement = Arrangement(by_section=True).stored()
    sections = ["City", "City", "World", "World", None, None]
    articles = [article(n, one, title=f"T{n}") for n, one in enumerate(sections)]
    mail = render(desk, morning_post, articles)
    assert headings(mail) == [
        *("h2 City", "h3 T0", "h3 T1"),
        *("h2 World", "h3 T2", "h3 T3"),
        *("h2 Other articles", "h3 T4", "h3 T5"),
    ]
    assert re.findall("— (.+) —", mail.text) == ["City", "World", "Other articles"]
    check(mail)


def test_articles_without_a_section_need_no_heading_when_they_come_first(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    morning_post.arrangement = Arrangement(by_section=True).stored()
    articles = [article(1, title="A"), article(2, "City", title="B")]
    assert headings(render(desk, morning_post, articles)) == ["h3 A", "h2 City", "h3 B"]


def test_the_lead_stands_above_all_sections_and_says_more(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    morning_post.arrangement = Arrangement(by_section=True, lead=True).stored()
    content = "<p>It rained <b>all</b>\nday.</p><p>Nobody minded.</p><p>" + "x" * 900 + "</p>"
    articles = [
        article(1, "City", title="A", summary="It rained…", content=content),
        article(2, "City", title="B", summary="It rained…", content=content),
    ]
    mail = render(desk, morning_post, articles)
    assert headings(mail) == ["h2 A", "h2 City", "h3 B"]
    assert mail.text.count("It rained all day. Nobody minded.\n") == 1
    assert "xxx" not in mail.text


@pytest.mark.parametrize(
    ("summary", "content", "shown"),
    [
        ("What the author says.", "<p>It rained.</p>", "What the author says."),
        (
            "雨下了",
            "<p>雨下了\n一<ruby>天<rt>tiān</rt></ruby>。</p><p>没人在意。</p>",
            "雨下了一天。没人在意。",
        ),
        ("Short.", "Short.", "Short."),
        ("", "<p>Words</p>", ""),
    ],
    ids=["the author's own", "Chinese", "no paragraphs", "none"],
)
def test_a_lead_says_more_only_where_its_summary_is_its_beginning(
    desk: DigestRenderer, morning_post: Newsletter, summary: str, content: str, shown: str
) -> None:
    morning_post.arrangement = Arrangement(lead=True).stored()
    mail = render(desk, morning_post, [article(1, summary=summary, content=content)])
    (excerpt,) = elements(mail.html, "//p[@class='text first']")
    assert excerpt.text_content() == shown


def test_what_is_beyond_the_limit_is_listed_on_the_page(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    further = [article(n, title=f"Further <{n}>") for n in range(10, 300)]
    mail = render(desk, morning_post, [article(1)], more=further, more_count=290)
    check(mail)
    assert mail.shown == 1
    (more,) = elements(mail.html, "//a[contains(., 'And 290 more articles')]")
    assert slots_in(more.get("href") or "") == {"view_url"}
    listed = elements(mail.page, "//li/a")
    assert [one.text for one in listed] == [f"Further <{n}>" for n in range(10, 210)]
    assert listed[0].get("href") == "https://news.example.com/articles/10"
    assert "And 90 more articles" in mail.page
    assert "And 290" not in mail.page


def test_articles_that_did_not_fit_come_first_on_the_pages_list(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    articles = [article(n, title=f"T{n}", summary="城市" * 400) for n in range(60)]
    mail = render(desk, morning_post, articles, more=[article(99, title="T60")], more_count=1)
    check(mail)
    assert 0 < mail.shown < 60
    assert f"And {61 - mail.shown} more articles" in mail.text
    listed = elements(mail.page, "//li/a")
    assert [one.text for one in listed] == [f"T{n}" for n in range(mail.shown, 61)]
    assert " more article" not in mail.page


def test_a_mail_has_room_for_articles_whatever_stands_above_them(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    intro = "\n\n".join("城市更新" * 30 + f" [x](https://a.example/{n})" for n in range(200))
    mail = render(desk, morning_post, [article(1)], intro=intro, notes=[intro, "short"])
    check(mail)
    assert mail.shown == 1
    assert "https://a.example/199" not in mail.html
    assert mail.page.count("https://a.example/199") == 2


def test_a_letter_that_is_too_long_for_a_mail_is_whole_on_its_page(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    body = "\n\n".join("城市更新" * 30 + f" [x](https://a.example/{n})" for n in range(300))
    mail = desk.render_letter(
        morning_post,
        subject="Long",
        body=body,
        language="en",
        date_at=DUE_AT,
        kind=EditionKind.ANNOUNCEMENT,
    )
    check(mail)
    assert "https://a.example/299" in mail.page
    assert "https://a.example/299" not in mail.html
    assert mail.text.count("Read on <") == 1


def test_what_an_operator_writes_makes_no_slot_and_no_script(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    hostile = "\U0010fffcname\U0010fffd &#x10FFFC;name&#x10FFFD; <script>x</script> {{ 7*7 }}"
    mail = render(desk, morning_post, [article(1)], intro=hostile, notes=[hostile])
    check(mail)
    assert elements(mail.html, "//script") == []
    assert "{{ 7*7 }}" in mail.text


def test_hours_of_each_subscribers_own_are_called_so(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    own = SHANGHAI.model_copy(update={"own_zone": True})
    mail = desk.render(
        morning_post, own, [article(1)], language="en", due_at=DUE_AT, day=date(2026, 11, 23)
    )
    assert "It comes every day at 08:00, your time." in mail.text
    assert mail.text.splitlines()[1] == "23 November 2026"
    assert "22 November 2026, 07:00 (Asia/Shanghai)" in mail.text


def test_a_mail_for_each_article_says_so(desk: DigestRenderer, morning_post: Newsletter) -> None:
    each = SHANGHAI.model_copy(update={"cron": ""})
    mail = desk.render(morning_post, each, [article(1)], language="zh-CN", due_at=DUE_AT)
    assert "发送时间：每篇文章发布后不久。" in mail.text


def test_a_recording_can_be_reached_from_both_parts(
    desk: DigestRenderer, morning_post: Newsletter
) -> None:
    enclosures = [
        {"url": "https://news.example.com/a.pdf", "media_type": "application/pdf"},
        {"url": "https://news.example.com/a.mp3", "media_type": "audio/mpeg"},
        {"url": "javascript:alert(1)", "media_type": "video/mp4"},
    ]
    mail = render(desk, morning_post, [article(1, enclosures=enclosures)])
    check(mail)
    assert "Listen <https://news.example.com/a.mp3>" in mail.text
    assert "Watch" not in mail.html
    assert "a.pdf" not in mail.html


def test_threads_make_the_same_mail(
    desk: DigestRenderer, arranged: Newsletter, issue: list[Article]
) -> None:
    def make(_: int) -> RenderedMail:
        return desk.render(
            arranged, SHANGHAI, issue, language="zh-CN", due_at=DUE_AT, intro=INTRO, notes=NOTES
        )

    with ThreadPoolExecutor(4) as threads:
        mails = set(threads.map(make, range(12)))
    assert len(mails) == 1
    again = replace(desk, templates=Templates(None))
    assert mails == {
        again.render(
            arranged, SHANGHAI, issue, language="zh-CN", due_at=DUE_AT, intro=INTRO, notes=NOTES
        )
    }
