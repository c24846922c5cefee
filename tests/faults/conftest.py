"""Fixtures of the fault battery: worlds, and the record of what was found."""

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from battery import READERS, Figures, World, WorldMaker, copy_world, make_world

_PASSED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", help="File that fault tests add what they found to.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """The record of this test; goes to the file that `--figures` names."""
    figures = Figures()
    yield figures
    path = request.config.getoption("--figures", None)
    if path and figures.record:
        passed = request.node.stash.get(_PASSED, False)
        line = {"test": request.node.nodeid, "passed": passed} | figures.record
        with Path(path).open("ab", buffering=0) as file:  # one write a line: others write too
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


@pytest.fixture(scope="session")
def sqlite_originals() -> dict[tuple[int, bool], World]:
    """Worlds to be copied, by their number of readers, and whether composed."""
    return {}


@pytest.fixture(scope="session")
def postgresql_originals(postgresql_url: str) -> Iterator[dict[tuple[int, bool], World]]:
    """The same on PostgreSQL; the databases go before the server does."""
    originals: dict[tuple[int, bool], World] = {}
    yield originals
    for world in originals.values():
        world.discard()


@pytest.fixture
def make(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorldMaker]:
    """Makes worlds of this test's own, with 2,000 readers unless told otherwise."""
    made: list[World] = []

    def make(kind: str, readers: int = READERS, composed: bool = True) -> World:
        originals: dict[tuple[int, bool], World] = request.getfixturevalue(f"{kind}_originals")
        if (readers, composed) not in originals:
            url = "sqlite:///data/feedsvc.db"
            if kind == "postgresql":
                url = request.getfixturevalue("postgresql_url")
            folder = tmp_path_factory.mktemp("original") / "newsroom"
            originals[readers, composed] = make_world(folder, url, readers, composed=composed)
        folder = tmp_path_factory.mktemp("world") / "newsroom"
        made.append(copy_world(originals[readers, composed], folder))
        return made[-1]

    yield make
    for world in made:
        world.discard()
