"""A world for the battery: a newsroom's folder with many readers and one edition frozen.

The rows are made by the product itself, but for the readers, who are put into the tables at once.
A world is made once and copied for each test: the files, or the PostgreSQL database.
"""

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from battery_database import create_database, fetch, run_apart, with_name
from sqlalchemy import insert, select

from feedsvc.app import App, utc_now
from feedsvc.config_file import load_settings
from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import find_newsletter
from feedsvc.kit.tokens import Keyring, Scope
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

READERS = 2000
#: Readers who must get nothing: unsubscribed, unconfirmed, or with a dead address.
OUTSIDERS = 30
_DOMAINS = ("example.com", "mail.example.org", "news.example.cn")
_OUTSIDE = (
    {"state": SubscriptionState.UNSUBSCRIBED},
    {"state": SubscriptionState.PENDING},
    {"state": SubscriptionState.PAUSED},
)
_BASE_URL = "https://news.example.com"
_CONFIG = f"""\
base_url = "{_BASE_URL}"
title = "例子新闻"
language = "zh-CN"
time_zone = "Asia/Shanghai"
[server]
port = 0
[sources.folder]
type = "folder"
path = "articles"
[feeds.all]
title = "全部文章"
[newsletters.daily]
title = "每日新闻 Daily"
from = "例子新闻 <news@example.com>"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.daily.schedules.yearly]
label = "New Year"
cron = "0 0 1 1 *"
"""
_ARTICLE = """\
---
title: 夜市回来了 & the night market is back
---
上海的夜市从今晚起恢复营业，摊位比去年多了两成。The first stalls open at six in the evening.
"""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the frozen edition is for."""

    number: int
    address: str
    name: str
    subscriber_id: int
    subscription_id: int
    delivery_id: int


def address_of(number: int) -> str:
    """Address of reader `number`: like no other's, and no part of another's."""
    return f"reader-{number:06d}@{_DOMAINS[number % len(_DOMAINS)]}"


def name_of(number: int) -> str:
    """Name of reader `number`: like no other's, and no part of another's."""
    return f"李雷{number:06d}号" if number % 2 else f"Alice-{number:06d} O'Neil"


class World:
    """A folder with config.toml, keys and articles; its database; and who its edition is for.

    Attributes:
        people: address -> person, as it was frozen. Never read from the tables again.
        edition_id: the frozen edition.
    """

    def __init__(
        self, folder: Path, database_url: str, edition_id: int, people: dict[str, Person]
    ) -> None:
        self.folder, self.database_url = folder, database_url
        self.edition_id, self.people = edition_id, people

    @property
    def is_sqlite(self) -> bool:
        """Whether one process alone may send."""
        return self.database_url.startswith("sqlite")

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.folder / self.database_url.removeprefix("sqlite:///")

    def configure(
        self, port: int, *, connections: int = 5, relay: str = "", sending: str = "", more: str = ""
    ) -> None:
        """Write config.toml: one SMTP relay on the loopback, and sending that does not dawdle.

        Args:
            port: of the sink.
            connections: at once, all of them from the start.
            relay: more lines of `[relay]`, such as `tls = "required"`; without it no TLS.
            sending: more lines of `[sending]`, such as `uncertain_digests = "hold"`.
            more: sections of its own.
        """
        if "tls =" not in relay:
            relay = f'tls = "none"\n{relay}'
        if "host =" not in relay:
            relay = f'host = "127.0.0.1"\n{relay}'
        if "first_retry_seconds" not in sending:
            sending = f"first_retry_seconds = 0.3\n{sending}"
        if "heartbeat_timeout_seconds" not in sending:
            sending = f"heartbeat_timeout_seconds = 2\n{sending}"
        (self.folder / "config.toml").write_text(
            f'{_CONFIG}[database]\nurl = "{self.database_url}"\n'
            f"[sending]\nlook_up_providers = false\n{sending}\n"
            f'[relay]\ntype = "smtp"\nport = {port}\nconnections = {connections}\n'
            f"first_connections = {connections}\n{relay}\n{more}",
            "utf-8",
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds, read by the database's own driver and not by our code."""
        if self.is_sqlite:
            with closing(sqlite3.connect(self.database_path, timeout=30)) as database:
                return database.execute(query).fetchall()
        return [tuple(row) for row in run_apart(fetch(self.database_url, query))]

    def execute(self, statement: str) -> None:
        """Change rows behind the product's back, in a transaction of its own."""
        if self.is_sqlite:
            with closing(sqlite3.connect(self.database_path, timeout=30)) as database, database:
                database.execute("PRAGMA foreign_keys = ON")
                database.execute(statement)
        else:
            run_apart(fetch(self.database_url, statement))

    def states(self) -> dict[str, int]:
        """How many of the edition's deliveries are in each state."""
        query = f"SELECT state, count(*) FROM delivery WHERE edition_id = {self.edition_id}"  # noqa: S608
        return {str(state): int(count) for state, count in self.rows(f"{query} GROUP BY state")}

    def edition_state(self) -> str:
        """Where the edition stands."""
        ((state,),) = self.rows(f"SELECT state FROM edition WHERE id = {self.edition_id}")  # noqa: S608
        return str(state)

    def has_ended(self) -> bool:
        """Whether the edition is through, or will never be."""
        return self.edition_state() in ("done", "skipped", "cancelled")

    def learn_people(self) -> None:
        """Note whom the edition is for, as its rows say now: at once after the freeze."""
        rows = self.rows(
            "SELECT s.address, s.name, s.id, d.subscription_id, d.id FROM delivery d"  # noqa: S608
            f" JOIN subscriber s ON s.id = d.subscriber_id WHERE d.edition_id = {self.edition_id}"
        )
        self.people = {row[0]: Person(int(row[0][7:13]), *row) for row in rows}

    def keyring(self) -> Keyring:
        """The world's keys."""
        return Keyring.open(self.folder / "data" / "keys.json")

    def unsubscribe_path(self, person: Person) -> str:
        """Path of a person's one-click link."""
        token = self.keyring().sign(Scope.UNSUBSCRIBE, person.subscription_id)
        return f"/unsubscribe/{token}"

    def discard(self) -> None:
        """Free what it takes; a PostgreSQL database that somebody still uses is ended."""
        if not self.is_sqlite:
            name = self.database_url.partition("?")[0].rpartition("/")[2]
            statement = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
            run_apart(fetch(with_name(self.database_url, "postgres"), statement))


#: kind ("sqlite" or "postgresql"), readers, composed -> a world of the test's own.
WorldMaker = Callable[..., World]


def make_world(
    folder: Path, database_url: str, readers: int = READERS, *, composed: bool = True
) -> World:
    """A world whose edition is frozen and not sent; takes seconds: copy it with `copy_world`.

    Where it is not `composed`, the edition has been made and has no deliveries yet.
    """
    folder.mkdir(parents=True)
    (folder / "articles").mkdir()
    if not database_url.startswith("sqlite"):
        database_url = with_name(database_url, f"faults_{os.getpid()}_{next(_numbers)}")
        create_database(database_url, template=None)
    world = World(folder, database_url, 0, {})
    world.configure(1)
    world.edition_id = run_apart(_fill(world, readers, composed))
    if composed:
        world.learn_people()
        assert world.people.keys() == {address_of(number) for number in range(readers)}
    return world


def copy_world(world: World, folder: Path) -> World:
    """The same world once more, to be used up. Nobody may be at work in the first."""
    shutil.copytree(world.folder, folder)
    url = world.database_url
    if not world.is_sqlite:
        url = with_name(url, f"faults_{os.getpid()}_{next(_numbers)}")
        create_database(url, template=world.database_url)
    return World(folder, url, world.edition_id, dict(world.people))


async def _fill(world: World, readers: int, composed: bool) -> int:
    loaded = load_settings(world.folder / "config.toml", {}, world.folder)
    async with App.open(loaded) as app:
        await app.pipeline.ingest("folder")
        await _add_readers(app, readers)
        (world.folder / "articles" / "market.md").write_text(_ARTICLE, "utf-8")
        await app.pipeline.ingest("folder")
        await app.pipeline.publish()
        async with app.database.write() as session:
            row = await find_newsletter(session, "daily")
            edition_id = await fire_by_hand(session, row.newsletter, utc_now())
        if composed:
            await app.pipeline.compose(edition_id)
    return edition_id


async def _add_readers(app: App, readers: int) -> None:
    """Readers `0 … readers - 1`, who get the edition, and after them the outsiders."""
    now = utc_now()
    async with app.database.write() as session:
        row = await find_newsletter(session, "daily")
        people = [_person(number, readers, now) for number in range(readers + OUTSIDERS)]
        await session.execute(insert(Subscriber), people)
        ids = dict((await session.execute(select(Subscriber.address, Subscriber.id))).all())
        consents = [
            {
                "subscriber_id": ids[address_of(number)],
                "newsletter_id": row.newsletter.id,
                "schedule_id": row.schedules[0].id,
                "topics": [],
                "state": SubscriptionState.ACTIVE,
                "cursor": 0,
                "requested_at": now,
                "confirmed_at": now,
                "consent_text": "made up",
            }
            | (_OUTSIDE[number % len(_OUTSIDE)] if number >= readers else {})
            for number in range(readers + OUTSIDERS - 3)
        ]
        consents += [
            consents[0] | {"subscriber_id": ids[address_of(number)]}
            for number in range(readers + OUTSIDERS - 3, readers + OUTSIDERS)
        ]
        await session.execute(insert(Subscription), consents)


def _person(number: int, readers: int, now: datetime) -> dict[str, Any]:
    address = address_of(number)
    is_dead = number >= readers + OUTSIDERS - 3
    return {
        "address": address,
        "address_key": address,
        "name": name_of(number),
        "language": "zh" if number % 2 else "en",
        "state": AddressState.DEAD if is_dead else AddressState.GOOD,
        "failures": 0,
        "created_at": now,
    }
