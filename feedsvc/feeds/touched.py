"""Which feeds a publication is to make again: those that what has changed has to do with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.feeds.archive.store import touched_archives
from feedsvc.feeds.changes import asks_for_text, load_changed, load_holders, touched_feeds
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.states import FeedState, load_states, made_with

#: Changes that are looked at one by one; after more of them every feed is made again.
_MOST_CHANGES = 2000
#: Changes whose whole text is looked at; after more, feeds that ask for it are made again.
_MOST_READ = 100


@dataclass(frozen=True, slots=True)
class Touched:
    """What one publication is to do."""

    #: The instant it happens at, for all that depends on age.
    at: datetime
    #: The number of article changes it takes in.
    change: int
    #: Feeds to make again.
    specs: tuple[FeedSpec, ...]
    #: Every feed there is.
    all_specs: tuple[FeedSpec, ...]
    #: Publication numbers of the articles that have changed; None: of so many that any may have.
    seqs: frozenset[int] | None
    #: Keys of feeds that may lack earlier changes, too.
    due: frozenset[str] = frozenset()
    #: What the feeds were made from before, by key.
    bases: Mapping[str, int] = field(default_factory=dict)

    def seqs_for(self, key: str) -> frozenset[int] | None:
        """Numbers of the articles that have changed since a feed was made; None: not known."""
        return None if key in self.due else self.seqs

    @property
    def untouched(self) -> dict[str, int]:
        """The feeds that stay as they are, by key, and what they were made from."""
        made = {spec.key for spec in self.specs}
        return {key: basis for key, basis in self.bases.items() if key not in made}


async def find_touched(
    session: AsyncSession, specs: Sequence[FeedSpec], change: int, now: datetime
) -> Touched:
    """The feeds that lack a change that concerns them, are configured otherwise, or are to age.

    Args:
        change: the number of article changes, read before.
    """
    states = await load_states(session, [spec.key for spec in specs])
    due = choose_due_feeds(specs, states, now)
    keys = set(due)
    # A feed that is due anyway, such as a new one, needs no look at what it lacks.
    since = min((one.basis for key, one in states.items() if key not in due), default=change)
    seqs: frozenset[int] | None = frozenset()
    if since < change:
        changes = await load_changed(session, since, _MOST_CHANGES + 1)
        if len(changes) <= _MOST_READ and asks_for_text(specs):
            changes = await load_changed(session, since, _MOST_CHANGES + 1, with_text=True)
        if len(changes) > _MOST_CHANGES:
            keys, seqs = {spec.key for spec in specs}, None
        else:
            seqs = frozenset(one.seq for one in changes if one.seq is not None)
            holders = await load_holders(session, [one.id for one in changes])
            keys |= touched_feeds(specs, changes, holders)
            keys |= (await touched_archives(session, seqs)).keys()
    return Touched(
        at=now,
        change=change,
        specs=tuple(spec for spec in specs if spec.key in keys),
        all_specs=tuple(specs),
        seqs=seqs,
        due=frozenset(due),
        bases={key: one.basis for key, one in states.items()},
    )


def choose_due_feeds(
    specs: Sequence[FeedSpec], states: Mapping[str, FeedState], now: datetime
) -> set[str]:
    """Keys of feeds to be made again though no article has changed: also those that failed."""
    return {
        spec.key
        for spec in specs
        if (state := states.get(spec.key)) is None
        or state.made_with != made_with(spec)
        or state.problem is not None
        or (state.renew_at is not None and state.renew_at <= now)
    }
