"""Rendered digests and notices: what they say, in HTML, plain text and as a page."""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from lxml import html as lxml_html

from feedsvc.errors import TemplateInvalid
from feedsvc.kit.letters import write_prose
from feedsvc.kit.templating import Templates
from feedsvc.messages.columns import display_width
from feedsvc.messages.render import (
    DigestView,
    ItemView,
    NoticeView,
    render_digest,
    render_notice,
)
from feedsvc.messages.splice import Slot, marker, slots_in

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def golden(name: str, content: str) -> None:
    """Compare with the file; FEEDSVC_UPDATE_GOLDEN=1 writes it, to be read in the diff."""
    path = GOLDEN / name
    if os.environ.get("FEEDSVC_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode())
    assert path.read_bytes().decode() == content


class Balance(HTMLParser):
    """Whether every element that is opened is closed, in order."""

    VOID = frozenset({"meta", "br", "img", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(html: str, path: str) -> list[lxml_html.HtmlElement]:
    found: list[lxml_html.HtmlElement] = lxml_html.document_fromstring(html).xpath(path)
    return found


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_digests_look_as_agreed(
    language: str, templates: Templates, request: pytest.FixtureRequest
) -> None:
    mail = render_digest(templates, request.getfixturevalue(f"{language}_view"))
    golden(f"digest-{language}.html", mail.html)
    golden(f"digest-{language}.txt", mail.text)


def test_a_confirmation_looks_as_agreed(
    templates: Templates, confirmation_view: NoticeView
) -> None:
    mail = render_notice(templates, confirmation_view)
    golden("confirmation-chinese.html", mail.html)
    golden("confirmation-chinese.txt", mail.text)


def test_the_same_view_gives_the_same_mail(templates: Templates, english_view: DigestView) -> None:
    assert render_digest(templates, english_view) == render_digest(Templates(None), english_view)


def test_the_html_can_be_read_by_everybody(templates: Templates, english_view: DigestView) -> None:
    mail = render_digest(templates, english_view)
    balance = Balance()
    balance.feed(mail.html)
    assert balance.open == []
    assert elements(mail.html, "/html/@lang") == ["en"]
    assert elements(mail.html, "/html/@dir") == ["ltr"]
    assert len(elements(mail.html, "//h1")) == 1
    assert len(elements(mail.html, "//h2")) == 3
    assert elements(mail.html, "//table[not(@role='presentation')]") == []
    assert elements(mail.html, "//img[not(@alt)]") == []
    # What the article says is in its language; what we say about it is in the mail's.
    assert elements(mail.html, "//h2[@lang]/@lang") == ["zh-CN"]
    assert elements(mail.html, "//*[@lang='zh-CN']//a[text()='Read on']") == []
    assert elements(mail.html, "//td[@lang]") == []
    assert elements(mail.html, "//script | //link | //iframe | //form") == []
    assert elements(mail.html, "//meta[@name='color-scheme']/@content") == ["light dark"]


def test_the_styles_are_in_the_elements_and_the_dark_ones_in_the_head(
    templates: Templates, english_view: DigestView
) -> None:
    mail = render_digest(templates, english_view)
    styles = "".join(style.text or "" for style in elements(mail.html, "//style"))
    assert "prefers-color-scheme: dark" in styles
    assert "!important" in styles
    assert "max-width: 600px" not in styles
    for heading in elements(mail.html, "//h2"):
        assert "font-size: 20px" in heading.get("style", "")


def test_chinese_has_more_leading(
    templates: Templates, english_view: DigestView, chinese_view: DigestView
) -> None:
    assert "line-height: 1.75" in render_digest(templates, chinese_view).html
    assert "line-height: 1.75" not in render_digest(templates, english_view).html


def _matches(element: lxml_html.HtmlElement, selector: str) -> bool:
    """Whether the last part of a simple selector (`h2.first`, `.prose a`) is of this element."""
    *around, last = selector.split()
    tag, _, cls = last.partition(".")
    fits = tag in ("", element.tag) and (not cls or cls in element.get("class", "").split())
    return fits and (
        not around or any(_matches(one, around[-1]) for one in element.iterancestors())
    )


@pytest.mark.parametrize("property", ["color", "background"])
def test_every_colour_that_is_written_in_has_its_dark_one(
    templates: Templates, chinese_view: DigestView, property: str
) -> None:
    view = replace(
        chinese_view,
        items=tuple(replace(item, heading="时政") for item in chinese_view.items),
        intro=write_prose("[a](https://a.example)\n\n> b\n\n## c\n\n---"),
        notes=(write_prose("note"),),
        greeting="Hello",
        more_count=3,
    )
    mail = render_digest(templates, view)
    style = elements(mail.html, "//style")[0].text or ""
    dark = style.partition("(prefers-color-scheme: dark)")[2].partition("@media")[0]
    rules = re.findall(r"([^{}]+)\{([^{}]+)\}", dark)
    dark_for = [
        one.strip()
        for selectors, said in rules
        for one in selectors.lstrip("){ \n").split(",")
        if re.search(rf"(?<![-a-z]){property}:[^;]*!important", said)
    ]
    coloured = [
        element
        for element in elements(mail.html, "//*[@style]")
        if re.search(rf"(?<![-a-z]){property}: ?#", element.get("style", ""))
    ]
    assert len(coloured) > 3
    for element in coloured:
        assert any(_matches(element, one) for one in dark_for), lxml_html.tostring(element)[:200]


def test_a_digest_says_why_it_came_and_how_to_stop_it(
    templates: Templates, chinese_view: DigestView
) -> None:
    mail = render_digest(templates, chinese_view)
    for said in (
        "您收到这封邮件，是因为您订阅了《晨报》。",
        "发送时间：周一至周五 07:30（Asia/Shanghai）。",
        "退订",
        "晨报编辑部",
        "上海市黄浦区人民大道 200 号",
    ):
        assert said in mail.html
        assert said in mail.text


def test_the_preheader_is_written_for_the_inbox(
    templates: Templates, english_view: DigestView
) -> None:
    mail = render_digest(templates, english_view)
    first = elements(mail.html, "//body/*")[0]
    assert first.text_content().startswith("Also: “Ships & <lights>”: an evening at the pier · ")
    assert "display: none" in first.get("style", "")


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("Bridge reopens", "Morning Post: Bridge reopens"),
        ("  two\r\nlines\u2028and more ", "Morning Post: two lines and more"),
        ("a\u202eb", "Morning Post: a b"),
        ("word " * 60, "Morning Post: " + "word " * 20 + "word…"),
        ("城" * 200, "Morning Post: " + "城" * 105 + "…"),
        ("", "Morning Post: 22 November 2026"),
    ],
    ids=["plain", "line breaks", "reversed", "long", "long Chinese", "no title"],
)
def test_the_subject_is_newsletter_and_first_headline(
    templates: Templates, english_view: DigestView, title: str, subject: str
) -> None:
    items = (replace(english_view.items[0], title=title),)
    mail = render_digest(templates, replace(english_view, items=items))
    assert mail.subject == subject
    assert len(mail.subject) <= 120


def test_a_chinese_subject_has_a_chinese_colon(
    templates: Templates, chinese_view: DigestView
) -> None:
    mail = render_digest(templates, chinese_view)
    assert mail.subject == "晨报：市政府印发《关于推进城市更新的若干意见》"


def test_hostile_articles_stay_text(templates: Templates, english_view: DigestView) -> None:
    item = ItemView(
        title="<script>alert(1)</script>{{ 7*7 }}",
        url="javascript:alert(1)",
        excerpt='"><img src=x onerror=alert(1)>',
        section="<b>",
        lang='en" onload="x',
        image="data:text/html,x",
        image_alt="x",
    )
    mail = render_digest(templates, replace(english_view, items=(item,)))
    for form in (mail.html, mail.page):
        assert elements(form, "//script | //img | //b | //@onload | //@onerror") == []
        assert not [href for href in elements(form, "//@href") if "script:" in str(href)]
    assert "{{ 7*7 }}" in mail.html


def many(view: DigestView, count: int) -> DigestView:
    items = tuple(
        replace(view.items[0], title=f"Article {n}", excerpt="城市更新" * 60) for n in range(count)
    )
    return replace(view, items=items, more_count=2)


def test_a_digest_never_grows_past_what_mail_programs_show(
    templates: Templates, chinese_view: DigestView
) -> None:
    mail = render_digest(templates, many(chinese_view, 200))
    assert 60_000 < len(mail.html.encode()) <= 90_000
    assert 0 < mail.shown < 200
    for form in (mail.html, mail.text, mail.page):
        assert f"Article {mail.shown - 1}" in form
    for form in (mail.html, mail.text):
        assert f"还有 {200 - mail.shown + 2} 篇文章" in form
        assert f"Article {mail.shown}<" not in form
    assert "unsubscribe_url" in slots_in(mail.html)


def test_a_digest_that_fits_shows_everything(
    templates: Templates, chinese_view: DigestView
) -> None:
    assert render_digest(templates, many(chinese_view, 30)).shown == 30


def test_plain_text_keeps_to_72_columns_and_lists_its_links_at_the_end(
    templates: Templates, english_view: DigestView, chinese_view: DigestView
) -> None:
    for view in (english_view, chinese_view):
        text = render_digest(templates, view).text
        for line in text.splitlines():
            assert display_width(line) <= 72 or "://" in line
        assert text.splitlines()[-1].startswith("[")
        for number, item in enumerate(view.items, start=1):
            assert f"[{number}] {item.url}\n" in text


def test_plain_text_is_not_html(templates: Templates, english_view: DigestView) -> None:
    text = render_digest(templates, english_view).text
    assert "“Ships & <lights>”" in text
    assert "bridge?a=1&b=2" in text


def test_the_page_is_the_mail_without_anybodys_tokens(
    templates: Templates, english_view: DigestView
) -> None:
    page = render_digest(templates, english_view).page
    assert "Unsubscribe" not in page
    assert "subscribed" not in page
    assert elements(page, "//h1")[0].text == "Morning Post"
    assert elements(page, "//meta[@name='referrer']/@content") == ["no-referrer"]
    assert f'href="{english_view.base_url}"' in page


def test_a_confirmation_carries_the_link_and_says_what_silence_means(
    templates: Templates, confirmation_view: NoticeView
) -> None:
    mail = render_notice(templates, confirmation_view)
    assert mail.subject == "请确认订阅《晨报》"
    assert slots_in(mail.html) == slots_in(mail.text) == {"confirm_url"}
    for form in (mail.html, mail.text):
        assert "未经您确认" in "".join(form.split())
        assert "2026年11月22日 08:00" in form
    assert mail.page == ""


def theme(folder: Path, files: dict[str, str]) -> Templates:
    for name, source in files.items():
        path = folder / "mail" / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return Templates(folder)


LINK = "{{ slots.unsubscribe_url }}"


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"digest.html": "<p>none</p>"}, "its HTML has no slots.unsubscribe_url"),
        ({"digest.txt": "none"}, "its plain text has no slots.unsubscribe_url"),
        ({"digest.html": f"<p>{LINK}</p>"}, "its page has a slot"),
        ({"digest.html": "x" * 90_000 + "{{ items|length }}"}, "larger than 90000 bytes"),
    ],
    ids=["no link in HTML", "no link in text", "token on the page", "too large"],
)
def test_a_theme_that_breaks_the_rules_is_refused(
    tmp_path: Path, english_view: DigestView, files: dict[str, str], problem: str
) -> None:
    with pytest.raises(TemplateInvalid, match=problem.replace(".", r"\.")):
        render_digest(theme(tmp_path, files), replace(english_view, theme="own"))


def test_what_a_theme_lacks_is_taken_from_the_plain_one(
    tmp_path: Path, english_view: DigestView
) -> None:
    templates = theme(tmp_path, {"digest.txt": f"own words {LINK}"})
    mail = render_digest(templates, replace(english_view, theme="own"))
    assert mail.text == f"own words {marker(Slot.UNSUBSCRIBE_URL)}\n"
    assert "<h1" in mail.html


def test_a_theme_cannot_make_us_fetch_a_stylesheet(
    tmp_path: Path, english_view: DigestView
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        sheet = f"http://127.0.0.1:{server.getsockname()[1]}/x.css"
        source = f"""<html><head><link rel="stylesheet" href="{sheet}">
<style>@import "{sheet}";</style></head>
<body>{{% if personal %}}{LINK}{{% endif %}}</body></html>"""
        templates = theme(tmp_path, {"digest.html": source})
        render_digest(templates, replace(english_view, theme="own"))
        with pytest.raises(BlockingIOError):
            server.accept()


def _colours(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        name, _, value = line.strip().partition(":")
        value = value.strip().partition(";")[0]
        if name.startswith("--") and value.startswith("#"):
            yield name, value


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_in_both_colour_schemes(scheme: int) -> None:
    source = (Path(__file__).resolve().parents[2] / "templates/tokens.css").read_text("utf-8")
    colours = dict(_colours(source.split("@media (prefers-color-scheme: dark)")[scheme]))
    texts = ["--n7", "--n8", "--n9", "--accent", "--good", "--attention", "--bad"]
    pairs = [(text, paper) for text in texts for paper in ("--n1", "--n2", "--n3")]
    for text, paper in [*pairs, ("--on-accent", "--accent")]:
        light, dark = sorted((_luminance(colours[text]), _luminance(colours[paper])))[::-1]
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {paper}"
