"""However many mails have been sent: no step of an edition looks through them all."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from composer import compose
from edition_desk import DAY, NOW, Desk, article
from sqlalchemy import event, text

from feedsvc.db.engine import Database
from feedsvc.deliveries.doubts import Settling
from feedsvc.deliveries.settle import find_doubtful, load_doubtful, settle_doubts
from feedsvc.deliveries.totals import edition_totals, load_queue, next_pending_at
from feedsvc.editions.control import cancel_edition, finish_cancelled
from feedsvc.editions.progress import find_unfinished, finish_sent
from feedsvc.editions.retry import find_failed, retry_failed
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionState as E

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
#: Indexes of which only few rows are part.
_FEW = ("ix_delivery_open", "ix_delivery_due", "ix_delivery_worker", "ix_delivery_troubled")


@contextmanager
def recorded(database: Database) -> Iterator[dict[str, Any]]:
    """The statements that name deliveries, each with parameters it was run with."""
    engine, found = database.engine.sync_engine, dict[str, Any]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.search(r"\bdelivery\b", statement) and not statement.startswith("INSERT"):
            found[statement] = parameters

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def every_step(desk: Desk) -> None:
    """An edition is composed over what an earlier one left, retried, decided about, cancelled."""
    first = await desk.add_edition(E.DONE)
    for number, state in enumerate((S.FAILED, S.HELD, S.UNCERTAIN, S.DEFERRED, S.SENT)):
        await desk.add_mail(first, f"reader{number}", state)
    second = await desk.add_edition(E.COMPOSING, cut_seq=30, frozen=False)
    database = desk.database
    async with database.write() as session:
        session.add(article(25))
    assert await compose(database, second, now=NOW) is E.FROZEN
    async with database.write() as session:
        assert await find_failed(session, first, uncertain=True)
        await retry_failed(session, first, NOW, DAY, uncertain=True)
        ids = await find_doubtful(session, Settling.AGAIN)
        lasts = {"digests_expire_after": DAY, "notices_expire_after": DAY}
        await settle_doubts(session, Settling.AGAIN, ids, NOW, **lasts)
        await load_doubtful(session, 10, first)
    async with database.write() as session:
        await cancel_edition(session, second, drop=True)
        while await finish_cancelled(session, 1, NOW):
            pass
        await find_unfinished(session, NOW)
        await finish_sent(session, NOW)
        await edition_totals(session, first)
        await load_queue(session, NOW)
        await next_pending_at(session, first)


def looks_through_all(step: str) -> bool:
    """Whether a step of a plan reads every delivery, or every one of an edition."""
    of_an_edition = "INDEX sqlite_autoindex_delivery_1 (edition_id=?)" in step
    if not step.startswith("SCAN delivery") and not of_an_edition:
        return False
    return "COVERING" not in step and not any(index in step for index in _FEW)


async def test_no_step_looks_through_all_deliveries(desk: Desk) -> None:
    with recorded(desk.database) as statements:
        await every_step(desk)
    assert len(statements) >= 20
    slow = {}
    async with desk.database.engine.connect() as connection:
        for statement, parameters in statements.items():
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for row in plan:
                if looks_through_all(row[3]):
                    slow[statement] = row[3]
    assert slow == {}
    async with desk.database.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM delivery")) > 5
