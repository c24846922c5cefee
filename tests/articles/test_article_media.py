"""What podcasters write in front matter becomes facts about the episode."""

from dataclasses import replace
from typing import Any

import pytest
from article_builders import DEFAULTS, NOW, Pipeline, make_raw
from sqlalchemy import select

from feedsvc.articles.identity import digest_content
from feedsvc.articles.parse import parse_article
from feedsvc.db.engine import Database
from feedsvc.errors import BrokenArticle
from feedsvc.feeds.writing.episodes import Episode, Person, Transcript, read_episode
from feedsvc.model.article import Article, ArticleData

FILE = "enclosure: https://news.example/a.mp3"


def parse(*lines: str) -> ArticleData:
    text = "\n".join(["---", "title: 第三集", "date: 2026-03-01", *lines, "---", "", "正文"])
    return parse_article(make_raw(text), DEFAULTS)


def extra(*lines: str) -> dict[str, Any]:
    return parse(FILE, *lines).extra


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("duration: 1:02:03", 3723),
        ("duration: 62:03", 3723),
        ("duration: '01:02:03.5'", 3723),
        ("duration: 3723", 3723),
        ("duration: 3723.9", 3723),
        ("itunes_duration: 2:30", 150),
        ("duration: 1h 2m 3s", 3723),
        ("duration: 62 minutes", 3720),
        ("duration: PT1H2M3S", 3723),
        ("时长: 1小时2分3秒", 3723),
        ("时长： 45分钟", 2700),
        ("时长: １：０２：０３", 3723),
    ],
)
def test_durations_are_read_as_they_are_written(written: str, seconds: int) -> None:
    assert extra(written) == {"duration_seconds": seconds}


def test_a_file_may_say_how_long_it_is() -> None:
    lines = ["enclosure:", "  url: https://news.example/a.mp3", "  duration: '2:30'"]
    assert parse(*lines).extra == {"duration_seconds": 150}


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("episode: 12", "episode", 12),
        ("集: 第12集", "episode", 12),
        ("season: 02", "season", 2),
        ("季: 2", "season", 2),
        ("episode_type: Bonus", "episode_type", "bonus"),
        ("explicit: yes", "explicit", True),
        ("itunes_explicit: clean", "explicit", False),
        ("chapters: 3.json", "chapters", "https://news.example/3.json"),
    ],
)
def test_an_episode_says_which_it_is(written: str, name: str, value: object) -> None:
    assert extra(written) == {name: value}


def test_transcripts_are_files_in_a_language() -> None:
    said = extra(
        "transcripts:",
        "  - /3.vtt",
        "  - url: https://cdn.example/3",
        "    type: application/srt",
        "    language: zh_cn",
    )
    assert said["transcripts"] == [
        {"url": "https://news.example/3.vtt", "type": "text/vtt"},
        {"url": "https://cdn.example/3", "type": "application/srt", "language": "zh-CN"},
    ]


def test_hosts_and_guests_are_people() -> None:
    said = extra(
        "hosts: [李雷, Alice]",
        "嘉宾: 韩梅梅",
        "people:",
        "  - name: Bob",
        "    role: Editor",
        "    href: https://bob.example/",
        "    img: /bob.jpg",
    )
    assert said["people"] == [
        {
            "name": "Bob",
            "role": "editor",
            "url": "https://bob.example/",
            "image": "https://news.example/bob.jpg",
        },
        {"name": "李雷", "role": "host"},
        {"name": "Alice", "role": "host"},
        {"name": "韩梅梅", "role": "guest"},
    ]


@pytest.mark.parametrize(
    "written",
    [
        "duration: soon",
        "duration: 1:2:3:4",
        "duration: 99999999",
        "duration: [1, 2]",
        "episode: pilot",
        "episode: 0",
        "season: -1",
        "season: 99999999",
        "episode_type: long",
        "explicit: perhaps",
        "transcript: ftp://news.example/a.vtt",
        "transcript: https://news.example/a.bin",
        "transcript: {url: /a.vtt, language: Chinese!}",
        "chapters: 'javascript:alert(1)'",
        "chapters: [{start: 0}]",
        "people: [{role: host}]",
        f"guests: {'x' * 201}",
        "guests: {name: Bob, href: mailto:bob@example.com}",
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(written: str) -> None:
    with pytest.raises(BrokenArticle) as caught:
        extra(written)
    assert caught.value.line == 5
    assert written.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize("written", ["duration: 30 bis 40", "season: spring", "episode: pilot"])
def test_without_a_recording_the_words_mean_what_they_like(written: str) -> None:
    assert parse(written).extra == {}


def test_the_words_arrive_in_feeds() -> None:
    said = extra(
        "duration: 2:30",
        "episode: 3",
        "season: 2",
        "episode_type: trailer",
        "explicit: no",
        "transcript: /3.srt",
        "chapters: /3.json",
        "guest: 韩梅梅",
    )
    site = "https://news.example"
    assert read_episode(said) == Episode(
        duration_seconds=150,
        number=3,
        season=2,
        kind="trailer",
        explicit=False,
        transcripts=(Transcript(f"{site}/3.srt", "application/x-subrip", None),),
        chapters=f"{site}/3.json",
        people=(Person("韩梅梅", "guest", None, None),),
    )


def test_articles_without_media_keep_their_digest() -> None:
    # Stored digests were made before there was media.
    data = replace(parse(), extra={}, content_hash="")
    assert digest_content(data) == (
        "4541dbc767f40577bbc5334077d5b762053f140382f369a15dc6838374bf2cd9"
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "line",
    [
        "duration: 2:31",
        "transcript: /b.vtt",
        "image: /b.png",
        "enclosure: https://news.example/b.mp3",
    ],
)
async def test_another_file_or_fact_is_another_revision(database: Database, line: str) -> None:
    pipeline = Pipeline(database)
    first = {"enclosure": "https://news.example/a.mp3", "duration": "2:30"}
    name, _, value = line.partition(": ")
    await pipeline.ingest({"a.md": _file(first)})
    changed = await pipeline.ingest({"a.md": _file({**first, name: value})})
    assert changed.changed == 1
    async with database.read() as session:
        article = (await session.execute(select(Article))).scalar_one()
    assert article.revision == 2
    assert article.updated_at == NOW
    expected = parse_article(make_raw(_file({**first, name: value})), DEFAULTS)
    assert article.extra == expected.extra
    assert article.enclosures[0]["url"] == expected.enclosures[0].url


@pytest.mark.anyio
async def test_the_date_of_a_file_is_no_fact_about_the_article(database: Database) -> None:
    await Pipeline(database).ingest({"a.md": "# 第三集\n\n正文"})
    async with database.read() as session:
        article = (await session.execute(select(Article))).scalar_one()
    assert article.extra == {}


def _file(fields: dict[str, str]) -> str:
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join(["---", "title: 第三集", "date: 2026-02-01", *lines, "---", "", "正文"])
