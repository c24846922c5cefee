"""Decides what a freshly read item makes of an article's row. Pure: values in, values out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from feedsvc.articles.identity import is_dated_by_file, media_of
from feedsvc.articles.moves import gone_fingerprint, is_gone
from feedsvc.model.article import Article, ArticleData, ArticleState


class Outcome(StrEnum):
    """What a change comes to for readers."""

    #: Something they see is different.
    CHANGED = "changed"
    #: Nothing they see is different.
    UNTOUCHED = "untouched"
    #: Theirs again.
    RETURNED = "returned"
    #: Taken from them.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Revision:
    """The columns to set, and what that comes to."""

    values: Mapping[str, Any]
    outcome: Outcome


def compose_article(
    data: ArticleData,
    *,
    source: str,
    key: str,
    fingerprint: str,
    guid: str,
    slug: str,
    now: datetime,
    announce: bool,
) -> dict[str, Any]:
    """All columns of a new article but its id. It has no `seq` before it is published."""
    return {
        "source": source,
        "source_key": key,
        "fingerprint": fingerprint,
        "seq": None,
        "revision": 1,
        "guid": guid,
        "slug": slug,
        **_content(data),
        "published_at": data.published_at,
        "updated_at": max(data.published_at, data.updated_at or data.published_at),
        "story": None,
        "weight": data.weight,
        "revised_at": now,
        "announce": announce,
        "state": ArticleState.HELD if data.draft else ArticleState.SCHEDULED,
        "stored_at": now,
        "withdrawn_at": None,
        "set_aside": None,
    }


def compose_revision(
    article: Article, data: ArticleData, fingerprint: str, *, now: datetime, announce: bool
) -> Revision:
    """The columns that change when an article's item has been read again.

    `revision` moves only when a reader sees a difference, and `updated_at` only when that is its
    author's doing, not when the same bytes are read by other settings or a newer reader; these
    change no article's state either. Its weight concerns where it stands in mails to come, not
    what it says, so it changes without a revision.

    Whether an article is announced is decided once: when it is stored, or when its author lifts
    `draft` before it was ever published (then `announce` says whether new articles are). It stays
    so when a published article is taken back, by its author or because its file was missing for a
    moment, and comes back, mended or not. It comes back under its old `seq`, so each reader whose
    cursor has passed that number, who could have had it already, is not mailed again; and each
    reader whose next edition still reaches back to it gets it after all.
    """
    values: dict[str, Any] = {"fingerprint": fingerprint, "weight": data.weight}
    is_same_file = fingerprint == article.fingerprint
    differs = data.content_hash != article.content_hash
    if differs:
        values |= _content(data)
        values |= {"revision": article.revision + 1, "set_aside": None}
    values |= _dates(article, data, edited=differs and not is_same_file, now=now)
    if is_same_file:
        values |= {"state": article.state}
    else:
        values |= _state(article, data, now=now, announce=announce)
    outcome = _outcome(article.state, values["state"], differs=differs)
    if differs or outcome in (Outcome.CHANGED, Outcome.RETURNED):
        values["revised_at"] = now
    return Revision(values, outcome)


def is_another(article: Article, data: ArticleData, fingerprint: str) -> bool:
    """Whether what stands under the key of a gone article is not that article come back.

    Neither the bytes nor what a reader sees are the same. Readers had the old one and saw it go,
    so this one is news, with a guid of its own.
    """
    return (
        is_gone(article.fingerprint)
        and article.fingerprint != gone_fingerprint(fingerprint)
        and article.content_hash != data.content_hash
    )


def compose_withdrawal(now: datetime) -> dict[str, Any]:
    """The columns of an article that is withdrawn; its `seq`, if it has one, stays its own."""
    return {"state": ArticleState.WITHDRAWN, "withdrawn_at": now}


def _content(data: ArticleData) -> dict[str, Any]:
    return {
        "title": data.title,
        "authors": list(data.authors),
        "section": data.section,
        "topics": list(data.topics),
        "language": data.language,
        "url": data.url,
        "content": data.content,
        "summary": data.summary,
        "image": data.image,
        "enclosures": [asdict(one) for one in data.enclosures],
        "extra": media_of(data),
        "content_hash": data.content_hash,
    }


def _dates(
    article: Article, data: ArticleData, *, edited: bool, now: datetime
) -> dict[str, datetime]:
    if article.seq is None:
        # Nobody has seen it: its dates are whatever its author says now.
        updated_at = max(data.published_at, data.updated_at or data.published_at)
        return {"published_at": data.published_at, "updated_at": updated_at}
    dates: dict[str, datetime] = {}
    if not is_dated_by_file(data) and data.published_at <= now:
        dates["published_at"] = data.published_at
    if edited:
        moved = data.updated_at is not None and article.updated_at < data.updated_at <= now
        dates["updated_at"] = data.updated_at if moved and data.updated_at else now
    return dates


def _state(article: Article, data: ArticleData, *, now: datetime, announce: bool) -> dict[str, Any]:
    if article.seq is None:
        state = ArticleState.HELD if data.draft else ArticleState.SCHEDULED
        lifted = article.state is ArticleState.HELD and not data.draft
        return {
            "state": state,
            "withdrawn_at": None,
            "announce": article.announce or (lifted and announce),
        }
    if data.draft and article.state is ArticleState.PUBLISHED:
        return compose_withdrawal(now)
    if data.draft or article.state is ArticleState.PUBLISHED:
        return {"state": article.state}
    return {"state": ArticleState.PUBLISHED, "withdrawn_at": None}


def _outcome(before: ArticleState, after: ArticleState, *, differs: bool) -> Outcome:
    if before is not ArticleState.WITHDRAWN and after is ArticleState.WITHDRAWN:
        return Outcome.WITHDRAWN
    if before is ArticleState.WITHDRAWN and after is not ArticleState.WITHDRAWN:
        return Outcome.RETURNED
    return Outcome.CHANGED if differs or before is not after else Outcome.UNTOUCHED
