"""For whom a mail is the same. Pure: groups of readers in, cohorts out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feedsvc.editions.compose import ArticleFacts, Item, compose_items, content_key


@dataclass(frozen=True, slots=True)
class ReaderGroup:
    """Subscribers who stand at the same point with the same choices, however many they are."""

    from_seq: int
    topics: tuple[str, ...]
    language: str
    readers: int = 0


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """A mail to be rendered once, for all readers of its groups."""

    key: str
    language: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which cohort each group belongs to, and the groups for whom nothing matched."""

    cohorts: dict[str, CohortPlan]
    cohort_of: dict[ReaderGroup, str]
    nothing_matched: tuple[ReaderGroup, ...]


def group_readers(
    groups: Iterable[ReaderGroup],
    articles: Sequence[ArticleFacts],
    *,
    cut_seq: int,
    max_items: int,
    theme: str,
) -> Grouping:
    """Select each group's articles once, and merge groups whose mails would be equal.

    Args:
        articles: what the newsletter holds, in mail order (see compose.select_announced).
    """
    cohorts: dict[str, CohortPlan] = {}
    cohort_of: dict[ReaderGroup, str] = {}
    nothing: list[ReaderGroup] = []
    for group in groups:
        items = compose_items(
            articles,
            from_seq=group.from_seq,
            cut_seq=cut_seq,
            topics=frozenset(group.topics),
            max_items=max_items,
        )
        if not items:
            nothing.append(group)
            continue
        key = content_key(items, group.language, theme)
        cohorts.setdefault(key, CohortPlan(key, group.language, tuple(items)))
        cohort_of[group] = key
    return Grouping(cohorts, cohort_of, tuple(nothing))
