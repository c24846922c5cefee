"""Front matter: the fields before a text, each with the line it stands in.

YAML between `---` lines, as Jekyll, Hugo and Hexo write it, or TOML between `+++` lines. Every
value is read as the text that was written (`title: 1.10` is "1.10", `slug: 007` is "007");
metadata.py says what the fields mean.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, NoReturn

import yaml

from feedsvc.errors import BrokenArticle

#: Longer front matter is refused (characters).
MAX_LENGTH = 50_000
#: Lists and maps nested deeper are refused.
_MAX_DEPTH = 10

Value = str | list["Value"] | dict[str, "Value"]

_NEVER_CLOSED = "a quoted value is never closed"
_YAML_NULLS = frozenset({"~", "null", "Null", "NULL"})
_LOOKS_LIKE_FIELD = re.compile(r"\s*(?:#.*|[\"']?[\w-]+[\"']?\s*[:=].*|[A-Za-z_-]+\s?：.*)\Z")
#: A name at the beginning of a line and the colon of a Chinese keyboard.
_WIDE_COLON = re.compile(r"^([\w-]+)[ \t]?：[ \t]*", re.MULTILINE)
_TOML_LINE = re.compile(r"\(at line (\d+)")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The fields by lower-case name, the line of each in the file, and the text after them."""

    values: Mapping[str, Value]
    lines: Mapping[str, int]
    body: str


class _Refused(yaml.MarkedYAMLError):
    """YAML that may be right, and that we do not read."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; refuses aliases, with which a short text can stand for a huge one."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._refuse("aliases (*name) are not supported; write the value again")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self._refuse("the front matter is nested too deeply")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def _refuse(self, reason: str) -> NoReturn:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        raise _Refused(problem=reason, problem_mark=event.start_mark)


def split_front_matter(text: str, location: str) -> FrontMatter:
    """Separate the front matter from the text after it; none at all is fine.

    Raises:
        BrokenArticle: it is never closed or cannot be read; names the line in the file (1-based).
    """
    first, _, rest = text.removeprefix("\ufeff").partition("\n")
    mark = first.rstrip()
    if mark not in ("---", "+++"):
        return FrontMatter({}, {}, text.removeprefix("\ufeff"))
    lines = rest.split("\n")
    ends = ("---", "...") if mark == "---" else ("+++",)
    end = next((n for n, line in enumerate(lines) if line.rstrip() in ends), None)
    if end is None:
        if lines and _LOOKS_LIKE_FIELD.match(lines[0]):
            raise BrokenArticle(location, f"the front matter is never closed by {mark}", 1)
        return FrontMatter({}, {}, text.removeprefix("\ufeff"))
    fields = "\n".join(lines[:end])
    if len(fields) > MAX_LENGTH:
        raise BrokenArticle(location, f"the front matter is longer than {MAX_LENGTH} characters", 1)
    read = _read_yaml if mark == "---" else _read_toml
    values, where = read(fields + "\n", location)
    return FrontMatter(values, where, "\n".join(lines[end + 1 :]))


def _read_yaml(text: str, location: str) -> tuple[dict[str, Value], dict[str, int]]:
    # Invisible controls are dropped wherever text is cleaned; YAML would refuse the whole file.
    printable = yaml.reader.Reader.NON_PRINTABLE.sub("", text)
    try:
        root = _compose(printable)
    except yaml.MarkedYAMLError as error:
        reason = _explain_yaml(error)
        never_closed = reason == _NEVER_CLOSED
        mark = error.context_mark if never_closed else error.problem_mark or error.context_mark
        line = mark.line + 2 if mark is not None else None
        raise BrokenArticle(location, reason, line) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BrokenArticle(location, f"the front matter cannot be read: {error}", 2) from error
    if root is None:
        return {}, {}
    if not isinstance(root, yaml.MappingNode):
        raise BrokenArticle(location, "the front matter is not a list of `name: value` lines", 2)
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for key, node in root.value:
        name = str(key.value).strip().lower() if isinstance(key, yaml.ScalarNode) else ""
        line = key.start_mark.line + 2
        if not name:
            raise BrokenArticle(location, "a field has no name", line)
        if name in values:
            raise BrokenArticle(
                location, f"{name} is given twice (also in line {lines[name]})", line
            )
        values[name], lines[name] = _yaml_value(node), line
    return values, lines


def _compose(text: str) -> yaml.Node | None:
    """The nodes of a text as it is, or else with the full-width colons after its names made narrow.

    YAML does not know them. A text that is right without them keeps those in its values.
    """
    narrow = _WIDE_COLON.sub(r"\1: ", text)
    if narrow != text:
        try:
            root = _compose_as_written(text)
        except (yaml.YAMLError, RecursionError, ValueError):
            return _compose_as_written(narrow)
        if not _is_plain_map(root):
            return _compose_as_written(narrow)
        return root
    return _compose_as_written(text)


def _is_plain_map(root: yaml.Node | None) -> bool:
    return isinstance(root, yaml.MappingNode) and not any(
        "：" in str(k.value) for k, _ in root.value
    )


def _compose_as_written(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        root: yaml.Node | None = loader.get_single_node()
        return root
    finally:
        loader.dispose()


def _explain_yaml(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "cannot be read"
    if isinstance(error, _Refused):
        return problem
    if "mapping values are not allowed" in problem:
        return "a value with a colon in it needs quotes, such as title: 'One: two'"
    if "found character '\\t'" in problem:
        return "the front matter is indented with a tab; use spaces"
    if "while scanning a quoted scalar" in (error.context or ""):
        return _NEVER_CLOSED
    if "found character" in problem and "cannot start any token" in problem:
        return f"{problem.removeprefix('found ')}; put the value in quotes"
    return f"the front matter is not YAML: {problem}"


def _yaml_value(node: yaml.Node) -> Value:
    if isinstance(node, yaml.SequenceNode):
        return [_yaml_value(one) for one in node.value]
    if isinstance(node, yaml.MappingNode):
        return {
            str(key.value).lower(): _yaml_value(value)
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode)
        }
    text = str(node.value)
    is_null = isinstance(node, yaml.ScalarNode) and node.style is None and text in _YAML_NULLS
    return "" if is_null else text


def _read_toml(text: str, location: str) -> tuple[dict[str, Value], dict[str, int]]:
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        found = _TOML_LINE.search(str(error))
        line = int(found[1]) + 1 if found else 2
        raise BrokenArticle(location, f"the front matter is not TOML: {error}", line) from error
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for name, value in _flatten(table):
        values[name.lower()] = _toml_value(value)
        lines[name.lower()] = _toml_line(text, name)
    return values, lines


def _flatten(table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a table, with those Hugo keeps in `[taxonomies]` and `[extra]` beside them."""
    for name, value in table.items():
        if name in ("taxonomies", "extra") and isinstance(value, dict):
            yield from ((inner, one) for inner, one in value.items() if inner not in table)
        else:
            yield name, value


def _toml_value(value: Any) -> Value:
    if isinstance(value, list):
        return [_toml_value(one) for one in value]
    if isinstance(value, dict):
        return {str(key).lower(): _toml_value(one) for key, one in value.items()}
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value)


def _toml_line(text: str, name: str) -> int:
    quoted = re.escape(name)
    for number, line in enumerate(text.split("\n"), 2):
        if re.match(rf"\s*[\"']?{quoted}[\"']?\s*=", line):
            return number
    return 2
