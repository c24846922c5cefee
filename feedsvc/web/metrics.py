"""`/metrics`: how feeds are asked for and mail is sent, in the form that Prometheus reads.

There is nothing here that is not there for other reasons: the endpoint's and the sender's own
counts, the documents served, and numbers that the database has indexes for. Others than
`server.metrics_from` get 404.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.responses import Response

from feedsvc.deliveries.totals import Queue, load_queue
from feedsvc.errors import DatabaseUnavailable
from feedsvc.feeds.readers.counts import ReaderTotals
from feedsvc.feeds.readers.store import load_counts
from feedsvc.web.clients import Clients, Networks
from feedsvc.web.metrics_sending import SendingCollector
from feedsvc.web.services import FeedServer, WebServices, services_of

router = APIRouter()


@router.api_route("/metrics", methods=["GET", "HEAD"])
async def show_metrics(request: Request) -> Response:
    """All counts of this process, the readers of each feed, and the mail that waits."""
    services = services_of(request)
    if not _may_read(request, services):
        raise HTTPException(404)
    registry = CollectorRegistry(auto_describe=False)
    now = services.clock()
    readers, queue = await _load(services, now)
    registry.register(FeedCollector(services.feeds, readers, now))
    registry.register(SendingCollector(services.sending, queue, now))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=media_type)


def _may_read(request: Request, services: WebServices) -> bool:
    server = services.settings.server
    lines = request.headers.getlist("x-forwarded-for")
    forwarded = ",".join(lines).encode("latin-1") if lines else None
    clients = Clients(server.trusted_proxies)
    client = clients.find(request.scope.get("client"), forwarded)
    # SECURITY: who stands behind a web server that is not believed may be anybody.
    return not client.is_hidden and client.address in Networks(server.metrics_from)


async def _load(
    services: WebServices, now: datetime
) -> tuple[Mapping[str, ReaderTotals], Queue | None]:
    """Readers by feed, and what waits; nothing while the database is away, as /healthz tells."""
    try:
        async with services.database.read() as session:
            return await load_counts(session, now), await load_queue(session, now)
    except DatabaseUnavailable:
        return {}, None


class FeedCollector(Collector):
    """What is known of feeds at an instant."""

    def __init__(
        self, feeds: FeedServer, readers: Mapping[str, ReaderTotals], now: datetime
    ) -> None:
        self._feeds = feeds
        self._readers = readers
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Every metric, with its help text."""
        yield from self._requests()
        yield from self._documents()
        readers = GaugeMetricFamily(
            "feedsvc_feed_readers",
            "People who read a feed, by the last seven days: as hosted readers say, and others.",
            labels=["feed", "kind"],
        )
        for feed, totals in self._readers.items():
            readers.add_metric([feed, "hosted"], totals.hosted)
            readers.add_metric([feed, "individual"], totals.individuals)
        yield readers

    def _requests(self) -> Iterator[Metric]:
        tally = self._feeds.tally
        requests = CounterMetricFamily(
            "feedsvc_feed_requests",
            "Requests for feed documents and archive pages, by answer.",
            labels=["status", "coding"],
        )
        for (status, coding), count in tally.by_status_and_coding().items():
            requests.add_metric([str(status), coding], count)
        yield requests
        yield CounterMetricFamily(
            "feedsvc_feed_throttled",
            "Requests answered 429 because their client asked too often.",
            tally.others.get(429, 0),
        )
        yield CounterMetricFamily(
            "feedsvc_feed_body_bytes",
            "Bytes of documents sent, compressed where they were.",
            tally.body_bytes,
        )

    def _documents(self) -> Iterator[Metric]:
        documents = self._feeds.documents()
        yield GaugeMetricFamily("feedsvc_feed_documents", "Documents served.", len(documents))
        ages = GaugeMetricFamily(
            "feedsvc_feed_document_age_seconds",
            "Time since a document changed.",
            labels=["document"],
        )
        for one in sorted(documents, key=lambda one: one.path):
            ages.add_metric([one.path], (self._now - one.last_modified).total_seconds())
        yield ages
