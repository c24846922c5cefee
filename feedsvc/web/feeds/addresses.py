"""What paths below `/feeds/` stand for, and where feeds went that have another name now."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from feedsvc.model.feed import DOCUMENT_NAMES

PREFIX = "/feeds/"
#: Nine digits are more pages than there can be, and fit every integer.
_ARCHIVE_PAGE = re.compile(r"[0-9]{1,9}-[0-9]{1,9}\Z")
#: What has a meaning in an address, and what is encoded already (RFC 3986 §2.2).
_RESERVED = "%:/?#[]@!$&'()*+,;=~"
_ENDINGS = tuple(f"/{name}" for name in DOCUMENT_NAMES.values())


def is_document_path(path: str) -> bool:
    """Whether a path is that of a document, of a feed that exists or does not."""
    return path.startswith(PREFIX) and path.endswith(_ENDINGS)


@dataclass(frozen=True, slots=True)
class FeedAddress:
    """A path of a document, taken apart."""

    #: Of the feed: `all`, or `topics/科技`.
    key: str
    #: What follows the key, such as `rss.xml` or `archive/3-1/rss.xml`.
    rest: str
    is_archive: bool


def read_address(path: str) -> FeedAddress | None:
    """What a decoded path below `/feeds/` stands for; None where it cannot be a document's."""
    *folders, name = path.removeprefix(PREFIX).split("/")
    rest = [name]
    # QUIRK: a member of a family may be called "archive"; a page of an archive has two more parts.
    is_archive = (
        len(folders) >= 3 and folders[-2] == "archive" and bool(_ARCHIVE_PAGE.match(folders[-1]))
    )
    if is_archive:
        folders, rest = folders[:-2], [*folders[-2:], name]
    if not 1 <= len(folders) <= 2 or not all(folders):
        return None
    return FeedAddress("/".join(folders), "/".join(rest), is_archive)


def find_new_key(key: str, moved: Mapping[str, str]) -> str | None:
    """The key a feed has now; None if it did not move. Members go where their family went."""
    if key in moved:
        return moved[key]
    family, slash, value = key.partition("/")
    return f"{moved[family]}/{value}" if slash and family in moved else None


def is_retired(key: str, retired: Collection[str]) -> bool:
    """Whether a feed, or the family it was a member of, is no more."""
    return key in retired or key.partition("/")[0] in retired


def encode_path(base_url: str, path: str) -> bytes:
    """An address for a header, of a decoded path without a leading slash."""
    return encode_url(f"{base_url}/{quote(path, errors='replace')}")


def encode_url(url: str) -> bytes:
    """An address for a header: RFC 3986, a host in other letters than ASCII by IDNA.

    SECURITY: whatever it holds, there is no blank, bracket or line break in this.
    """
    parts = urlsplit(url)
    host = parts.netloc
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    return quote(parts._replace(netloc=host).geturl(), safe=_RESERVED).encode("ascii")
