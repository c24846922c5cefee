"""The W3C feed validator has nothing to say about our feeds.

Needs a checkout of github.com/w3c/feedvalidator, named by FEEDVALIDATOR.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from feedsvc.feeds.documents import FeedSpec, render_documents
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat, document_path

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
ENCLOSURE = {"url": "https://news.example/一.mp3", "media_type": "audio/mpeg", "length_bytes": 43}


@pytest.mark.parametrize("content", ["full", "summary"])
@pytest.mark.parametrize("feed_format", [FeedFormat.RSS, FeedFormat.ATOM])
@pytest.mark.parametrize("empty", [False, True], ids=["articles", "empty"])
def test_the_validator_is_content(
    make_article: Callable[..., Article],
    make_spec: Callable[..., FeedSpec],
    content: str,
    feed_format: FeedFormat,
    empty: bool,
) -> None:
    checkout = os.environ.get("FEEDVALIDATOR")
    if not checkout:
        pytest.skip("FEEDVALIDATOR names no checkout of w3c/feedvalidator")
    articles = [
        make_article(4, url="https://例子.cn/新闻/一 二"),
        make_article(3, language="zh-CN", title="北京 🚋 ]]>", authors=["李雷", "Alice"]),
        make_article(2, enclosures=[ENCLOSURE, ENCLOSURE | {"url": "https://news.example/2.mp3"}]),
        make_article(1, authors=[], topics=[], section=None, summary="", title="a < b & c"),
    ]
    body = render_documents(make_spec(content=content), [] if empty else articles).documents[
        feed_format
    ]
    self_url = f"https://news.example/{document_path('all', feed_format)}"
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, self_url],
        input=body,
        capture_output=True,
        check=True,
        cwd=Path(checkout) / "src",
    )
    assert said.stdout.decode().strip() == ""
