"""What operators write: Markdown as inert HTML and as plain text that says the same."""

import re
from html import unescape
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from feedsvc.kit.letters import LETTER_LENGTH, letter_html, letter_text, write_prose

ELEMENTS = set("a blockquote br code em h2 h3 hr li ol p pre s strong ul".split())  # noqa: SIM905
ADDRESS = re.compile(r"https?://[^\s<>]+")


def look_again(html: str) -> list[str]:
    """Read the HTML with another parser: nothing in it but what mails have; its links."""
    root = lxml_html.fragment_fromstring(html, create_parent="body")
    for element in list(root.iter())[1:]:
        assert element.tag in ELEMENTS
        allowed = {"a": {"href"}, "ol": {"start"}}.get(element.tag, set())
        assert set(element.attrib) <= allowed
    links = [str(href) for href in root.xpath("//a/@href")]
    assert all(re.match(r"(?i)https?://|mailto:", href) for href in links)
    assert not any(one in html for one in "\U0010fffc\U0010fffd\u202e\x00")
    return links


def test_words_lists_and_links_are_written() -> None:
    html = letter_html(
        "早上好！**头条**来自[市政府](https://gov.example.com/a?b=1&c=2)。\n\n1. 一\n2. 二"
    )
    assert html == (
        '<p>早上好！<strong>头条</strong>来自<a href="https://gov.example.com/a?b=1&amp;c=2">市政府'
        "</a>。</p>\n<ol>\n<li>一</li>\n<li>二</li>\n</ol>"
    )


def test_plain_text_has_the_address_behind_the_words() -> None:
    text = letter_text(
        "# Monday\n\nRead [the report](https://a.example/x), **now**.\n\n- one\n- two\n\n  more\n\n"
        "3. third\n4. fourth\n   - deep\n\n> said\n> so\n\n```\nlet x\n  y\n```\n---\nline  \nline"
    )
    assert text == (
        "Monday\n\nRead the report <https://a.example/x>, now.\n\n- one\n\n- two\n\n  more\n\n"
        "3. third\n4. fourth\n   - deep\n\n    said so\n\n    let x\n      y\n\n* * *\n\nline\nline"
    )


def test_an_address_that_is_its_own_words_is_written_once() -> None:
    for markdown in (
        "<https://a.example/x>",
        "https://a.example/x",
        "[https://a.example/x](https://a.example/x)",
    ):
        assert letter_text(markdown) == "<https://a.example/x>"
        assert look_again(letter_html(markdown)) == ["https://a.example/x"]
    assert letter_text("<press@example.com>") == "<press@example.com>"
    assert letter_text("[us](mailto:press@example.com?subject=hi)") == "us <press@example.com>"


@pytest.mark.parametrize(
    ("markdown", "address"),
    [
        ("详情见https://a.example/x，谢谢。", "https://a.example/x"),
        ("See https://a.example/x_y_z.", "https://a.example/x_y_z"),
        ("(https://a.example/x)", "https://a.example/x"),
        ("“https://a.example/x”", "https://a.example/x"),
        ("**https://a.example/x**", "https://a.example/x"),
    ],
)
def test_an_address_in_running_text_is_a_link(markdown: str, address: str) -> None:
    assert look_again(letter_html(markdown)) == [address]
    assert letter_text(markdown).count(f"<{address}>") == 1


def test_an_address_in_code_or_in_a_link_is_left_alone() -> None:
    assert look_again(letter_html("`https://a.example/x`")) == []
    assert look_again(letter_html("[at https://a.example](https://b.example)")) == [
        "https://b.example"
    ]


def test_lines_of_chinese_are_joined_without_a_gap() -> None:
    assert letter_html("城市更新\n行动。") == "<p>城市更新行动。</p>"
    assert letter_text("城市更新\n行动。\nNew\nlines") == "城市更新行动。 New lines"


def test_headings_stand_below_those_of_the_mail_and_images_are_words() -> None:
    assert letter_html("# A\n### B\n![a bus](https://a.example/x.png)") == (
        "<h2>A</h2>\n<h3>B</h3>\n<p>a bus</p>"
    )


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](/relative)",
    "[x](//other.example/x)",
    "[x](mailto:)",
    "[x](https://)",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example/"onmouseover="alert(1))',
    "[x](<https://a.example/ onclick=alert(1)>)",
    "<javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x]: javascript:alert(1)\n\n[x]",
    "```html onload=alert(1)\n<script>\n```",
    "`<img src=x onerror=alert(1)>`",
    "<!-- --><svg/onload=alert(1)>",
    "<style>@import 'x'</style>",
    "</td></tr></table><form action=x>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    'https://a.example/"onmouseover=alert(1)',
    "https://a.example/<script>",
    "{{ 7*7 }} {% raw %}",
    "a\x00b\x0bc\u202ed\u2066e\u2028f\ud800g",
    "&#0; &#x202e;x &#x10FFFC;unsubscribe_url&#x10FFFD; &#xD800;",
    "\U0010fffcunsubscribe_url\U0010fffd",
    "[x](https://a.example/\U0010fffcaddress\U0010fffd)",
    "[x](https://a.example/&#x10FFFC;address&#x10FFFD;)",
    "<https://a.example/&#x10FFFC;>",
    "![&#x10FFFC;name&#x10FFFD;](https://a.example)",
    "`\U0010fffcname\U0010fffd`",
    "[x](https://a.example/\u202egnp.exe)",
]


@pytest.mark.parametrize("markdown", HOSTILE)
def test_what_is_hostile_comes_out_inert(markdown: str) -> None:
    links = look_again(letter_html(markdown))
    assert all(re.match(r"(?i)https?://a\.example", href) for href in links)
    text = letter_text(markdown)
    assert not any(one in text for one in "\U0010fffc\U0010fffd\u202e\x00\r\u2028")
    assert text.encode()


@given(st.text(alphabet="[]()<>*_`#-1. \n&;:/\\!~\"'x城\U0010fffchttpsmailto@&#x;", max_size=200))
def test_whatever_is_typed_both_forms_have_the_same_links(markdown: str) -> None:
    links = [href for href in look_again(letter_html(markdown)) if href.startswith("http")]
    text = letter_text(markdown)
    assert all(unescape(href) in text for href in links)
    assert "\U0010fffc" not in text


def test_what_a_mail_has_no_room_for_is_on_the_page() -> None:
    markdown = "\n\n".join(
        f"第 {number} 段[链接](https://a.example/{number})" for number in range(100)
    )
    prose = write_prose(markdown, room=5_000)
    assert not prose.is_whole
    assert prose.size <= 5_000
    assert prose.page.count("<p>") == 100
    shown = prose.html.count("<p>")
    assert 10 < shown < 100
    assert ADDRESS.findall(prose.text) == look_again(prose.html)
    assert prose.text.endswith(f"<https://a.example/{shown - 1}>")
    assert prose.page.startswith(prose.html)


def test_a_text_that_fits_is_the_same_in_the_mail_and_on_the_page() -> None:
    prose = write_prose("One\n\nTwo")
    assert prose.is_whole
    assert prose.html == prose.page


@pytest.mark.parametrize(
    "piece",
    ["[", "*", "`", "> ", "- ", "1. ", "*a_", "[a](b", "<", "![x", "a\n\n", "[a]: b\n", "*a **b "],
)
def test_no_text_takes_long(piece: str) -> None:
    began = process_time()
    prose = write_prose(piece * (2 * LETTER_LENGTH // len(piece)))
    assert process_time() - began < 5
    look_again(prose.html)


def test_a_text_of_nothing_is_nothing() -> None:
    for markdown in ("", " \n\t\n", "[x]: https://a.example"):
        prose = write_prose(markdown)
        assert (prose.page, prose.text) == ("", "")
