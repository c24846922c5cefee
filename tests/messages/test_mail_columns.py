"""Plain text in 72 columns, where a Chinese character counts two."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.messages.columns import display_width, wrap_text


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("晨报", 4), ("Ａ", 2), ("é", 1), ("e\u0301", 1), ("，", 2), ("🎉", 2), ("", 0)],
)
def test_columns_are_counted_as_a_terminal_counts_them(text: str, columns: int) -> None:
    assert display_width(text) == columns


@given(st.text(st.sampled_from("abc d，。「」晨报的é🎉1.[-"), max_size=400))
@settings(max_examples=200)
def test_nothing_is_lost_and_lines_keep_within_the_width(text: str) -> None:
    wrapped = wrap_text(text)
    assert "".join(wrapped.split()) == "".join(text.split())
    for line in wrapped.splitlines():
        if display_width(line) > 72:  # only what cannot be broken: a run without a place to
            assert " " not in line.strip() or line.lstrip()[0] in "0123456789[-"


def test_a_chinese_paragraph_breaks_between_characters() -> None:
    lines = wrap_text("城" * 100).splitlines()
    assert [len(line) for line in lines] == [36, 36, 28]


def test_punctuation_neither_begins_nor_is_torn_from_its_line() -> None:
    lines = wrap_text("城" * 36 + "，" + "市" * 10).splitlines()
    assert lines[0] == "城" * 35
    assert lines[1].startswith("城，市")
    lines = wrap_text("城" * 35 + "《" + "市" * 10).splitlines()
    assert lines[1].startswith("《市")


def test_a_web_address_is_never_broken() -> None:
    url = "https://news.example.com/" + "very-long-path/" * 10
    assert url in wrap_text(f"Read on at {url} or not").splitlines()
    assert wrap_text(f"退订：{url}").splitlines() == ["退订：", url]


def test_indentation_and_numbers_hang() -> None:
    lines = wrap_text("   " + "word " * 30).splitlines()
    assert all(line.startswith("   word") for line in lines)
    lines = wrap_text("12. " + "word " * 30).splitlines()
    assert lines[1].startswith("    word")


def test_empty_lines_are_kept_but_never_more_than_two() -> None:
    assert wrap_text("\n\na\n\n\n\n\n\nb\n\n") == "a\n\n\nb\n"
