"""A mail without what was withdrawn from it. Pure: cohorts and facts in, plans out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from feedsvc.editions.cohorts import CohortPlan
from feedsvc.editions.compose import ArticleFacts, Item, Rules, arrange, select_items
from feedsvc.model.edition import ItemOutcome

_SHOWN = (ItemOutcome.MAILED, ItemOutcome.AND_MORE)


@dataclass(frozen=True, slots=True)
class Affected:
    """A cohort whose mail shows withdrawn articles, and of which something waits to be sent."""

    cohort_id: int
    language: str
    theme: str
    content_key: str
    #: In mail order, as they were.
    items: tuple[Item, ...]
    #: The articles as they are now, by id.
    facts: Mapping[int, ArticleFacts]


def plan_without(cohort: Affected, rules: Rules) -> CohortPlan | None:
    """The same mail without what is withdrawn; None when there is nothing left to be shown. Pure.

    As composing would have it: articles that were only counted move up into the free places, and
    of a story whose article is gone the next one is told. Whatever else was decided stays.
    """
    shown = [item for item in cohort.items if item.outcome in _SHOWN]
    stories = {cohort.facts[item.article_id].story for item in shown} - {None}
    again = [
        cohort.facts[item.article_id]
        for item in cohort.items
        if item in shown
        or (
            item.outcome is ItemOutcome.DUPLICATE and cohort.facts[item.article_id].story in stories
        )
    ]
    as_many = replace(
        rules, max_items=sum(item.outcome is ItemOutcome.MAILED for item in cohort.items)
    )
    items = select_items(
        arrange(again, as_many), as_many, from_seq=0, cut_seq=max(one.seq for one in again)
    )
    if not any(item.outcome is ItemOutcome.MAILED for item in items):
        return None
    looked_at = {one.id for one in again}
    items += [item for item in cohort.items if item.article_id not in looked_at]
    # Beside the mail it stands for, whose readers had the article.
    gone = ",".join(str(item.article_id) for item in items if item.outcome is ItemOutcome.WITHDRAWN)
    key = hashlib.sha256(f"{cohort.content_key}|without {gone}".encode()).hexdigest()
    return CohortPlan(key, cohort.language, tuple(items))
