"""Markdown that an operator writes into an edition: made storable, and bounded."""

import re

from feedsvc.errors import TextUnusable

# Line ends and tabs stay. PostgreSQL refuses NUL, and no encoding takes half a surrogate pair.
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def read_markdown(text: str, limit: int, what: str) -> str:
    """The text with its line ends made one kind, and nothing in it that cannot be stored.

    Args:
        limit: characters it may have.
        what: it is called so in the error, such as "the intro".

    Raises:
        TextUnusable: it is longer than that.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    cleaned = _NOT_TEXT.sub("", lines).strip()
    if len(cleaned) > limit:
        raise TextUnusable(f"{what} has {len(cleaned)} characters; at most {limit} are taken")
    return cleaned
