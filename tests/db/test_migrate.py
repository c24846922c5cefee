"""Migrations make what the model says, keep every row, and refuse what they cannot understand."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Inspector, MetaData, Table, inspect, select, text

from feedsvc.db.engine import Database
from feedsvc.db.migrate import MIGRATIONS, comparison, migrate
from feedsvc.errors import DatabaseUnavailable, MigrationRefused
from feedsvc.kit.jobs import open_jobs
from feedsvc.model import metadata
from feedsvc.model.article import ArticleLabel

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def _revisions(folder: Path = MIGRATIONS) -> list[str]:
    """All revisions, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    walk = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in walk][::-1]


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[Database]:
    """A database with nothing in it."""
    database = Database(database_url)
    await _clear(database)
    yield database
    await database.dispose()


async def _clear(database: Database) -> None:
    if database.kind == "postgresql":
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))


async def _run(database: Database, function: Any) -> Any:
    async with database.engine.connect() as connection:
        return await connection.run_sync(function)


# One row of every table as the first version had them; later columns are filled in by type.
ROWS: dict[str, dict[str, Any]] = {
    "article": {
        "id": 1,
        "state": "published",
        "seq": 7,
        "title": "标题",
        "guid": "g",
        "slug": "s",
        "topics": ["科技", "trams", "科技", "t" * 201],
        "authors": ["李雷"],
    },
    "counter": {"name": "seq", "value": 7},
    "feed_document": {"body": b"<rss/>"},
    "newsletter": {"id": 1, "key": "daily"},
    "signing_key": {},
    "source": {},
    "source_problem": {},
    "subscriber": {"id": 1, "state": "good", "name": "李雷"},
    "worker": {},
    "schedule": {"id": 1, "newsletter_id": 1},
    "edition": {"id": 1, "newsletter_id": 1, "schedule_id": 1, "state": "sending"},
    "subscription": {
        "id": 1,
        "subscriber_id": 1,
        "newsletter_id": 1,
        "schedule_id": 1,
        "state": "active",
        "cursor": 5,
    },
    "cohort": {"id": 1, "edition_id": 1},
    "notice": {"id": 1, "subscriber_id": 1, "subscription_id": 1},
    "subscription_change": {"subscription_id": 1},
    "wave": {"edition_id": 1},
    "cohort_item": {"cohort_id": 1, "article_id": 1, "position": 0},
    "delivery": {
        "id": 1,
        "edition_id": 1,
        "subscriber_id": 1,
        "subscription_id": 1,
        "cohort_id": 1,
        "from_seq": 5,
        "cut_seq": 7,
        "state": "pending",
    },
}
_FILLERS: dict[type, Any] = {
    int: 1,
    float: 1.0,
    str: "x",
    bool: True,
    bytes: b"x",
    datetime: NOW,
    dict: {},
}


def _fill(table: Table, known: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the known values, and something in every other column that needs a value."""
    row = {key: value for key, value in known.items() if key in table.columns}
    for column in table.columns:
        if column.name in row or column.nullable or column.server_default is not None:
            continue
        kind = "JSON" in str(column.type).upper()
        row[column.name] = {} if kind else _FILLERS[column.type.python_type]
    return row


def _insert_rows(connection: Connection) -> None:
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        if table.name in metadata.tables or table.name in ROWS:
            connection.execute(table.insert(), [_fill(table, ROWS.get(table.name, {}))])
    connection.commit()


def _read_rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    tables = MetaData()
    tables.reflect(connection)
    return {
        table.name: [dict(row._mapping) for row in connection.execute(select(table))]
        for table in tables.sorted_tables
        if table.name != "alembic_version"
    }


def _describe(connection: Connection) -> dict[str, Any]:
    """Everything a schema says, in an order that does not depend on how it came about."""
    seen: Inspector = inspect(connection)
    dialect = connection.dialect

    def ordered(items: list[Any]) -> list[Any]:
        return sorted(items, key=lambda item: str(item["name"]))

    return {
        name: {
            "columns": ordered(
                [
                    {**column, "type": column["type"].compile(dialect), "comment": None}
                    for column in seen.get_columns(name)
                ]
            ),
            "primary key": seen.get_pk_constraint(name),
            "foreign keys": ordered(seen.get_foreign_keys(name)),
            "unique": ordered(seen.get_unique_constraints(name)),
            "checks": ordered(seen.get_check_constraints(name)),
            "indexes": [
                {**index, "dialect_options": {k: str(v) for k, v in options.items()}}
                for index in ordered(seen.get_indexes(name))
                for options in [index.get("dialect_options", {})]
            ],
        }
        for name in seen.get_table_names()
        if name in metadata.tables
    }


async def test_an_empty_database_gets_every_table_and_a_second_time_nothing(
    empty: Database,
) -> None:
    await migrate(empty)
    first = await _run(empty, _describe)
    assert set(first) == set(metadata.tables)
    await migrate(empty)
    assert await _run(empty, _describe) == first
    if empty.path is not None:
        assert not list(empty.path.parent.glob("*.bak"))


async def test_migrations_come_to_what_the_model_says(empty: Database) -> None:
    await migrate(empty)
    await open_jobs(empty).prepare()  # the queue's tables are not ours to compare

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts=comparison())
        return list(compare_metadata(context, metadata))

    assert await _run(empty, differences) == []


async def test_migrations_come_to_the_same_constraints_as_the_model(
    empty: Database, tmp_path: Path
) -> None:
    await migrate(empty)
    migrated = await _run(empty, _describe)
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.db'}") if empty.path is not None else empty
    await _clear(fresh)
    async with fresh.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    assert migrated == await _run(fresh, _describe)
    if fresh is not empty:
        await fresh.dispose()


@pytest.mark.parametrize("revision", _revisions())
async def test_rows_of_every_earlier_version_are_kept(empty: Database, revision: str) -> None:
    await migrate(empty, revision)
    await _run(empty, _insert_rows)
    before = await _run(empty, _read_rows)
    await migrate(empty)
    after = await _run(empty, _read_rows)
    for table in set(before) & set(after):
        assert len(after[table]) == len(before[table]) == 1, table
        shared = set(before[table][0]) & set(after[table][0])
        for column in shared:
            assert after[table][0][column] == before[table][0][column], f"{table}.{column}"


async def test_what_was_published_before_is_found_by_its_topics_and_authors(
    empty: Database,
) -> None:
    await migrate(empty, "0001_first_walk")
    await _run(empty, _insert_rows)
    await migrate(empty)
    async with empty.read() as session:
        rows = await session.execute(select(ArticleLabel.__table__))  # type: ignore[attr-defined]
        found = {tuple(row) for row in rows}
    assert found == {("topic", "科技", 7), ("topic", "trams", 7), ("author", "李雷", 7)}


async def test_processes_that_start_together_migrate_once(empty: Database) -> None:
    url = empty.url.render_as_string(hide_password=False)
    url = url.replace("+aiosqlite", "").replace("+asyncpg", "")
    program = (
        "import asyncio, sys\n"
        "from feedsvc.db.engine import Database\n"
        "from feedsvc.db.migrate import migrate\n"
        "async def main():\n"
        "    database = Database(sys.argv[1])\n"
        "    await asyncio.gather(migrate(database), migrate(database))\n"
        "    await database.dispose()\n"
        "asyncio.run(main())\n"
    )

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    results = await asyncio.gather(*(asyncio.to_thread(start) for _ in range(3)))
    assert [(result.returncode, result.stderr) for result in results] == [(0, "")] * 3
    assert set(await _run(empty, _describe)) == set(metadata.tables)


# Migrations to come: a copy of ours with one more

_REBUILD = '''
"""Make a table anew that others refer to."""
from alembic import op
import sqlalchemy as sa
revision = "9999_rebuild"
down_revision = "{head}"
def upgrade():
    with op.batch_alter_table("subscriber", recreate="{recreate}") as batch:
        batch.add_column(sa.Column("mood", sa.String(20), nullable=True))
        batch.alter_column("name", existing_type=sa.String(200), type_=sa.String(300))
    {more}
'''


def _later(folder: Path, kind: str, more: str = "") -> Path:
    """The migrations of a version to come."""
    later = folder / "migrations"
    shutil.copytree(MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    text_ = _REBUILD.format(
        head=_revisions()[-1], more=more, recreate="always" if kind == "sqlite" else "auto"
    )
    (later / "versions" / "9999_rebuild.py").write_text(text_)
    return later


async def test_a_table_made_anew_keeps_the_rows_that_refer_to_it(
    empty: Database, tmp_path: Path
) -> None:
    await migrate(empty)
    await _run(empty, _insert_rows)
    before = await _run(empty, _read_rows)
    await migrate(empty, folder=_later(tmp_path, empty.kind))
    after = await _run(empty, _read_rows)
    assert after.pop("subscriber") == [{**before.pop("subscriber")[0], "mood": None}]
    assert after == before
    async with empty.read() as session:
        if empty.kind == "sqlite":
            assert (await session.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1


@pytest.mark.parametrize(
    "more",
    ["raise RuntimeError('half way')", "op.execute('DELETE FROM newsletter')"],
    ids=["mistake", "broken-references"],
)
async def test_a_migration_that_goes_wrong_changes_nothing(
    empty: Database, tmp_path: Path, more: str
) -> None:
    await migrate(empty)
    await _run(empty, _insert_rows)
    rows, schema = await _run(empty, _read_rows), await _run(empty, _describe)
    with pytest.raises(Exception, match=r"half way|foreign key|would point at"):
        await migrate(empty, folder=_later(tmp_path, empty.kind, more))
    assert await _run(empty, _read_rows) == rows
    assert await _run(empty, _describe) == schema
    await migrate(empty)  # still at its own version


async def test_a_database_in_use_is_copied_before_it_is_changed(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'feedsvc.db'}")
    await migrate(database)
    await _run(database, _insert_rows)
    await migrate(database, folder=_later(tmp_path, "sqlite"))
    copy = tmp_path / f"feedsvc.db.{_revisions()[-1]}.bak"
    assert copy.stat().st_mode & 0o777 == 0o600
    kept = sqlite3.connect(copy)
    assert kept.execute("SELECT name FROM subscriber").fetchall() == [("李雷",)]
    assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [
        (_revisions()[-1],)
    ]
    assert kept.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    kept.close()
    await database.dispose()


async def test_a_database_of_a_newer_version_is_refused(empty: Database, tmp_path: Path) -> None:
    await migrate(empty, folder=_later(tmp_path, empty.kind))
    with pytest.raises(MigrationRefused, match="newer version of feedsvc"):
        await migrate(empty)


async def test_a_database_with_tables_of_others_by_our_names_is_refused(empty: Database) -> None:
    async with empty.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE article (id INTEGER)"))
    with pytest.raises(MigrationRefused, match="a table named article"):
        await migrate(empty)


async def test_a_database_that_does_not_answer_is_said_in_a_sentence(tmp_path: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        await migrate(away)
    await away.dispose()
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    broken = Database(f"sqlite:///{tmp_path / 'text.db'}")
    with pytest.raises(DatabaseUnavailable):
        await migrate(broken)
    await broken.dispose()
