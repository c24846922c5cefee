"""Two ways to write the address of one article."""

import pytest

from feedsvc.articles.story_address import normalise_address

PLAIN = normalise_address("https://news.example/2026/a.html?id=7")


@pytest.mark.parametrize(
    "written",
    [
        "http://news.example/2026/a.html?id=7",
        "HTTPS://News.Example:443/2026/a.html?id=7",
        "http://news.example:80/2026/a.html?id=7",
        "https://www.news.example/2026/a.html?id=7",
        "https://m.news.example/2026/a.html?id=7",
        "https://amp.news.example/2026/a.html?id=7",
        "https://news.example./2026/a.html?id=7#comments",
        "https://news.example/2026/a.html?utm_source=x&utm_medium=y&id=7&fbclid=z",
        "https://news.example/2026/a.html?id=7&spm=a2c4e.11&from=timeline&share_token=9",
        "https://news.example/2026/%61.html?id=7",
        "https://news.example/2026/a.amp.html?id=7",
        "  https://news.example/2026/a.html?id=7  ",
    ],
)
def test_what_does_not_matter_makes_no_difference(written: str) -> None:
    assert normalise_address(written) == PLAIN


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://news.example/a/", "https://news.example/a"),
        ("https://news.example/a/index.html", "https://news.example/a"),
        ("https://news.example/a/amp/", "https://news.example/a"),
        ("https://news.example/amp/a", "https://news.example/a"),
        ("https://news.example/a?b=1&a=2", "https://news.example/a?a=2&b=1"),
        ("https://news.example/新闻/1", "https://news.example/%E6%96%B0%E9%97%BB/1"),
        ("https://例子.example/1", "https://xn--fsqu00a.example/1"),
    ],
)
def test_two_ways_to_write_one(one: str, other: str) -> None:
    assert normalise_address(one) == normalise_address(other) is not None


@pytest.mark.parametrize(
    "other",
    [
        "https://news.example/2026/a.html",
        "https://news.example/2026/a.html?id=8",
        "https://news.example/2026/A.html?id=7",
        "https://news.example:8080/2026/a.html?id=7",
        "https://old.news.example/2026/a.html?id=7",
        "https://news.example/2026/a.html?id=7#!/b",
    ],
)
def test_what_matters_makes_a_difference(other: str) -> None:
    assert normalise_address(other) not in (PLAIN, None)


@pytest.mark.parametrize(
    "nothing",
    [
        "https://news.example",
        "https://www.news.example/index.html?utm_source=x#top",
        "mailto:a@news.example",
        "https:///a",
        "https://[::1/a",
        "https://news.example:99999/a",
        "https://" + "a" * 70 + ".example/a",
        "",
    ],
)
def test_a_first_page_and_what_is_no_address_name_no_article(nothing: str) -> None:
    assert normalise_address(nothing) is None
