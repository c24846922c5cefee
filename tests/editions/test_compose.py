"""What is in one reader's mail, decided from values alone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from feedsvc.editions.cohorts import LeftOut, ReaderGroup, Selector, group_readers
from feedsvc.editions.compose import (
    ArticleFacts,
    Item,
    Rules,
    arrange,
    content_key,
    select_items,
)
from feedsvc.model.article import ArticleState
from feedsvc.model.edition import Curation, GroupOutcome, ItemOutcome
from feedsvc.model.newsletter import Arrangement, ItemOrder

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def facts(
    seq: int,
    *,
    topics: tuple[str, ...] = (),
    day: int = 1,
    state: ArticleState = ArticleState.PUBLISHED,
    section: str | None = None,
    story: str | None = None,
    weight: int = 0,
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
        story=story,
        weight=weight,
    )


def select(articles: list[ArticleFacts], max_items: int = 30, **choices: Any) -> list[Item]:
    rules = choices.pop("rules", Rules(max_items=max_items))
    return select_items(
        arrange(articles, rules), rules, **({"from_seq": 0, "cut_seq": 100} | choices)
    )


def mailed(articles: list[ArticleFacts], **choices: Any) -> list[int]:
    items = select(articles, **choices)
    return [item.article_id // 10 for item in items if item.outcome is ItemOutcome.MAILED]


def test_a_window_begins_after_the_cursor_and_ends_at_the_cut() -> None:
    assert mailed([facts(n) for n in range(1, 7)], from_seq=2, cut_seq=5) == [5, 4, 3]


def test_newest_come_first_by_publication_date_and_late_ones_are_not_lost() -> None:
    articles = [facts(1, day=20), facts(2, day=21), facts(3, day=2)]
    assert mailed(articles) == [2, 1, 3]


def test_a_reader_gets_only_their_topics() -> None:
    articles = [facts(1, topics=("科技",)), facts(2, topics=("体育", "科技")), facts(3)]
    assert mailed(articles, topics=frozenset({"体育"})) == [2]


def test_what_exceeds_the_limit_is_counted_not_dropped() -> None:
    items = select([facts(n) for n in range(1, 6)], max_items=3)
    assert [item.outcome for item in items].count(ItemOutcome.AND_MORE) == 2


def test_withdrawn_articles_alone_make_no_mail() -> None:
    assert mailed([facts(1, state=ArticleState.WITHDRAWN)]) == []


def test_a_withdrawn_article_is_recorded_beside_the_mailed() -> None:
    items = select([facts(2), facts(1, state=ArticleState.WITHDRAWN)], max_items=1)
    assert [item.outcome for item in items] == [ItemOutcome.MAILED, ItemOutcome.WITHDRAWN]


def test_groups_whose_mails_are_equal_share_a_cohort() -> None:
    articles = [facts(5, topics=("科技",))]
    groups = [
        ReaderGroup(0, (), "zh", readers=3),
        ReaderGroup(4, ("科技",), "zh", readers=2),
        ReaderGroup(4, (), "en", readers=1),
        ReaderGroup(4, ("体育",), "zh", readers=7),
    ]
    grouping = group_readers(groups, Selector(articles, Rules(max_items=30), 9))
    assert len(grouping.cohorts) == 2
    assert grouping.cohort_of[groups[0]] == grouping.cohort_of[groups[1]]
    assert grouping.left_out == {groups[3]: LeftOut(GroupOutcome.NOTHING)}


def test_an_edit_makes_another_cohort() -> None:
    rules = Rules(max_items=3)
    items = select([facts(1)])
    edited = [replace(items[0], revision=2)]
    keys = {content_key(one, "zh", rules) for one in (items, edited)}
    assert len(keys | {content_key(items, "en", rules)}) == 3


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
    first_cut, second_cut = sorted((first_cut, second_cut))
    seen: list[int] = []
    for low, high in ((0, first_cut), (first_cut, second_cut), (second_cut, 99)):
        items = select(articles, max_items, from_seq=low, cut_seq=high)
        seen += [item.article_id // 10 for item in items]
    assert sorted(seen) == list(range(1, len(kinds) + 1))


def test_the_operators_order_goes_before_the_newsletters() -> None:
    rules = Rules(max_items=9, curation=Curation(order=(20, 10)))
    assert mailed([facts(n, day=n) for n in range(1, 5)], rules=rules) == [2, 1, 4, 3]


def test_heavy_articles_come_first_where_weight_decides() -> None:
    rules = Rules(max_items=9, arrangement=Arrangement(order=ItemOrder.WEIGHT))
    articles = [facts(1, weight=5), facts(2, day=3), facts(3, day=2), facts(4, weight=-1)]
    assert mailed(articles, rules=rules) == [1, 2, 3, 4]


def test_the_oldest_come_first_where_that_is_wanted() -> None:
    rules = Rules(max_items=9, arrangement=Arrangement(order=ItemOrder.OLDEST))
    assert mailed([facts(n, day=n) for n in (3, 1, 2)], rules=rules) == [1, 2, 3]


def test_articles_of_a_section_stand_together_below_the_lead() -> None:
    arrangement = Arrangement(by_section=True, sections=("国内", "国际"), lead=True)
    articles = [
        facts(1, day=1, section="国内"),
        facts(2, day=2, section="体育"),
        facts(3, day=3),
        facts(4, day=4, section="国际"),
        facts(5, day=5, section="国内"),
        facts(6, day=6, section="体育"),
    ]
    rules = Rules(max_items=9, arrangement=arrangement)
    assert mailed(articles, rules=rules) == [6, 5, 1, 4, 2, 3]
    # What is shown is chosen before it is laid out: the newest, of whatever section.
    assert sorted(mailed(articles, rules=replace(rules, max_items=3))) == [4, 5, 6]


def test_of_a_story_a_reader_gets_the_first_article_that_is_theirs() -> None:
    articles = [
        facts(1, story="夜市", topics=("科技",)),
        facts(2, story="夜市", topics=("体育",)),
        facts(3, story="夜市", topics=("体育",)),
    ]
    assert mailed(articles) == [1]
    assert mailed(articles, topics=frozenset({"体育"})) == [2]
    outcomes = [item.outcome for item in select(articles)]
    assert outcomes.count(ItemOutcome.DUPLICATE) == 2


def test_a_dropped_or_withdrawn_telling_of_a_story_leaves_it_to_the_next() -> None:
    articles = [
        facts(1, story="夜市", state=ArticleState.WITHDRAWN),
        facts(2, story="夜市"),
        facts(3, story="夜市"),
    ]
    assert mailed(articles) == [2]
    assert mailed(articles, rules=Rules(max_items=9, dropped=frozenset({20}))) == [3]
    assert mailed(articles, rules=Rules(max_items=9, curation=Curation(dropped=(20,)))) == [3]


def test_a_story_told_in_an_earlier_mail_is_not_told_again_to_who_got_it() -> None:
    articles = [facts(5, story="夜市")]
    rules = Rules(max_items=9, told={"夜市": [(0, 2), (1, 3)]})
    assert mailed(articles, rules=rules, from_seq=4, had=0) == [5]
    assert mailed(articles, rules=rules, from_seq=4, had=0b10) == []
    # What they got lies in this window again: it was never settled.
    assert mailed(articles, rules=rules, from_seq=2, had=0b10) == [5]


def test_too_few_articles_wait_for_more_but_not_for_ever() -> None:
    rules = Rules(max_items=9, min_items=2, carry_max=2)
    groups = [ReaderGroup(0, (), "zh", carried=times) for times in range(3)]
    grouping = group_readers(groups, Selector([facts(1)], rules, 9))
    carried = [grouping.left_out.get(group) for group in groups]
    assert [one and one.outcome for one in carried] == [
        GroupOutcome.CARRIED,
        GroupOutcome.CARRIED,
        None,
    ]
    enough = group_readers(groups, Selector([facts(1), facts(2)], rules, 9))
    assert not enough.left_out
