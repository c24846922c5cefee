"""English and Chinese articles, some with files that go with them, as a server has them."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from served import Served, wait_until

FEEDS = """\
[feeds.all]
title = "全部文章 & more"
"""
TITLES = (
    "Night buses: 1 < 2 & stay",
    "北京地铁新开一条线路",
    "An interview, to be heard 🎧",
    "晨间广播：第一集",
    "“引号”与《书名号》",
    "River swimming",
)
AUDIO = {2: "https://news.example/interview.mp3", 3: "https://news.example/chenjian.mp3"}


@dataclass(frozen=True)
class Press:
    """What is served, and where."""

    url: str
    titles: frozenset[str]
    enclosures: frozenset[str]

    def feed(self, name: str = "rss.xml") -> str:
        """Address of a document."""
        return f"{self.url}/feeds/all/{name}"


def serve_press(folder: Path) -> Iterator[Press]:
    """Run the server on articles of our own below `folder`, for as long as it is asked for."""
    served = Served(folder, FEEDS)
    for number, title in enumerate(TITLES):
        fields = [
            f"date: 2026-03-0{number + 1} 08:00",
            f"language: {'zh-CN' if number in (1, 3, 4) else 'en'}",
            "author: 李雷",
            "topics: [economy, 科技]",
        ]
        if number in AUDIO:
            fields += [f"enclosure: {{url: {AUDIO[number]}, type: audio/mpeg, length: 4321}}"]
        served.write(f"{number}.md", json.dumps(title, ensure_ascii=False), *fields)
    with served:
        assert wait_until(lambda: _count(served) == len(TITLES)), served.log()
        yield Press(served.url, frozenset(TITLES), frozenset(AUDIO.values()))


def _count(served: Served) -> int:
    try:
        with urllib.request.urlopen(f"{served.url}/feeds/all/feed.json") as answer:
            found: dict[str, Any] = json.load(answer)
    except OSError:
        return -1
    return len(found["items"])
