"""The real application over a real database, asked in process."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from small_press import SmallPress, open_press
from sqlalchemy import create_engine

from feedsvc.db.engine import Database
from feedsvc.model import metadata


@pytest.fixture(scope="session")
def blank_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the present schema and no rows; copied, which is quicker than making it."""
    path = tmp_path_factory.mktemp("blank") / "feedsvc.db"
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
async def press(blank_database: Path, tmp_path: Path) -> AsyncIterator[SmallPress]:
    """A small press with articles, feeds, two public newsletters and a private one."""
    shutil.copy(blank_database, tmp_path)
    database = Database(f"sqlite:///{tmp_path / blank_database.name}")
    press = await open_press(database, tmp_path)
    transport = httpx2.ASGITransport(app=press.application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside.test") as client:
        press.client = client
        yield press
    await database.dispose()
