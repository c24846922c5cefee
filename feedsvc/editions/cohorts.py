"""For whom a mail is the same. Pure: groups of readers in, cohorts out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feedsvc.editions.compose import (
    ArticleFacts,
    Item,
    Rules,
    arrange,
    content_key,
    count_new,
    select_items,
)
from feedsvc.model.edition import GroupOutcome


@dataclass(frozen=True, slots=True)
class ReaderGroup:
    """Subscribers who stand at the same point with the same choices, however many they are."""

    from_seq: int
    topics: tuple[str, ...]
    language: str
    #: Periods whose articles, too few for a mail, were carried over.
    carried: int = 0
    #: Which older articles of new stories they got, as bits (see compose.Rules.told).
    had: int = 0
    readers: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """A mail to be rendered once, for all readers of its groups."""

    key: str
    language: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why the readers of a group get no mail, and what became of each of their articles."""

    outcome: GroupOutcome
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which cohort each group belongs to, and the groups that get no mail."""

    cohorts: Mapping[str, CohortPlan] = field(default_factory=dict)
    cohort_of: Mapping[ReaderGroup, str] = field(default_factory=dict)
    left_out: Mapping[ReaderGroup, LeftOut] = field(default_factory=dict)


class Selector:
    """Decides for each group of readers what they get; once for groups that stand alike."""

    def __init__(self, articles: Sequence[ArticleFacts], rules: Rules, cut_seq: int) -> None:
        """`articles` are what the newsletter holds, in any order."""
        self.rules, self.cut_seq = rules, cut_seq
        self._arranged = arrange(articles, rules)
        self._chosen: dict[ReaderGroup, CohortPlan | LeftOut] = {}

    def choose(self, group: ReaderGroup) -> CohortPlan | LeftOut:
        """The mail of a group, or why there is none."""
        if (chosen := self._chosen.get(group)) is None:
            chosen = self._chosen[group] = self._choose(group)
        return chosen

    def _choose(self, group: ReaderGroup) -> CohortPlan | LeftOut:
        items = select_items(
            self._arranged,
            self.rules,
            from_seq=group.from_seq,
            cut_seq=self.cut_seq,
            topics=frozenset(group.topics),
            had=group.had,
        )
        new = count_new(items)
        if not new:
            return LeftOut(GroupOutcome.NOTHING, tuple(items))
        if new < self.rules.min_items and group.carried < self.rules.carry_max:
            return LeftOut(GroupOutcome.CARRIED, tuple(items))
        key = content_key(items, group.language, self.rules)
        return CohortPlan(key, group.language, tuple(items))


def group_readers(groups: Iterable[ReaderGroup], selector: Selector) -> Grouping:
    """Which mail each group gets; groups whose mails would be equal share one."""
    cohorts: dict[str, CohortPlan] = {}
    cohort_of: dict[ReaderGroup, str] = {}
    left_out: dict[ReaderGroup, LeftOut] = {}
    for group in groups:
        chosen = selector.choose(group)
        if isinstance(chosen, LeftOut):
            left_out[group] = chosen
        else:
            cohorts.setdefault(chosen.key, chosen)
            cohort_of[group] = chosen.key
    return Grouping(cohorts, cohort_of, left_out)


def drop_all(groups: Iterable[ReaderGroup]) -> Grouping:
    """Nobody is mailed, and what was in the window is not mailed any more."""
    dropped = LeftOut(GroupOutcome.DROPPED)
    return Grouping(left_out=dict.fromkeys(groups, dropped))
