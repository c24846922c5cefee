"""From bytes to text."""

import pytest

from feedsvc.articles.encoding import decode
from feedsvc.errors import BrokenArticle

CHINESE = "我国的天气预报说今天有雨，出门请带伞。"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk", "gb2312"])
def test_chinese_is_read_in_its_usual_encodings(encoding: str) -> None:
    assert decode(CHINESE.encode(encoding), "a.txt") == CHINESE


def test_eight_characters_of_gbk_are_chinese_and_not_korean() -> None:
    assert decode("今天天气非常好啊".encode("gbk"), "a.txt") == "今天天气非常好啊"


def test_gbk_among_ascii_is_found() -> None:
    text = "---\ntitle: Hello\n---\n\nHello, 世界。\n"
    assert decode(text.encode("gbk"), "a.md") == text


def test_a_rare_character_in_a_name_does_not_spoil_the_text() -> None:
    assert decode("朱镕基总理的讲话".encode("gbk"), "a.txt") == "朱镕基总理的讲话"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("Ein schöner Tag für Käse".encode("latin-1"), id="latin-1"),
        pytest.param("don’t “quote” me".encode("cp1252"), id="windows-1252"),
        pytest.param("Привет, мир".encode("cp1251") * 30, id="windows-1251"),
        pytest.param("こんにちは、世界。ひらがな".encode("euc-jp"), id="euc-jp"),
        pytest.param("こんにちは、世界".encode("shift-jis"), id="shift-jis"),
        pytest.param(
            ("안녕하세요 세계 여러분 오늘은 날씨가 좋습니다 " * 20).encode("euc-kr"), id="euc-kr"
        ),
        pytest.param(CHINESE.encode() + b"\xff", id="utf-8-with-one-bad-byte"),
    ],
)
def test_what_is_neither_utf8_nor_chinese_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenArticle, match="UTF-8"):
        decode(content, "a.txt")


def test_the_refusal_names_line_and_byte() -> None:
    with pytest.raises(BrokenArticle) as caught:
        decode(b"one\ntwo\nthr\xe9e\n", "a.txt")
    assert caught.value.line == 3
    assert "byte 11 (0xe9)" in caught.value.reason


def test_line_ends_are_made_equal_and_unstorable_characters_dropped() -> None:
    assert decode(b"a\r\nb\rc\x00\x0bd\xef\xbf\xbe", "a.txt") == "a\nb\ncd"
