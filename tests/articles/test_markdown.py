"""Markdown as people write it, and as nobody should."""

import time

import pytest

from feedsvc.articles.markdown import render_markdown
from feedsvc.articles.sanitise import sanitise


def render(text: str) -> str:
    return sanitise(render_markdown(text), "https://news.example/")


def test_tables_keep_their_alignment() -> None:
    html = render("| a | b |\n|---|--:|\n| 1 | 2 |\n")
    assert '<th align="right">b</th>' in html
    assert '<td align="right">2</td>' in html


def test_footnotes_are_numbered_and_not_linked() -> None:
    html = render("Text[^n] again[^n].\n\n[^n]: The note.\n")
    assert "Text<sup>[1]</sup> again<sup>[1]</sup>." in html
    assert "<ol>\n<li><p>The note.</p>" in html
    assert "href" not in html


def test_task_lists_show_signs() -> None:
    html = render("- [x] done\n- [ ] open\n")
    assert "<li>☑ done</li>" in html
    assert "<li>☐ open</li>" in html


def test_struck_out_words_are_struck_out() -> None:
    assert render("~~old~~ new") == "<p><s>old</s> new</p>"


def test_a_line_end_within_chinese_leaves_no_gap() -> None:
    assert (
        render("今天天气\n很好，\n“真的”\nIt is\nfine")
        == "<p>今天天气很好，“真的”\nIt is\nfine</p>"
    )


def test_html_in_markdown_is_kept_and_made_inert() -> None:
    assert render("a <b onclick=x>b</b> <script>c</script>") == "<p>a <b>b</b> </p>"


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "![" * 50_000, "^[" * 50_000, "[![a](" * 16_000, "*a " * 33_000, "> " * 50_000,
     "- " * 50_000, "`" * 50_000, "<!--" * 25_000, "".join(" " * i + "- a\n" for i in range(400))],
    ids=["brackets", "images", "notes", "mixed", "stars", "quotes", "lists", "ticks", "comments",
         "nested-lists"],
)  # fmt: skip
def test_a_hundred_kilobytes_of_the_worst_are_no_trouble(text: str) -> None:
    began = time.perf_counter()
    render_markdown(text)
    assert time.perf_counter() - began < 5


def test_a_paragraph_of_too_many_brackets_is_shown_as_written() -> None:
    html = render("[" * 3000)
    assert html.strip("<p>/\n") == "[" * 3000
