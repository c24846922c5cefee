"""The words of an article as they are compared with another's: no case, width or marks. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from itertools import pairwise

#: So much of a longer text is compared, and so much of it chosen from as keys (characters of HTML).
LONGEST = 15_000
OPENING = 900
#: Words in a row that are looked for in the other text; in Chinese every character is a word.
_RUN = 4

_INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|bdi|bdo|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strong"
    r"|sub|sup|time|u|var|wbr)(?: [^<>]*)?>"
)
_TAG = re.compile(r"<[^<>]*(?:>|\Z)")
_GAPS = re.compile(r"[\W_]+")
_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"\d+(?:[.,]\d+)*|[{_WIDE}]|[^\W\d_{_WIDE}]+")
_MARKS = re.compile(r"(?:[^\w\s]|[\n_])+")
_NUMERALS = frozenset("〇零一二三四五六七八九十百千万亿两")
#: Said of words in bylines and in notes below an article; Chinese ones stand apart.
_ORIGIN = re.compile(
    r"记 者|通 讯 员|本 报 讯|[社报网] .*(?:电|讯)|编 辑|责 编|来 源|作 者|转 载|全 文"
    r"|\b(?:by|reuters|ap|afp|xinhua|editing|reporting|writing|source|read more)\b"
)
#: What agencies set before the headline of a later version: "UPDATE 1-".
_VERSION = re.compile(r"\s*(?:update|wrapup)\s?\d{1,2}\s?[-–—:]\s*")
#: All that tells one issue, day or part of a series from another.
_ORDINALS = re.compile(
    r"\d+(?:[.,:]\d+)*"
    r"|[〇零一二三四五六七八九十百千万亿两]"
    r"|[上中下](?=[篇集部半午周月]|\W|$)|早报|午报|晚报|早间|午间|晚间|早盘|午盘|收盘|开盘"
    r"|\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|first|second|third|fourth|fifth|one|two|three|four|five|six|seven|eight|nine|ten"
    r"|morning|noon|afternoon|evening|night|i{1,3}|iv|v|vi{1,3}|ix|x)\b"
)


def fold(text: str) -> str:
    """A text without differences of width and case."""
    return unicodedata.normalize("NFKC", text).casefold()


def squeeze(text: str) -> str:
    """The letters and digits of a folded text."""
    return _GAPS.sub("", text)


def read_words(html: str) -> str:
    """The folded words of sanitised HTML, one paragraph a line; for machines."""
    return fold(unescape(_TAG.sub("\n", _INLINE_TAG.sub("", html.replace("\n", " ")))))


@dataclass(frozen=True)
class StoryText:
    """What an article says; each view of it is made when it is asked for."""

    title_line: str
    content: str

    @classmethod
    def of(cls, title: str, content: str) -> "StoryText":
        """From an article's title and its sanitised HTML."""
        return cls(_VERSION.sub("", fold(title), count=1), content)

    @cached_property
    def body_line(self) -> str:
        """The words of the body, folded."""
        return read_words(self.content[:LONGEST])

    @cached_property
    def opening_line(self) -> str:
        """The words of its beginning; the same as `body_line` when that is short."""
        return read_words(self.content[:OPENING])

    @cached_property
    def title(self) -> str:
        """Letters and digits of the title."""
        return squeeze(self.title_line)

    @cached_property
    def body(self) -> str:
        """Letters and digits of the body."""
        return squeeze(self.body_line)

    @cached_property
    def ordinals(self) -> tuple[str, ...]:
        """Numbers, weekdays and their like in the title, in order."""
        return tuple(_ORDINALS.findall(self.title_line))

    @cached_property
    def pairs(self) -> frozenset[str]:
        """Each two letters of the title that follow one another."""
        return frozenset(a + b for a, b in pairwise(self.title)) or frozenset({self.title})

    def clauses(self) -> Iterator[str]:
        """Letters and digits between two marks, each such piece of its beginning."""
        for piece in _MARKS.split(self.opening_line):
            if clause := "".join(piece.split()):
                yield clause

    @cached_property
    def words(self) -> list[str]:
        """The words of the body, in order."""
        return _WORD.findall(self.body_line)

    @cached_property
    def runs(self) -> frozenset[int]:
        """Each few words of the body that follow one another, as numbers that hold in here only."""
        return frozenset(self._runs())

    def own_words(self, other: "StoryText") -> "OwnWords":
        """The words of the body that stand in nothing that the other has, too."""
        shared = [False] * len(self.words)
        for start, run in enumerate(self._runs()):
            if run in other.runs:
                shared[start : start + _RUN] = [True] * _RUN
        stretches: list[list[str]] = []
        before = True
        for word, is_shared in zip(self.words, shared, strict=True):
            if not is_shared:
                if before:
                    stretches.append([])
                stretches[-1].append(word)
            before = is_shared
        head = stretches.pop(0) if stretches and not shared[0] else []
        tail = stretches.pop() if stretches and not shared[-1] else []
        return OwnWords(head, stretches, tail)

    def _runs(self) -> Iterator[int]:
        return map(hash, zip(*(self.words[start:] for start in range(_RUN)), strict=False))


@dataclass(frozen=True, slots=True)
class OwnWords:
    """What only one of two bodies says: at its beginning, between what both say, and at its end."""

    head: list[str]
    within: list[list[str]]
    tail: list[str]


def has_number(words: Sequence[str]) -> bool:
    """Whether there is a number among the words, in figures or in Chinese."""
    return any(word[0].isdigit() or word in _NUMERALS for word in words)


def tells_origin(words: Sequence[str]) -> bool:
    """Whether words say who wrote or printed what stands beside them, or where it goes on."""
    return _ORIGIN.search(" ".join(words)) is not None
