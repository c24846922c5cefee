"""Decides what a scan means for the articles we hold. Pure.

new, changed, unchanged, withdrawn; renamed (the same bytes under another key); returned (an
article that was withdrawn because it was gone, and is back).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import ArticleState, RawItem, Scan

#: A source that has lost more than this share of its articles at one scan is not believed.
MAX_LOST_PERCENT = 20
#: So many may always vanish: in a source of three, one deleted file is no catastrophe.
ALWAYS_LOSABLE = 1
#: Changes written in one transaction.
BATCH_SIZE = 500

_GONE = "-"


class ChangeKind(StrEnum):
    """What is to be done about one key of a source."""

    #: The same bytes under a new key: same article, same guid. Comes before all others.
    RENAMED = "renamed"
    #: A key never seen, or never readable before.
    NEW = "new"
    #: Other bytes than at the last scan; a reader may see no difference.
    CHANGED = "changed"
    #: Back after it had been gone.
    RETURNED = "returned"
    #: Gone from its source.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class StoredItem:
    """What we hold of one key. `fingerprint` is that of the bytes its article was read from."""

    article_id: int
    key: str
    fingerprint: str
    state: ArticleState

    @property
    def is_gone(self) -> bool:
        """Whether its key was missing at the last scan."""
        return self.fingerprint.startswith(_GONE)


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
    #: No scan of this source has been carried out to its end before.
    first_scan: bool = False

    def of(self, kind: ChangeKind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind is kind)

    def batches(self, size: int = BATCH_SIZE) -> Iterator[tuple[Change, ...]]:
        """The changes in order, in pieces of at most `size`."""
        for start in range(0, len(self.changes), size):
            yield self.changes[start : start + size]


def gone_fingerprint(fingerprint: str) -> str:
    """The fingerprint of an article whose key is missing; still tells which bytes it had."""
    return fingerprint if fingerprint.startswith(_GONE) else (_GONE + fingerprint)[:64]


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
) -> Changes:
    """Compare what a source holds with what we hold of it.

    A key that is present but was not read (unreadable, being written) stays as it is. A broken
    new version keeps the last good one. An article withdrawn for another reason than being gone
    stays withdrawn until its bytes change.

    Args:
        scan: what the source saw, made with `known_fingerprints(stored, broken)`.
        stored: what we hold, by key; withdrawn articles too.
        broken: key -> fingerprint of bytes that could not be read as an article.
        first_scan: no scan of this source has been carried out to its end before.
        allow_mass_withdrawal: believe the source whatever it has lost.

    Raises:
        SourceUnavailable: more than one article and more than a fifth of them have vanished at
            once. Nothing is to be withdrawn, nor anything else done.
    """
    items = {item.key: item for item in scan.items}
    vanished = {
        key: one for key, one in stored.items() if key not in scan.present and not one.is_gone
    }
    renamed = _match_renames(scan, stored, broken, vanished)
    taken = {change.stored.key for change in renamed if change.stored is not None}
    lost = [one for key, one in sorted(vanished.items()) if key not in taken]
    _check_loss(scan.source, lost, stored.values(), allow_mass_withdrawal=allow_mass_withdrawal)
    changes = [
        *renamed,
        *_read_anew(items, stored, broken, {change.key: change for change in renamed}),
        *(Change(ChangeKind.WITHDRAWN, one.key, stored=one) for one in lost),
    ]
    touched = {change.stored.key for change in changes if change.stored is not None}
    return Changes(
        source=scan.source,
        changes=tuple(changes),
        unchanged=sum(1 for key, one in stored.items() if key not in touched and not one.is_gone),
        settled=_settled(scan, stored, broken),
        first_scan=first_scan,
    )


def _read_anew(
    items: Mapping[str, RawItem],
    stored: Mapping[str, StoredItem],
    broken: Mapping[str, str],
    renamed: Mapping[str, Change],
) -> Iterator[Change]:
    for key, item in sorted(items.items()):
        if broken.get(key) == item.fingerprint:
            continue
        one = stored.get(key)
        if key in renamed:
            one = renamed[key].stored
            if one is not None and not one.is_gone and one.fingerprint == item.fingerprint:
                continue
        if one is None:
            yield Change(ChangeKind.NEW, key, item)
        elif one.is_gone:
            yield Change(ChangeKind.RETURNED, key, item, one)
        elif one.fingerprint != item.fingerprint:
            yield Change(ChangeKind.CHANGED, key, item, one)


def _match_renames(
    scan: Scan,
    stored: Mapping[str, StoredItem],
    broken: Mapping[str, str],
    vanished: Mapping[str, StoredItem],
) -> list[Change]:
    """Pair missing keys with new keys of equal bytes, each at most once.

    Of several with the same bytes, those of the same file name belong together, then the others
    in the order of their keys; what vanished just now goes before what has long been gone.
    """
    arrived: dict[str, list[str]] = {}
    for key, fingerprint in sorted(scan.present.items()):
        if key not in stored and key not in broken and fingerprint:
            arrived.setdefault(gone_fingerprint(fingerprint), []).append(key)
    missing: dict[str, list[StoredItem]] = {}
    gone = (one for _, one in sorted(stored.items()) if one.is_gone and one.key not in scan.present)
    for one in [*(one for _, one in sorted(vanished.items())), *gone]:
        last_seen = gone_fingerprint(broken.get(one.key, one.fingerprint))
        if last_seen in arrived:
            missing.setdefault(last_seen, []).append(one)
    pairs = [
        pair
        for fingerprint, candidates in missing.items()
        for pair in _pair(candidates, arrived[fingerprint])
    ]
    return [Change(ChangeKind.RENAMED, key, stored=one) for one, key in pairs]


def _pair(missing: list[StoredItem], keys: list[str]) -> Iterator[tuple[StoredItem, str]]:
    left, free = list(missing), list(keys)
    for one in missing:
        namesake = next((key for key in free if _name(key) == _name(one.key)), None)
        if namesake is not None:
            yield one, namesake
            left.remove(one)
            free.remove(namesake)
    yield from zip(left, free, strict=False)


def _name(key: str) -> str:
    return key.rpartition("/")[2]


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


def _settled(
    scan: Scan, stored: Mapping[str, StoredItem], broken: Mapping[str, str]
) -> tuple[str, ...]:
    over = []
    for key in sorted(broken):
        good = stored[key].fingerprint if key in stored else None
        present = scan.present.get(key)
        if present is None or present == good:
            over.append(key)
    return tuple(over)
