"""Smaller codings come later, and change nothing that readers compare."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from feedsvc.db.engine import Database
from feedsvc.feeds.documents.dense import SparseDocument, find_sparse, save_dense
from feedsvc.feeds.documents.store import (
    load_documents,
    load_versions,
    prepare_documents,
    store_documents,
)
from feedsvc.feeds.documents.variants import compress_dense
from feedsvc.feeds.render import render_documents
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedDocument, FeedFormat, ServedDocument

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

BASE_URL = "https://news.example"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def publish(database: Database, spec: FeedSpec, article: Article, now: datetime) -> None:
    prepared = prepare_documents(spec, render_documents(spec, [article]), {})
    async with database.write() as session:
        assert (await store_documents(session, spec, prepared, now, 0)).changed


async def sparse(database: Database, now: datetime, limit: int = 10) -> list[SparseDocument]:
    async with database.read() as session:
        return await find_sparse(session, now - MINUTE, limit)


async def save(database: Database, one: SparseDocument) -> ServedDocument | None:
    async with database.write() as session:
        return await save_dense(session, BASE_URL, one, compress_dense(one.body))


async def test_a_document_is_coded_again_once_it_has_stayed_the_same_for_a_while(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    spec = make_spec(formats=(FeedFormat.ATOM,))
    await publish(database, spec, make_article(title="夜市", content="<p>夜市</p>" * 500), NOON)
    assert await sparse(database, NOON + timedelta(seconds=59)) == []
    [one] = await sparse(database, NOON + MINUTE)
    async with database.read() as session:
        [before] = await load_documents(session, BASE_URL)
    dense = compress_dense(one.body)
    after = await save(database, one)
    assert after == replace(before, body_gzip=dense.gzip, body_br=dense.br, body_zstd=dense.zstd)
    assert after.body_br != before.body_br
    async with database.read() as session:
        assert await load_documents(session, BASE_URL) == [after]
        assert await load_versions(session) == {("all", "atom"): (1, True)}
    assert await sparse(database, NOON + 60 * MINUTE) == []


async def test_a_version_replaced_meanwhile_is_left_alone(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    spec = make_spec(formats=(FeedFormat.ATOM,))
    await publish(database, spec, make_article(title="old"), NOON)
    [one] = await sparse(database, NOON + MINUTE)
    await publish(database, spec, make_article(title="new"), NOON + MINUTE)
    async with database.read() as session:
        before = await load_documents(session, BASE_URL)
    assert await save(database, one) is None
    async with database.read() as session:
        assert await load_documents(session, BASE_URL) == before
        assert await load_versions(session) == {("all", "atom"): (2, False)}


async def test_a_new_version_has_quick_codings_again(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    spec = make_spec(formats=(FeedFormat.ATOM,))
    await publish(database, spec, make_article(title="old"), NOON)
    [one] = await sparse(database, NOON + MINUTE)
    assert await save(database, one) is not None
    await publish(database, spec, make_article(title="new"), NOON + MINUTE)
    assert [one.version for one in await sparse(database, NOON + 2 * MINUTE)] == [2]


async def test_those_that_have_waited_longest_come_first(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    for number, key in enumerate(("b", "c", "a")):
        spec = make_spec(key=key, formats=(FeedFormat.JSON,))
        await publish(database, spec, make_article(), NOON + number * MINUTE)
    found = await sparse(database, NOON + 10 * MINUTE, limit=2)
    assert [(one.feed, one.format, one.version) for one in found] == [
        ("b", FeedFormat.JSON, 1),
        ("c", FeedFormat.JSON, 1),
    ]


async def test_a_document_stored_before_there_were_other_codings_gets_them(
    database: Database,
) -> None:
    async with database.write() as session:
        old = {"etag": "0" * 32, "last_modified": NOON, "body": b"{}", "body_gzip": b"?"}
        session.add(FeedDocument(feed="all", format="json", **old))
        session.add(FeedDocument(feed="all", format="odd.package:Form", **old))
    [one] = await sparse(database, NOON + MINUTE)
    served = await save(database, one)
    assert served is not None
    assert served.body_br is not None
    assert served.body_zstd is not None
