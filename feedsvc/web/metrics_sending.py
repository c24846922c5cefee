"""What `/metrics` says about sending: this process's handovers and relays, and what waits.

Counts of handovers are there where a sender runs in this process; what waits is in the database,
and not told while that is away.
"""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from feedsvc.deliveries.tally import SendTally
from feedsvc.deliveries.totals import Queue
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import OPEN_EDITIONS, EditionState
from feedsvc.web.services import Sending


class SendingCollector(Collector):
    """What is known of sending at an instant.

    Args:
        sending: None when nothing is sent from this process.
        queue: None when the database does not answer.
    """

    def __init__(self, sending: Sending | None, queue: Queue | None, now: datetime) -> None:
        self._sending, self._queue, self._now = sending, queue, now

    def collect(self) -> Iterator[Metric]:
        """Every metric, with its help text."""
        if self._sending is not None:
            yield from _handovers(self._sending.tally)
            yield from _relays(self._sending)
        if self._queue is not None:
            yield from self._waiting(self._queue)

    def _waiting(self, queue: Queue) -> Iterator[Metric]:
        editions = GaugeMetricFamily(
            "feedsvc_open_editions", "Editions that can still send.", labels=["state"]
        )
        waiting = GaugeMetricFamily(
            "feedsvc_deliveries_waiting",
            "Mails to be sent, now or later, by the state of their edition; notices have none.",
            labels=["edition"],
        )
        for state in OPEN_EDITIONS:
            editions.add_metric([state], queue.editions.get(state, 0))
            if state is EditionState.DRAFT:
                continue  # has no mails yet
            waiting.add_metric([state], queue.digests_waiting.get(state, 0))
        waiting.add_metric(["notice"], queue.notices_waiting)
        yield editions
        yield waiting
        doubt = GaugeMetricFamily(
            "feedsvc_deliveries_in_doubt",
            "Mails handed over without a reply: held ones wait for an operator.",
            labels=["state"],
        )
        for one in (DeliveryState.HELD, DeliveryState.UNCERTAIN):
            doubt.add_metric([one], queue.in_doubt.get(one, 0))
        yield doubt
        oldest = queue.oldest_due_at
        yield GaugeMetricFamily(
            "feedsvc_oldest_due_delivery_age_seconds",
            "For how long the mail that is due longest has been; 0 when none is.",
            (self._now - oldest).total_seconds() if oldest is not None else 0,
        )


def _handovers(tally: SendTally) -> Iterator[Metric]:
    deliveries = CounterMetricFamily(
        "feedsvc_deliveries",
        "Handovers since the start, by relay and the state they led to.",
        labels=["relay", "state"],
    )
    for (relay, state), count in tally.deliveries().items():
        deliveries.add_metric([relay, state], count)
    yield deliveries
    replies = CounterMetricFamily(
        "feedsvc_replies",
        "Replies to mails since the start, by relay and what they meant.",
        labels=["relay", "meaning"],
    )
    for (relay, meaning), count in tally.replies().items():
        replies.add_metric([relay, meaning], count)
    yield replies


def _relays(sending: Sending) -> Iterator[Metric]:
    up, used, allowed, queued, paused = (
        GaugeMetricFamily(name, text, labels=["relay"])
        for name, text in (
            ("feedsvc_relay_up", "1 when the relay is used; 0 while it is left alone."),
            ("feedsvc_relay_connections", "Connections that are open."),
            ("feedsvc_relay_connections_allowed", "Connections that may be open at present."),
            ("feedsvc_relay_queued", "Mails in memory that wait for a connection."),
            (
                "feedsvc_relay_paused_until_timestamp_seconds",
                "Until when the relay is left alone; 0 when it is not.",
            ),
        )
    )
    for one in sending.relay_states():
        until = one.paused_until
        up.add_metric([one.name], 0 if until is not None or one.problem else 1)
        used.add_metric([one.name], one.connections)
        allowed.add_metric([one.name], one.allowed)
        queued.add_metric([one.name], one.queued)
        paused.add_metric([one.name], until.timestamp() if until is not None else 0)
    yield from (up, used, allowed, queued, paused)
