"""Decides what a scan means for the articles we hold. Pure.

new, changed, unchanged, withdrawn; renamed (the same bytes under another key); returned (an
article that was withdrawn because it was gone, and is back); read again (the same bytes, by other
settings or a newer reader).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from feedsvc.articles.moves import StoredItem, match_moves
from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import ArticleState, RawItem, Scan

#: A source that has lost more than this share of its articles at one scan is not believed.
MAX_LOST_PERCENT = 20
#: So many may always vanish: in a source of three, one deleted file is no catastrophe.
ALWAYS_LOSABLE = 1
#: So many first articles of a source that was empty are news; more at once are its archive.
ALWAYS_NEWS = 3
#: Changes written in one transaction.
BATCH_SIZE = 500


class ChangeKind(StrEnum):
    """What is to be done about one key of a source."""

    #: The same bytes under another key: same article, same guid. Comes before all others.
    RENAMED = "renamed"
    #: A key never seen, or never readable before, or that another article has left.
    NEW = "new"
    #: Other bytes than at the last scan; a reader may see no difference.
    CHANGED = "changed"
    #: The same bytes, which may mean something else now.
    READ_AGAIN = "read again"
    #: There again after its article had been gone; whether it is the same, its words decide.
    RETURNED = "returned"
    #: Gone from its source.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do. `item` is None when there is nothing to read (renamed, withdrawn)."""

    kind: ChangeKind
    #: The key it has from now on.
    key: str
    item: RawItem | None = None
    stored: StoredItem | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything one scan asks for, in the order in which it is to be done."""

    source: str
    changes: tuple[Change, ...]
    #: Articles that stay as they are.
    unchanged: int
    #: Keys whose known problem is over: gone, or as they were when they could be read.
    settled: tuple[str, ...]
    #: What is new is not announced: no scan of this source has been carried out to its end
    #: before, or the source was empty until now and holds an archive all at once.
    first_scan: bool = False

    def of(self, kind: ChangeKind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind is kind)

    def batches(self, size: int = BATCH_SIZE) -> Iterator[tuple[Change, ...]]:
        """The changes in order, in pieces of at most `size`.

        Renames that make room for one another stay in one piece, however many they are.
        """
        batch: list[Change] = []
        for inseparable in self._inseparable():
            if batch and len(batch) + len(inseparable) > size:
                yield tuple(batch)
                batch = []
            batch += inseparable
        if batch:
            yield tuple(batch)

    def _inseparable(self) -> Iterator[list[Change]]:
        yield from _chains(self.of(ChangeKind.RENAMED))
        yield from ([one] for one in self.changes if one.kind is not ChangeKind.RENAMED)


def known_fingerprints(
    stored: Mapping[str, StoredItem], broken: Mapping[str, str]
) -> dict[str, str]:
    """What a source needs to know so that it reads only what is new to us: key -> fingerprint."""
    known = {key: one.fingerprint for key, one in stored.items() if not one.is_gone}
    return {**known, **broken}


def decide_changes(
    scan: Scan,
    stored: Mapping[str, StoredItem],
    broken: Mapping[str, str],
    *,
    first_scan: bool,
    allow_mass_withdrawal: bool,
    read_again: bool = False,
) -> Changes:
    """Compare what a source holds with what we hold of it.

    A key that is present but was not read (unreadable, being written) stays as it is. A broken
    new version keeps the last good one. An article withdrawn for another reason than being gone
    stays withdrawn until its bytes change.

    While a file is being written nobody can say whether equal bytes elsewhere are its copy or
    itself under a new name, nor whether a missing article will turn out to be that file. So an
    unsettled scan withdraws nothing, and leaves what may be a copy to the next one.

    Args:
        scan: what the source saw, made with `known_fingerprints(stored, broken)`.
        stored: what we hold, by key; withdrawn articles too.
        broken: key -> fingerprint of bytes that could not be read as an article.
        first_scan: no scan of this source has been carried out to its end before.
        allow_mass_withdrawal: believe the source whatever it has lost.
        read_again: what is known by its fingerprint is to be read all the same.

    Raises:
        SourceUnavailable: more than one article and more than a fifth of them have vanished at
            once. Nothing is to be withdrawn, nor anything else done.
    """
    comparison = _Comparison(scan, stored, broken, match_moves(scan.present, stored, broken))
    lost = comparison.lost()
    _check_loss(scan.source, lost, stored.values(), allow_mass_withdrawal=allow_mass_withdrawal)
    changes = (
        *comparison.renamed(),
        *comparison.read(read_again=read_again),
        *(Change(ChangeKind.WITHDRAWN, one.key, stored=one) for one in lost),
    )
    touched = {change.stored.key for change in changes if change.stored is not None}
    new = sum(1 for change in changes if change.kind is ChangeKind.NEW)
    return Changes(
        source=scan.source,
        changes=changes,
        unchanged=sum(1 for key, one in stored.items() if key not in touched and not one.is_gone),
        settled=comparison.settled(),
        first_scan=first_scan or (not stored and new > ALWAYS_NEWS),
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What a source holds, beside what we hold of it. `moves`: new key -> the article there."""

    scan: Scan
    stored: Mapping[str, StoredItem]
    broken: Mapping[str, str]
    moves: Mapping[str, StoredItem]

    def renamed(self) -> Iterator[Change]:
        for key, one in self.moves.items():
            yield Change(ChangeKind.RENAMED, key, stored=one)

    def lost(self) -> list[StoredItem]:
        """The articles that are nowhere any more: missing, or driven out by another."""
        if self.scan.unsettled:
            return []
        moved = {one.key for one in self.moves.values()}
        return [
            one
            for key, one in sorted(self.stored.items())
            if not one.is_gone
            and key not in moved
            and (key not in self.scan.present or key in self.moves)
        ]

    def read(self, *, read_again: bool) -> Iterator[Change]:
        """What is to be made of each item that was read."""
        moved = {one.key for one in self.moves.values()}
        copies = self._live_fingerprints() if self.scan.unsettled else frozenset()
        for item in sorted(self.scan.items, key=lambda item: item.key):
            key = item.key
            one = self.moves.get(key) or (self.stored.get(key) if key not in moved else None)
            is_same = one is not None and one.fingerprint == item.fingerprint
            is_known = is_same or self.broken.get(key) == item.fingerprint
            if (is_known and not read_again) or (item.fingerprint in copies and not is_known):
                continue
            if one is None:
                yield Change(ChangeKind.NEW, key, item)
            elif one.is_gone:
                yield Change(ChangeKind.RETURNED, key, item, one)
            else:
                kind = ChangeKind.READ_AGAIN if is_same else ChangeKind.CHANGED
                yield Change(kind, key, item, one)

    def settled(self) -> tuple[str, ...]:
        over = []
        for key in sorted(self.broken):
            one = self.moves.get(key) or self.stored.get(key)
            present = self.scan.present.get(key)
            if present is None or (one is not None and present == one.fingerprint):
                over.append(key)
        return tuple(over)

    def _live_fingerprints(self) -> frozenset[str]:
        live = [one for one in self.stored.values() if not one.is_gone]
        return frozenset(
            fingerprint
            for one in live
            for fingerprint in (one.fingerprint, self.broken.get(one.key))
            if fingerprint is not None
        )


def _chains(renamed: Iterable[Change]) -> Iterator[list[Change]]:
    """Renames by what makes room for what; each key is left by one article and taken by one."""
    leaving = {change.stored.key: change for change in renamed if change.stored is not None}
    taking = {change.key: change for change in leaving.values()}
    done: set[str] = set()
    for change in taking.values():
        if change.key in done:
            continue
        first = change
        while (before := taking.get(_home(first))) is not None and before is not change:
            first = before
        chain = [first]
        while (after := leaving.get(chain[-1].key)) is not None and after is not first:
            chain.append(after)
        done.update(one.key for one in chain)
        yield chain


def _home(change: Change) -> str:
    return change.stored.key if change.stored is not None else change.key


def _check_loss(
    source: str,
    lost: list[StoredItem],
    stored: Iterable[StoredItem],
    *,
    allow_mass_withdrawal: bool,
) -> None:
    held = sum(1 for one in stored if one.state is not ArticleState.WITHDRAWN)
    missing = [one for one in lost if one.state is not ArticleState.WITHDRAWN]
    if allow_mass_withdrawal or len(missing) <= ALWAYS_LOSABLE:
        return
    if len(missing) * 100 > held * MAX_LOST_PERCENT:
        raise SourceUnavailable(
            f"source {source}: {len(missing)} of {held} articles are missing, such as"
            f" {missing[0].key}; nothing has been withdrawn. Bring them back, or, if they are meant"
            f" to go, set sources.{source}.allow_mass_withdrawal = true until they have gone"
        )
