"""What is wrong with settings, in words, from what the validation reports."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from feedsvc.config_keys import KeyNode, find_key, key_tree
from feedsvc.config_lines import KeyPath

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Why a key has to be there, where that is not plain.
_WHY_NEEDED = {
    "from": "who the mails come from, such as Morning News <news@example.com>",
    "sender": "every mail says who sends it",
    "postal_address": "every mail says where its sender can be found by post",
    "schedules": "a newsletter goes out by at least one schedule",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, and the key it is wrong at."""

    path: KeyPath
    message: str

    @property
    def key(self) -> str:
        """The key as a person would write it; empty for the whole file."""
        names = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return "".join(names).removeprefix(".")


def find_mistakes(error: ValidationError) -> list[Mistake]:
    """Everything a validation found, without ever showing the value of a secret."""
    return [
        mistake for details in error.errors(include_url=False) for mistake in _mistakes(details)
    ]


def _mistakes(details: "ErrorDetails") -> Iterator[Mistake]:
    path = _key_path(details["loc"])
    match details["type"]:
        case "missing":
            why = _WHY_NEEDED.get(str(path[-1]))
            yield Mistake(path, f"missing: {why}" if why else "missing")
        case "extra_forbidden":
            yield Mistake(path, _explain_unknown(path))
        case "union_tag_not_found":
            yield Mistake((*path, "type"), f"missing: {_kinds(path)}")
        case "union_tag_invalid":
            yield Mistake((*path, "type"), f"must be {_kinds(path)}{_got(details, path, 'type')}")
        case "value_error":
            for line in str(details["ctx"]["error"]).splitlines():
                yield _split_key(path, line)
        case _:
            message = details["msg"].replace("Input should be", "must be", 1)
            yield Mistake(path, message[:1].lower() + message[1:] + _got(details, path))


def _key_path(loc: tuple[int | str, ...]) -> KeyPath:
    """The path in the file: without the marks pydantic puts in for union members and names."""
    path: KeyPath = ()
    node: KeyNode | None = key_tree()
    for part in loc:
        if part == "[key]" or (node is not None and part in node.kinds):
            continue
        path = (*path, part)
        node = node.child(part) if node is not None else None
    return path


def _split_key(path: KeyPath, message: str) -> Mistake:
    """A section's own check may begin with the key in it that is to blame."""
    node = find_key(path)
    key, colon, rest = message.partition(": ")
    if colon and node is not None and not node.is_value:
        inner = (*path, *key.split("."))
        if find_key(inner) is not None:
            return Mistake(inner, rest)
    return Mistake(path, message)


def _explain_unknown(path: KeyPath) -> str:
    section = find_key(path[:-1])
    names = sorted(section.children) if section is not None else []
    near = difflib.get_close_matches(str(path[-1]), names, n=1, cutoff=0.6)
    if near and near[0] != path[-1]:
        return f"unknown; did you mean {near[0]}?"
    if path[-1] in names:
        return "does not belong to this type"
    return f"unknown; there is {', '.join(names)}" if names else "unknown"


def _kinds(path: KeyPath) -> str:
    node = find_key(path)
    return " or ".join(repr(kind) for kind in sorted(node.kinds)) if node is not None else ""


def _got(details: "ErrorDetails", path: KeyPath, inner: str | None = None) -> str:
    """The value that was given, where it is short and no secret."""
    value = details["input"]
    if inner is not None:
        value = value.get(inner) if isinstance(value, dict) else None
        path = (*path, inner)
    node = find_key(path)
    # SECURITY: a section may have been given as a text with a password in it.
    if node is None or node.secret or not node.is_value:
        return ""
    if not isinstance(value, str | int | float) or len(str(value)) > 60:
        return ""
    return f", not {value!r}"
