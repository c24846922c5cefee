"""What an article says of its importance, its id and its address, none of which readers see."""

import pytest
from article_builders import DEFAULTS, make_raw

from feedsvc.articles.parse import parse_article
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import ArticleData, MediaType


def parse(field: str) -> ArticleData:
    return parse_article(make_raw(f"---\ntitle: One\n{field}\n---\n\n正文。\n"), DEFAULTS)


@pytest.mark.parametrize(
    ("field", "weight"),
    [
        ("", 0),
        ("weight: 7", 7),
        ("weight: -1000", -1000),
        ("weight: '+1000'", 1000),
        ("weight:", 0),
    ],
)
def test_a_weight_is_a_whole_number(field: str, weight: int) -> None:
    assert parse(field).weight == weight


def test_a_weight_in_toml_is_read_as_well() -> None:
    raw = make_raw('+++\ntitle = "One"\nweight = 30\n+++\n\n正文。\n')
    assert parse_article(raw, DEFAULTS).weight == 30


@pytest.mark.parametrize("value", ["1001", "-1001", "1.5", "heavy", "1e2", "９", "99999999999"])
def test_a_weight_that_is_none_is_named_with_its_line(value: str) -> None:
    with pytest.raises(BrokenArticle) as caught:
        parse(f"weight: {value}")
    assert caught.value.line == 3
    assert "weight is a whole number from -1000 to 1000" in str(caught.value)


def test_a_list_of_weights_is_none() -> None:
    with pytest.raises(BrokenArticle, match="weight should be one value"):
        parse("weight: [1, 2]")


@pytest.mark.parametrize("field", ["weight: 7", "guid: tag:news.example,2026:7"])
def test_what_readers_do_not_see_makes_no_other_article(field: str) -> None:
    assert parse(field) != parse("")
    assert parse(field).content_hash == parse("").content_hash


@pytest.mark.parametrize(
    ("guid", "kept"),
    [
        ("urn:uuid:9d1f2f5e-8a4f-4a37-9f5e-0a5f5c1d2e3f", True),
        ("https://news.example/?p=7", True),
        ("7", False),
        ("post-7", False),
        ("javascript:7000", False),
    ],
)
def test_only_an_id_for_the_whole_world_counts(guid: str, *, kept: bool) -> None:
    assert parse(f"guid: {guid}").source_guid == (guid if kept else None)


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ('<link rel="canonical" href="https://news.example/a?b=1&amp;c=2">', "a?b=1&c=2"),
        ("<LINK href=https://news.example/a rel=canonical />", "a"),
        ('<link rel="stylesheet" href="https://news.example/a.css">', None),
        ('<link rel="canonical" href="javascript:alert(1)">', None),
    ],
)
@pytest.mark.parametrize("is_page", [False, True], ids=["document", "saved page"])
def test_an_html_document_names_its_address(link: str, found: str | None, is_page: bool) -> None:
    body = (
        "<p>今天上午，第一辆电动公车在广州上路，许多市民前来乘坐，交通局说年内还有三百辆。</p>" * 4
    )
    html = f"<html><head><title>题目</title>{link}</head><body><h1>题目</h1>{body}</body></html>"
    data = parse_article(make_raw(html, media_type=MediaType.HTML, is_page=is_page), DEFAULTS)
    assert data.canonical == (f"https://news.example/{found}" if found else None)
    assert data.url is None
