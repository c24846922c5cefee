"""What a scan means: a table of cases, and what holds for all of them."""

import pytest
from article_builders import make_raw, make_scan
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.articles.changes import (
    Change,
    ChangeKind,
    Changes,
    decide_changes,
    known_fingerprints,
)
from feedsvc.articles.moves import StoredItem, gone_fingerprint
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


def test_the_old_name_of_a_moved_file_belongs_to_a_new_article() -> None:
    changes = decide({"day1": "1", "latest": "2"}, hold({"latest": "1"}))
    assert told(changes) == [("renamed", "day1", 1), ("new", "latest", None)]


def test_files_that_trade_places_are_renamed_both() -> None:
    changes = decide({"a": "2", "b": "1"}, hold({"a": "1", "b": "2"}))
    assert sorted(told(changes)) == [("renamed", "a", 2), ("renamed", "b", 1)]


def test_files_that_all_move_up_by_one_leave_the_first_name_to_a_new_article() -> None:
    stored = hold({"1": "a", "2": "b", "3": "c"})
    changes = decide({"1": "new", "2": "a", "3": "b", "4": "c"}, stored)
    assert sorted(told(changes), key=str) == [
        ("new", "1", None),
        ("renamed", "2", 1),
        ("renamed", "3", 2),
        ("renamed", "4", 3),
    ]


def test_what_is_missing_has_moved_rather_than_what_was_written_over() -> None:
    stored = hold({"a": "same", "b": "same"})
    assert told(decide({"a": "edited", "c": "same"}, stored)) == [
        ("renamed", "c", 2),
        ("changed", "a", 1),
    ]


def test_a_file_moved_over_another_drives_that_one_out() -> None:
    stored = hold({**TEN, "a": "1", "b": "2"})
    assert told(decide({**TEN, "b": "1"}, stored)) == [
        ("renamed", "b", 11),
        ("withdrawn", "b", 12),
    ]


def test_articles_driven_out_count_as_lost() -> None:
    held = {f"{n}": f"text {n}" for n in range(6)}
    moved = {f"{n}": f"text {n + 3}" for n in range(3)}
    with pytest.raises(SourceUnavailable, match="3 of 6 articles"):
        decide(moved, hold(held))


def test_a_file_edited_to_the_words_of_one_long_gone_is_an_edit() -> None:
    stored = {**hold({"b": "2"}), "a": gone("a", "1")}
    assert told(decide({"b": "1"}, stored)) == [("changed", "b", 1)]


def test_a_file_renamed_to_the_key_of_a_gone_article_is_a_rename() -> None:
    stored = {**hold({"b": "2"}), "a": gone("a", "1")}
    assert told(decide({"a": "2"}, stored)) == [("renamed", "a", 1)]


def test_a_broken_file_whose_last_good_version_moves_is_a_rename() -> None:
    stored = hold({"a": "good"})
    assert told(decide({"b": "good"}, stored, {"a": "bad"})) == [("renamed", "b", 1)]


def test_a_good_file_moved_over_a_broken_one_settles_its_problem() -> None:
    changes = decide({"b": "good"}, hold({"a": "good"}), {"b": "bad"})
    assert (told(changes), changes.settled) == ([("renamed", "b", 1)], ("b",))


def unsettled(files: dict[str, str], unread: dict[str, str]) -> Scan:
    """A scan that left these keys as they were known, because they are being written."""
    scan = make_scan(files)
    known = {key: fingerprint(text) if text else "" for key, text in unread.items()}
    return Scan("blog", {**scan.present, **known}, scan.items, unsettled=True)


def test_equal_bytes_wait_while_their_first_file_is_being_written() -> None:
    scan = unsettled({"day1": "1", "other": "x"}, {"latest": "1"})
    assert told(decide({}, hold({"latest": "1"}), scan=scan)) == [("new", "other", None)]


def test_an_edit_that_may_be_another_files_move_waits_too() -> None:
    scan = unsettled({"b": "1"}, {"a": "1"})
    assert decide({}, hold({"a": "1", "b": "2"}), scan=scan).changes == ()


def test_nothing_is_withdrawn_while_something_is_being_written() -> None:
    stored = hold(TEN)
    changes = decide({}, stored, scan=unsettled({}, {"new.md": ""}))
    assert (changes.changes, changes.unchanged) == ((), 10)


def test_everything_can_be_read_again() -> None:
    stored = {**hold({"a": "1", "b": "2"}), "d": gone("d", "4")}
    changes = decide_changes(
        make_scan({"a": "1", "c": "2", "e": "bad"}),
        stored,
        {"e": fingerprint("bad")},
        first_scan=False,
        allow_mass_withdrawal=False,
        read_again=True,
    )
    assert told(changes) == [
        ("renamed", "c", 2),
        ("read again", "a", 1),
        ("read again", "c", 2),
        ("new", "e", None),
    ]


@pytest.mark.parametrize(("count", "is_archive"), [(1, False), (3, False), (4, True)])
def test_many_articles_at_once_in_a_source_that_never_held_any_are_its_archive(
    count: int, is_archive: bool
) -> None:
    files = {f"{n}.md": f"text {n}" for n in range(count)}
    assert decide(files, {}).first_scan is is_archive
    assert not decide({**files, "a": "1"}, {"a": gone("a", "1")}).first_scan


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


def test_renames_that_make_room_for_one_another_are_never_parted() -> None:
    ring = {f"{n}": f"text {n}" for n in range(6)}
    turned = {f"{(n + 1) % 6}": f"text {n}" for n in range(6)}
    row = {f"x{n}": f"row {n}" for n in range(3)}
    moved = {f"x{n + 1}": f"row {n}" for n in range(3)}
    changes = decide({**turned, **moved, "n": "new", "m": "newer"}, hold({**ring, **row}))
    batches = [{change.key for change in batch} for batch in changes.batches(4)]
    assert batches == [{"x1", "x2", "x3"}, set(ring), {"m", "n"}]


KEYS = st.sampled_from(["a", "b", "c", "x/a", "x/b", "d"])
FILES = st.dictionaries(KEYS, st.sampled_from(["1", "2", "3", "4", "5"]))


@given(FILES, FILES, st.sets(KEYS), FILES, st.integers(1, 3))
def test_every_key_and_every_article_is_dealt_with_once(
    files: dict[str, str],
    held: dict[str, str],
    gone_keys: set[str],
    broken: dict[str, str],
    size: int,
) -> None:
    stored = {
        key: gone(key, text, number)
        if key in gone_keys
        else StoredItem(number, key, fingerprint(text), ArticleState.PUBLISHED)
        for number, (key, text) in enumerate(held.items(), 100)
    }
    known = {k: v for k, v in broken.items() if k not in stored or not stored[k].is_gone}
    changes = decide(files, stored, known, allow_mass_withdrawal=True)
    assert decide(files, stored, known, allow_mass_withdrawal=True) == changes
    homes: dict[int, str | None] = {one.article_id: key for key, one in stored.items()}
    for batch in changes.batches(size):
        _carry_out(batch, homes)
    live = [key for number, key in homes.items() if key in files]
    assert len(live) == len(set(live)), "two articles under one key"
    new = {change.key for change in changes.of(ChangeKind.NEW)}
    for key, text in files.items():
        assert known.get(key) == text or (key in live) != (key in new)
    _check_identity(files, stored, known, changes, homes)


def _carry_out(batch: tuple[Change, ...], homes: dict[int, str | None]) -> None:
    """Follow each article to the key it has at last; all renames of a batch at one time."""
    renamed = {
        change.stored.article_id: change.key
        for change in batch
        if change.kind is ChangeKind.RENAMED and change.stored
    }
    for number, home in homes.items():
        if home in renamed.values() and number not in renamed:
            homes[number] = None  # driven out
    homes.update(renamed)
    for change in batch:
        if change.kind is ChangeKind.WITHDRAWN and change.stored:
            assert homes[change.stored.article_id] not in renamed.values()
            homes[change.stored.article_id] = None
        elif change.kind is ChangeKind.NEW:
            for number, home in homes.items():
                assert home != change.key, f"article {number} is still there"


def _check_identity(
    files: dict[str, str],
    stored: dict[str, StoredItem],
    broken: dict[str, str],
    changes: Changes,
    homes: dict[int, str | None],
) -> None:
    """An article stays where its bytes stay, and goes where they go; nobody else gets its name."""
    withdrawn = {one.stored.article_id for one in changes.of(ChangeKind.WITHDRAWN) if one.stored}
    taken = {homes[number] for number in homes}
    for key, one in stored.items():
        if one.is_gone:
            continue
        mine = {one.fingerprint, fingerprint(broken[key]) if key in broken else one.fingerprint}
        if key in files and fingerprint(files[key]) in mine:
            assert homes[one.article_id] == key, "it has not moved"
            continue
        places = [k for k, text in files.items() if fingerprint(text) in mine]
        if homes[one.article_id] in places:
            continue
        free = [k for k in places if not _belongs_to(k, files, stored, broken)]
        assert all(k in taken for k in free), "its bytes were given to nobody or to a new article"
        is_edit = homes[one.article_id] == key and key in files
        assert is_edit != (one.article_id in withdrawn), "neither edited nor withdrawn"


def _belongs_to(
    key: str, files: dict[str, str], stored: dict[str, StoredItem], broken: dict[str, str]
) -> bool:
    """Whether a key holds what it held before: good or broken."""
    same = key in stored and stored[key].fingerprint == fingerprint(files[key])
    return same or broken.get(key) == files[key]
