"""What filters can ask about: names, kinds of value, and where each is found.

A table is handed to the parser, so that one grammar serves articles today and others later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from sqlmodel import col

from feedsvc.model.article import Article


class FieldKind(StrEnum):
    """What a field's value is, which decides what can be asked of it."""

    #: One text, or none (None and "" are both no text to `has`).
    TEXT = "text"
    #: Several texts, in a JSON list.
    TEXTS = "texts"
    #: A language tag (RFC 5646); asked for by its first subtags.
    LANGUAGE = "language"
    #: Sanitised HTML; what is looked for is written as it stands there.
    HTML = "html"
    #: An instant.
    INSTANT = "instant"
    #: A JSON list that is empty or not.
    FILES = "files"
    #: Yes or no.
    FLAG = "flag"


#: What may stand between a field of a kind and a value; flags and files are asked otherwise.
OPERATORS: Mapping[FieldKind, tuple[str, ...]] = {
    FieldKind.TEXT: (
        "=", "!=", "in", "not in", "contains", "not contains",
        "is", "is not", "is in", "is not in",
    ),
    FieldKind.TEXTS: (
        "=", "!=", "in", "not in", "contains", "not contains",
        "is", "is not", "is in", "is not in",
    ),
    FieldKind.LANGUAGE: ("=", "!=", "in", "not in", "is", "is not", "is in", "is not in"),
    FieldKind.HTML: ("contains", "not contains"),
    FieldKind.INSTANT: (">=", ">", "<=", "<", "=", "!="),
    FieldKind.FILES: (),
    FieldKind.FLAG: (),
}  # fmt: skip
#: Kinds that may be there or not (`has section`).
OPTIONAL = frozenset({FieldKind.TEXT, FieldKind.TEXTS, FieldKind.HTML, FieldKind.FILES})


@dataclass(frozen=True, slots=True)
class FilterField:
    """One thing a filter can ask about."""

    name: str
    kind: FieldKind
    #: Takes the value from one thing.
    read: Callable[[Any], Any]
    #: The column that holds it.
    column: Any
    #: Words people may write for it; they are told its name.
    alike: tuple[str, ...] = ()


class FieldTable(Mapping[str, FilterField]):
    """The fields of one kind of thing, by name. Two tables are equal only if they are one."""

    def __init__(self, *fields: FilterField) -> None:
        self._fields = {field.name: field for field in fields}

    def __getitem__(self, name: str) -> FilterField:
        return self._fields[name]

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _field(name: str, kind: FieldKind, attribute: str, *alike: str) -> FilterField:
    return FilterField(
        name, kind, attrgetter(attribute), col(getattr(Article, attribute)), alike=alike
    )


#: What can be asked about articles, and about anything with attributes of the same names.
ARTICLE_FIELDS = FieldTable(
    _field("source", FieldKind.TEXT, "source", "sources"),
    _field("section", FieldKind.TEXT, "section", "sections", "category", "栏目"),
    _field("topic", FieldKind.TEXTS, "topics", "topics", "tag", "tags", "keyword", "标签"),
    _field("author", FieldKind.TEXTS, "authors", "authors", "creator", "作者"),
    _field("language", FieldKind.LANGUAGE, "language", "languages", "lang"),
    _field("title", FieldKind.TEXT, "title", "headline", "标题"),
    _field("summary", FieldKind.TEXT, "summary", "description", "excerpt", "摘要"),
    _field("text", FieldKind.HTML, "content", "content", "body"),
    _field("published", FieldKind.INSTANT, "published_at", "date", "published_at", "日期"),
    _field("updated", FieldKind.INSTANT, "updated_at", "modified", "updated_at"),
    _field("image", FieldKind.TEXT, "image", "picture", "images"),
    _field("enclosure", FieldKind.FILES, "enclosures", "enclosures", "audio", "attachment"),
    _field("announced", FieldKind.FLAG, "announce", "announce", "mailed"),
)
