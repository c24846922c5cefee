"""Clean lines, and where a text may be cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.articles.text import clean_line, cut_back, may_cut, strip_unstorable

#: What graphemes are made of, mixed freely.
BUILDING_BLOCKS = st.lists(
    st.one_of(
        # Python may know fewer characters than the newest Unicode.
        st.characters(exclude_categories=["Cn", "Cs"]),
        st.sampled_from(
            [
                *"aé中。 한글각ㄱ\u1100\u1161\u11a8\u0301\u20e3\ufe0f\u200d\u200c",
                *"👩👨👧🏽🇨🇳🇺❤क्षि์ำ\u0600\r\n",
            ]
        ),
        st.sampled_from(["👩‍👩‍👧", "🏴\U000e0067\U000e007f", "e\u0301\u0323", "क्ष"]),
    ),
    max_size=30,
).map("".join)


@given(BUILDING_BLOCKS)
def test_a_permitted_cut_is_a_border_of_graphemes_by_unicode(text: str) -> None:
    regex = pytest.importorskip("regex")
    borders = {0, len(text), *(found.end() for found in regex.finditer(r"\X", text))}
    for at in range(len(text) + 1):
        assert not may_cut(text, at) or at in borders


@pytest.mark.parametrize("text", ["plain words", "中文，没有空格。", "한글", "a👩‍👧b🇨🇳🇺🇸c"])
def test_whole_characters_may_be_cut_apart(text: str) -> None:
    regex = pytest.importorskip("regex")
    borders = {0, *(found.end() for found in regex.finditer(r"\X", text))}
    assert {at for at in range(len(text) + 1) if may_cut(text, at)} == borders


def test_a_family_of_four_is_cut_off_as_a_whole() -> None:
    assert cut_back("ab👩‍👩‍👧‍👦", 5) == "ab"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a \n\t b　c\x85d\u2028e ", "a b c d e"),
        ("a\x00b\x1b[31m\x7f\x9bc\ufffe\ud800", "ab[31mc"),
        ("pay \u202egpj.exe\u2066\ufeff", "pay gpj.exe"),
        ("नमस्‍ते 👩‍🚀 ❤️", "नमस्‍ते 👩‍🚀 ❤️"),
        ("\x00 \x01", ""),
    ],
    ids=["white-space", "controls", "bidi", "joiners-stay", "nothing-left"],
)
def test_a_line_holds_words_and_single_spaces(text: str, line: str) -> None:
    assert clean_line(text) == line


@given(st.text())
def test_clean_lines_are_lines_and_stay_as_they_are(text: str) -> None:
    line = clean_line(text)
    assert clean_line(line) == line
    assert line.splitlines() in ([line], [])
    line.encode()


def test_unstorable_characters_go_and_line_ends_stay() -> None:
    assert strip_unstorable("a\x00b\x0c\n\t\ud83d\uffffc") == "ab\n\tc"
