"""Decides whether two articles tell the same story. Pure.

To take two articles for one loses one of them for readers, to miss that they are one repeats it;
so in doubt they are two.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from feedsvc.articles.story_text import StoryText, has_number, tells_origin

#: Further apart nothing is the same by its words.
WINDOW = timedelta(days=14)
#: A body of fewer letters and digits proves nothing by itself.
SHORT = 80
#: Short items that are equal to the letter and come further apart are said anew.
SHORT_WINDOW = timedelta(hours=12)
#: The share of the pairs of letters that two titles must have in common.
TITLES_ALIKE = 0.8
#: A title of fewer letters and digits is not looked for within another.
TITLE_WITHIN = 8
#: The share of the shorter body that must stand in the longer, below equal titles, and below
#: titles that are but alike.
BODIES_ALIKE, BODIES_CLOSE = 0.8, 0.9
#: Two days of a template differ in few words, of which one or two may be all that is told. So of
#: so many words in a row one may be another's; none that is a number.
WORDS_AN_EDIT = 200
#: What is put into the longer body and has as many words is a paragraph: it changes nothing of
#: what stands around it.
PARAGRAPH = 12
#: Words that are a byline or a note at an end; a longer stretch is part of the text.
LONGEST_BYLINE = 60


@dataclass(frozen=True, slots=True)
class Telling:
    """One article as it is compared."""

    source: str
    published_at: datetime
    text: StoryText


def is_same_by_words(one: Telling, other: Telling) -> bool:
    """Whether title and body are near enough, and the articles near enough in time."""
    apart = abs(one.published_at - other.published_at)
    ours, theirs = one.text, other.text
    if apart > WINDOW or ours.ordinals != theirs.ordinals:
        return False
    is_equal = ours.title == theirs.title and ours.body == theirs.body
    if min(len(ours.body), len(theirs.body)) < SHORT:
        return is_equal and ours.body != "" and apart <= SHORT_WINDOW
    if is_equal:
        return True
    needed = BODIES_ALIKE if ours.title == theirs.title else BODIES_CLOSE
    return _are_titles_alike(ours, theirs) and _are_bodies_alike(ours, theirs, needed)


def is_same_by_claim(one: Telling, other: Telling) -> bool:
    """Whether equal addresses or ids are to be believed.

    Across sources they are: nobody claims another's by mistake. Within one source they may come
    from a file that was begun as a copy of another, or from a template or a column that names one
    address on every page; so there the bodies must be alike as well, whatever the titles are.
    """
    if one.source != other.source:
        return True
    ours, theirs = one.text, other.text
    if min(len(ours.body), len(theirs.body)) < SHORT:
        return ours.title == theirs.title and ours.body == theirs.body
    return _are_bodies_alike(ours, theirs, BODIES_ALIKE)


def _are_titles_alike(one: StoryText, other: StoryText) -> bool:
    """Equal but for a few letters, or one at an end of the other: 【快讯】 or a site."""
    shorter, longer = sorted((one.title, other.title), key=len)
    if len(shorter) >= TITLE_WITHIN and longer.startswith(shorter):
        return True
    if len(shorter) >= TITLE_WITHIN and longer.endswith(shorter):
        return True
    return shorter == longer or _dice(one.pairs, other.pairs) >= TITLES_ALIKE


def _are_bodies_alike(one: StoryText, other: StoryText, needed: float) -> bool:
    """Whether one is the other cut, lengthened, or hardly edited, and not filled in differently."""
    if _overlap(one.runs, other.runs) < needed:
        return False
    shorter, longer = sorted((one, other), key=lambda text: len(text.words))
    of_shorter, of_longer = shorter.own_words(longer), longer.own_words(shorter)
    if not _are_ends_alike(of_shorter.head, of_longer.head):
        return False
    if not _are_ends_alike(of_shorter.tail, of_longer.tail):
        return False
    put_in = [words for words in of_longer.within if len(words) < PARAGRAPH]
    if any(map(has_number, [*of_shorter.within, *put_in])):
        return False
    edits = max(sum(map(len, of_shorter.within)), sum(map(len, put_in)))
    return edits <= len(shorter.words) // WORDS_AN_EDIT


def _are_ends_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    """Only one of them has something there, or both have what is no part of an article."""
    if not one or not other:
        return True
    return _is_byline(one) and _is_byline(other) and not (has_number(one) and has_number(other))


def _is_byline(words: Sequence[str]) -> bool:
    return len(words) <= LONGEST_BYLINE and tells_origin(words)


def _dice(one: AbstractSet[Any], other: AbstractSet[Any]) -> float:
    return 2 * len(one & other) / (len(one) + len(other) or 1)


def _overlap(one: AbstractSet[Any], other: AbstractSet[Any]) -> float:
    """The share of the smaller set that is in the larger."""
    return len(one & other) / (min(len(one), len(other)) or 1)
