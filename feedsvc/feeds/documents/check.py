"""Looks at a finished document before it is served: would a reader find every entry in it?

It knows nothing of how documents are written, and reads them with another parser (expat; they are
written by way of libxml2), so that a mistake made there is not made here again. Pure.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from xml.parsers import expat

from feedsvc.model.feed import FeedFormat

_ATOM = "http://www.w3.org/2005/Atom "  # expat writes a name as its namespace, a space, the name
_ATOM_LINK = f"{_ATOM}link"
# What XML 1.0 §2.2 does not count among the characters. expat refuses them by itself.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# How they look in JSON: escaped, or as UTF-8 of U+FFFE and U+FFFF, which decodes like any other.
_PERHAPS_FORBIDDEN = (b"\\u", b"\xef\xbf\xbe", b"\xef\xbf\xbf")


class _Refused(Exception):
    """Why a document must not be served."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Where an XML format keeps what no reader can do without. Depths are counted from 1."""

    root: str
    entry: str
    entry_depth: int
    identity: str
    #: What must stand in the head, and in each entry, and not be empty; links by their relation.
    head: frozenset[str]
    each: frozenset[str]
    #: Names as people know them.
    words: Callable[[str], str]


_FORMS = {
    FeedFormat.RSS: _Form(
        root="rss",
        entry="item",
        entry_depth=3,
        identity="guid",
        head=frozenset({"title", "link", "description", "lastBuildDate", "self link"}),
        each=frozenset({"guid", "title", "link", "pubDate"}),
        words=str,
    ),
    FeedFormat.ATOM: _Form(
        root=f"{_ATOM}feed",
        entry=f"{_ATOM}entry",
        entry_depth=2,
        identity=f"{_ATOM}id",
        head=frozenset({f"{_ATOM}{name}" for name in ("id", "title", "updated")} | {"self link"}),
        each=frozenset(
            {f"{_ATOM}{name}" for name in ("id", "title", "updated")} | {"alternate link"}
        ),
        words=lambda name: name.removeprefix(_ATOM),
    ),
}
_JSON_HEAD = ("version", "title", "home_page_url", "feed_url")
_JSON_EACH = ("id", "url", "title", "date_published")


def check_document(feed_format: FeedFormat, body: bytes, guids: Sequence[str]) -> str | None:
    """Why a document must not be served; None when nothing speaks against it.

    It must parse, hold an entry for each of the guids in this order and no other, miss nothing
    that readers need of a feed (title, links, dates), and hold no character XML forbids, in JSON
    either: readers turn it into XML.

    Args:
        body: the whole document, identity-coded.
        guids: of the entries, as they are written.
    """
    try:
        form = _FORMS.get(feed_format)
        found = _read_json(body) if form is None else _XmlReading(form).read(body)
        _compare(found, guids)
    except _Refused as refusal:
        return str(refusal)
    return None


def _compare(found: Sequence[str], wanted: Sequence[str]) -> None:
    if list(found) == list(wanted):
        return
    present, expected = set(found), set(wanted)
    for guid in wanted:
        if guid not in present:
            raise _Refused(f"it lacks the entry {guid!r}")
    for guid in found:
        if guid not in expected:
            raise _Refused(f"it holds an entry {guid!r} that does not belong there")
    if len(found) != len(wanted):
        raise _Refused(f"it holds {len(found)} entries in place of {len(wanted)}")
    raise _Refused("its entries stand in another order")


class _XmlReading:
    """One pass over an XML document; keeps the text of the few elements that matter."""

    def __init__(self, form: _Form) -> None:
        self._form = form
        self._depth = 0
        self._in_entry = False
        #: Depth of the element whose text is being kept; 0 for none.
        self._keeping = 0
        self._text: list[str] = []
        self._head: set[str] = set()
        self._each: set[str] = set()
        self._guids: list[str] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")

    def read(self, body: bytes) -> list[str]:
        """The guids of the entries in their order. Raises _Refused."""
        parser = self._parser
        parser.buffer_text = True
        parser.XmlDeclHandler = _check_declaration
        # SECURITY: no document type, and so no entities, neither ours nor from elsewhere.
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise _Refused(f"it does not parse: {error}") from error
        self._demand(self._form.head, self._head, "it")
        return self._guids

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth = depth = self._depth + 1
        form = self._form
        if depth > form.entry_depth + self._in_entry:
            return
        if depth == 1 and name != form.root:
            raise _Refused(f"it is no feed of its format: it begins with <{form.words(name)}>")
        if depth == form.entry_depth and name == form.entry:
            self._in_entry = True
            self._each.clear()
            return
        if name == _ATOM_LINK and attributes.get("href"):
            self._note(f"{attributes.get('rel', 'alternate')} link")
        if not self._keeping and name in (form.each if self._in_entry else form.head):
            self._keeping = depth
            self._text.clear()
            self._parser.CharacterDataHandler = self._text.append

    def _end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth == self._keeping:
            self._keeping = 0
            self._parser.CharacterDataHandler = None
            text = "".join(self._text)
            if text and not text.isspace():
                self._note(name)
            if self._in_entry and name == self._form.identity:
                self._guids.append(text)
        elif self._in_entry and depth == self._form.entry_depth:
            self._in_entry = False
            self._demand(self._form.each, self._each, f"entry {len(self._guids)}")

    def _note(self, name: str) -> None:
        (self._each if self._in_entry else self._head).add(name)

    def _demand(self, wanted: frozenset[str], there: set[str], where: str) -> None:
        if missing := sorted(self._form.words(name) for name in wanted - there):
            raise _Refused(f"{where} has no {', no '.join(missing)}")


def _check_declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() != "utf-8":
        raise _Refused(f"it says it is in {encoding}, not in UTF-8")


def _refuse_doctype(*_declared: object) -> NoReturn:
    raise _Refused("it has a document type")


def _read_json(body: bytes) -> list[str]:
    """The ids of the items in their order. Raises _Refused."""
    try:
        feed = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"it does not parse: {error}") from error
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise _Refused("it is no feed of its format: it has no items")
    _demand_members(feed, _JSON_HEAD, "it")
    for number, item in enumerate(feed["items"], 1):
        if not isinstance(item, dict):
            raise _Refused(f"entry {number} is no object")
        _demand_members(item, _JSON_EACH, f"entry {number}")
        if not (item.get("content_html") or item.get("content_text")):
            raise _Refused(f"entry {number} has no content")
    if any(sign in body for sign in _PERHAPS_FORBIDDEN):
        _check_characters(feed)
    return [item["id"] for item in feed["items"]]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _demand_members(value: dict[str, Any], names: Sequence[str], where: str) -> None:
    for name in names:
        text = value.get(name)
        if not isinstance(text, str) or not text or text.isspace():
            raise _Refused(f"{where} has no {name}")


def _check_characters(value: object) -> None:
    if isinstance(value, str):
        if found := _FORBIDDEN.search(value):
            raise _Refused(f"it holds U+{ord(found[0]):04X}, which XML forbids")
    elif isinstance(value, list):
        for one in value:
            _check_characters(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            _check_characters(name)
            _check_characters(one)
