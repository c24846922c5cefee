"""Reading config.toml and the environment, and saying what is wrong in them.

Every mistake is reported at once, as `file:line: key: what is wrong`. What keys there are, and
what they may hold, is config.py's to say.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from feedsvc.config import Settings
from feedsvc.config_environment import CONFIG_VARIABLE, Environment
from feedsvc.config_lines import KeyPath, find_lines, line_of
from feedsvc.config_mistakes import Mistake, find_mistakes
from feedsvc.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
_AT_LINE = re.compile(r"(.*) \(at line (\d+), column \d+\)\Z", re.DOTALL)
_AT_END = " (at end of document)"


@dataclass(frozen=True)
class LoadedSettings:
    """The settings, and where they come from.

    Relative paths in them are below `base`.
    """

    settings: Settings
    path: Path
    base: Path
    lines: Mapping[KeyPath, int]

    def line_of(self, key: str) -> int:
        """Line of a dotted key in the file; that of its section when it is not set there."""
        return line_of(self.lines, tuple(key.split(".")))


def shipped(name: str) -> Path:
    """A file or folder that comes with feedsvc: `config.toml` or `templates`; only to be read."""
    packed = _PACKAGE / "_data" / name
    return packed if packed.exists() else _PACKAGE.parent / name


def load_settings(path: Path | None, environ: Mapping[str, str], cwd: Path) -> LoadedSettings:
    """Find, read and check the configuration.

    Args:
        path: the file the operator named; None: `$FEEDSVC_CONFIG`, else `config.toml` in `cwd`,
            else the example that comes with feedsvc.
        environ: variables named `FEEDSVC_…` go before what the file says.
        cwd: what relative paths given by the operator are relative to.

    Raises:
        ConfigError: one `file:line: key: problem` or `VARIABLE: problem` a line.
    """
    path = _find_file(path, environ, cwd)
    shown = str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
    base = cwd if path.is_relative_to(_PACKAGE) else path.parent
    text = _read_text(path, shown)
    data = _parse(text, shown)
    lines = find_lines(text)
    environment = Environment(environ, base)
    environment.overlay(data)
    problems = list(environment.problems)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        problems = [*_point(find_mistakes(error), shown, lines, environment), *problems]
    if problems:
        raise ConfigError("\n".join(problems))
    return LoadedSettings(settings=settings, path=path, base=base, lines=lines)


def _find_file(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Path:
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    if path is not None:
        if not (cwd / path).exists():
            raise ConfigError(f"{path}: there is no such file")
        return cwd / path
    here = cwd / "config.toml"
    return here if here.exists() else shipped("config.toml")


def _read_text(path: Path, shown: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}") from error
    try:
        # Editors on Windows put a byte order mark and CRLF.
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}:{line}: not UTF-8; save the file as UTF-8") from error


def _parse(text: str, shown: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        if match := _AT_LINE.match(message):
            message, line = match[1], int(match[2])
        else:
            message, line = message.removesuffix(_AT_END), text.count("\n") + 1
        raise ConfigError(f"{shown}:{line}: not TOML: {message}") from error


def _point(
    mistakes: list[Mistake], shown: str, lines: Mapping[KeyPath, int], environment: Environment
) -> Iterator[str]:
    """Mistakes with their place, in the order of the file; those of the environment last."""
    from_file: list[tuple[int, str]] = []
    from_variables: list[str] = []
    for mistake in mistakes:
        what = f"{mistake.key}: {mistake.message}" if mistake.key else mistake.message
        if variable := environment.variable_of(mistake.path):
            from_variables.append(f"{variable}: {what}")
        else:
            line = line_of(lines, mistake.path)
            from_file.append((line, f"{shown}:{line}: {what}"))
    yield from (text for _, text in sorted(from_file, key=lambda one: one[0]))
    yield from from_variables
