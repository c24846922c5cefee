"""Tells what stands around an article on a news page from the article, line by line.

A line counts as furniture only when all of it is: a paragraph that
merely contains such a word is left alone.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime

from feedsvc.articles.page_times import find_time
from feedsvc.articles.page_words import (
    AUTHOR_LABELS,
    CRUMBS,
    ENDINGS,
    NAVIGATION,
    NOBODY,
    ORIGIN_LABELS,
    OTHER_LABELS,
    TIME_LABELS,
)

_CRUMB_SIGNS = re.compile(r"[>»›＞→]+")
_BRACKETS = str.maketrans("【】[]（）()〔〕|｜·│", " " * 14)
_SENTENCE_ENDS = ("。", "！", "？", "；", "…", "”", "」", "!", "?", ".")
#: The longest value of a label (characters); what is longer is a sentence.
_LONGEST_VALUE = 30
#: From this length on a line that ends like a sentence is a paragraph (characters).
_PROSE_LENGTH = 40

_LABELS = {
    **dict.fromkeys(AUTHOR_LABELS, "author"),
    **dict.fromkeys(ORIGIN_LABELS, "origin"),
    **dict.fromkeys(TIME_LABELS, "time"),
    **dict.fromkeys(OTHER_LABELS, "other"),
}


@dataclass(slots=True)
class Furniture:
    """What a line that is no part of the article says about it."""

    authors: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    #: Local time without zone; None when the line gives none.
    time: datetime | None = None
    #: The time is that of a later change, not of publication.
    is_update: bool = False
    section: str | None = None
    #: The line has labels or a time, not only links.
    says_something: bool = False


def read_furniture(line: str) -> Furniture | None:
    """What a line says if all of it is furniture; None when it is (or may be) the article's."""
    line = line.strip()
    if (crumbs := _read_crumbs(line)) is not None:
        return crumbs
    rest, found = line, find_time(line)
    furniture = Furniture()
    if found is not None:
        rest = f"{line[: found.start]} {line[found.end :]}"
        furniture.time, furniture.says_something = found.local, True
        furniture.is_update = "更新" in line[: found.start]
    if len(rest) > 200 or not _take_words(rest.translate(_BRACKETS).split(), furniture):
        return None
    return furniture


def ends_article(line: str) -> bool:
    """Whether only links to other articles come after this line."""
    return line.strip().startswith(ENDINGS) and not is_prose(line)


def is_prose(line: str) -> bool:
    """Whether a line reads like a paragraph: long, and ending like a sentence."""
    return len(line) >= _PROSE_LENGTH and line.rstrip().endswith(_SENTENCE_ENDS)


def _take_words(words: list[str], furniture: Furniture) -> bool:
    """Use up all words of a line; False when one is neither a link, a label nor its value."""
    label: str | None = None
    value_length = 0
    bare: list[str] = []
    for word in words:
        name, colon, value = word.replace("：", ":").partition(":")
        kind = _LABELS.get(name.lower()) if colon else None
        if kind is not None:
            label, value_length, furniture.says_something = kind, 0, True
            word = value
        elif word.lower() in NAVIGATION:
            continue
        elif label is None and furniture.time is not None and _LABELS.get(word) == "time":
            continue  # "发表于 2014-08-24 21:30"
        elif label is None and furniture.time is not None and _is_name(word):
            bare.append(word)  # "新华社 2023-10-31 09:04"
            continue
        elif label is None:
            return False
        value_length += len(word)
        if value_length > _LONGEST_VALUE and label != "other":
            return False
        if word.endswith(("。", "！", "？")):
            return False
        _keep_value(label, word, furniture)
    if label is None:
        furniture.origins.extend(bare[:1])
    return True


def _keep_value(label: str, value: str, furniture: Furniture) -> None:
    if not value or value in NOBODY:
        return
    if label == "author":
        furniture.authors.append(value)
    elif label == "origin":
        furniture.origins.append(value)


def _is_name(word: str) -> bool:
    return len(word) <= 12 and not word.endswith((*_SENTENCE_ENDS, "，", ",", "、", ":"))


def _read_crumbs(line: str) -> Furniture | None:
    """A breadcrumb such as `首页 > 新闻中心 > 正文`; its last real part names the section."""
    if len(line) > 120 or not line.startswith(CRUMBS) or not _CRUMB_SIGNS.search(line):
        return None
    parts = [part.split("：")[-1].split(":")[-1].strip() for part in _CRUMB_SIGNS.split(line)]
    named = [part for part in parts if part and part.lower() not in NAVIGATION]
    return Furniture(section=named[-1] if named else None)
