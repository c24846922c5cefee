"""What is in one reader's mail. Pure: articles, rules and a reader's choices in, outcomes out."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import Curation, ItemOutcome
from feedsvc.model.newsletter import Arrangement, ItemOrder


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
    story: str | None = None
    weight: int = 0

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
            story=article.story,
            weight=article.weight,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One article of a reader's window, with what becomes of it."""

    article_id: int
    revision: int
    outcome: ItemOutcome


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all mails of an edition."""

    max_items: int
    min_items: int = 1
    #: Periods that too few articles may be carried over.
    carry_max: int = 3
    theme: str = "plain"
    arrangement: Arrangement = field(default_factory=Arrangement)
    curation: Curation = field(default_factory=Curation)
    #: Articles kept out of the newsletter for good.
    dropped: frozenset[int] = frozenset()
    #: Language -> a digest of what stands above the articles; nothing where it is missing.
    above: Mapping[str, str] = field(default_factory=dict)
    #: Story -> (bit of `ReaderGroup.had`, number) of its older articles that readers may have got.
    told: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)


def told_by_story(told: Sequence[tuple[str, int, int]]) -> dict[str, list[tuple[int, int]]]:
    """Rules.told, of articles told before as (story, id, number) in the order of their bits."""
    by_story: dict[str, list[tuple[int, int]]] = {}
    for bit, (story, _, seq) in enumerate(told):
        by_story.setdefault(story, []).append((bit, seq))
    return by_story


def above_of(intro: str, notes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Rules.above, of the intro and the notes in each language."""
    return {
        language: hashlib.sha256("\0".join([intro, *texts]).encode()).hexdigest()
        for language, texts in notes.items()
        if intro or texts
    }


def arrange(articles: Iterable[ArticleFacts], rules: Rules) -> list[ArticleFacts]:
    """The articles by importance: those the operator put first, then by the newsletter's order."""
    by_date = sorted(articles, key=lambda one: (one.published_at, one.seq), reverse=True)
    match rules.arrangement.order:
        case ItemOrder.OLDEST:
            by_date.reverse()
        case ItemOrder.WEIGHT:
            by_date.sort(key=lambda one: -one.weight)
        case ItemOrder.NEWEST:
            pass
    place = {article_id: place for place, article_id in enumerate(rules.curation.order)}
    return sorted(by_date, key=lambda one: place.get(one.id, len(place)))


def select_items(
    articles: Sequence[ArticleFacts],
    rules: Rules,
    *,
    from_seq: int,
    cut_seq: int,
    topics: Collection[str] = (),
    had: int = 0,
) -> list[Item]:
    """What a reader with these topics gets of the window `(from_seq, cut_seq]`, in mail order.

    Args:
        articles: what the newsletter holds, as arranged.
        topics: the reader's; empty means all.
        had: which of `rules.told` they got, as bits.

    Returns:
        One outcome for each article that is the reader's.
    """
    mine = [
        one
        for one in articles
        if from_seq < one.seq <= cut_seq and (not topics or not one.topics.isdisjoint(topics))
    ]
    outcomes = {one.id: _outcome(one, rules) for one in mine}
    _tell_once(mine, outcomes, rules, from_seq, had)
    shown = [one for one in mine if outcomes[one.id] is ItemOutcome.MAILED]
    beyond = shown[rules.max_items :]
    outcomes.update((one.id, ItemOutcome.AND_MORE) for one in beyond)
    first = _laid_out(shown[: rules.max_items], rules.arrangement)
    rest = [one for one in mine if outcomes[one.id] is not ItemOutcome.MAILED]
    return [Item(one.id, one.revision, outcomes[one.id]) for one in (*first, *rest)]


def count_new(items: Iterable[Item]) -> int:
    """How many of a reader's articles are news to them, shown or counted."""
    return sum(item.outcome in (ItemOutcome.MAILED, ItemOutcome.AND_MORE) for item in items)


def content_key(items: Sequence[Item], language: str, rules: Rules) -> str:
    """Digest of what decides a mail's content; readers with equal keys share one cohort."""
    content = ",".join(f"{item.article_id}.{item.revision}.{item.outcome}" for item in items)
    whole = "|".join((language, rules.theme, rules.above.get(language, ""), content))
    return hashlib.sha256(whole.encode()).hexdigest()


def _outcome(article: ArticleFacts, rules: Rules) -> ItemOutcome:
    if article.state is not ArticleState.PUBLISHED:
        return ItemOutcome.WITHDRAWN
    if article.id in rules.dropped or article.id in rules.curation.dropped:
        return ItemOutcome.DROPPED
    return ItemOutcome.MAILED


def _tell_once(
    mine: Sequence[ArticleFacts],
    outcomes: dict[int, ItemOutcome],
    rules: Rules,
    from_seq: int,
    had: int,
) -> None:
    """Of one story a reader gets the first article that is theirs, now or in an earlier mail."""
    told = {
        story
        for story, older in rules.told.items()
        if any(had >> bit & 1 and seq <= from_seq for bit, seq in older)
    }
    for one in sorted(mine, key=lambda one: one.seq):
        if one.story is None or outcomes[one.id] is not ItemOutcome.MAILED:
            continue
        if one.story in told:
            outcomes[one.id] = ItemOutcome.DUPLICATE
        told.add(one.story)


def _laid_out(shown: list[ArticleFacts], arrangement: Arrangement) -> list[ArticleFacts]:
    """As they stand in the mail: the lead first, then section by section if that is wanted."""
    if not arrangement.by_section:
        return shown
    lead = 1 if arrangement.lead else 0
    places = {section: place for place, section in enumerate(arrangement.sections)}

    def place(one: ArticleFacts) -> tuple[int, int, str]:
        if one.section is None:
            return 1, 0, ""
        return 0, places.get(one.section, len(places)), one.section

    return shown[:lead] + sorted(shown[lead:], key=place)
