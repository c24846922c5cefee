"""Reads the items of a batch of changes: what can be read as an article, and what cannot.

Blocking; run it in a thread, outside transactions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from feedsvc.articles.changes import Change
from feedsvc.articles.parse import Defaults, parse_article
from feedsvc.articles.story_keys import Key, compose_keys
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import ArticleData, Problem

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReadChange:
    """A change with what its item turned out to be: data, or a problem; neither if no item."""

    change: Change
    data: ArticleData | None = None
    problem: Problem | None = None
    #: By which others that tell the same are found.
    story_keys: tuple[Key, ...] = ()


def read_changes(changes: Sequence[Change], defaults: Defaults) -> list[ReadChange]:
    """Read every item; one that cannot be read is a problem, and the others go on."""
    return [_read(change, defaults) for change in changes]


def _read(change: Change, defaults: Defaults) -> ReadChange:
    if change.item is None:
        return ReadChange(change)
    try:
        data = parse_article(change.item, defaults)
        return ReadChange(change, data, story_keys=compose_keys(data))
    except BrokenArticle as error:
        return ReadChange(change, problem=Problem(error.location, error.reason, error.line))
    except Exception as error:  # a fault of ours must not hold up the other articles
        _log.exception("article_unreadable", source=change.item.source, key=change.key)
        reason = f"cannot be read by this version of feedsvc ({type(error).__name__})"
        return ReadChange(change, problem=Problem(change.item.location, reason))
