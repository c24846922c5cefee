"""What a user agent says of who reads: for how many a hosted reader asks, or that one person does.

Pure: a text in, a value out. There is no standard; these are the forms that are met. Everything in
it is claimed by the client, so numbers are capped and names cut to what can be shown.
"""

import re
from dataclasses import dataclass

#: No hosted reader is believed to read one feed for more.
MOST_SUBSCRIBERS = 10_000_000
#: Longer user agents are cut: what counts stands at the front.
MAX_AGENT_LENGTH = 500
_MAX_NAME = 40

# SECURITY: each pattern is linear: bounded, or begun only where a run of digits begins.
_COUNT = re.compile(
    r"(?<![\w.,-])([0-9][0-9,]*) ?(?:subscriber|reader|user)(?:s|\(s\))?(?![\w/])", re.I
)
_COUNT_AFTER = re.compile(r"\b(?:subscribers|readers|users)[ =:]{1,2}([0-9][0-9,]*)", re.I)
_FEED_ID = re.compile(r"feed-?id[:=] ?([A-Za-z0-9_-]{1,40})", re.I)
#: NewsBlur names its page of the feed instead.
_NEWSBLUR_SITE = re.compile(r"newsblur\.com/site/([0-9]{1,12})")
_COMPATIBLE = re.compile(r"\(compatible; ?\+?(?:https?://)?([A-Za-z0-9][A-Za-z0-9 ._-]{0,60})")
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,60}")
_VERSION = re.compile(r"[ /_-]v?[0-9][0-9.]*.*\Z", re.S)

#: A part of the user agent -> what the service is called. Feedly says "like FeedFetcher-Google".
_HOSTED = {
    "feedly": "Feedly",
    "feedbin": "Feedbin",
    "inoreader": "Inoreader",
    "newsblur": "NewsBlur",
    "theoldreader": "The Old Reader",
    "bazqux": "BazQux",
    "bloglovin": "Bloglovin",
    "dreamwidth": "Dreamwidth",
    "livejournal": "LiveJournal",
    "overcast": "Overcast",
    "castro": "Castro",
    "pocketcasts": "Pocket Casts",
    "playerfm": "Player FM",
    "podcastaddict": "Podcast Addict",
    "feedwrangler": "Feed Wrangler",
    "feed wrangler": "Feed Wrangler",
    "feedhq": "FeedHQ",
    "g2reader": "G2Reader",
    "netvibes": "Netvibes",
    "newsgator": "NewsGator",
    "bloglines": "Bloglines",
    "flipboard": "Flipboard",
    "feedspot": "Feedspot",
    "blogtrottr": "Blogtrottr",
    "livedoor": "livedoor Reader",
    "hanrss": "HanRSS",
    "yahoofeedseeker": "Yahoo",
    "feedfetcher-google": "Google",
}
#: Read by one person, or by a machine of theirs; some carry the words of a browser beside.
_READERS = re.compile(
    r"rss|feed|reader|news|podcast|atom|thunderbird|akregator|liferea|vienna|reeder"
    r"|miniflux|elfeed|syndication",
    re.I,
)
_BROWSERS = re.compile(r"(?:Mozilla|Opera)/[0-9.]{1,9}(?: |\Z)")
#: Fetch, and show it to nobody: search engines, monitors, validators, tools, preview makers.
_MACHINES = re.compile(
    r"bot\b|bot[/_-]|crawl|spider|slurp|scrap|archiv|monitor|uptime|pingdom|statuscake|nagios"
    r"|zabbix|check_http|blackbox|prometheus|updown\.io|validat|lighthouse|headless|preview"
    r"|externalhit|\A(?:curl|wget|lwp|libwww|python|go-http-client|java|axios|node|php"
    r"|guzzle|ruby|httpie|apache-httpclient|http\.rb|undici|ab)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class AgentCount:
    """For how many people a hosted reader says it asks.

    `feed_id` is its own name for what it fetches, where it has one: one feed may be several to it,
    each with its own number.
    """

    name: str
    subscribers: int
    feed_id: str | None = None

    @property
    def agent(self) -> str:
        """Name and id in one, such as `Feedbin#17`."""
        return f"{self.name}#{self.feed_id}" if self.feed_id else self.name


def read_agent(user_agent: str) -> AgentCount | None:
    """The number a hosted reader states; None for everything that states none."""
    text = user_agent[:MAX_AGENT_LENGTH]
    found = _COUNT.search(text) or _COUNT_AFTER.search(text)
    if found is None:
        return None
    number = min(int(found[1].replace(",", "")), MOST_SUBSCRIBERS)
    feed_id = _FEED_ID.search(text) or _NEWSBLUR_SITE.search(text)
    return AgentCount(
        _hosted_name(text) or _own_name(text) or "Other",
        number,
        feed_id[1] if feed_id else None,
    )


def read_client(user_agent: str) -> str | None:
    """The name of the program that one person reads with; None when nobody reads.

    Browsers, robots, monitors and command line tools are none; nor are hosted readers that do not
    say for how many they ask. The version is left out, so that an update is no second reader. A
    client that says nothing of itself is one, with an empty name.
    """
    text = user_agent[:MAX_AGENT_LENGTH]
    if _hosted_name(text) is not None or _MACHINES.search(text):
        return None
    if _BROWSERS.match(text) and not _READERS.search(text):
        return None
    return _own_name(text)


def _hosted_name(text: str) -> str | None:
    lower = text.lower()
    return next((name for part, name in _HOSTED.items() if part in lower), None)


def _own_name(text: str) -> str:
    found = _COMPATIBLE.search(text)
    if found is None and text.startswith(("Mozilla/", "Opera/")):
        # The program stands behind what it is compatible with: "… Gecko/20100101 Thunderbird/102".
        products = [one for one in text.split() if "/" in one and _READERS.search(one)]
        text = products[-1].lstrip("(") if products else ""
    found = found or _PRODUCT.match(text)
    name = found[found.lastindex or 0] if found else ""
    return _VERSION.sub("", name.partition(" - ")[0]).strip(" ._-")[:_MAX_NAME]
