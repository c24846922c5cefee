"""A database in which one edition is being sent: many readers, one cohort, one rendered digest.

Made by the real migrations and templates; the rows are those of a frozen edition.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from feedsvc.config_sending import DkimKeySettings, ReturnSettings
from feedsvc.db.engine import Database
from feedsvc.db.migrate import migrate
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Keyring
from feedsvc.messages.dkim import Signers
from feedsvc.messages.dkim_keys import make_private_key
from feedsvc.messages.prepare import MessageMaker
from feedsvc.messages.render import DigestView, ItemView, render_digest
from feedsvc.model.delivery import ClaimedDelivery, Delivery
from feedsvc.model.edition import Cohort, Edition, EditionState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.relay import Message
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

#: Articles in a digest whose message has about so many kilobytes.
ARTICLES = {100: 38, 20: 5}
BASE_URL = "https://news.example.com"
DOMAIN = "example.com"
SENDER = f"news@{DOMAIN}"
AT = datetime(2026, 1, 1, 6, tzinfo=UTC)
_ZONE = "Asia/Shanghai"
_KEY_FILE, _SELECTOR = "dkim.pem", "bench"
_CURSOR, _CUT = 10, 60
_BATCH = 5000
_ENGLISH = (
    "The first trams left at six in the morning, and the council says that the new line will"
    " carry twice as many people as the old one. "
)
_CHINESE = "上海股市天气晴朗，早高峰运力提高两成，票价不变。"


@dataclass(frozen=True, slots=True)
class World:
    """A folder with the database, the keys, and one of the messages."""

    folder: Path
    #: Deliveries that wait.
    count: int
    #: Length of that one message.
    message_bytes: int

    @property
    def database_path(self) -> Path:
        """The SQLite file; copy it while nobody has it open."""
        return self.folder / "bench.db"


def make_world(folder: Path, count: int, kilobytes: int, *, signed: bool = False) -> World:
    """Make a database with `count` deliveries of a digest of about so many kilobytes.

    Args:
        signed: every message gets a DKIM signature (RSA, 2048 bits) by a new key.
    """
    folder.mkdir(parents=True)
    if signed:
        make_private_key(folder / _KEY_FILE, is_rsa=True)
    message = asyncio.run(_make(folder, count, kilobytes))
    (folder / "message.eml").write_bytes(message)
    return World(folder, count, len(message))


def open_database(folder: Path) -> Database:
    """The database of a world, or of a copy of it."""
    return Database(f"sqlite:///{folder / 'bench.db'}")


def open_maker(database: Database, folder: Path, *, signs: bool = True) -> MessageMaker:
    """What makes the messages, with this world's keys. `signs` False leaves DKIM out."""
    keys = {_SELECTOR: DkimKeySettings(file=Path(_KEY_FILE), domain=DOMAIN)}
    if not signs or not (folder / _KEY_FILE).exists():
        keys = {}
    return MessageMaker(
        database,
        Keyring.open(folder / "keys.json"),
        Templates(),
        base_url=BASE_URL,
        site_title="The News",
        zone=_ZONE,
        notice_numbers=lambda _notice: (),
        link_lasts=timedelta(days=1),
        signers=Signers.load(keys, folder),
        returns=ReturnSettings(),
    )


async def make_messages(world: World, count: int, *, signs: bool) -> float:
    """Make messages one after another; milliseconds of processor time each took."""
    database = open_database(world.folder)
    claims = [claimed(number) for number in range(1, count + 1)]
    build = await open_maker(database, world.folder, signs=signs).prepare(claims)
    await database.dispose()
    build(claims[0], AT)  # what is made once is made
    begin = time.process_time()
    for claim in claims:
        build(claim, AT)
    return (time.process_time() - begin) * 1000 / count


def recipient(number: int) -> tuple[str, str]:
    """Address and name of reader `number`."""
    return f"reader{number}@example.org", "李雷" if number % 2 else "Alice Reader"


def compose_view(articles: int) -> DigestView:
    """A digest of so many articles, English and Chinese."""
    texts = Texts("en")
    return DigestView(
        language="en",
        newsletter_title="Morning News",
        newsletter_description="What happened in the city",
        sender="Morning News",
        postal_address="12 Quay Street, Bristol",
        date=texts.date(AT, _ZONE),
        items=tuple(_item(texts, number) for number in range(articles)),
        base_url=BASE_URL,
        site_title="The News",
        schedule=texts.schedule("0 6 * * *", _ZONE),
    )


def _item(texts: Texts, number: int) -> ItemView:
    is_chinese = bool(number % 2)
    title = (
        "北京地铁新开一条线路，市民可以换乘" if is_chinese else "The council met on trams & budgets"
    )
    return ItemView(
        title=f"{title} {number}",
        url=f"{BASE_URL}/articles/article-{number}",
        excerpt=((_CHINESE if is_chinese else _ENGLISH) * 10)[: 100 if is_chinese else 240],
        section="City",
        lang="zh-CN" if is_chinese else "en",
        published=texts.datetime(AT, _ZONE, show_zone=True),
        authors=("Alice", "李雷"),
    )


async def _make(folder: Path, count: int, kilobytes: int) -> bytes:
    """Fill the database; the first reader's message."""
    database = open_database(folder)
    try:
        await migrate(database)
        await _store_edition(database, kilobytes)
        for first in range(1, count + 1, _BATCH):
            await _store_readers(database, range(first, min(first + _BATCH, count + 1)))
        message = await make_message(database, folder)
    finally:
        await database.dispose()
    return message.content


async def make_message(database: Database, folder: Path) -> Message:
    """The first reader's message, as the sender would make it."""
    build = await open_maker(database, folder).prepare([claimed(1)])
    return build(claimed(1), AT)


async def _store_edition(database: Database, kilobytes: int) -> None:
    mail = render_digest(Templates(), compose_view(ARTICLES[kilobytes]))
    newsletter = Newsletter(
        id=1,
        key="morning",
        title="Morning News",
        language="en",
        from_name="Morning News",
        from_address=SENDER,
        sender="Morning News",
        postal_address="12 Quay Street, Bristol",
    )
    schedule = Schedule(
        id=1, newsletter_id=1, key="daily", label="Daily", cron="0 6 * * *", zone=_ZONE, since=AT
    )
    edition = Edition(
        id=1,
        newsletter_id=1,
        schedule_id=1,
        period="2026-01-01T06:00Z",
        state=EditionState.SENDING,
        created_at=AT,
    )
    cohort = Cohort(
        id=1,
        edition_id=1,
        content_key="bench",
        language="en",
        theme="plain",
        subject=mail.subject,
        html=mail.html,
        text=mail.text,
        page=mail.page,
    )
    async with database.write() as session:
        for row in (newsletter, schedule, edition, cohort):
            session.add(row)
            await session.flush()


async def _store_readers(database: Database, numbers: range) -> None:
    """Readers, each with an active subscription and a delivery that waits; ids are the numbers."""
    people: list[dict[str, Any]] = []
    for number in numbers:
        address, name = recipient(number)
        about = {"id": number, "address": address, "address_key": address, "name": name}
        people.append({**about, "created_at": AT})
    subscriptions = [
        {
            "id": number,
            "subscriber_id": number,
            "newsletter_id": 1,
            "schedule_id": 1,
            "state": SubscriptionState.ACTIVE,
            "cursor": _CURSOR,
            "requested_at": AT,
            "confirmed_at": AT,
            "consent_text": "",
        }
        for number in numbers
    ]
    deliveries = [
        {
            "id": number,
            "edition_id": 1,
            "subscriber_id": number,
            "subscription_id": number,
            "cohort_id": 1,
            "from_seq": _CURSOR,
            "cut_seq": _CUT,
            "next_at": AT,
            "expires_at": AT + timedelta(days=36500),
            "changed_at": AT,
        }
        for number in numbers
    ]
    async with database.write() as session:
        await session.execute(insert(Subscriber), people)
        await session.execute(insert(Subscription), subscriptions)
        await session.execute(insert(Delivery), deliveries)


def claimed(number: int) -> ClaimedDelivery:
    """The delivery of reader `number`, at its first attempt."""
    address, name = recipient(number)
    return ClaimedDelivery(
        id=number,
        attempt=1,
        subscriber_id=number,
        address=address,
        name=name,
        language="en",
        edition_id=1,
        cohort_id=1,
        subscription_id=number,
        notice_id=None,
        date_at=None,
        expires_at=AT + timedelta(days=36500),
        newsletter_id=1,
    )
