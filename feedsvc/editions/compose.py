"""What is in one reader's mail. Pure: articles and a reader's choices in, outcomes out."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import ItemOutcome
from feedsvc.model.ports import Selection


@dataclass(frozen=True, slots=True)
class ArticleFacts:
    """What composing needs to know of an article: everything but its text."""

    id: int
    seq: int
    revision: int
    published_at: datetime
    state: ArticleState
    source: str
    section: str | None
    topics: frozenset[str]
    language: str

    @classmethod
    def of(cls, article: Article) -> "ArticleFacts":
        """The facts of a stored, published article."""
        if article.id is None or article.seq is None:
            raise ValueError("only published articles can be composed")
        return cls(
            id=article.id,
            seq=article.seq,
            revision=article.revision,
            published_at=article.published_at,
            state=article.state,
            source=article.source,
            section=article.section,
            topics=frozenset(article.topics),
            language=article.language,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One article of a reader's window, with what becomes of it."""

    article_id: int
    revision: int
    outcome: ItemOutcome


def select_announced(articles: Iterable[ArticleFacts], selection: Selection) -> list[ArticleFacts]:
    """Those a newsletter holds, newest first by publication date, then by number."""
    chosen = [
        article
        for article in articles
        if selection.admits(article.source, article.section, article.topics, article.language)
    ]
    return sorted(chosen, key=lambda article: (article.published_at, article.seq), reverse=True)


def compose_items(
    articles: Sequence[ArticleFacts],
    *,
    from_seq: int,
    cut_seq: int,
    topics: frozenset[str],
    max_items: int,
) -> list[Item]:
    """What a reader with these topics gets of the window `(from_seq, cut_seq]`, in mail order.

    Args:
        articles: what the newsletter holds, in mail order.
        topics: the reader's; empty means all.
        max_items: articles shown; those beyond are counted.

    Returns:
        One outcome for each article that is the reader's; empty when there is nothing to mail
        (withdrawn ones alone make no mail).
    """
    mine = [
        article
        for article in articles
        if from_seq < article.seq <= cut_seq
        and (not topics or not topics.isdisjoint(article.topics))
    ]
    items: list[Item] = []
    shown = 0
    for article in mine:
        if article.state is not ArticleState.PUBLISHED:
            outcome = ItemOutcome.WITHDRAWN
        elif shown < max_items:
            outcome = ItemOutcome.MAILED
            shown += 1
        else:
            outcome = ItemOutcome.AND_MORE
        items.append(Item(article.id, article.revision, outcome))
    return items if shown else []


def content_key(items: Sequence[Item], language: str, theme: str) -> str:
    """Digest of what decides a mail's content; readers with equal keys share one cohort."""
    content = ",".join(f"{item.article_id}.{item.revision}.{item.outcome}" for item in items)
    return hashlib.sha256(f"{language}|{theme}|{content}".encode()).hexdigest()
