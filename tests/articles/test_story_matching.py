"""What tells the same, and what only looks like it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from article_builders import DEFAULTS, make_raw
from story_samples import CRASH, DIFFERENT, RATES, SAME

from feedsvc.articles.parse import parse_article
from feedsvc.articles.story_keys import compose_keys
from feedsvc.articles.story_match import (
    SHORT_WINDOW,
    WINDOW,
    Telling,
    is_same_by_claim,
    is_same_by_words,
)
from feedsvc.articles.story_text import StoryText
from feedsvc.model.article import ArticleData, MediaType

CORPUS = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpus" / "news"
NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)
Item = tuple[str, str]


def read(item: Item) -> ArticleData:
    title, body = item
    return parse_article(make_raw(f"---\ntitle: {json.dumps(title)}\n---\n\n{body}\n"), DEFAULTS)


def telling(item: Item, source: str = "blog", at: datetime = NOON) -> Telling:
    data = read(item)
    return Telling(source, at, StoryText.of(data.title, data.content))


def may_meet(one: ArticleData, other: ArticleData) -> bool:
    return not {*compose_keys(one)}.isdisjoint(compose_keys(other))


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_another_version_of_an_article_tells_the_same_and_is_found(pair: tuple[Item, Item]) -> None:
    one, other = pair
    assert is_same_by_words(telling(one), telling(other, "wire"))
    assert is_same_by_words(telling(other, "wire"), telling(one))
    assert may_meet(read(one), read(other))


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_readers_want_both_of_does_not_tell_the_same(pair: tuple[Item, Item]) -> None:
    one, other = pair
    assert not is_same_by_words(telling(one), telling(other, "wire"))
    assert not is_same_by_words(telling(other, "wire"), telling(one))


def test_what_comes_weeks_later_is_said_anew() -> None:
    first = telling(CRASH)
    assert is_same_by_words(first, telling(CRASH, at=NOON + WINDOW))
    assert not is_same_by_words(first, telling(CRASH, at=NOON + WINDOW + timedelta(seconds=1)))


def test_a_short_item_that_is_said_again_the_next_day_is_another() -> None:
    item = ("天气", "晴。")
    assert is_same_by_words(telling(item), telling(item, at=NOON + SHORT_WINDOW))
    assert not is_same_by_words(telling(item), telling(item, at=NOON + timedelta(days=1)))


def test_a_claim_is_believed_across_sources_and_within_one_only_of_what_is_alike() -> None:
    assert is_same_by_claim(telling(CRASH), telling(RATES, "wire"))
    assert not is_same_by_claim(telling(CRASH), telling(RATES))
    assert is_same_by_claim(telling(CRASH), telling(("车祸", CRASH[1] + "\n\n两人均已出院。")))
    assert not is_same_by_claim(telling(CRASH), telling((CRASH[0] + "：后续", "两人均已出院。")))


@pytest.mark.skipif(not CORPUS.exists(), reason=f"NOT RUN: no corpus at {CORPUS}")
def test_real_pages_are_found_by_their_versions_and_never_by_one_another() -> None:
    """Of 13 pages no two share a tenth of their words; margins as large as the thresholds need."""
    pages = [
        parse_article(
            make_raw(
                path.read_bytes(),
                key=path.name,
                media_type=MediaType.HTML if path.suffix == ".html" else MediaType.PLAIN,
                is_page=True,
            ),
            DEFAULTS,
        )
        for path in sorted(CORPUS.iterdir())
        if path.suffix != ".json"
    ]
    texts = [StoryText.of(one.title, one.content) for one in pages]
    for number, (page, text) in enumerate(zip(pages, texts, strict=True)):
        longer = page.content + "<p>责任编辑：张三 SF142</p><p>本文为转载，侵权请联系删除。</p>"
        version = StoryText.of("【快讯】" + page.title, longer)
        assert is_same_by_words(Telling("a", NOON, text), Telling("b", NOON, version)), page.title
        for other in texts[:number]:
            assert len(text.runs & other.runs) < 0.1 * min(len(text.runs), len(other.runs))
    assert len(pages) == 13


def test_an_article_has_few_keys_however_long_it_is() -> None:
    data = read((RATES[0], "\n\n".join(f"{number} {RATES[1]}" for number in range(200))))
    assert len(compose_keys(data)) <= 7
