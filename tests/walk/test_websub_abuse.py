"""What strangers may have the hub do to others, and to its own network."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from http_sink import Answer, HttpSink
from hub_house import HubHouse, open_house
from sqlalchemy import select

from feedsvc.db.engine import Database
from feedsvc.feeds.hub.hosts import HITS_PER_HOST
from feedsvc.model.hub import HubHost, HubState, HubSubscription

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[HubHouse]:
    async with open_house(database, tmp_path) as house:
        yield house


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("localhost", "127.0.0.1"),
        ("metadata.example", "169.254.169.254"),
        ("mixed.example", "10.0.0.1"),
        ("six.example", "64:ff9b::a9fe:a9fe"),
    ],
)
async def test_a_callback_in_our_own_network_is_not_asked(
    database: Database, tmp_path: Path, host: str, why: str
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14", why] if host == "mixed.example" else [why]

    async with open_house(database, tmp_path, resolve) as house:
        assert (await house.ask(callback=f"http://{host}/")).status_code == 202
        await house.settle()
        (row,) = await house.rows()
        assert row.state is HubState.ENDED
        assert why in (row.reply or "")
        assert house.reader.connections == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_callback_whose_name_moves_into_our_network_gets_nothing_more(
    database: Database, tmp_path: Path
) -> None:
    addresses = ["127.0.0.1"]

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return list(addresses)

    async with open_house(database, tmp_path, resolve) as house:
        name = f"reader.test:{house.reader.port}"
        house.settings.websub.private_hosts.append(name)
        house.start_process()
        await house.subscribe(callback=f"http://{name}/")
        addresses[:] = ["169.254.169.254"]
        await house.announce("<rss>two</rss>")
        (row,) = await house.rows()
        assert house.reader.deliveries == []
        assert (row.state, row.owed) == (HubState.ACTIVE, None)
        addresses[:] = ["127.0.0.1"]  # it was a mistake, and is mended
        await house.announce("<rss>three</rss>")
        assert len(house.reader.deliveries) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_any_number_of_requests_for_one_host_puts_few_questions_to_it(
    database: Database, tmp_path: Path
) -> None:
    async with open_house(database, tmp_path, callbacks_per_host=1000) as house:
        house.reader.doubt = Answer(404)
        statuses: Counter[int] = Counter()
        for number in range(120):
            answer = await house.ask(callback=house.reader.callback(f"/{number}"))
            statuses[answer.status_code] += 1
            if number % 40 == 39:
                await house.settle()
        assert len(house.reader.asked) == HITS_PER_HOST
        assert statuses == {202: 40, 429: 80}
        await house.settle(timedelta(hours=1, minutes=1))
        house.reader.doubt = None
        await house.subscribe()
        assert HubState.ACTIVE in {row.state for row in await house.rows()}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_question_counts_for_the_host_and_for_its_address_until_it_is_confirmed(
    database: Database, tmp_path: Path
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def counts() -> dict[str, int]:
        async with database.read() as session:
            found = await session.execute(select(HubHost))
            return {one.host: one.unconfirmed for one in found.scalars()}

    async with open_house(database, tmp_path, resolve) as house:
        name = f"a.victim.test:{house.reader.port}"
        house.settings.websub.private_hosts.append(name)
        house.start_process()
        house.reader.doubt = Answer(404)
        await house.subscribe(callback=f"http://{name}/")
        assert await counts() == {"a.victim.test": 1, "127.0.0.1": 1}
        house.reader.doubt = None
        await house.subscribe(callback=f"http://{name}/")
        assert await counts() == {"a.victim.test": 1, "127.0.0.1": 1}


async def test_a_host_has_so_many_callbacks_for_a_topic_and_no_more(
    database: Database, tmp_path: Path
) -> None:
    async with open_house(database, tmp_path, callbacks_per_host=2) as house:
        for number in range(2):
            await house.subscribe(callback=house.reader.callback(f"/{number}"))
        answer = await house.ask(callback=house.reader.callback("/2"))
        assert answer.status_code == 429
        assert "Retry-After" in answer.headers
        assert (await house.ask(callback=house.reader.callback("/1"))).status_code == 202
        await house.ask("unsubscribe", callback=house.reader.callback("/0"))
        await house.settle()
        assert (await house.ask(callback=house.reader.callback("/2"))).status_code == 202


async def test_a_slow_host_with_many_subscriptions_holds_up_nobody_behind_them(
    database: Database, tmp_path: Path
) -> None:
    """More than are looked at in one go, and all of them due before anybody else's."""
    never = asyncio.Event()
    async with open_house(database, tmp_path) as house:
        slow = await HttpSink(lambda _: Answer(after=never)).start()
        host = slow.host.replace("127.0.0.1", "localhost")
        house.settings.websub.private_hosts[:] = [house.reader.host, host]
        house.start_process()
        await house.publish("<rss>one</rss>")
        async with database.write() as session:
            for number in range(120):
                session.add(
                    HubSubscription(
                        topic="feeds/all/rss.xml",
                        callback=f"http://{host}/{number}",
                        callback_host="localhost",
                        state=HubState.ACTIVE,
                        lease_until=house.now + timedelta(days=1),
                        next_at=house.now + timedelta(days=1),
                        attempt=0,
                        created_at=house.now,
                    )
                )
        await house.subscribe(callback=house.reader.callback("/hurried"))
        await house.distribution.announce([await house.publish("<rss>two</rss>")])
        house.now += timedelta(seconds=2)
        await house.distribution.sweep()
        work = asyncio.create_task(house.jobs.drain())
        await house.reader.wait_for(lambda: len(house.reader.deliveries) == 1)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await slow.stop()
