"""The main invariant, over the real store and the real sender, for whatever may happen in between.

Each announced article published after a confirmation is, for that subscription, in exactly one
edition that a relay accepted, or counted under "and n more" in it, or has a recorded reason: it was
withdrawn, dropped by the operator or by rule, a duplicate of a story that they have, or did not
match the newsletter and the person's topics at the freeze of the window that settled it. Never in
two; and there is at most one edition of a schedule's period.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import drop_tables
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from invariant_machine import Newsroom
from invariant_world import House

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.fixture
def newsroom(database_url: str, tmp_path: Path) -> Iterator[type[Newsroom]]:
    """The machine, on a database of its own."""
    loop = asyncio.new_event_loop()

    async def build() -> House:
        await drop_tables(database_url)
        house = House(tmp_path, database_url)
        await house.build()
        return house

    house = loop.run_until_complete(build())
    yield type("Newsroom", (Newsroom,), {"house": house, "loop": loop})
    loop.run_until_complete(house.database.dispose())
    loop.close()


def hold(newsroom: Callable[[], Newsroom], how: settings) -> None:
    run_state_machine_as_test(
        newsroom, settings=settings(how, deadline=None, suppress_health_check=_SLOW)
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_article_reaches_every_reader_once_or_has_a_reason(
    newsroom: type[Newsroom],
) -> None:
    hold(newsroom, settings(max_examples=2, stateful_step_count=18, derandomize=True))


@pytest.mark.fault
def test_so_it_does_over_many_more_histories(newsroom: type[Newsroom]) -> None:
    # The jobs of the larger database take several times as long to begin.
    many = 6 if newsroom.house.database.kind == "sqlite" else 3
    # The same histories every time, so that a red run can be had again; others with FEEDSVC_HUNT=1.
    always = not os.environ.get("FEEDSVC_HUNT")
    how = settings(max_examples=many, stateful_step_count=30, derandomize=always, print_blob=True)
    hold(newsroom, how)
