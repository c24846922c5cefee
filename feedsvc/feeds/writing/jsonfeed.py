"""JSON Feed 1.1: a feed's head and entries as the JSON that jsonfeed.org/version/1.1 describes."""

import json
from collections.abc import Iterable
from typing import Any

from feedsvc.feeds.writing.entries import Entry, Head
from feedsvc.feeds.writing.wire import usable_url

VERSION_URL = "https://jsonfeed.org/version/1.1"

#: Counts changes of what an entry is written as, like syndication.RENDERER.
JSON_RENDERER = "2"


def json_fragment(entry: Entry) -> bytes:
    """One item, as it stands in a document between commas."""
    return _write(_item(entry))


def json_frame(head: Head) -> tuple[bytes, bytes]:
    """What stands before and after the items of a document."""
    start, end = full_json(head, ()), b"]}"
    return start.removesuffix(end), end


def full_json(head: Head, entries: Iterable[Entry]) -> bytes:
    """A whole document at once."""
    feed: dict[str, Any] = {
        "version": VERSION_URL,
        "title": head.title,
        "home_page_url": head.home_url,
        # It names the feed, so an archive page names the feed and not itself.
        "feed_url": head.links.current or head.self_url,
    }
    if head.description:
        feed["description"] = head.description
    if head.links.previous_archive is not None:
        feed["next_url"] = head.links.previous_archive
    if image := usable_url(head.image):
        feed |= {"icon": image, "favicon": image}
    feed["authors"] = [{"name": head.author}]
    feed["language"] = head.language
    if head.links.hubs:
        feed["hubs"] = [{"type": "WebSub", "url": hub} for hub in head.links.hubs]
    feed["items"] = [_item(entry) for entry in entries]
    return _write(feed)


def _item(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"id": entry.guid, "url": entry.url, "title": entry.title}
    if entry.content is not None:
        item["content_html"] = entry.content
    else:
        # One of the two contents is required, even where only a summary is published.
        item["content_text"] = entry.summary
    if entry.summary:
        item["summary"] = entry.summary
    if entry.image:
        item["image"] = entry.image
    item["date_published"] = entry.published_at.isoformat()
    item["date_modified"] = entry.updated_at.isoformat()
    if entry.authors:
        item["authors"] = [{"name": name} for name in entry.authors]
    if entry.categories:
        item["tags"] = list(entry.categories)
    item["language"] = entry.language
    if entry.enclosures:
        item["attachments"] = _attachments(entry)
    return item


def _attachments(entry: Entry) -> list[dict[str, Any]]:
    attachments = []
    for one in entry.enclosures:
        attachment: dict[str, Any] = {"url": one.url, "mime_type": one.media_type}
        if one.length_bytes:
            attachment["size_in_bytes"] = one.length_bytes
        attachments.append(attachment)
    # What an episode lasts is said of its first file, as RSS has only that one.
    if entry.episode.duration_seconds is not None:
        attachments[0]["duration_in_seconds"] = entry.episode.duration_seconds
    return attachments


def _write(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
