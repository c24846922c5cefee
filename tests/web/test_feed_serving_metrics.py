"""What is counted is told to those who may know it, in a form Prometheus reads."""

from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_press import NOW, SmallPress, open_press

from feedsvc.db.engine import Database
from feedsvc.feeds.readers.counts import pack_bits
from feedsvc.model.feed import FeedClients, FeedReader

pytestmark = pytest.mark.anyio

PATH = "/feeds/all/rss.xml"


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric name -> values of its labels, in the order of their names -> value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def metrics(press: SmallPress) -> dict[str, dict[tuple[str, ...], float]]:
    response = await press.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return read(response.text)


async def test_answers_are_counted_by_status_and_coding(press: SmallPress) -> None:
    await press.get(PATH, **{"accept-encoding": "gzip"})
    await press.get(PATH, **{"accept-encoding": "identity"})
    await press.get(PATH, **{"accept-encoding": "identity", "if-none-match": "*"})
    await press.get("/feeds/nowhere/rss.xml")
    await press.get("/feeds")
    found = await metrics(press)
    counts = {key: value for key, value in found["feedsvc_feed_requests_total"].items() if value}
    assert counts == {
        ("gzip", "200"): 1,
        ("identity", "200"): 1,
        ("identity", "304"): 1,
        ("identity", "404"): 1,
    }
    assert found["feedsvc_feed_throttled_total"][()] == 0
    assert found["feedsvc_feed_body_bytes_total"][()] > 0


async def test_throttled_requests_are_counted(press: SmallPress) -> None:
    stranger = {"x-forwarded-for": "198.51.100.7"}
    for _ in range(62):
        await press.get(PATH, **stranger)
    found = await metrics(press)
    assert found["feedsvc_feed_throttled_total"][()] == 2
    assert found["feedsvc_feed_requests_total"]["identity", "429"] == 2


async def test_the_age_of_documents_is_told(press: SmallPress) -> None:
    press.now = NOW.replace(hour=1)
    found = await metrics(press)
    assert found["feedsvc_feed_documents"][()] == 1
    assert found["feedsvc_feed_document_age_seconds"] == {("feeds/all/rss.xml",): 3600}


async def test_readers_are_told_by_feed(press: SmallPress) -> None:
    day = NOW.date().isoformat()
    async with press.database.write() as session:
        session.add(FeedReader(feed="topics/科技", day=day, agent="Feedly", subscribers=120))
        session.add(FeedClients(feed="topics/科技", day=day, bitmap=pack_bits([1, 500, 9000])))
    assert (await metrics(press))["feedsvc_feed_readers"] == {
        ("topics/科技", "hosted"): 120,
        ("topics/科技", "individual"): 3,
    }


async def test_counts_are_told_while_the_database_is_away(press: SmallPress) -> None:
    await press.get(PATH)
    path = press.database.path
    assert path is not None
    await press.database.dispose()
    path.unlink()
    path.mkdir()
    found = await metrics(press)
    assert found["feedsvc_feed_requests_total"]["gzip", "200"] == 1
    assert "feedsvc_feed_readers" not in found


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        (None, 200),
        ("127.0.0.1", 200),
        ("198.51.100.7", 404),
        ("127.0.0.1, 198.51.100.7", 404),
        ("unix:", 404),
        ("127.0.0.1, unknown", 404),
        ("", 404),
    ],
)
async def test_only_those_named_may_read_them(
    press: SmallPress, forwarded: str | None, status: int
) -> None:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert (await press.get("/metrics", **headers)).status_code == status


async def test_other_addresses_can_be_named(database: Database, tmp_path: Path) -> None:
    press = await open_press(database, tmp_path, server={"metrics_from": ["192.0.2.0/24"]})
    for peer, status in (("192.0.2.9", 200), ("127.0.0.1", 404), ("203.0.113.1", 404)):
        transport = httpx2.ASGITransport(app=press.application, client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://inside") as client:
            assert (await client.get("/metrics")).status_code == status


async def test_whom_a_web_server_that_is_not_trusted_speaks_for_may_not_read_them(
    database: Database, tmp_path: Path
) -> None:
    press = await open_press(database, tmp_path, server={"trusted_proxies": ["192.0.2.1"]})
    transport = httpx2.ASGITransport(app=press.application, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside") as client:
        for forwarded in ("198.51.100.7", "127.0.0.1"):
            headers = {"x-forwarded-for": forwarded}
            assert (await client.get("/metrics", headers=headers)).status_code == 404
        assert (await client.get("/metrics")).status_code == 200


async def test_openmetrics_is_given_to_who_asks_for_it(press: SmallPress) -> None:
    response = await press.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
