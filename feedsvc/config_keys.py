"""Which keys there are, read off the settings' own types.

One tree for whoever needs to know a key: the environment, error messages, the documentation.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from feedsvc.config import Settings

#: Stands for a name that the operator gives: `feeds.*.title`.
ANY = "*"


@dataclass(frozen=True)
class KeyNode:
    """A key: a value, a section (`children`), or sections under names of one's own (`ANY`)."""

    children: Mapping[str, "KeyNode"] = field(default_factory=dict)
    #: Its value is never shown.
    secret: bool = False
    #: Its value is a list.
    many: bool = False
    #: Values of `type` that choose among several kinds of this section.
    kinds: frozenset[str] = frozenset()

    @property
    def is_value(self) -> bool:
        """Whether this is a value, as against a section."""
        return not self.children

    def child(self, name: str | int) -> "KeyNode | None":
        """The key of that name in this section; None when there is none."""
        return self.children.get(str(name), self.children.get(ANY))


@cache
def key_tree() -> KeyNode:
    """The tree of all keys."""
    return _section([Settings])


def all_keys() -> Iterator[tuple[str, ...]]:
    """The path of every value, with `ANY` where the operator gives the name."""
    yield from _values(key_tree(), ())


def find_key(path: Sequence[str | int]) -> KeyNode | None:
    """The key at a path; that of the list for a position in it; None when there is none."""
    node: KeyNode | None = key_tree()
    for part in path:
        if node is None or node.is_value:
            return node if isinstance(part, int) else None
        node = node.child(part)
    return node


def _values(node: KeyNode, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if node.is_value:
        yield path
    for name, child in node.children.items():
        yield from _values(child, (*path, name))


def _section(models: Sequence[type[BaseModel]]) -> KeyNode:
    children: dict[str, KeyNode] = {}
    kinds: set[str] = set()
    for model in models:
        for name, info in model.model_fields.items():
            children[info.alias or name] = _node(info.annotation)
            if name == "type" and len(models) > 1:
                kinds.update(get_args(info.annotation))
    return KeyNode(children=children, kinds=frozenset(kinds))


def _node(annotation: Any) -> KeyNode:
    choices = list(_choices(annotation))
    if models := [kind for kind in choices if _is_model(kind)]:
        return _section(models)
    for kind in choices:
        if get_origin(kind) is dict:
            return KeyNode(children={ANY: _node(get_args(kind)[1])})
    return KeyNode(
        secret=SecretStr in choices, many=any(get_origin(kind) is list for kind in choices)
    )


def _choices(annotation: Any) -> Iterator[Any]:
    """The types a value may have, without Annotated and unions around them."""
    if get_origin(annotation) is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for kind in get_args(annotation):
            yield from _choices(kind)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
