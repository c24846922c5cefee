"""OPML 2.0: all feeds in one file that feed readers take. Pure: values in, bytes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree import ElementTree

from feedsvc.feeds.writing.wire import clean_text

#: Media type of the file; there is no registered one (OPML 2.0 says text/xml or text/x-opml).
OPML_MEDIA_TYPE = "text/x-opml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A feed, as a reader is told of it. Addresses are absolute."""

    title: str
    description: str
    document_url: str
    page_url: str
    language: str


@dataclass(frozen=True, slots=True)
class Group:
    """Feeds that belong together, such as the members of a family."""

    title: str
    subscriptions: tuple[Subscription, ...]


def write_opml(
    title: str,
    home_url: str,
    outlines: Sequence[Subscription | Group],
    changed_at: datetime | None = None,
) -> bytes:
    """The file; the same values give the same bytes.

    Args:
        title: of the file as a whole.
        home_url: of who publishes it.
        outlines: in the order they are to stand in.
        changed_at: when one of the feeds last changed; None: it is not said.
    """
    root = ElementTree.Element("opml", version="2.0")
    head = ElementTree.SubElement(root, "head")
    ElementTree.SubElement(head, "title").text = _one_line(title)
    if changed_at is not None:
        written = format_datetime(changed_at.astimezone(UTC), usegmt=True)
        ElementTree.SubElement(head, "dateModified").text = written
    ElementTree.SubElement(head, "ownerId").text = home_url
    ElementTree.SubElement(head, "docs").text = "http://opml.org/spec2.opml"
    body = ElementTree.SubElement(root, "body")
    for one in outlines:
        if isinstance(one, Subscription):
            _add(body, one)
        elif one.subscriptions:
            text = _one_line(one.title)
            group = ElementTree.SubElement(body, "outline", text=text, title=text)
            for subscription in one.subscriptions:
                _add(group, subscription)
    ElementTree.indent(root, " ")
    written_tree: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return written_tree + b"\n"


def _add(parent: ElementTree.Element, one: Subscription) -> None:
    title = _one_line(one.title) or one.document_url
    attributes = {
        "type": "rss",  # OPML 2.0 names no other, whatever the format
        "text": title,
        "title": title,
        "xmlUrl": one.document_url,
        "htmlUrl": one.page_url,
        "language": one.language,
    }
    description = _one_line(one.description)
    if description and description != title:
        attributes["description"] = description
    ElementTree.SubElement(parent, "outline", attributes)


def _one_line(text: str) -> str:
    return " ".join(clean_text(text).split())
