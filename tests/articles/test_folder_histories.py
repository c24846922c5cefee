"""What holds of articles whatever happens to their files from one scan to the next."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from article_builders import NOW, Pipeline
from databases import drop_tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.model import metadata
from feedsvc.model.article import Article, ArticleState

Files = dict[str, str]
KEYS = ["a", "b", "c", "x/a"]
FILES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["1", "2", "3", "4", "5"]))


@st.composite
def histories(draw: st.DrawFn) -> list[Files]:
    """Folders as scans find them; most differ from the one before as people make them differ."""
    files = draw(FILES)
    history = [files]
    for number in range(draw(st.integers(2, 6))):
        files = _happen(dict(files), draw, number)
        history.append(files)
    return history


def _happen(files: Files, draw: st.DrawFn, number: int) -> Files:
    kind = draw(st.sampled_from(["rotate", "swap", "remove", "put", "shift", "anything"]))
    key, other = draw(st.permutations(KEYS))[:2]
    match kind:
        case "rotate" if key in files:
            files[other], files[key] = files[key], f"new {number}"
        case "swap" if key in files and other in files:
            files[key], files[other] = files[other], files[key]
        case "remove":
            files.pop(key, None)
        case "put":
            files[key] = f"put {number}"
        case "shift":
            files = dict(zip(KEYS[1:], (files[k] for k in KEYS[:-1] if k in files), strict=False))
            files[KEYS[0]] = f"first {number}"
        case "anything":
            files = draw(FILES)
    return files


@pytest.fixture
def run(database_url: str) -> Iterator[Callable[[list[Files]], None]]:
    """Let one history happen in an empty database; check what holds after every scan."""
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(_open(database_url))
    yield lambda history: loop.run_until_complete(_live_through(database, history))
    loop.run_until_complete(database.dispose())
    loop.close()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
def test_an_article_keeps_its_words_and_its_number_wherever_its_file_goes(
    run: Callable[[list[Files]], None], history: list[Files]
) -> None:
    run(history)


async def _open(url: str) -> Database:
    await drop_tables(url)
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return database


async def _live_through(database: Database, history: list[Files]) -> None:
    async with database.write() as session:
        for table in reversed(metadata.sorted_tables):
            await session.execute(delete(table))
    pipeline = Pipeline(database)
    before: dict[int, Article] = {}
    files: Files = {}
    for number, following in enumerate([{}, *history]):
        await pipeline.ingest(
            {key: f"---\ntitle: {text}\n---\n" for key, text in following.items()},
            now=NOW + timedelta(hours=number),
            allow_mass_withdrawal=True,
        )
        async with database.read() as session:
            rows = await session.execute(select(Article).order_by(col(Article.id)))
            after = {article.id or 0: article for article in rows.scalars()}
        _check_one_for_each_file(following, after)
        _check_identity(files, following, before, after)
        before, files = after, following


def _check_one_for_each_file(files: Files, articles: dict[int, Article]) -> None:
    published = [one for one in articles.values() if one.state is ArticleState.PUBLISHED]
    assert sorted((one.source_key, one.title) for one in published) == sorted(files.items())


def _check_identity(
    files: Files, following: Files, before: dict[int, Article], after: dict[int, Article]
) -> None:
    for number, was in before.items():
        now = after[number]
        assert (now.guid, now.seq, now.announce) == (was.guid, was.seq, was.announce)
        if was.state is ArticleState.WITHDRAWN:
            assert now.title == was.title, "something else came back in its place"
    held, holds = Counter(files.values()), Counter(following.values())
    for key, text in following.items():
        (new,) = (one for one in after.values() if (one.source_key, one.title) == (key, text))
        if held[text] == holds[text] == 1:
            assert new.id in before, "a file that moved became another article"
            assert before[new.id].title == text
