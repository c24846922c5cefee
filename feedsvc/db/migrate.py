"""Bring a database's tables to what this version needs, at every start, in this process.

There is no way back by migration: on SQLite a copy of the file is made before a database that is
in use is changed; on PostgreSQL the whole change is one transaction, and copies are the
operator's.
"""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from feedsvc.db.engine import Database, is_outage
from feedsvc.errors import DatabaseUnavailable, MigrationRefused
from feedsvc.model import metadata

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

log = structlog.get_logger()

#: The migrations that come with this version.
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
#: On PostgreSQL processes that start together migrate one after the other.
_LOCK = 815000
#: On SQLite they wait for one another for so long.
_WAIT_MS = 60_000


async def migrate(database: Database, revision: str = "head", folder: Path | None = None) -> None:
    """Run the migrations that a database lacks. May run twice, and in many processes at once.

    Args:
        database: empty, or of this version, or of an older one.
        revision: how far to go.
        folder: where the migrations are; None: those of this version.

    Raises:
        DatabaseUnavailable: the database does not answer.
        MigrationRefused: it belongs to a newer version, or to something else; or a migration
            would break references between rows.
    """
    await database.check()
    if folder is None and revision == "head" and await _is_newest(database):
        return
    from alembic.config import Config  # slow to import, and seldom needed

    config = Config()
    config.set_main_option("script_location", str(folder or MIGRATIONS).replace("%", "%%"))
    try:
        if database.path is not None:
            await asyncio.to_thread(_migrate_sqlite, database.path, config, revision)
        else:
            async with database.engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                await connection.run_sync(_upgrade, config, revision)
    except (OSError, DBAPIError) as error:
        if isinstance(error, OSError) or is_outage(error):
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise DatabaseUnavailable(f"the database cannot be migrated: {reason}") from error
        raise


async def _is_newest(database: Database) -> bool:
    """Whether the last of our migrations, by the numbers they are named with, has been run."""
    newest = max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    try:
        async with database.read() as session:
            found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError:  # no such table: a new database
        return False
    return bool(found == newest)


def comparison() -> dict[str, Any]:
    """How Alembic looks at the database beside the model; tables of others are not ours."""
    return {
        "target_metadata": metadata,
        "render_as_batch": True,
        "compare_type": True,
        "include_name": lambda name, kind, _parents: kind != "table" or name in metadata.tables,
    }


def _migrate_sqlite(path: Path, config: "Config", revision: str) -> None:
    engine = _sqlite_migration_engine(path)
    try:
        with engine.begin() as connection:
            _upgrade(connection, config, revision, copy=path)
            # Still inside the transaction: what is broken is rolled back.
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise MigrationRefused(
                    f"after the migration {len(broken)} rows of {broken[0][0]} would point at"
                    f" rows of {broken[0][2]} that do not exist; nothing was changed"
                )
    finally:
        engine.dispose()


def _sqlite_migration_engine(path: Path) -> Engine:
    """Connections with foreign keys off, switched before any transaction.

    QUIRK: SQLite cannot change a table in place, so Alembic makes it anew and drops the old one.
    With foreign keys on, the drop deletes the rows of every table that refers to it with ON
    DELETE CASCADE; and inside a transaction the pragma does nothing.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # our BEGIN, not the driver's
        for pragma in (f"busy_timeout={_WAIT_MS}", "synchronous=FULL", "foreign_keys=OFF"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _upgrade(
    connection: Connection, config: "Config", revision: str, copy: Path | None = None
) -> None:
    """Migrate inside the caller's transaction; `copy` is the file to copy before a change."""
    from alembic import command
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    target = script.as_revision_number(revision)
    if current == target:
        return
    _refuse_strangers(connection, script, current)
    kept = _copy(copy, current) if copy is not None and current is not None else None
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    log.info("database migrated", before=current, now=target, copy=str(kept) if kept else None)


def _refuse_strangers(
    connection: Connection, script: "ScriptDirectory", current: str | None
) -> None:
    if current is None:
        ours = set(inspect(connection).get_table_names()) & set(metadata.tables)
        if ours:
            raise MigrationRefused(
                f"the database has a table named {min(ours)} that feedsvc did not make; give"
                " feedsvc a database of its own"
            )
    elif current not in {known.revision for known in script.walk_revisions()}:
        raise MigrationRefused(
            f"the database belongs to a newer version of feedsvc (its tables are {current});"
            " install that version, or restore a copy from before it"
        )


def _copy(path: Path, revision: str) -> Path:
    """Copy the SQLite file as it was committed last, beside it, named after its revision."""
    target = path.with_name(f"{path.name}.{revision}.bak")
    draft = path.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    # SECURITY: it holds addresses; it is private from its first byte.
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    source, copy = sqlite3.connect(path), sqlite3.connect(draft)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    draft.replace(target)
    return target
