"""Jobs exist when their transaction commits, and are done by handlers that may fail."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from feedsvc.db.engine import Database
from feedsvc.errors import SourceUnavailable
from feedsvc.kit.jobs import CONCURRENCY, Jobs, open_jobs
from feedsvc.kit.jobs_postgresql import PostgresqlJobs
from feedsvc.model.article import Counter

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


@pytest.fixture
async def jobs(database: Database) -> Jobs:
    jobs = open_jobs(database)
    await jobs.prepare()
    return jobs


class Diary:
    """A handler that writes down what it was given."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.written = asyncio.Event()

    async def __call__(self, payload: dict[str, Any]) -> None:
        self.entries.append(payload)
        self.written.set()


async def _put(database: Database, jobs: Jobs, name: str, *payloads: Any, once: Any = None) -> None:
    async with database.write() as session:
        for payload in payloads or ({},):
            await jobs.put(session, name, payload, once)


async def test_a_committed_job_is_done_once_with_its_payload(
    database: Database, jobs: Jobs
) -> None:
    diary = Diary()
    jobs.register("write", diary)
    await _put(database, jobs, "write", {"标题": "新闻", "ids": [1, 2]})
    assert diary.entries == []
    await jobs.drain()
    await jobs.drain()
    assert diary.entries == [{"标题": "新闻", "ids": [1, 2]}]


@pytest.mark.parametrize("written_before", [False, True], ids=["put-first", "put-later"])
async def test_a_job_put_into_a_transaction_that_is_rolled_back_never_was(
    database: Database, jobs: Jobs, written_before: bool
) -> None:
    diary = Diary()
    jobs.register("write", diary)

    async def fail() -> None:
        async with database.write() as session:
            if written_before:
                session.add(Counter(name="n", value=1))
                await session.flush()
            await jobs.put(session, "write", {"once": False})
            await jobs.put(session, "write", {"once": True}, once="key")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    await jobs.drain()
    assert diary.entries == []
    await _put(database, jobs, "write", {"next": True}, once="key")  # the key is free
    await jobs.drain()
    assert diary.entries == [{"next": True}]


async def test_only_one_job_of_a_key_waits(database: Database, jobs: Jobs) -> None:
    diary = Diary()
    jobs.register("write", diary)
    await _put(database, jobs, "write", {"n": 1}, {"n": 2}, once="a")
    await _put(database, jobs, "write", {"n": 3}, once="a")
    await _put(database, jobs, "write", {"n": 4}, once="b")
    await _put(database, jobs, "write", {"n": 5}, {"n": 6})
    await jobs.drain()
    assert sorted(entry["n"] for entry in diary.entries) == [1, 4, 5, 6]


async def test_many_that_put_the_same_key_at_once_do_not_get_in_each_others_way(
    database: Database, jobs: Jobs
) -> None:
    diary = Diary()
    jobs.register("write", diary)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(_put(database, jobs, "write", {}, once="a") for _ in range(20)))
        await jobs.drain()
    assert len(diary.entries) == 1


async def test_what_is_put_while_its_like_is_running_is_done_too(
    database: Database, jobs: Jobs
) -> None:
    first_runs, second_ran, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def publish(payload: dict[str, Any]) -> None:
        if payload["n"] == 2:
            second_ran.set()
            return
        first_runs.set()
        await go_on.wait()

    jobs.register("publish", publish)
    task = asyncio.create_task(jobs.run())
    async with asyncio.timeout(PATIENCE):
        await _put(database, jobs, "publish", {"n": 1}, once="publish")
        await first_runs.wait()
        await _put(database, jobs, "publish", {"n": 2}, once="publish")
        go_on.set()
        await second_ran.wait()
    await jobs.stop(PATIENCE)
    await task


async def test_a_job_that_a_transaction_relies_on_sees_what_that_transaction_wrote(
    database: Database, jobs: Jobs
) -> None:
    seen: list[bool] = []
    saw, other_done = asyncio.Event(), asyncio.Event()

    async def look(_payload: dict[str, Any]) -> None:
        async with database.read() as session:
            seen.append(await session.get(Counter, "n") is not None)
        if seen[-1]:
            saw.set()

    async def other(_payload: dict[str, Any]) -> None:
        other_done.set()

    jobs.register("look", look)
    jobs.register("other", other)
    await _put(database, jobs, "look", once="look")
    await _put(database, jobs, "other")
    async with asyncio.timeout(PATIENCE):
        async with database.write() as session:
            session.add(Counter(name="n", value=1))
            await session.flush()
            await jobs.put(session, "look", {}, once="look")
            task = asyncio.create_task(jobs.run())
            await other_done.wait()  # so the first job had its chance to start too early
        await saw.wait()
    await jobs.stop(PATIENCE)
    await task
    assert seen[-1]


async def test_a_handler_that_fails_stops_nothing(database: Database, jobs: Jobs) -> None:
    diary = Diary()

    async def fail(payload: dict[str, Any]) -> None:
        if payload["deliberate"]:
            raise SourceUnavailable("the folder is gone")
        raise RuntimeError("a mistake")

    jobs.register("fail", fail)
    jobs.register("write", diary)
    await _put(database, jobs, "fail", {"deliberate": True}, once="key")
    await _put(database, jobs, "fail", {"deliberate": False})
    await _put(database, jobs, "write", {"n": 1})
    await jobs.drain()
    assert diary.entries == [{"n": 1}]
    await _put(database, jobs, "write", {"n": 2}, once="key")  # a failure keeps no key
    await jobs.drain()
    assert diary.entries == [{"n": 1}, {"n": 2}]


async def test_jobs_that_put_jobs_are_drained_to_the_end(database: Database, jobs: Jobs) -> None:
    depths: list[int] = []

    async def deeper(payload: dict[str, Any]) -> None:
        depths.append(payload["depth"])
        if payload["depth"] < 3:
            await _put(database, jobs, "deeper", {"depth": payload["depth"] + 1})

    jobs.register("deeper", deeper)
    await _put(database, jobs, "deeper", {"depth": 1})
    await jobs.drain()
    assert depths == [1, 2, 3]


async def test_no_more_than_a_few_jobs_run_at_a_time(database: Database, jobs: Jobs) -> None:
    running = most = done = 0

    async def work(_payload: dict[str, Any]) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        done += 1

    jobs.register("work", work)
    await _put(database, jobs, "work", *[{}] * 40)
    await jobs.drain()
    assert done == 40
    assert 1 < most <= CONCURRENCY


async def test_stopping_lets_what_runs_finish_and_starts_nothing_more(
    database: Database, jobs: Jobs
) -> None:
    begun, go_on, finished = asyncio.Event(), asyncio.Event(), Diary()

    async def slow(payload: dict[str, Any]) -> None:
        begun.set()
        await go_on.wait()
        await finished(payload)

    jobs.register("slow", slow)
    task = asyncio.create_task(jobs.run())
    async with asyncio.timeout(PATIENCE):
        await _put(database, jobs, "slow", {"n": 1})
        await begun.wait()
        stopping = asyncio.create_task(jobs.stop(PATIENCE))
        await asyncio.sleep(0)
        await _put(database, jobs, "slow", {"n": 2})
        go_on.set()
        await stopping
        await task
    assert finished.entries == [{"n": 1}]


async def test_what_outlasts_the_grace_is_cancelled(database: Database, jobs: Jobs) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(_payload: dict[str, Any]) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    jobs.register("endless", endless)
    task = asyncio.create_task(jobs.run())
    async with asyncio.timeout(PATIENCE):
        await _put(database, jobs, "endless")
        await begun.wait()
        await jobs.stop(0.01)
        await task
    assert cancelled.is_set()


async def test_stopping_before_the_start_leaves_nothing_running(
    database: Database, jobs: Jobs
) -> None:
    await jobs.stop(PATIENCE)
    async with asyncio.timeout(PATIENCE):
        await jobs.run()
        await jobs.drain()


async def test_a_job_nobody_does_is_the_callers_mistake(database: Database, jobs: Jobs) -> None:
    with pytest.raises(ValueError, match="'nothing'"):
        await _put(database, jobs, "nothing")


async def test_nodes_that_start_together_prepare_once(database: Database) -> None:
    await asyncio.gather(*(open_jobs(database).prepare() for _ in range(3)))
    await open_jobs(database).prepare()


async def test_work_goes_on_after_the_database_was_away(database: Database, jobs: Jobs) -> None:
    if database.kind == "sqlite":
        return  # no connection to lose
    diary = Diary()
    jobs.register("write", diary)
    task = asyncio.create_task(jobs.run())
    async with asyncio.timeout(PATIENCE):
        await _put(database, jobs, "write")
        await diary.written.wait()
        diary.written.clear()
        async with database.engine.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            )
        await _put(database, jobs, "write")
        await diary.written.wait()
    await jobs.stop(PATIENCE)
    await task
    assert len(diary.entries) == 2


async def test_the_queue_forgets_what_is_long_past(database: Database, jobs: Jobs) -> None:
    if not isinstance(jobs, PostgresqlJobs):
        return  # keeps nothing

    async def fail(_payload: dict[str, Any]) -> None:
        raise SourceUnavailable("gone")

    jobs.register("fail", fail)
    await _put(database, jobs, "fail")
    await jobs.drain()

    async def kept() -> list[int]:
        async with database.read() as session:
            counts = text("SELECT (SELECT count(*) FROM pgqueuer), count(*) FROM pgqueuer_log")
            return list((await session.execute(counts)).one())

    await jobs.prune()
    assert await kept() == [1, 3]  # failed; queued, picked, failed
    async with database.write() as session:
        for table in ("pgqueuer", "pgqueuer_log"):
            await session.execute(
                text(f"UPDATE {table} SET created = now() - interval '8 days'")  # noqa: S608
            )
    await jobs.prune()
    assert await kept() == [0, 0]
