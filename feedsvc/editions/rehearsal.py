"""What an edition would be: values, and how they are counted. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from feedsvc.editions.cohorts import CohortPlan, Grouping, ReaderGroup, Selector
from feedsvc.editions.composing import Composing
from feedsvc.model.edition import EditionState, GroupOutcome

#: What becomes of the articles of readers for whom there are too few.
CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class RehearsedWave:
    """A wave as it would be composed, with all that was decided about its readers."""

    composing: Composing
    groups: Sequence[ReaderGroup]
    #: Decides for any further group.
    selector: Selector
    grouping: Grouping
    #: Why the others get nothing -> how many.
    left_out: Mapping[str, int]
    #: Language -> pinned notes.
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def due_at(self) -> datetime:
        """When it would be."""
        return self.composing.wave.due_at

    @property
    def zone(self) -> str:
        """IANA name."""
        return self.composing.wave.zone

    @property
    def readers(self) -> int:
        """How many would be mailed."""
        return sum(group.readers for group in self.grouping.cohort_of)


@dataclass(frozen=True, slots=True)
class RehearsedCohort:
    """Readers who would get the same mail."""

    plan: CohortPlan
    #: In which it would first be rendered.
    wave: RehearsedWave
    readers: int


@dataclass(frozen=True, slots=True)
class RehearsedArticle:
    """An article that is decided about, and for how many readers it comes to what."""

    id: int
    title: str
    section: str | None
    published_at: datetime
    #: It is not published yet, and will be by then.
    scheduled: bool
    #: Outcome, or `carried` -> readers.
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One schedule's edition as it would be."""

    newsletter: str
    schedule: str
    label: str
    #: IANA name of the zone its times are told in.
    zone: str
    own_zone: bool
    #: When it comes due next, in the first zone; None: never, or once an article is there.
    next_due_at: datetime | None
    #: The edition that is there already, such as a draft.
    edition_id: int | None
    edition_state: EditionState | None
    #: By due time.
    waves: tuple[RehearsedWave, ...]
    #: The one with most readers first.
    cohorts: tuple[RehearsedCohort, ...]
    articles: tuple[RehearsedArticle, ...]
    left_out: Mapping[str, int]
    #: Editions of this schedule that come due before; what they mail is counted here, too.
    before: int = 0

    @property
    def readers(self) -> int:
        """How many would be mailed."""
        return sum(wave.readers for wave in self.waves)

    @property
    def cut_seq(self) -> int:
        """Number of the newest article it would reach to."""
        return max((one.composing.wave.cut_seq for one in self.waves), default=0)


def join_cohorts(waves: Iterable[RehearsedWave]) -> tuple[RehearsedCohort, ...]:
    """The different mails of an edition; of waves with equal ones the first renders it."""
    found: dict[str, RehearsedCohort] = {}
    for wave in waves:
        counts = Counter[str]()
        for group, key in wave.grouping.cohort_of.items():
            counts[key] += group.readers
        for key, readers in counts.items():
            known = found.get(key)
            plan, first = wave.grouping.cohorts[key], known.wave if known else wave
            found[key] = RehearsedCohort(plan, first, readers + (known.readers if known else 0))
    return tuple(sorted(found.values(), key=lambda one: (-one.readers, one.plan.key)))


def count_outcomes(waves: Iterable[RehearsedWave]) -> dict[int, dict[str, int]]:
    """Article id -> what becomes of it -> for how many readers."""
    counts: dict[int, dict[str, int]] = {}

    def count(article_id: int, outcome: str, readers: int) -> None:
        of = counts.setdefault(article_id, {})
        of[outcome] = of.get(outcome, 0) + readers

    for wave in waves:
        for group, key in wave.grouping.cohort_of.items():
            for item in wave.grouping.cohorts[key].items:
                count(item.article_id, item.outcome.value, group.readers)
        for group, left_out in wave.grouping.left_out.items():
            carried = left_out.outcome is GroupOutcome.CARRIED
            for item in left_out.items:
                count(item.article_id, CARRIED if carried else item.outcome.value, group.readers)
    return counts


def add_up(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, added up; none that is zero."""
    total = Counter[str]()
    for one in several:
        total.update(one)
    return {name: count for name, count in sorted(total.items()) if count}
