"""PostgreSQL databases of the battery: made, copied, and asked without our code between."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

_T = TypeVar("_T")


def with_name(url: str, name: str) -> str:
    """The same server's URL with another database."""
    head, mark, options = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{mark}{options}"


def create_database(url: str, template: str | None) -> None:
    """Make a database: empty, or a copy of another that nobody uses."""
    name = url.partition("?")[0].rpartition("/")[2]
    statement = f'CREATE DATABASE "{name}"'
    if template is not None:
        statement += f' TEMPLATE "{template.partition("?")[0].rpartition("/")[2]}"'
    run_apart(fetch(with_name(url, "postgres"), statement))


async def fetch(url: str, query: str) -> list[Any]:
    """What one statement gives, over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


def run_apart(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, whether or not a loop runs here already."""
    done: list[_T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return done[0]
