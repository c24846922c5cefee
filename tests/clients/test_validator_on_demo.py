"""The W3C feed validator has nothing to say about any feed that the demonstration makes.

It is on no package index: FEEDVALIDATOR names the folder of a checkout of
github.com/w3c/feedvalidator.
"""

import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from served import wait_until

pytestmark = pytest.mark.client

_SCRIPT = """
import io, sys
import feedvalidator
from feedvalidator import compatibility
from feedvalidator.formatter.text_plain import Formatter
body = sys.stdin.buffer.read()
events = feedvalidator.validateStream(io.BytesIO(body), firstOccurrenceOnly=1, base=sys.argv[1])
print("\\n".join(Formatter(compatibility.AA(events["loggedEvents"]))))
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where a demonstration that has published its articles is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsvc", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
    )
    watch = threading.Timer(60, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        said = ""
        while "are published" not in said and (line := process.stdout.readline()):
            said += line
        found = re.search(r"site +(http://127\.0\.0\.1:\d+)/", said)
        assert found is not None, said
        assert wait_until(lambda: len(_addresses(found[1])) > 10)
        yield found[1]
    finally:
        watch.cancel()
        process.terminate()
        process.communicate(timeout=30)


def _addresses(base_url: str) -> list[str]:
    """Both XML documents of every feed that the list of feeds names."""
    with urllib.request.urlopen(f"{base_url}/feeds.opml") as answer:
        named = etree.fromstring(answer.read()).xpath("//outline/@xmlUrl")
    folders = [str(url).rpartition("/")[0] for url in named]
    return [f"{folder}/{name}" for folder in folders for name in ("rss.xml", "atom.xml")]


def test_the_validator_says_nothing_about_any_feed_of_the_demonstration(base_url: str) -> None:
    checkout = os.environ.get("FEEDVALIDATOR")
    if not checkout:
        pytest.skip("FEEDVALIDATOR names no checkout of w3c/feedvalidator")
    said = {}
    for address in _addresses(base_url):
        with urllib.request.urlopen(address) as answer:
            body = answer.read()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _SCRIPT, address],
            input=body,
            capture_output=True,
            check=True,
            cwd=Path(checkout) / "src",
        )
        if text := done.stdout.decode().strip():
            said[address] = text
    print(f"{len(_addresses(base_url))} documents validated")
    assert said == {}
