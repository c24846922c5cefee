"""Feeds that have another name, feeds that are no more, and pages of archives."""

import asyncio
from datetime import timedelta

import pytest
from feed_desk import BASE_URL, BODY, DATE, TAG, Answer, ask, document

from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.feed import ArchiveName, FeedFormat, ServedDocument, document_path
from feedsvc.web.feeds.archives import ArchiveShelf
from feedsvc.web.feeds.endpoint import FeedEndpoint
from feedsvc.web.feeds.policy import ServingPolicy

pytestmark = pytest.mark.anyio

POLICY = ServingPolicy(
    base_url=BASE_URL,
    hubs=("https://hub.example/",),
    moved={"news": "all", "tags": "topics", "latest": "all"},
    retired=frozenset({"gone", "places"}),
)


def page_path(number: int, version: int = 1, key: str = "all") -> str:
    return document_path(key, FeedFormat.RSS, ArchiveName(number, version))


class Archive:
    """Pages of an archive, and how often each was looked up."""

    def __init__(self) -> None:
        self.pages: dict[str, ServedDocument | str | Exception] = {}
        self.asked: list[str] = []
        self.looking = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def add(self, number: int, version: int = 1, **changed: object) -> str:
        path = page_path(number, version)
        self.pages[path] = document(path=path, is_archive=True, url="", **changed)
        return path

    async def find(self, path: str) -> ServedDocument | str | None:
        self.asked.append(path)
        self.looking.set()
        found = self.pages.get(path)
        await self.gate.wait()
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def endpoint(archive: Archive) -> FeedEndpoint:
    return FeedEndpoint([document(), document("topics/科技")], POLICY, archive.find)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/feeds/news/rss.xml", "/feeds/all/rss.xml"),
        ("/feeds/latest/feed.json", "/feeds/all/feed.json"),
        ("/feeds/tags/科技/atom.xml", "/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml"),
        ("/feeds/news/archive/3-1/rss.xml", "/feeds/all/archive/3-1/rss.xml"),
        (
            "/feeds/tags/archive/archive/12-2/atom.xml",
            "/feeds/topics/archive/archive/12-2/atom.xml",
        ),
        ("/feeds/tags/archive/atom.xml", "/feeds/topics/archive/atom.xml"),
        ("/feeds/tags/a\r\nX-Evil: 1/atom.xml", "/feeds/topics/a%0D%0AX-Evil%3A%201/atom.xml"),
    ],
)
async def test_every_address_of_a_moved_feed_leads_to_its_new_one(
    endpoint: FeedEndpoint, archive: Archive, method: str, old: str, new: str
) -> None:
    answer = await ask(endpoint, method, old, if_none_match="*")
    assert (answer.status, answer["location"]) == (301, BASE_URL + new)
    assert answer["cache-control"] == "public, max-age=86400"
    assert answer["access-control-allow-origin"] == "*"
    assert bool(answer.body) == (method == "GET")
    assert archive.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/feeds/gone/rss.xml",
        "/feeds/gone/archive/1-1/rss.xml",
        "/feeds/places/上海/atom.xml",
        "/feeds/places/上海/archive/7-3/atom.xml",
    ],
)
async def test_who_asks_for_a_retired_feed_is_told_to_stop(
    endpoint: FeedEndpoint, archive: Archive, path: str
) -> None:
    answer = await ask(endpoint, path=path)
    assert (answer.status, answer["cache-control"]) == (410, "public, max-age=86400")
    assert answer.body == b"This feed is no more. Please stop asking for it.\n"
    assert archive.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/feeds/rss.xml",
        "/feeds//rss.xml",
        "/feeds/topics//rss.xml",
        "/feeds/a/b/c/rss.xml",
        "/feeds/all/archive/rss.xml",
        "/feeds/all/archive/1/rss.xml",
        "/feeds/all/archive/1-1-1/rss.xml",
        "/feeds/all/archive/-1/rss.xml",
        "/feeds/all/archive/9999999999-1/rss.xml",
        "/feeds/all/archive/１-１/rss.xml",
        "/feeds/../rss.xml",
        "/feeds/no-such/rss.xml",
    ],
)
async def test_what_cannot_be_a_page_is_not_looked_for(
    endpoint: FeedEndpoint, archive: Archive, path: str
) -> None:
    assert (await ask(endpoint, path=path)).status == 404
    assert archive.asked == []


async def test_a_page_of_an_archive_is_kept_for_a_day_by_whoever_has_it(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    path = archive.add(3)
    answer = await ask(endpoint, path=f"/{path}", accept_encoding="identity")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer["cache-control"] == "public, max-age=86400"
    assert answer["etag"] == f'"{TAG}"'
    assert answer["last-modified"] == DATE
    assert answer.all("link") == [f'<{BASE_URL}/{path}>; rel="self"']
    known = await ask(endpoint, path=f"/{path}", if_none_match=f'"{TAG}-gz"')
    assert (known.status, known["cache-control"]) == (304, "public, max-age=86400")
    assert (await ask(endpoint, "HEAD", f"/{path}")).body == b""
    assert archive.asked == [path]


async def test_an_old_version_of_a_page_leads_to_the_new_one(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    archive.pages[page_path(3, 1)] = archive.add(3, 2)
    answer = await ask(endpoint, path=f"/{page_path(3, 1)}")
    assert (answer.status, answer["location"]) == (301, f"{BASE_URL}/{page_path(3, 2)}")


async def test_a_page_nobody_has_is_not_found(endpoint: FeedEndpoint, archive: Archive) -> None:
    assert (await ask(endpoint, path=f"/{page_path(9)}")).status == 404
    assert archive.asked == [page_path(9)]


async def test_when_the_feed_changes_its_pages_are_looked_up_again(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    path = archive.add(3)
    await ask(endpoint, path=f"/{path}")
    other = document("topics/科技", etag="d" * 32)
    endpoint.update([other, document()])  # another feed, and nothing new in this one
    assert (await ask(endpoint, path=f"/{path}")).status == 200
    assert archive.asked == [path]
    archive.pages[path] = archive.add(3, 2)
    later = document().last_modified + timedelta(seconds=1)
    endpoint.update([document(etag="f" * 32, last_modified=later)])
    assert (await ask(endpoint, path=f"/{path}")).status == 301


async def test_a_page_that_was_replaced_while_it_was_looked_up_is_not_kept(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    path = archive.add(3)
    archive.gate.clear()
    first = asyncio.create_task(ask(endpoint, path=f"/{path}"))
    await archive.looking.wait()
    endpoint.update([document(etag="f" * 32)])
    archive.pages[path] = archive.add(3, 2)
    archive.gate.set()
    assert (await first).status == 200
    assert (await ask(endpoint, path=f"/{path}")).status == 301


async def test_many_who_want_one_page_make_one_look_up_it(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    path = archive.add(3)
    archive.gate.clear()
    asked = [asyncio.create_task(ask(endpoint, path=f"/{path}")) for _ in range(40)]
    for _ in range(5):
        await asyncio.sleep(0)
    archive.gate.set()
    answers: list[Answer] = await asyncio.gather(*asked)
    assert {one.status for one in answers} == {200}
    assert len(archive.asked) <= 4


async def test_a_page_that_cannot_be_had_is_asked_for_again_later(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    archive.pages[page_path(3)] = DatabaseUnavailable("the database does not answer")
    answer = await ask(endpoint, path=f"/{page_path(3)}")
    assert (answer.status, answer["retry-after"]) == (503, "30")
    archive.pages[page_path(4)] = RuntimeError("secret")
    fault = await ask(endpoint, path=f"/{page_path(4)}")
    assert (fault.status, b"secret" in fault.body) == (500, False)
    assert (await ask(endpoint)).status == 200


async def test_pages_fill_no_more_memory_than_they_may() -> None:
    archive = Archive()
    endpoint = FeedEndpoint()
    size = sum(len(one) for one in (BODY, document().body_gzip)) * 1
    shelf = ArchiveShelf(archive.find, endpoint._prepare, most_bytes=2 * size + 1)
    paths = [archive.add(number, body_br=None, body_zstd=None) for number in range(1, 5)]
    for path in paths[:3]:
        await shelf.open(path)
    assert shelf.held_bytes == 2 * size
    await shelf.open(paths[2])
    await shelf.open(paths[1])
    assert archive.asked == paths[:3]
    await shelf.open(paths[0])  # the one that was asked for longest ago went
    assert archive.asked == [*paths[:3], paths[0]]
    archive.pages[paths[3]] = document(path=paths[3], body=BODY * 1000, is_archive=True)
    await shelf.open(paths[3])
    assert shelf.held_bytes == 2 * size
    shelf.drop("all")
    assert shelf.held_bytes == 0


async def test_a_page_that_was_replaced_is_looked_up_again_though_its_feed_stays_the_same(
    endpoint: FeedEndpoint, archive: Archive
) -> None:
    path = archive.add(3)
    await ask(endpoint, path=f"/{path}")
    archive.pages[path] = archive.add(3, 2)
    endpoint.drop_archives("all")
    assert (await ask(endpoint, path=f"/{path}")).status == 301


async def test_what_another_node_has_replaced_is_believed_for_half_a_minute_only(
    archive: Archive,
) -> None:
    now = [1000.0]
    endpoint = FeedEndpoint([document()], POLICY, archive.find, clock=lambda: now[0])
    path = archive.add(3)
    await ask(endpoint, path=f"/{path}")
    archive.pages[path] = archive.add(3, 2)
    now[0] += 29
    assert (await ask(endpoint, path=f"/{path}")).status == 200
    now[0] += 1
    assert (await ask(endpoint, path=f"/{path}")).status == 301
