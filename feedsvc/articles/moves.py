"""Finds the articles that stand under another key than before: the same bytes elsewhere. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from feedsvc.model.article import ArticleState

_GONE = "-"
#: Where keys begin that have been freed; a source's own keys are relative, so none begins so.
_FREED = "/gone/"
_MAX_KEY_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class StoredItem:
    """What we hold of one key. `fingerprint` is that of the bytes its article was read from."""

    article_id: int
    key: str
    fingerprint: str
    state: ArticleState

    @property
    def is_gone(self) -> bool:
        """Whether its key was missing at the last scan, or held something else."""
        return is_gone(self.fingerprint)


def is_gone(fingerprint: str) -> bool:
    """Whether a fingerprint is that of an article that is gone."""
    return fingerprint.startswith(_GONE)


def gone_fingerprint(fingerprint: str) -> str:
    """The fingerprint of an article whose key is missing; still tells which bytes it had."""
    return fingerprint if is_gone(fingerprint) else (_GONE + fingerprint)[:64]


def freed_key(article_id: int, key: str) -> str:
    """A key that no source will ever name, for an article whose own key is another's now."""
    return key if key.startswith(_FREED) else f"{_FREED}{article_id}/{key}"[:_MAX_KEY_LENGTH]


def match_moves(
    present: Mapping[str, str], stored: Mapping[str, StoredItem], broken: Mapping[str, str]
) -> dict[str, StoredItem]:
    """The key an article stands under now -> that article as we hold it.

    Fingerprints decide, not whether a key was known before: files are rotated (latest -> day 1,
    and a new latest), moved up by one, or swapped. An article whose own key still holds it has
    not moved; its bytes elsewhere are a copy. Among equal bytes each is matched once, by these
    rules in turn: what is missing goes before what has other bytes under its key now, the present
    version of a broken file before its last good one, and an article that has long been gone
    comes last, and never drives out another. The same file name belongs together, then the order
    of the keys decides.

    Args:
        present: key -> fingerprint of what is there; "" where it is not known.
        stored: what we hold, by key; withdrawn articles too.
        broken: key -> fingerprint of bytes that could not be read as an article.
    """
    matching = _Matching(present, stored, broken)
    away = [one for key, one in sorted(stored.items()) if not matching.stays(one)]
    live = [one for one in away if not one.is_gone]
    missing = [one for one in live if one.key not in present]
    overwritten = [one for one in live if one.key in present]
    for some in (missing, overwritten):
        matching.pair({one.key: broken.get(one.key, one.fingerprint) for one in some})
    matching.pair({one.key: one.fingerprint for one in live})
    matching.keep_returns_and_neighbours()
    matching.pair({one.key: one.fingerprint for one in away if one.is_gone})
    return matching.moves


class _Matching:
    """The keys whose bytes have come there since the last scan, and who has got them so far."""

    def __init__(
        self,
        present: Mapping[str, str],
        stored: Mapping[str, StoredItem],
        broken: Mapping[str, str],
    ) -> None:
        self._present, self._stored, self._broken = present, stored, broken
        self.moves: dict[str, StoredItem] = {}
        self._matched: set[str] = set()
        #: Fingerprint as of something gone -> keys where such bytes have arrived.
        self._arrived: dict[str, list[str]] = {}
        for key, fingerprint in sorted(present.items(), key=self._returns_last):
            if fingerprint and fingerprint != broken.get(key) and not self._is_as_stored(key):
                self._arrived.setdefault(gone_fingerprint(fingerprint), []).append(key)

    def stays(self, one: StoredItem) -> bool:
        """Whether an article's own key still holds it, as far as is known."""
        if one.is_gone or one.key not in self._present:
            return False
        held = self._present[one.key]
        return not held or held in (one.fingerprint, self._broken.get(one.key))

    def pair(self, wanted: Mapping[str, str]) -> None:
        """Give arrived keys to articles not matched yet: own key -> fingerprint, in order."""
        candidates: dict[str, list[StoredItem]] = {}
        for key, fingerprint in wanted.items():
            if key not in self._matched and gone_fingerprint(fingerprint) in self._arrived:
                same = candidates.setdefault(gone_fingerprint(fingerprint), [])
                same.append(self._stored[key])
        for fingerprint, ones in candidates.items():
            free = self._arrived[fingerprint]
            for one, key in list(_pair(ones, free)):
                self.moves[key] = one
                self._matched.add(one.key)
                free.remove(key)

    def keep_returns_and_neighbours(self) -> None:
        """Leave alone keys that are their own gone article's again, or a live article's still."""
        for fingerprint, keys in self._arrived.items():
            self._arrived[fingerprint] = [key for key in keys if self._is_free(key, fingerprint)]

    def _is_free(self, key: str, fingerprint: str) -> bool:
        own = self._stored.get(key)
        if own is None or key in self._matched:
            return True
        if not own.is_gone:
            return False
        if own.fingerprint == fingerprint:
            self._matched.add(key)
            return False
        return True

    def _is_as_stored(self, key: str) -> bool:
        own = self._stored.get(key)
        return own is not None and own.fingerprint == self._present[key]

    def _returns_last(self, item: tuple[str, str]) -> tuple[bool, str]:
        key, fingerprint = item
        own = self._stored.get(key)
        return own is not None and own.fingerprint == gone_fingerprint(fingerprint), key


def _pair(ones: list[StoredItem], keys: list[str]) -> Iterator[tuple[StoredItem, str]]:
    left, free = list(ones), list(keys)
    for one in ones:
        namesake = next((key for key in free if _name(key) == _name(one.key)), None)
        if namesake is not None:
            yield one, namesake
            left.remove(one)
            free.remove(namesake)
    yield from zip(left, free, strict=False)


def _name(key: str) -> str:
    return key.rpartition("/")[2]
