"""Media RSS tags of entries, as an extension of feedgen's entries.

feedgen's own extension makes a group of every single file, which Media RSS has for several forms
of one recording only.
"""

from typing import Any

from lxml import etree

from feedsvc.feeds.writing.entries import Entry
from feedsvc.model.article import Enclosure

MEDIA_NAMESPACE = "http://search.yahoo.com/mrss/"
_MEDIUMS = frozenset({"image", "audio", "video"})


class MediaTags:
    """The picture of an entry, and in RSS the files its one enclosure has no room for."""

    def __init__(self) -> None:
        self._image: str | None = None
        self._further: tuple[Enclosure, ...] = ()

    def describe(self, entry: Entry) -> None:
        """Take what there is to be written."""
        self._image, self._further = entry.image, entry.enclosures[1:]

    def extend_ns(self) -> dict[str, str]:
        """Prefixes to be declared."""
        return {"media": MEDIA_NAMESPACE}

    def extend_atom(self, element: Any) -> Any:
        """Write the picture; Atom's own links hold all files."""
        if self._image is not None:
            _add(element, "content", url=self._image, medium="image")
            _add(element, "thumbnail", url=self._image)
        return element

    def extend_rss(self, item: Any) -> Any:
        """Write all files but the first, and the picture.

        Not the first one too: readers that show enclosures and media side by side would show it
        twice. And no group, for nobody says that the files are forms of the same recording.
        """
        for one in self._further:
            size = {"fileSize": str(one.length_bytes)} if one.length_bytes else {}
            medium = one.media_type.partition("/")[0]
            named = {"medium": medium if medium in _MEDIUMS else "document"}
            _add(item, "content", url=one.url, type=one.media_type, **size, **named)
        return self.extend_atom(item)


def _add(parent: Any, name: str, **values: str) -> None:
    etree.SubElement(parent, f"{{{MEDIA_NAMESPACE}}}{name}", values)
