"""Sending is told to Prometheus: what was handed over, how relays stand, and what waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_press import NOW, SETTINGS, TEMPLATES, SmallPress
from sqlalchemy import select
from sqlmodel import col

from feedsvc.config import Settings
from feedsvc.deliveries.tally import SendTally
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.relay import Meaning
from feedsvc.web.application import create_application
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.policy import ServingPolicy
from feedsvc.web.services import WebServices

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


@dataclass
class Relay:
    """How a relay stands."""

    name: str
    connections: int = 0
    allowed: int = 0
    queued: int = 0
    paused_until: datetime | None = None
    problem: str | None = None


class PostRoom:
    """Two relays: one at work, one that does not answer."""

    def __init__(self) -> None:
        self.tally = SendTally()

    def relay_states(self) -> list[Relay]:
        return [
            Relay("main", connections=4, allowed=10, queued=120),
            Relay("spare", allowed=2, paused_until=NOW + HOUR, problem="refused"),
        ]


Metrics = dict[str, dict[tuple[str, ...], float]]


def read(text: str) -> Metrics:
    """Metric name -> values of its labels, in the order of their names -> value."""
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def metrics(press: SmallPress) -> Metrics:
    response = await press.get("/metrics")
    assert response.status_code == 200
    return read(response.text)


async def metrics_with(press: SmallPress, sending: PostRoom) -> Metrics:
    """The same press, with a sender in its process."""
    settings = Settings.model_validate(SETTINGS)
    application = create_application(
        WebServices(
            database=press.database,
            settings=settings,
            templates=TEMPLATES,
            keyring=press.keyring,
            feeds=FeedEndpoint([], ServingPolicy.of(settings)),
            clock=lambda: press.now,
            poke=lambda: None,
            sending=sending,
        )
    )
    transport = httpx2.ASGITransport(app=application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside.test") as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    return read(response.text)


async def test_handovers_and_replies_are_counted(press: SmallPress) -> None:
    room = PostRoom()
    for state, meaning in (
        (S.SENT, Meaning.UNKNOWN),
        (S.SENT, Meaning.UNKNOWN),
        (S.FAILED, Meaning.DEAD_ADDRESS),
        (S.UNCERTAIN, Meaning.UNKNOWN),
    ):
        room.tally.note("main", state, meaning)
    found = await metrics_with(press, room)
    assert found["feedsvc_deliveries_total"] == {
        ("main", "sent"): 2,
        ("main", "failed"): 1,
        ("main", "uncertain"): 1,
    }
    assert found["feedsvc_replies_total"] == {("accepted", "main"): 2, ("dead_address", "main"): 1}


async def test_relays_are_told_as_they_stand(press: SmallPress) -> None:
    found = await metrics_with(press, PostRoom())
    assert found["feedsvc_relay_up"] == {("main",): 1, ("spare",): 0}
    assert found["feedsvc_relay_connections"] == {("main",): 4, ("spare",): 0}
    assert found["feedsvc_relay_connections_allowed"] == {("main",): 10, ("spare",): 2}
    assert found["feedsvc_relay_queued"] == {("main",): 120, ("spare",): 0}
    assert found["feedsvc_relay_paused_until_timestamp_seconds"] == {
        ("main",): 0,
        ("spare",): (NOW + HOUR).timestamp(),
    }


async def test_a_process_that_sends_nothing_tells_what_waits_and_nothing_of_relays(
    press: SmallPress,
) -> None:
    found = await metrics(press)
    assert [name for name in found if "relay" in name or name.endswith("replies_total")] == []
    assert found["feedsvc_open_editions"] == {
        ("draft",): 0,
        ("composing",): 0,
        ("frozen",): 0,
        ("sending",): 0,
        ("paused",): 0,
    }
    assert found["feedsvc_oldest_due_delivery_age_seconds"][()] == 0


async def test_what_waits_is_told_by_the_state_of_its_edition(press: SmallPress) -> None:
    alice = await press.subscribe()
    cohort_id = await press.add_cohort("<p>今天</p>")
    async with press.database.write() as session:
        edition = (await session.execute(select(Edition))).scalars().one()
        edition.state = EditionState.SENDING
        session.add(
            Delivery(
                edition_id=edition.id,
                cohort_id=cohort_id,
                subscriber_id=alice.subscriber_id,
                subscription_id=alice.id,
                from_seq=0,
                cut_seq=1,
                next_at=NOW - HOUR,
                expires_at=NOW + HOUR,
                changed_at=NOW,
            )
        )
        notice = await session.scalar(select(Delivery).where(col(Delivery.notice_id).is_not(None)))
        assert notice is not None
        notice.state = S.HELD
    found = await metrics(press)
    assert found["feedsvc_open_editions"]["sending",] == 1
    assert found["feedsvc_deliveries_waiting"] == {
        ("composing",): 0,
        ("frozen",): 0,
        ("sending",): 1,
        ("paused",): 0,
        ("notice",): 0,
    }
    assert found["feedsvc_deliveries_in_doubt"] == {("held",): 1, ("uncertain",): 0}
    assert found["feedsvc_oldest_due_delivery_age_seconds"][()] == 3600


async def test_what_is_in_memory_is_told_while_the_database_is_away(press: SmallPress) -> None:
    path = press.database.path
    assert path is not None
    await press.database.dispose()
    path.unlink()
    path.mkdir()
    found = await metrics_with(press, PostRoom())
    assert found["feedsvc_relay_up"] == {("main",): 1, ("spare",): 0}
    assert [name for name in found if "waiting" in name or "open_editions" in name] == []
