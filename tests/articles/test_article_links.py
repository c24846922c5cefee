"""Addresses made absolute, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.articles.links import LINK_SCHEMES, make_absolute, make_srcset_absolute

BASE = "https://news.example/a/b"


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("c.html", "https://news.example/a/c.html"),
        ("/c", "https://news.example/c"),
        ("../../c", "https://news.example/c"),
        ("?q=1", "https://news.example/a/b?q=1"),
        ("//cdn.test/x", "https://cdn.test/x"),
        ("HTTP://Other.test/x", "HTTP://Other.test/x"),
        (" \n c d ", "https://news.example/a/c%20d"),
        ("中文/页", "https://news.example/a/中文/页"),
        ("c#part", "https://news.example/a/c#part"),
        ("#part", None),
        ("", None),
        ("javascript:x", None),
        ("java\nscript:x", None),
        ("mailto:a@b.test", None),
        ("http://", None),
        ("http://[::1", None),
        ("http://h:99999/", None),
        ("http://h/" + "x" * 2000, None),
    ],
)
def test_an_address_is_absolute_or_nothing(url: str, absolute: str | None) -> None:
    assert make_absolute(url, BASE) == absolute


@given(st.text(), st.sampled_from([None, BASE]))
def test_an_absolute_address_stays_as_it_is(url: str, base: str | None) -> None:
    first = make_absolute(url, base, LINK_SCHEMES)
    if first is not None:
        assert make_absolute(first, BASE, LINK_SCHEMES) == first
        assert not set(first) & set(' "<>\n\t')


@given(st.text(alphabet="ab,/ .12xw:%\n"))
def test_a_list_of_sources_stays_as_it_is(srcset: str) -> None:
    first = make_srcset_absolute(srcset, BASE)
    assert first is None or make_srcset_absolute(first, None) == first
