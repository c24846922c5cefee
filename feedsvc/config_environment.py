"""Settings from the environment: `FEEDSVC_SERVER__PORT=8080` stands for `server.port`.

A secret may be in a file instead: `FEEDSVC_RELAY__PASSWORD_FILE=/run/secrets/relay`. A name that
means no setting is a mistake, not a setting to pass over.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feedsvc.config_keys import ANY, KeyNode, key_tree
from feedsvc.config_lines import KeyPath

PREFIX = "FEEDSVC_"
#: Names that are ours but no settings.
CONFIG_VARIABLE = "FEEDSVC_CONFIG"
_NOT_SETTINGS = frozenset({CONFIG_VARIABLE, "FEEDSVC_TEST_PG"})
_FILE = "_FILE"


class Environment:
    """What the environment says, laid over what the file says.

    After `overlay`: `names` tells which variable gave a key, `problems` what is wrong, one
    `VARIABLE: what` each.
    """

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._environ = environ
        self._base = base
        self.names: dict[KeyPath, str] = {}
        self.problems: list[str] = []

    def overlay(self, data: dict[str, Any]) -> None:
        """Put the variables' values into `data` in place."""
        known = dict(_known_variables(key_tree(), PREFIX, data))
        for name in sorted(self._environ):
            if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
                continue
            found = known.get(name)
            if found is None:
                self.problems.append(f"{name}: {_explain_unknown(name, known)}")
                continue
            path, node = found
            if path in self.names:
                self.problems.append(f"{name}: {self.names[path]} is set too; keep one of them")
                continue
            self.names[path] = name
            try:
                _put(data, path, self._value(name, path, node))
            except ValueError as error:
                self.problems.append(f"{name}: {error}")

    def variable_of(self, path: KeyPath) -> str | None:
        """The variable that gave a key, or the list an element is of; None: the file did."""
        return self.names.get(path) or (self.names.get(path[:-1]) if path else None)

    def _value(self, name: str, path: KeyPath, node: KeyNode) -> Any:
        value = self._environ[name]
        if _is_file_variable(name, path):
            try:
                return (self._base / value).read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{value} cannot be read: {error}") from error
        if not node.many:
            return value
        if not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        try:
            return tomllib.loads(f"list = {value}")["list"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError('write a list such as a,b or ["a", "b"]') from error


def variable_name(path: KeyPath) -> str:
    """The variable that sets a key."""
    return PREFIX + "__".join(str(part).upper().replace("-", "_") for part in path)


def _known_variables(
    node: KeyNode, prefix: str, data: Any, path: KeyPath = ()
) -> Iterator[tuple[str, tuple[KeyPath, KeyNode]]]:
    """Every variable that means a setting, for the names that `data` gives to its sections."""
    if node.is_value:
        yield prefix, (path, node)
        if node.secret:
            yield prefix + _FILE, (path, node)
        return
    inside = data if isinstance(data, dict) else {}
    names = inside if ANY in node.children else node.children
    for name in names:
        child = node.child(name)
        if child is not None:
            variable = variable_name((*path, name))
            yield from _known_variables(child, variable, inside.get(name), (*path, name))


def _is_file_variable(name: str, path: KeyPath) -> bool:
    return name == variable_name(path) + _FILE


def _explain_unknown(name: str, known: Mapping[str, object]) -> str:
    inside = [variable for variable in known if variable.startswith(name + "__")]
    if inside:
        return f"is a section; set a key of it, such as {inside[0]}"
    # Compared without the prefix, which makes any two names look alike.
    names = {variable.removeprefix(PREFIX): variable for variable in known}
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), names, n=1, cutoff=0.6)
    if not near:
        return "unknown; there is no such setting"
    return f"unknown; did you mean {names[near[0]]}?"


def _put(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set a value, unless the file has something other than a section on the way there."""
    for part in path[:-1]:
        inner = data.setdefault(str(part), {})
        if not isinstance(inner, dict):
            return  # the file's own mistake is reported for the file
        data = inner
    data[str(path[-1])] = value
