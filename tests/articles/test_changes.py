"""What a scan means: a table of cases, and what holds for all of them."""

import pytest
from article_builders import make_raw, make_scan
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.articles.changes import (
    Change,
    ChangeKind,
    Changes,
    StoredItem,
    decide_changes,
    gone_fingerprint,
    known_fingerprints,
)
from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import ArticleState, Scan


def fingerprint(text: str) -> str:
    return make_raw(text).fingerprint


def hold(
    files: dict[str, str], state: ArticleState = ArticleState.PUBLISHED
) -> dict[str, StoredItem]:
    """Articles made from these files; ids in the order of the keys."""
    return {
        key: StoredItem(number, key, fingerprint(text), state)
        for number, (key, text) in enumerate(files.items(), 1)
    }


def gone(key: str, text: str, article_id: int = 99) -> StoredItem:
    return StoredItem(article_id, key, gone_fingerprint(fingerprint(text)), ArticleState.WITHDRAWN)


def decide(
    files: dict[str, str],
    stored: dict[str, StoredItem],
    broken: dict[str, str] | None = None,
    *,
    allow_mass_withdrawal: bool = False,
    scan: Scan | None = None,
) -> Changes:
    return decide_changes(
        scan or make_scan(files),
        stored,
        {key: fingerprint(text) for key, text in (broken or {}).items()},
        first_scan=False,
        allow_mass_withdrawal=allow_mass_withdrawal,
    )


def told(changes: Changes) -> list[tuple[str, str, int | None]]:
    return [
        (one.kind.value, one.key, one.stored.article_id if one.stored else None)
        for one in changes.changes
    ]


TEN = {f"{number}.md": f"text {number}" for number in range(10)}


def test_a_key_never_seen_is_new() -> None:
    assert told(decide({"a": "1"}, {})) == [("new", "a", None)]


def test_other_bytes_are_a_change() -> None:
    assert told(decide({"a": "2"}, hold({"a": "1"}))) == [("changed", "a", 1)]


def test_equal_bytes_are_nothing_to_do() -> None:
    changes = decide(TEN, hold(TEN))
    assert (changes.changes, changes.unchanged) == ((), 10)


def test_a_missing_key_is_withdrawn() -> None:
    files = dict(TEN)
    del files["3.md"]
    assert told(decide(files, hold(TEN))) == [("withdrawn", "3.md", 4)]


def test_equal_bytes_under_a_new_key_are_a_rename() -> None:
    assert told(decide({"b": "1"}, hold({"a": "1"}))) == [("renamed", "b", 1)]


def test_a_whole_folder_that_moves_is_renamed_and_not_lost() -> None:
    moved = {f"new/{key}": text for key, text in TEN.items()}
    changes = decide(moved, hold(TEN))
    assert {(one.key, one.stored.key) for one in changes.changes if one.stored} == {
        (f"new/{key}", key) for key in TEN
    }
    assert len(changes.of(ChangeKind.RENAMED)) == 10


def test_a_copy_is_a_new_article() -> None:
    assert told(decide({"a": "1", "b": "1"}, hold({"a": "1"}))) == [("new", "b", None)]


def test_of_equal_files_that_move_namesakes_belong_together() -> None:
    stored = hold({"old/x.md": "same", "old/y.md": "same"})
    assert told(decide({"new/y.md": "same", "new/x.md": "same"}, stored)) == [
        ("renamed", "new/x.md", 1),
        ("renamed", "new/y.md", 2),
    ]


def test_of_two_equal_files_one_of_which_moves_the_other_is_withdrawn() -> None:
    stored = hold({**TEN, "x": "same", "y": "same"})
    assert told(decide({**TEN, "z": "same"}, stored)) == [
        ("renamed", "z", 11),
        ("withdrawn", "y", 12),
    ]


def test_an_article_that_is_back_has_returned() -> None:
    assert told(decide({"a": "1"}, {"a": gone("a", "1")})) == [("returned", "a", 99)]


def test_an_article_that_is_back_under_another_key_has_moved_and_returned() -> None:
    assert told(decide({"b": "1"}, {"a": gone("a", "1")})) == [
        ("renamed", "b", 99),
        ("returned", "b", 99),
    ]


def test_an_article_withdrawn_though_its_file_is_there_stays_withdrawn() -> None:
    stored = hold({"a": "1"}, ArticleState.WITHDRAWN)
    assert decide({"a": "1"}, stored).changes == ()
    assert told(decide({"a": "2"}, stored)) == [("changed", "a", 1)]


def test_what_has_long_been_gone_is_not_withdrawn_again() -> None:
    changes = decide(TEN, {**hold(TEN), "a": gone("a", "1")})
    assert (changes.changes, changes.unchanged) == ((), 10)


def test_a_key_that_was_not_read_stays_as_it_is() -> None:
    scan = Scan("blog", {"a": fingerprint("1"), "b": ""}, ())
    changes = decide({}, hold({"a": "1"}), scan=scan)
    assert (changes.changes, changes.unchanged) == ((), 1)


def test_a_broken_file_is_read_again_only_when_it_changes() -> None:
    stored = hold({"a": "good"})
    assert decide({"a": "bad"}, stored, {"a": "bad"}).changes == ()
    assert told(decide({"a": "mended"}, stored, {"a": "bad"})) == [("changed", "a", 1)]


def test_a_broken_file_put_back_as_it_was_settles_its_problem() -> None:
    changes = decide({"a": "good"}, hold({"a": "good"}), {"a": "bad"})
    assert (changes.changes, changes.settled) == ((), ("a",))


def test_a_broken_file_that_is_deleted_settles_its_problem() -> None:
    assert decide({}, {}, {"a": "bad"}).settled == ("a",)


def test_a_broken_file_that_moves_keeps_its_article() -> None:
    assert told(decide({"b": "bad"}, hold({"a": "good"}), {"a": "bad"})) == [
        ("renamed", "b", 1),
        ("changed", "b", 1),
    ]


@pytest.mark.parametrize(
    ("held", "lost", "refused"),
    [
        (1, 1, False),
        (3, 1, False),
        (3, 2, True),
        (3, 3, True),
        (10, 2, False),
        (10, 3, True),
        (100, 20, False),
        (100, 21, True),
    ],
)
def test_more_than_one_article_and_more_than_a_fifth_at_once_is_not_believed(
    held: int, lost: int, refused: bool
) -> None:
    files = {f"{number:03}.md": f"text {number}" for number in range(held)}
    left = dict(list(files.items())[lost:])
    if not refused:
        assert len(decide(left, hold(files)).of(ChangeKind.WITHDRAWN)) == lost
        return
    with pytest.raises(SourceUnavailable, match=f"{lost} of {held} articles"):
        decide(left, hold(files))
    allowed = decide(left, hold(files), allow_mass_withdrawal=True)
    assert len(allowed.of(ChangeKind.WITHDRAWN)) == lost


def test_articles_withdrawn_before_do_not_count_as_lost() -> None:
    stored = {**hold(TEN), **{f"g{n}": gone(f"g{n}", f"g{n}", 100 + n) for n in range(50)}}
    files = dict(list(TEN.items())[2:])
    assert len(decide(files, stored).of(ChangeKind.WITHDRAWN)) == 2


def test_unreadable_files_count_as_present() -> None:
    scan = Scan("blog", dict.fromkeys(TEN, ""), ())
    assert decide({}, hold(TEN), scan=scan).changes == ()


def test_a_source_is_told_what_need_not_be_read() -> None:
    stored = {**hold({"a": "1", "b": "2"}), "c": gone("c", "3")}
    assert known_fingerprints(stored, {"b": "bad", "d": "bad"}) == {
        "a": fingerprint("1"),
        "b": "bad",
        "d": "bad",
    }


def test_changes_come_in_batches() -> None:
    changes = decide(TEN, {})
    assert [len(batch) for batch in changes.batches(4)] == [4, 4, 2]


KEYS = st.sampled_from(["a", "b", "c", "x/a", "x/b", "d"])
FILES = st.dictionaries(KEYS, st.sampled_from(["1", "2", "3"]))


@given(FILES, FILES, st.sets(KEYS), FILES)
def test_every_key_and_every_article_is_dealt_with_once(
    files: dict[str, str], held: dict[str, str], gone_keys: set[str], broken: dict[str, str]
) -> None:
    stored = {
        key: gone(key, text, number) if key in gone_keys else hold({key: text})[key]
        for number, (key, text) in enumerate(held.items(), 100)
    }
    known = {k: v for k, v in broken.items() if k not in stored or not stored[k].is_gone}
    changes = decide(files, stored, known, allow_mass_withdrawal=True)
    assert decide(files, stored, known, allow_mass_withdrawal=True) == changes
    homes: dict[str, str | None] = {key: key for key in stored}
    for change in changes.changes:
        _carry_out(change, homes)
    new = {change.key for change in changes.of(ChangeKind.NEW)}
    present = [key for key in homes.values() if key is not None]
    assert len(present) == len(set(present))
    for key, text in files.items():
        assert known.get(key) == text or (key in present) != (key in new)


def _carry_out(change: Change, homes: dict[str, str | None]) -> None:
    """Follow each article, named by the key it was stored under, to the key it has at last."""
    if change.kind is ChangeKind.RENAMED:
        assert change.stored is not None
        homes[change.stored.key] = change.key
    if change.kind is ChangeKind.WITHDRAWN:
        assert change.stored is not None
        homes[change.stored.key] = None
