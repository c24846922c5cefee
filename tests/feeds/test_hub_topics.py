"""Which addresses the hub takes for topics."""

import pytest

from feedsvc.config_feeds import FeedSettings
from feedsvc.feeds.hub.topics import Topic, Topics
from feedsvc.model.feed import FeedFormat

BASE_URL = "https://news.example.com"
TOPICS = Topics.of(
    BASE_URL,
    {
        "all": FeedSettings(title="All", formerly=["news", "main"]),
        "topics": FeedSettings(title="{name}", each="topic", formerly=["tags"]),
        "quiet": FeedSettings(title="Quiet", websub=False),
    },
)


@pytest.mark.parametrize(
    ("url", "feed", "feed_format"),
    [
        ("/feeds/all/rss.xml", "all", FeedFormat.RSS),
        ("/feeds/all/feed.json", "all", FeedFormat.JSON),
        ("/feeds/%61ll/atom.xml", "all", FeedFormat.ATOM),
        ("/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml", "topics/科技", FeedFormat.ATOM),
        ("/feeds/topics/%e7%a7%91%e6%8a%80/atom.xml", "topics/科技", FeedFormat.ATOM),
        ("/feeds/topics/科技/atom.xml", "topics/科技", FeedFormat.ATOM),
        ("/feeds/news/rss.xml", "all", FeedFormat.RSS),
        ("/feeds/tags/a/rss.xml", "topics/a", FeedFormat.RSS),
    ],
)
def test_the_address_of_a_document_is_a_topic(url: str, feed: str, feed_format: FeedFormat) -> None:
    topic = TOPICS.read_url(BASE_URL + url)
    assert topic is not None
    assert (topic.feed, topic.format) == (feed, feed_format)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://other.example/feeds/all/rss.xml",
        "http://news.example.com/feeds/all/rss.xml",
        f"{BASE_URL}.evil.example/feeds/all/rss.xml",
        f"{BASE_URL}/",
        f"{BASE_URL}/feeds/all/",
        f"{BASE_URL}/feeds/rss.xml",
        f"{BASE_URL}/feeds//rss.xml",
        f"{BASE_URL}/articles/rss.xml",
        f"{BASE_URL}/feeds/all/rss.xml?x=1",
        f"{BASE_URL}/feeds/all/rss.xml#top",
        f"{BASE_URL}/feeds/all/archive/1-1/rss.xml",
        f"{BASE_URL}/feeds/quiet/rss.xml",
        f"{BASE_URL}/feeds/nothing/rss.xml",
        f"{BASE_URL}/feeds/all%00/rss.xml",
        f"{BASE_URL}/feeds/%FF/rss.xml",
    ],
)
def test_any_other_address_is_none(url: str) -> None:
    assert TOPICS.read_url(url) is None


def test_a_document_is_told_of_under_all_its_names() -> None:
    topic = Topic("feeds/topics/科技/rss.xml", "topics/科技", FeedFormat.RSS)
    assert TOPICS.paths_of(topic) == ["feeds/topics/科技/rss.xml", "feeds/tags/科技/rss.xml"]
    assert TOPICS.present_url(topic) == f"{BASE_URL}/feeds/topics/%E7%A7%91%E6%8A%80/rss.xml"
