"""guid and slug."""

import re

import pytest
from article_builders import counting_bytes
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.articles.identity import choose_free_slug, choose_slug, mint_guid, short_id

GUID = "urn:uuid:00000000-0000-4000-8000-000000000001"


def test_a_guid_is_a_random_uuid() -> None:
    random_bytes = counting_bytes()
    assert mint_guid(random_bytes) == GUID
    assert mint_guid(random_bytes) != GUID


@pytest.mark.parametrize(
    ("wanted", "title", "slug"),
    [
        ("My Slug!", "Title", "my-slug"),
        (None, "What's new in L’Été 2023?", "whats-new-in-lete-2023"),
        (None, "iPhone 15 发布", "iphone-15"),
        ("../../etc/passwd\x00", "Title", "etc-passwd"),
        ("中文", "Title", "title"),
        (None, "word " * 50, "-".join(["word"] * 16)),
        (None, "x" * 200, "x" * 80),
    ],
)
def test_a_slug_is_ascii_words(wanted: str | None, title: str, slug: str) -> None:
    assert choose_slug(wanted, title, GUID) == slug


@pytest.mark.parametrize("title", ["三峡大坝的一天", "2023年度总结报告", "…", "Привет"])
def test_a_title_in_another_script_gets_an_id_for_slug(title: str) -> None:
    assert choose_slug(None, title, GUID) == short_id(GUID)


def test_a_taken_slug_gets_a_part_of_the_guid() -> None:
    assert choose_free_slug("news", GUID, {"news"}.__contains__) == f"news-{short_id(GUID)}"
    assert choose_free_slug("news", GUID, set().__contains__) == "news"


@given(st.none() | st.text(), st.text())
def test_every_slug_is_safe_in_a_path(wanted: str | None, title: str) -> None:
    slug = choose_slug(wanted, title, GUID)
    for one in (slug, choose_free_slug(slug, GUID, lambda _: True)):
        assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", one)
        assert len(one) <= 80
