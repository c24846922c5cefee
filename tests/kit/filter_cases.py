"""Random articles and random filters, built of few words so that they meet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from feedsvc.kit.filters.fields import ARTICLE_FIELDS, OPERATORS, OPTIONAL, FieldKind
from feedsvc.kit.filters.terms import (
    Among,
    Compared,
    Condition,
    Contains,
    Flag,
    Has,
    join_all,
    join_either,
    negate,
)
from feedsvc.model.article import Article, ArticleState

FIRST = datetime(2026, 1, 1, tzinfo=UTC)

WORDS = (
    "City", "city", "CITY", "科技", "地铁", "李雷", "zh", "zh-CN", "ZH-hans-cn", "en", "it's",
    'a "quote"', "back\\slash", "50%", "_", "%", "AT&T", "a\xa0b", "<b>", "İ", "ı", "É", "é", "",
    " ", "\t", "e\u0301", "\u202e", "😀", "K", "ſ", "null", "[]", "a,b", "\U0010ffff",
)  # fmt: skip

words = st.sampled_from(WORDS)
phrases = st.lists(words, max_size=3).map(" ".join)
instants = st.sampled_from(
    [FIRST + timedelta(hours=hours, microseconds=us) for hours in (-30, 0, 16, 24) for us in (0, 7)]
)
_names = st.lists(words, max_size=3)
_files = [{"url": "https://x/1.mp3", "media_type": "audio/mpeg", "length_bytes": 1}]

article_values: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "source": words,
        "section": st.none() | words,
        "topics": _names,
        "authors": _names,
        "language": st.sampled_from(["zh", "zh-CN", "zh-Hans-CN", "en", "EN-gb", "zhx", "İ", ""]),
        "title": phrases,
        "summary": phrases,
        "content": phrases.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")),
        "published_at": instants,
        "updated_at": instants,
        "image": st.none() | words,
        "enclosures": st.sampled_from([[], _files]),
        "announce": st.booleans(),
    }
)


def build_articles(values: Sequence[dict[str, Any]]) -> list[Article]:
    """Published articles with these values, numbered from 1."""
    return [
        Article(
            id=number,
            source_key=str(number),
            fingerprint="f",
            seq=number,
            guid=f"guid-{number}",
            slug=f"slug-{number}",
            content_hash="h",
            state=ArticleState.PUBLISHED,
            stored_at=FIRST,
            **one,
        )
        for number, one in enumerate(values, 1)
    ]


def _of_kinds(*kinds: FieldKind) -> st.SearchStrategy[str]:
    return st.sampled_from([one.name for one in ARTICLE_FIELDS.values() if one.kind in kinds])


def _among(texts: st.SearchStrategy[str], *, most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(texts, min_size=1, max_size=most, unique=True).map(lambda v: tuple(sorted(v)))


_containing = _of_kinds(*(kind for kind, signs in OPERATORS.items() if "contains" in signs))
_tags = st.sampled_from(["zh", "zh-CN", "zh-Hans", "en", "x-a"])
terms: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Among, _of_kinds(FieldKind.TEXT, FieldKind.TEXTS), _among(words)),
    st.builds(Among, st.just("language"), _among(_tags)),
    st.builds(Among, st.just("language"), _among(words), st.just(True)),
    st.builds(Contains, _containing, words.filter(bool)),
    st.builds(Has, _of_kinds(*OPTIONAL)),
    st.builds(Flag, _of_kinds(FieldKind.FLAG)),
    st.builds(
        Compared,
        _of_kinds(FieldKind.INSTANT),
        st.sampled_from(["<", "<=", "=", ">=", ">"]),
        instants,
    ),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    terms,
    lambda inner: st.one_of(
        inner.map(negate),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: join_all(*parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: join_either(*parts)),
    ),
    max_leaves=8,
)
