"""Pages take what leaves the window before it has left, and never all at once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.feeds.archive.plan import (
    PageEntry,
    PlannedPage,
    cluster_seqs,
    digest_page,
    page_size,
    parse_archive_path,
    plan_archives,
)
from feedsvc.feeds.spec import Window
from feedsvc.model.feed import ArchiveName, FeedFormat

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def seqs(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def test_a_feed_that_its_window_holds_has_no_pages() -> None:
    assert plan_archives(None, seqs(1, 20), seqs(1, 20), size=20) == []


def test_the_first_article_that_leaves_the_window_makes_a_page_of_the_oldest() -> None:
    planned = plan_archives(None, seqs(1, 21), seqs(2, 21), size=20)
    assert planned == [PlannedPage(1, 0, 20, seqs(1, 20))]


def test_nothing_happens_until_an_article_leaves_that_stands_on_no_page() -> None:
    newest = PlannedPage(1, 0, 20, seqs(1, 20))
    assert plan_archives(newest, seqs(21, 40), seqs(21, 40), size=20, next_number=2) == []
    planned = plan_archives(newest, seqs(21, 41), seqs(22, 41), size=20, next_number=2)
    assert planned == [PlannedPage(2, 20, 40, seqs(21, 40))]


def test_an_article_that_was_never_in_the_window_stands_on_a_page_at_once() -> None:
    planned = plan_archives(None, (7,), (), size=20)
    assert planned == [PlannedPage(1, 0, 7, (7,))]


def test_a_short_page_grows_and_the_rest_makes_new_ones() -> None:
    newest = PlannedPage(3, 50, 60, seqs(51, 60))
    planned = plan_archives(newest, seqs(61, 95), seqs(85, 95), size=20, next_number=4)
    assert planned == [
        PlannedPage(3, 50, 70, seqs(51, 70)),
        PlannedPage(4, 70, 90, seqs(71, 90)),
    ]


@pytest.mark.parametrize(("count", "size"), [(1, 20), (50, 50), (100, 100), (1000, 100)])
def test_a_page_holds_about_a_window_full(count: int, size: int) -> None:
    assert page_size(Window(count)) == size


@given(
    published=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 100)), max_size=12),
    windows=st.lists(
        st.tuples(st.integers(1, 40), st.none() | st.integers(1, 60)), min_size=12, max_size=12
    ),
    size=st.integers(1, 25),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_published_stands_in_the_window_or_on_a_page_in_an_unbroken_row_of_pages(
    published: list[tuple[int, int]], windows: list[tuple[int, int | None]], size: int
) -> None:
    born: dict[int, int] = {}  # number -> time it is dated
    pages: dict[int, PlannedPage] = {}
    for now, ((count, age), (newest_count, max_age)) in enumerate(
        zip(published, windows, strict=False)
    ):
        numbers = range(len(born) + 1, len(born) + count + 1)
        born |= dict.fromkeys(numbers, now * 10 - age)
        window = {
            seq
            for seq in sorted(born)[-newest_count:]
            if max_age is None or born[seq] + max_age > now * 10
        }
        newest = pages[max(pages)] if pages else None
        waiting = tuple(seq for seq in born if newest is None or seq > newest.to_seq)
        planned = plan_archives(
            newest, waiting, window, size=size, next_number=max(pages, default=0) + 1
        )
        pages |= {page.number: page for page in planned}

        on_pages = [seq for page in pages.values() for seq in page.seqs]
        assert set(born) == window.union(on_pages)
        assert len(on_pages) == len(set(on_pages))
        above = 0
        for number, page in enumerate(pages.values(), 1):
            assert (page.number, page.from_seq) == (number, above)
            assert all(page.from_seq < seq <= page.to_seq for seq in page.seqs)
            assert len(page.seqs) == size or (number == len(pages) and len(page.seqs) < size)
            above = page.to_seq


def test_a_page_is_another_when_an_article_on_it_is() -> None:
    entry = PageEntry(7, 1, "a" * 64, NOON, NOON)
    other = PageEntry(8, 1, "b" * 64, NOON, NOON)
    same = digest_page([other, entry])
    assert digest_page([entry, other]) == same
    later = NOON + timedelta(seconds=1)
    for changed in (
        entry._replace(revision=2),
        entry._replace(content_hash="c" * 64),
        entry._replace(published_at=later),
        entry._replace(updated_at=later),
    ):
        assert digest_page([changed, other]) != same
    assert digest_page([entry]) != same


def test_numbers_near_each_other_are_looked_up_together() -> None:
    assert list(cluster_seqs([5, 199_990, 7, 199_995, 5])) == [[5, 7], [199_990, 199_995]]
    assert list(cluster_seqs([])) == []
    assert len(list(cluster_seqs(range(0, 10_000_000, 2000)))) < 60


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("feeds/all/archive/3-1/rss.xml", ("all", ArchiveName(3, 1), FeedFormat.RSS)),
        ("/feeds/all/archive/12-34/atom.xml", ("all", ArchiveName(12, 34), FeedFormat.ATOM)),
        ("feeds/topics/科技/archive/1-2/feed.json", ("topics/科技", ArchiveName(1, 2), "json")),
        ("feeds/all/archive/0-1/rss.xml", None),
        ("feeds/all/archive/1-0/rss.xml", None),
        ("feeds/all/archive/01-1/rss.xml", None),
        ("feeds/all/archive/٣-1/rss.xml", None),
        ("feeds/all/archive/9999999999-1/rss.xml", None),
        ("feeds/all/archive/1-1/index.html", None),
        ("feeds/all/archive/1-1/", None),
        ("feeds/all/rss.xml", None),
        ("feeds//archive/1-1/rss.xml", None),
        ("feeds/all\n/archive/1-1/rss.xml", None),
    ],
)
def test_a_path_names_one_page_in_one_format_or_nothing(path: str, named: object) -> None:
    assert parse_archive_path(path) == named
