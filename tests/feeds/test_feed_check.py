"""A document that readers could not read, or that lost something, is told from a good one."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import feedparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.feeds.documents.check import check_document
from feedsvc.feeds.render import render_documents
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]
RSS, ATOM, JSON = FeedFormat.RSS, FeedFormat.ATOM, FeedFormat.JSON

each_format = pytest.mark.parametrize("feed_format", list(FeedFormat), ids=str)
each_xml = pytest.mark.parametrize("feed_format", [RSS, ATOM], ids=str)


@pytest.fixture(scope="module")
def articles(make_article: ArticleBuilder) -> list[Article]:
    enclosure = {"url": "https://a.example/1.mp3", "media_type": "audio/mpeg", "length_bytes": 9}
    return [
        make_article(3, title="夜市回来了 & <b>", language="zh-CN", content="<p>夜市\t]]></p>"),
        make_article(2, enclosures=[enclosure]),
        make_article(1),
    ]


@pytest.fixture(scope="module")
def guids(articles: list[Article]) -> list[str]:
    return [article.guid for article in articles]


@pytest.fixture(scope="module")
def documents(make_spec: SpecBuilder, articles: list[Article]) -> dict[FeedFormat, bytes]:
    return render_documents(make_spec(), articles).documents


@each_format
def test_a_good_document_passes(
    feed_format: FeedFormat, documents: dict[FeedFormat, bytes], guids: list[str]
) -> None:
    assert check_document(feed_format, documents[feed_format], guids) is None


@each_format
def test_a_feed_without_entries_passes(feed_format: FeedFormat, make_spec: SpecBuilder) -> None:
    [body] = render_documents(make_spec(formats=(feed_format,)), []).documents.values()
    assert check_document(feed_format, body, []) is None


@each_format
def test_entries_are_exactly_those_expected_in_their_order(
    feed_format: FeedFormat, documents: dict[FeedFormat, bytes], guids: list[str]
) -> None:
    body = documents[feed_format]
    one, two, three = guids

    def check(*wanted: str) -> str | None:
        return check_document(feed_format, body, wanted)

    assert check(one, two, "urn:lost", three) == "it lacks the entry 'urn:lost'"
    assert check(one, two) == f"it holds an entry {three!r} that does not belong there"
    assert check(one, two, three, three) == "it holds 3 entries in place of 4"
    assert check(two, one, three) == "its entries stand in another order"


@each_format
def test_a_document_cut_short_at_any_place_is_refused(
    feed_format: FeedFormat, documents: dict[FeedFormat, bytes], guids: list[str]
) -> None:
    body = documents[feed_format]
    for length in range(0, len(body) - 1, 37):
        refusal = check_document(feed_format, body[:length], guids)
        assert refusal is not None
        assert refusal.startswith("it does not parse: ")


@each_format
@pytest.mark.parametrize("added", [b"<p>", b"}", b"\x00", b"\xff"], ids=repr)
def test_a_document_with_something_behind_its_end_is_refused(
    feed_format: FeedFormat,
    documents: dict[FeedFormat, bytes],
    guids: list[str],
    added: bytes,
) -> None:
    refusal = check_document(feed_format, documents[feed_format] + added, guids)
    assert (refusal or "").startswith("it does not parse: ")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(FeedFormat))
def test_no_bytes_whatever_make_it_fail(body: bytes, feed_format: FeedFormat) -> None:
    assert check_document(feed_format, body, ["a"]) is not None


@each_format
def test_a_document_of_another_format_is_refused(
    feed_format: FeedFormat, documents: dict[FeedFormat, bytes], guids: list[str]
) -> None:
    for other in FeedFormat:
        refusal = check_document(feed_format, documents[other], guids)
        assert (refusal is None) == (other is feed_format)


@pytest.mark.parametrize(
    ("feed_format", "old", "new", "reason"),
    [
        (RSS, b"<title>Morning News</title>", b"<title> </title>", "it has no title"),
        (
            RSS,
            b"<title>Morning News</title>",
            b"<image><title>Morning News</title></image>",
            "it has no title",
        ),
        (
            ATOM,
            b"<title>Morning News</title>",
            b"<author><title>Morning News</title></author>",
            "it has no title",
        ),
        (ATOM, b'href="https://news.example/feeds/all/atom.xml"', b"", "it has no self link"),
        (RSS, b"<description>What happened</description>", b"", "it has no description"),
        (RSS, b'rel="self"', b'rel="other"', "it has no self link"),
        (RSS, b"<title>Article 2</title>", b"<title/>", "entry 2 has no title"),
        (RSS, b"<link>https://news.example/</link>", b"", "it has no link"),
        (ATOM, b"<title>Morning News</title>", b"", "it has no title"),
        (ATOM, b'rel="self"', b'rel="via"', "it has no self link"),
        (ATOM, b"<title>Article 1</title>", b"<title>\n</title>", "entry 3 has no title"),
        (JSON, b'"title":"Morning News"', b'"title":""', "it has no title"),
        (JSON, b'"feed_url":', b'"old_url":', "it has no feed_url"),
        (JSON, b'"title":"Article 2"', b'"title":" "', "entry 2 has no title"),
        (JSON, b'"title":"Article 2"', b'"title":7', "entry 2 has no title"),
    ],
)  # fmt: skip
def test_what_readers_need_must_not_be_missing_or_empty(
    documents: dict[FeedFormat, bytes],
    guids: list[str],
    feed_format: FeedFormat,
    old: bytes,
    new: bytes,
    reason: str,
) -> None:
    assert documents[feed_format].count(old) == 1
    body = documents[feed_format].replace(old, new)
    assert check_document(feed_format, body, guids) == reason


@pytest.mark.parametrize(
    ("feed_format", "element"), [(RSS, "pubDate"), (RSS, "link"), (ATOM, "updated"), (ATOM, "id")]
)
def test_each_entry_needs_its_date_link_and_identity(
    documents: dict[FeedFormat, bytes], guids: list[str], feed_format: FeedFormat, element: str
) -> None:
    start, end = documents[feed_format].rsplit(f"<{element}>".encode(), 1)
    body = start + f"<{element}></{element}>".encode() + end.partition(f"</{element}>".encode())[2]
    assert check_document(feed_format, body, guids) == f"entry 3 has no {element}"


def test_an_enclosure_is_no_link_to_the_article(
    documents: dict[FeedFormat, bytes], guids: list[str]
) -> None:
    whole = documents[ATOM]
    second = whole.index(b"<entry", whole.index(b"<entry") + 1)
    body = whole[:second] + whole[second:].replace(b'rel="alternate"', b'rel="enclosure"', 1)
    assert body != whole
    assert check_document(ATOM, body, guids) == "entry 2 has no alternate link"


@each_xml
@pytest.mark.parametrize(
    "character",
    ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff", "&#x0b;", "&#xD800;", "&#xFFFE;"],
    ids=ascii,
)
def test_characters_that_xml_forbids_are_refused(
    documents: dict[FeedFormat, bytes], guids: list[str], feed_format: FeedFormat, character: str
) -> None:
    body = documents[feed_format].replace(b"Article 2", f"Article {character}".encode())
    assert (check_document(feed_format, body, guids) or "").startswith("it does not parse: ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"\\u000b", "U+000B"),
        (b"\\ud800", "U+D800"),
        (b"\\uFFFE", "U+FFFE"),
        ("\uffff".encode(), "U+FFFF"),
    ],
    ids=repr,
)
def test_characters_that_xml_forbids_are_refused_in_json_too(
    documents: dict[FeedFormat, bytes], guids: list[str], text: bytes, found: str
) -> None:
    body = documents[JSON].replace(b"Article 2", b"Article " + text)
    assert check_document(JSON, body, guids) == f"it holds {found}, which XML forbids"


@pytest.mark.parametrize("text", ["\\u0041", "\\ud83d\\ude00", "\\\\u000b", "😀 \\t"])
def test_escapes_of_other_characters_are_fine(
    documents: dict[FeedFormat, bytes], guids: list[str], text: str
) -> None:
    body = documents[JSON].replace(b"Article 2", text.encode())
    assert check_document(JSON, body, guids) is None


@each_xml
def test_a_document_type_is_refused_before_anything_is_fetched_or_expanded(
    documents: dict[FeedFormat, bytes], guids: list[str], feed_format: FeedFormat
) -> None:
    end = documents[feed_format].index(b"?>") + 2
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    body = documents[feed_format][:end] + entities + documents[feed_format][end:]
    body = body.replace(b"Article 2", b"&a;&b;")
    assert check_document(feed_format, body, guids) == "it has a document type"


@each_xml
def test_a_document_that_names_another_encoding_is_refused(
    documents: dict[FeedFormat, bytes], guids: list[str], feed_format: FeedFormat
) -> None:
    body = documents[feed_format].replace(b"UTF-8", b"ISO-8859-1", 1)
    refusal = check_document(feed_format, body, guids)
    assert refusal == "it says it is in ISO-8859-1, not in UTF-8"


@pytest.mark.parametrize(
    "value",
    [[], {}, {"items": {}}, "text", None],
    ids=repr,
)
def test_json_that_is_no_feed_is_refused(value: Any) -> None:
    refusal = check_document(JSON, json.dumps(value).encode(), [])
    assert refusal == "it is no feed of its format: it has no items"


def test_an_item_without_content_is_refused(
    documents: dict[FeedFormat, bytes], guids: list[str]
) -> None:
    feed = json.loads(documents[JSON])
    feed["items"][1]["content_html"] = ""
    assert check_document(JSON, json.dumps(feed).encode(), guids) == "entry 2 has no content"
    feed["items"][1] = "text"
    assert check_document(JSON, json.dumps(feed).encode(), guids) == "entry 2 is no object"


def test_deeply_nested_json_is_refused() -> None:
    body = b'{"items":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"
    assert (check_document(JSON, body, []) or "").startswith("it does not parse: ")


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=60, deadline=None)
@given(titles=st.lists(_TEXTS, max_size=4), body=_TEXTS)
def test_it_agrees_with_a_reader_on_whatever_articles_hold(
    make_spec: SpecBuilder, make_article: ArticleBuilder, titles: list[str], body: str
) -> None:
    articles = [
        make_article(number, title=title, summary=body, content=f"<p>{body}</p>")
        for number, title in enumerate(titles, 1)
    ]
    guids = [article.guid for article in articles]
    for feed_format, document in render_documents(make_spec(), articles).documents.items():
        assert check_document(feed_format, document, guids) is None
        assert _ids_by_feedparser(feed_format, document) == guids


def _ids_by_feedparser(feed_format: FeedFormat, document: bytes) -> Sequence[str]:
    if feed_format is JSON:
        return [item["id"] for item in json.loads(document)["items"]]
    parsed = feedparser.parse(document)
    assert not parsed.bozo
    return [entry.id for entry in parsed.entries]
