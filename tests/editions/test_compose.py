"""What is in one reader's mail, decided from values alone."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from feedsvc.editions.cohorts import ReaderGroup, group_readers
from feedsvc.editions.compose import ArticleFacts, compose_items, content_key, select_announced
from feedsvc.model.article import ArticleState
from feedsvc.model.edition import ItemOutcome
from feedsvc.model.ports import Selection

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def facts(
    seq: int,
    *,
    topics: tuple[str, ...] = (),
    day: int = 1,
    state: ArticleState = ArticleState.PUBLISHED,
    section: str | None = None,
) -> ArticleFacts:
    return ArticleFacts(
        id=seq * 10,
        seq=seq,
        revision=1,
        published_at=NOON.replace(day=day),
        state=state,
        source="folder",
        section=section,
        topics=frozenset(topics),
        language="zh-CN",
    )


def mailed(articles: list[ArticleFacts], **choices: object) -> list[int]:
    defaults: dict[str, object] = {
        "from_seq": 0,
        "cut_seq": 100,
        "topics": frozenset(),
        "max_items": 30,
    }
    items = compose_items(articles, **(defaults | choices))  # type: ignore[arg-type]
    return [item.article_id // 10 for item in items if item.outcome is ItemOutcome.MAILED]


def test_a_window_begins_after_the_cursor_and_ends_at_the_cut() -> None:
    assert mailed([facts(n) for n in range(1, 7)], from_seq=2, cut_seq=5) == [3, 4, 5]


def test_newest_come_first_by_publication_date_and_late_ones_are_not_lost() -> None:
    articles = [facts(1, day=20), facts(2, day=21), facts(3, day=2)]
    ordered = select_announced(articles, Selection())
    assert mailed(ordered) == [2, 1, 3]


def test_a_reader_gets_only_their_topics() -> None:
    articles = [facts(1, topics=("科技",)), facts(2, topics=("体育", "科技")), facts(3)]
    assert mailed(articles, topics=frozenset({"体育"})) == [2]


def test_what_exceeds_the_limit_is_counted_not_dropped() -> None:
    items = compose_items(
        [facts(n) for n in range(1, 6)], from_seq=0, cut_seq=9, topics=frozenset(), max_items=3
    )
    assert [item.outcome for item in items].count(ItemOutcome.AND_MORE) == 2


def test_withdrawn_articles_alone_make_no_mail() -> None:
    assert mailed([facts(1, state=ArticleState.WITHDRAWN)]) == []


def test_a_withdrawn_article_is_recorded_beside_the_mailed() -> None:
    items = compose_items(
        [facts(2), facts(1, state=ArticleState.WITHDRAWN)],
        from_seq=0,
        cut_seq=9,
        topics=frozenset(),
        max_items=1,
    )
    assert [item.outcome for item in items] == [ItemOutcome.MAILED, ItemOutcome.WITHDRAWN]


def test_groups_whose_mails_are_equal_share_a_cohort() -> None:
    articles = [facts(5, topics=("科技",))]
    groups = [
        ReaderGroup(0, (), "zh", 3),
        ReaderGroup(4, ("科技",), "zh", 2),
        ReaderGroup(4, (), "en", 1),
        ReaderGroup(4, ("体育",), "zh", 7),
    ]
    grouping = group_readers(groups, articles, cut_seq=9, max_items=30, theme="plain")
    assert len(grouping.cohorts) == 2
    assert grouping.cohort_of[groups[0]] == grouping.cohort_of[groups[1]]
    assert grouping.nothing_matched == (groups[3],)


def test_an_edit_makes_another_cohort() -> None:
    items = compose_items([facts(1)], from_seq=0, cut_seq=9, topics=frozenset(), max_items=3)
    assert content_key(items, "zh", "plain") != content_key(items, "en", "plain")


@given(
    st.lists(st.integers(0, 3), min_size=0, max_size=12),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 5),
)
def test_consecutive_windows_mail_or_count_each_article_once(
    kinds: list[int], first_cut: int, second_cut: int, max_items: int
) -> None:
    articles = [facts(n + 1, day=1 + kind) for n, kind in enumerate(kinds)]
    ordered = select_announced(articles, Selection())
    first_cut, second_cut = sorted((first_cut, second_cut))
    seen: list[int] = []
    for low, high in ((0, first_cut), (first_cut, second_cut), (second_cut, 99)):
        items = compose_items(
            ordered, from_seq=low, cut_seq=high, topics=frozenset(), max_items=max_items
        )
        seen += [item.article_id // 10 for item in items]
    assert sorted(seen) == list(range(1, len(kinds) + 1))
