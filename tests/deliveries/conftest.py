"""A database with an edition under way, and a relay that does as it is told."""

import pytest
from delivery_world import Clock, FakeRelay, World

from feedsvc.db.engine import Database


@pytest.fixture
async def world(database: Database) -> World:
    world = World(database, Clock())
    await world.create()
    return world


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay()
