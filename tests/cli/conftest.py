"""A newsroom of its own for every test of the command line."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Newsroom, Starter


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    """What forks a process for each command."""
    starter = Starter()
    yield starter
    starter.close()


@pytest.fixture
def bare(tmp_path: Path, starter: Starter) -> Newsroom:
    """An empty folder."""
    return Newsroom(tmp_path, starter)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Path:
    """A new database and its keys, as the first command makes them."""
    newsroom = Newsroom(tmp_path_factory.mktemp("begun"), starter)
    newsroom.configure()
    newsroom.do("publish")
    return newsroom.folder


@pytest.fixture
def newsroom(bare: Newsroom, begun: Path) -> Newsroom:
    """One source, one feed and one newsletter on a new database; no article, no reader."""
    shutil.copytree(begun, bare.folder, dirs_exist_ok=True)
    (bare.folder / "articles").mkdir()
    return bare
