"""By what an article that tells the same is found: few keys each, equal where stories may be. Pure.

Equal keys only name candidates; story_match.py decides.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from feedsvc.articles.story_address import normalise_address
from feedsvc.articles.story_match import SHORT
from feedsvc.articles.story_text import StoryText
from feedsvc.model.article import ArticleData, StoryKeyKind

#: Ways to choose among the clauses of a text, and among the pairs of letters of a title; each
#: makes a key. Below one title, two texts that share two thirds of their clauses are chosen the
#: same clause in one of three ways in all but one case of thirty. Odd factors: multiplied modulo
#: 2^32 they put all digests into another order.
_CHOICES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_WORD = 0xFFFFFFFF
#: A shorter clause says nothing about where it comes from (letters and digits).
_LEAST_CLAUSE = 8


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One key: equal values, candidates."""

    kind: StoryKeyKind
    #: A digest, of 63 bits.
    value: int


def compose_keys(data: ArticleData) -> tuple[Key, ...]:
    """The keys of an article as read, at most seven."""
    return tuple(sorted({*_claims(data), *_text_keys(StoryText.of(data.title, data.content))}))


def _claims(data: ArticleData) -> Iterator[Key]:
    for url in (data.url, data.canonical):
        if url and (address := normalise_address(url)):
            yield _key(StoryKeyKind.ADDRESS, address)
    if data.source_guid:
        yield _key(StoryKeyKind.GUID, data.source_guid)


def _text_keys(text: StoryText) -> Iterator[Key]:
    """A short body counts as a whole; of others a choice of clauses, below a choice of title.

    The title is part of each, so that the clause every article of a source ends with makes no
    candidates of them all, and so are its numbers, so that a series makes none.
    """
    clauses = list(text.clauses())
    if sum(map(len, clauses)) < SHORT and len(text.body) < SHORT:
        if text.body:
            yield _key(StoryKeyKind.TEXT, "whole", text.title, text.body)
        return
    told = [one for one in clauses if len(one) >= _LEAST_CLAUSE] or clauses or [text.body]
    series = "/".join(text.ordinals)
    yield _key(StoryKeyKind.TEXT, "opening", series, text.title, told[0])
    chosen = zip(_choose(text.pairs), _choose(told), strict=True)
    for number, (pair, clause) in enumerate(chosen):
        yield _key(StoryKeyKind.TEXT, f"choice {number}", series, str(pair), str(clause))


def _choose(words: Iterable[str]) -> list[int]:
    """The digest of one of the words, by each of several random orders of all words there are."""
    digests = [zlib.crc32(word.encode("utf-8", "replace")) for word in words]
    return [min(digest * factor & _WORD for digest in digests) for factor in _CHOICES]


def _key(kind: StoryKeyKind, *parts: str) -> Key:
    joined = "\x00".join((kind, *parts)).encode("utf-8", "replace")
    digest = hashlib.blake2b(joined, digest_size=8).digest()
    return Key(kind, int.from_bytes(digest, "big") >> 1)
