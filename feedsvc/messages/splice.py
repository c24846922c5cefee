"""Slots: the places in a rendered mail where one person's few values go.

A slot is its name between two marker characters. What comes from outside is freed of these
characters before it is rendered, so no article can make a slot.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from html import escape as escape_html

from feedsvc.errors import MessageUnbuildable

# The last two private-use characters of Unicode: no font and no legacy encoding uses them, and
# HTML, CSS and URL handling leave them alone.
_OPEN, _CLOSE = "\U0010fffc", "\U0010fffd"
_SLOT = re.compile(f"{_OPEN}([a-z_]+){_CLOSE}")
_MARKERS = str.maketrans("", "", _OPEN + _CLOSE)
_TORN = "a rendered mail has a marker that belongs to no slot"
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Slot(StrEnum):
    """What can be filled in for one person."""

    #: Page, and one-click target, that ends this subscription.
    UNSUBSCRIBE_URL = "unsubscribe_url"
    #: Page where a subscriber changes how and when this comes.
    PREFERENCES_URL = "preferences_url"
    #: The mail as a page, without anybody's tokens; the same for a cohort.
    VIEW_URL = "view_url"
    #: Page that confirms a subscription.
    CONFIRM_URL = "confirm_url"
    #: The address the mail goes to.
    ADDRESS = "address"
    #: What the subscriber calls themselves. SECURITY: for digests only, never in a notice.
    NAME = "name"


def marker(slot: Slot) -> str:
    """The slot as it stands in rendered text."""
    return f"{_OPEN}{slot}{_CLOSE}"


def without_markers(text: str) -> str:
    """Text from outside, unable to make a slot."""
    return text.translate(_MARKERS)


def slots_in(text: str) -> frozenset[str]:
    """Names of the slots that a rendered text has."""
    return frozenset(_SLOT.findall(text))


def cut_at_slots(text: str) -> tuple[list[str], list[str]]:
    """What stands between the slots of a rendered text, and the slots' names: one fewer.

    Raises:
        MessageUnbuildable: it has a marker that belongs to no slot.
    """
    pieces = _SLOT.split(text)
    static, names = pieces[::2], pieces[1::2]
    if any(map(has_markers, static)):
        raise MessageUnbuildable(_TORN)
    return static, names


def has_markers(text: str) -> bool:
    """Whether any marker character is in a text."""
    return _OPEN in text or _CLOSE in text


def splice(text: str, values: Mapping[str, str], escape: bool) -> str:
    """Fill every slot of a rendered text.

    Args:
        values: slot name -> value; names without a slot in the text are ignored.
        escape: the text is HTML, so values are escaped for elements and quoted attributes.

    Raises:
        MessageUnbuildable: a slot has no value, or a value holds control characters.
    """

    filled = _SLOT.sub(lambda found: written_value(values, found[1], escape), text)
    if has_markers(filled):
        raise MessageUnbuildable(_TORN)
    return filled


def splice_some(text: str, values: Mapping[str, str], escape: bool) -> str:
    """Fill the slots there are values for, and leave the others. Otherwise as `splice`."""
    for name in values:
        slot = marker(Slot(name))
        text = text.replace(slot, splice(slot, values, escape))
    return text


def written_value(values: Mapping[str, str], name: str, escape: bool) -> str:
    """The value for a slot as it stands in a text, which is HTML where `escape` is true.

    Raises:
        MessageUnbuildable: as from `checked_value`.
    """
    value = checked_value(values, name)
    return escape_html(value, quote=True) if escape else value


def checked_value(values: Mapping[str, str], name: str) -> str:
    """The value for a slot, without marker characters; only a name may be empty.

    Raises:
        MessageUnbuildable: it is missing, or holds control characters.
    """
    value = values.get(name)
    if value is None or (not value and name != Slot.NAME):
        raise MessageUnbuildable(f"there is no value for {name}")
    if _UNWRITABLE.search(value):
        raise MessageUnbuildable(f"the value for {name} holds control characters")
    return without_markers(value) if has_markers(value) else value
