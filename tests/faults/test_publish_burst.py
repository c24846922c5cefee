"""A thousand articles within ten seconds, over fifty feeds, while readers poll every one of them.

No reader misses an entry, and what readers keep to ask with (RFC 9110 §13) never goes wrong: a
date never goes back and is never in the future, and another tag always means other bytes.
"""

import http.client
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from lxml import etree
from served import Served, wait_until

pytestmark = pytest.mark.fault
ARTICLES = 1000
SECONDS = 10.0
TOPICS = tuple(f"话题{number}" if number % 2 else f"topic-{number}" for number in range(49))
THREADS = 8
FEEDS = """\
[feeds.all]
title = "全部文章"
[feeds.topics]
each = "topic"
title = "{name}"
"""
_ATOM = "{http://www.w3.org/2005/Atom}"


@dataclass
class Reader:
    """Polls one document, keeps its validators, and remembers each entry it ever saw."""

    path: str
    seen: set[str] = field(default_factory=set)
    etag: str | None = None
    dated: str | None = None
    body: bytes = b""
    answers: Counter[int] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def poll(self, connection: http.client.HTTPConnection) -> None:
        """Ask once, as feed readers do."""
        headers = {"If-None-Match": self.etag} if self.etag else {}
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.answers[answer.status] += 1
        if answer.status == 200:
            self._take(answer.headers["ETag"], answer.headers["Last-Modified"], body)

    def _take(self, etag: str, dated: str, body: bytes) -> None:
        at = parsedate_to_datetime(dated).timestamp()
        if at > time.time():
            self.complaints.append(f"{self.path}: dated {at - time.time():.1f} s in the future")
        if self.dated is not None:
            before = parsedate_to_datetime(self.dated).timestamp()
            if at <= before:
                self.complaints.append(f"{self.path}: {self.dated} was followed by {dated}")
        if (etag == self.etag) != (body == self.body):
            self.complaints.append(f"{self.path}: tag {etag} does not tell bytes apart")
        self.etag, self.dated, self.body = etag, dated, body
        root = etree.fromstring(body)
        titles = root.iterfind(f"{_ATOM}entry/{_ATOM}title")
        if self.path.endswith("rss.xml"):
            titles = root.iterfind("channel/item/title")
        self.seen.update(title.text or "" for title in titles)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, FEEDS)
    for topic in TOPICS:  # so that every feed is there to be polled
        served.write(f"first-{topic}.md", f"first {topic}", f"topics: [{topic}]")
    with served:
        yield served


def test_no_reader_misses_an_entry_of_a_burst(served: Served) -> None:
    readers = _readers()
    wanted: dict[str, set[str]] = {topic: {f"first {topic}"} for topic in TOPICS}
    wanted["all"] = set.union(*wanted.values())
    assert wait_until(lambda: all(_is_there(served, one.path) for one in readers.values()))
    stop = threading.Event()
    polling = [
        threading.Thread(target=_poll, args=(served, list(readers.values())[part::THREADS], stop))
        for part in range(THREADS)
    ]
    for thread in polling:
        thread.start()
    took_s = _write_articles(served, wanted, stop)
    begin = time.monotonic()
    wait_until(lambda: all(wanted[key] <= readers[key].seen for key in wanted))
    print(f"readers had the last of them {time.monotonic() - begin:.1f} s later")
    stop.set()
    for thread in polling:
        thread.join()
    print(f"{ARTICLES} articles written in {took_s:.1f} s")
    missed = {key: len(wanted[key] - readers[key].seen) for key in wanted}
    assert not any(missed.values()), (missed, served.log()[-3000:])
    assert [text for reader in readers.values() for text in reader.complaints] == []
    assert took_s < SECONDS * 1.2
    answers = sum((reader.answers for reader in readers.values()), Counter())
    assert set(answers) == {200, 304}


def _readers() -> dict[str, Reader]:
    paths = {"all": "/feeds/all/atom.xml"}
    for number, topic in enumerate(TOPICS):
        name = "rss.xml" if number % 2 else "atom.xml"
        paths[topic] = f"/feeds/topics/{quote(topic)}/{name}"
    return {key: Reader(path) for key, path in paths.items()}


def _is_there(served: Served, path: str) -> bool:
    try:
        with urllib.request.urlopen(served.url + path) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _write_articles(served: Served, wanted: dict[str, set[str]], stop: threading.Event) -> float:
    begin = time.monotonic()
    for number in range(ARTICLES):
        topic, title = TOPICS[number % len(TOPICS)], f"文章 {number}"
        served.write(f"{number}.md", title, f"topics: [{topic}]")
        wanted[topic].add(title)
        wanted["all"].add(title)
        stop.wait(max(0, begin + (number + 1) * SECONDS / ARTICLES - time.monotonic()))
    return time.monotonic() - begin


def _poll(served: Served, readers: list[Reader], stop: threading.Event) -> None:
    chance = random.Random(len(readers[0].path))
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    while not stop.is_set():
        for reader in readers:
            try:
                reader.poll(connection)
            except (OSError, http.client.HTTPException) as error:
                reader.complaints.append(f"{reader.path}: {type(error).__name__}: {error}")
                connection.close()
        stop.wait(chance.uniform(0.05, 0.8))
    connection.close()
