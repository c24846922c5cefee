"""Pages in the encodings they are really written in."""

import pytest

from feedsvc.articles.page_encoding import declared_charset, decode_page

SIMPLIFIED = "<title>广州新闻</title><p>今天上午，第一辆电动公车在广州上路，许多市民前来乘坐。</p>"
TRADITIONAL = (
    "<title>臺北新聞</title><p>臺北市政府宣布，明年起將擴大補助電動公車，並建立充電站。</p>"
)


def declaring(charset: str, html: str = SIMPLIFIED) -> str:
    return f'<html><head><meta charset="{charset}">{html}'


@pytest.mark.parametrize(
    ("written", "declared"),
    [
        ("gbk", "gbk"),
        ("gb18030", "gb2312"),
        ("gbk", "utf-8"),
        ("gbk", "iso-8859-1"),
        ("gbk", "no-such-charset"),
        ("utf-8", "gbk"),
        ("utf-8", "big5"),
        ("utf-16", "gbk"),
        ("utf-8-sig", "gbk"),
    ],
)
def test_a_page_is_read_whatever_it_declares(written: str, declared: str) -> None:
    page = declaring(declared)
    assert decode_page(page.encode(written)) == page


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_a_page_that_declares_nothing_is_read(encoding: str) -> None:
    assert decode_page(SIMPLIFIED.encode(encoding)) == SIMPLIFIED


@pytest.mark.parametrize("declared", ["big5", "utf-8"])
def test_a_page_in_big5_is_read(declared: str) -> None:
    page = declaring(declared, TRADITIONAL)
    assert decode_page(page.encode("big5")) == page


def test_gb2312_means_its_superset() -> None:
    page = declaring("gb2312", "<p>朱镕基、喆、㐂 — 這些字不在 GB2312 裡</p>")
    assert decode_page(page.encode("gb18030")) == page


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_one_damaged_character_does_not_change_the_encoding(encoding: str) -> None:
    page = declaring(encoding, SIMPLIFIED * 20).encode(encoding)
    text = decode_page(page[:-60] + b"\xff" + page[-60:])
    assert text.startswith(declaring(encoding, SIMPLIFIED * 19))


def test_short_text_in_gbk_is_not_taken_for_korean() -> None:
    assert decode_page("广东新闻：天气\n".encode("gbk")) == "广东新闻：天气\n"


def test_http_equiv_declares_too() -> None:
    meta = b'<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=GB2312">'
    assert declared_charset(meta) == "gb18030"


def test_a_script_that_names_a_charset_declares_nothing() -> None:
    assert declared_charset(b'<script charset="gbk" src="a.js"></script>') is None


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff\xfe", b"\x80" * 50, bytes(range(256))])
def test_any_bytes_give_a_text(content: bytes) -> None:
    decode_page(content).encode()
