"""Front matter: fields, their lines, and mistakes in plain words."""

import time

import pytest

from feedsvc.articles.front_matter import split_front_matter
from feedsvc.errors import BrokenArticle


def broken(text: str) -> BrokenArticle:
    with pytest.raises(BrokenArticle) as caught:
        split_front_matter(text, "/articles/a.md")
    return caught.value


def test_fields_are_read_as_they_were_written() -> None:
    read = split_front_matter(
        "---\ntitle: 1.10\nslug: 007\ntime: 12:30\nup: yes\nnone: ~\nquoted: '~'\n---\n", "a"
    )
    assert read.values == {
        "title": "1.10",
        "slug": "007",
        "time": "12:30",
        "up": "yes",
        "none": "",
        "quoted": "~",
    }


def test_each_field_knows_its_line_in_the_file() -> None:
    read = split_front_matter(
        "---\ntitle: x\n\n# comment\ntags:\n  - a\n  - b\ndate: y\n---\n", "a"
    )
    assert read.lines == {"title": 2, "tags": 5, "date": 8}
    assert read.values["tags"] == ["a", "b"]


def test_the_body_begins_after_the_closing_line() -> None:
    assert (
        split_front_matter("---\ntitle: x\n---\n\n正文\n---\nmore", "a").body == "\n正文\n---\nmore"
    )


@pytest.mark.parametrize(
    "text", ["no fields", "", "---\nA rule above.\n", "----\ntitle: x\n----\n"]
)
def test_a_text_without_front_matter_is_all_body(text: str) -> None:
    read = split_front_matter(text, "a")
    assert (read.values, read.body) == ({}, text)


def test_toml_front_matter_is_read_with_its_lines() -> None:
    read = split_front_matter(
        "+++\ntitle = '标题'\ndate = 2023-10-31T09:04:00+08:00\ndraft = true\n"
        "[taxonomies]\ntags = ['a']\n+++\nbody",
        "a",
    )
    assert read.values == {
        "title": "标题",
        "date": "2023-10-31T09:04:00+08:00",
        "draft": "true",
        "tags": ["a"],
    }
    assert read.lines["tags"] == 6
    assert read.body == "body"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("---\ntitle: a: b\n---\n", 2, "needs quotes", id="colon"),
        pytest.param("---\na: 1\ntitle: 'x\n---\n", 3, "never closed", id="quote"),
        pytest.param("---\na: 1\n\ttitle: x\n---\n", 3, "tab", id="tab"),
        pytest.param("---\ntitle: @me\n---\n", 2, "quotes", id="at-sign"),
        pytest.param("---\ntitle: x\nTitle: y\n---\n", 3, "given twice", id="twice"),
        pytest.param("---\ntitle: x\nbody", 1, "never closed by ---", id="never-closed"),
        pytest.param("---\njust words\n---\n", 2, "name: value", id="no-map"),
        pytest.param("---\na: &x [1]\nb: *x\n---\n", 3, "aliases", id="alias"),
        pytest.param("---\na: " + "[" * 5000 + "\n---\n", 2, "too deeply", id="deep"),
        pytest.param("+++\na = 1\nb = = 2\n+++\n", 3, "TOML", id="toml"),
        pytest.param("---\na: " + "x" * 60_000 + "\n---\n", 1, "longer than", id="huge"),
    ],
)
def test_a_mistake_names_its_line_in_plain_words(text: str, line: int, words: str) -> None:
    error = broken(text)
    assert error.line == line
    assert words in error.reason
    assert str(error).startswith(f"/articles/a.md:{line}: ")


def test_a_python_tag_makes_nothing() -> None:
    read = split_front_matter("---\na: !!python/object/apply:os.system ['true']\n---\n", "a")
    assert read.values == {"a": ["true"]}


@pytest.mark.parametrize("text", ["a: " + "{" * 40_000, "- " * 20_000, "? " * 20_000, "!" * 49_000])
def test_a_bomb_in_front_matter_is_refused_quickly(text: str) -> None:
    began = time.perf_counter()
    broken(f"---\n{text}\n---\n")
    assert time.perf_counter() - began < 5


def test_a_full_width_colon_after_a_name_is_a_colon() -> None:
    read = split_front_matter(
        "---\ntitle：全角冒号：副题\ndate： 2026-11-22\ntags:\n  - 经济\n作者：李雷\n---\n正文", "a"
    )
    assert read.values == {
        "title": "全角冒号：副题",
        "date": "2026-11-22",
        "tags": ["经济"],
        "作者": "李雷",
    }
    assert read.lines["date"] == 3
    assert read.body == "正文"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title: '一\nslug：二'", "一 slug：二"),
        ('title: "注意：一"', "注意：一"),
        ("title: 注意：一", "注意：一"),
        ("title: |\n  注意\n  slug：二", "注意\nslug：二\n"),
    ],
)
def test_a_full_width_colon_in_a_value_stays(field: str, value: str) -> None:
    read = split_front_matter(f"---\n{field}\n---\n", "a")
    assert read.values == {"title": value}


def test_a_mistake_beside_a_full_width_colon_is_named_with_its_line() -> None:
    error = broken("---\ntitle：一\nslug: 'two\n---\n")
    assert (error.line, "never closed" in error.reason) == (3, True)


def test_front_matter_with_full_width_colons_that_is_never_closed_is_named() -> None:
    assert "never closed" in broken("---\ntitle：一\n\n正文").reason


def test_a_rule_before_chinese_words_with_a_colon_is_no_front_matter() -> None:
    assert split_front_matter("---\n注意：正文\n", "a").values == {}
