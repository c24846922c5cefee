"""The import rule: imports point down the layers, and never sideways.

A stage knows nouns, not neighbours; what it needs of another it is handed by the pipeline.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import feedsvc

PACKAGE = Path(feedsvc.__file__).parent

#: From the bottom up. What stands in one layer does not import one another.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"model", "config"}),
    frozenset({"db"}),
    frozenset({"kit"}),
    frozenset(
        {
            "sources",
            "articles",
            "feeds",
            "audience",
            "editions",
            "messages",
            "deliveries",
            "returns",
            "relays",
            "operators",
            "alerts",
        }
    ),
    frozenset({"pipeline"}),
    frozenset({"app"}),
    frozenset({"web", "scheduler"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
HEIGHT = {unit: height for height, layer in enumerate(LAYERS) for unit in layer}
#: The settings speak of feed formats.
SIDEWAYS = {("config", "model")}

#: Foreign packages that one module alone may use.
SOLE_USERS = {"feedgen": "feedsvc.feeds.writing.syndication"}

#: Who may look at the clock; everybody else is given the time.
CLOCK_READERS = (
    "feedsvc.app",
    "feedsvc.scheduler",
    "feedsvc.config",
    "feedsvc.config_values",
    "feedsvc.cli",
)
#: A file that is still being written is told by the clock that stamps files, and by no other.
FILE_CLOCK = ("feedsvc.sources.files", "time.time")
CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
}


def _unit(module: str) -> str:
    """The part of the product a module belongs to."""
    parts = module.split(".")
    unit = parts[1] if len(parts) > 1 else ""
    return "config" if unit.startswith("config_") else unit


def _imported(module: str, is_package: bool, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Everything imported anywhere in a module, also inside functions and for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + (1 if is_package else 0)]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                # `from feedsvc import x` names a unit; `from feedsvc.x import y` names it too.
                yield node.lineno, f"{base}.{alias.name}"


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _why_not(module: str, target: str) -> str | None:
    package = target.split(".")[0]
    if package != "feedsvc":
        sole = SOLE_USERS.get(package, module)
        return None if sole == module else f"only {sole} uses {package}"
    ours, theirs = _unit(module), _unit(target)
    if ours == theirs or theirs not in HEIGHT or (ours, theirs) in SIDEWAYS:
        return None
    if HEIGHT[theirs] > HEIGHT[ours]:
        return f"{theirs} is above {ours}"
    return f"{ours} and {theirs} stand side by side" if HEIGHT[theirs] == HEIGHT[ours] else None


def find_violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """What a module does against the rule, one `module:line: what` each."""
    if module != "feedsvc" and _unit(module) not in HEIGHT:
        return [f"{module}:1: has no place in the layers"]
    tree = ast.parse(source)
    found = []
    if module != "feedsvc":
        for line, target in _imported(module, is_package, tree):
            if why := _why_not(module, target):
                found.append(f"{module}:{line}: imports {target}, but {why}")
    elif any(target.startswith("feedsvc.") for _, target in _imported(module, is_package, tree)):
        found.append("feedsvc:1: the package itself imports nothing of ours")
    if not any(module == reader or module.startswith(f"{reader}.") for reader in CLOCK_READERS):
        for node in ast.walk(tree):
            name = ".".join(_dotted(node).split(".")[-2:])
            if (module, name) == FILE_CLOCK:
                continue
            if isinstance(node, ast.Attribute) and name in CLOCKS:
                found.append(f"{module}:{node.lineno}: looks at the clock by {name}")
    return found


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def test_every_module_keeps_the_import_rule() -> None:
    modules = list(_modules())
    assert {"errors", "model", "config", "db", "kit"} <= {_unit(name) for name, _ in modules}
    violations = [
        violation
        for name, path in modules
        for violation in find_violations(name, path.read_text("utf-8"), path.name == "__init__.py")
    ]
    assert violations == []


@pytest.mark.parametrize(
    ("module", "source", "part"),
    [
        ("feedsvc.feeds.select", "from feedsvc.editions.compose import x", "side by side"),
        ("feedsvc.feeds.select", "import feedsvc.editions.compose", "side by side"),
        ("feedsvc.feeds.select", "from feedsvc import editions", "side by side"),
        ("feedsvc.feeds.select", "from ..editions import compose", "side by side"),
        ("feedsvc.feeds.select", "from .. import editions", "side by side"),
        ("feedsvc.feeds.select", "def f():\n    from feedsvc import audience", "side by side"),
        (
            "feedsvc.feeds.select",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import feedsvc.relays.open",
            "feedsvc.feeds.select:3:",
        ),
        ("feedsvc.kit.texts", "from feedsvc.feeds import select", "feeds is above kit"),
        ("feedsvc.db.engine", "from feedsvc.kit import tokens", "kit is above db"),
        ("feedsvc.model.feed", "from feedsvc import config", "side by side"),
        ("feedsvc.errors", "from feedsvc.model import feed", "model is above errors"),
        ("feedsvc.config_file", "from feedsvc.db import engine", "db is above config"),
        ("feedsvc.articles.parse", "from feedsvc.pipeline import Pipeline", "is above"),
        ("feedsvc.pipeline", "from feedsvc.app import App", "app is above pipeline"),
        ("feedsvc.scheduler", "from feedsvc.web import application", "side by side"),
        ("feedsvc.web.site", "from feedsvc.cli import main", "cli is above web"),
        ("feedsvc.feeds.documents.store", "from feedgen.feed import FeedGenerator", "only feedsvc"),
        ("feedsvc.utils", "", "no place"),
        ("feedsvc", "from feedsvc.errors import FeedsvcError", "imports nothing"),
        ("feedsvc.kit.texts", "now = datetime.now(UTC)", "looks at the clock"),
        ("feedsvc.kit.texts", "now = datetime.datetime.utcnow()", "looks at the clock"),
        ("feedsvc.feeds.select", "clock = datetime.now", "looks at the clock"),
        ("feedsvc.pipeline", "import time\nnow = time.time()", "looks at the clock"),
    ],
)
def test_a_violation_is_found(module: str, source: str, part: str) -> None:
    (violation,) = find_violations(module, source)
    assert part in violation


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("feedsvc.feeds.select", "from feedsvc.model.article import Article"),
        ("feedsvc.feeds.select", "from feedsvc.kit.texts import Texts"),
        ("feedsvc.feeds.select", "from feedsvc.feeds.documents.store import x"),
        ("feedsvc.feeds.select", "from . import documents"),
        ("feedsvc.feeds.writing.syndication", "from feedgen.feed import FeedGenerator"),
        ("feedsvc.config", "from feedsvc.model.feed import FeedFormat"),
        ("feedsvc.config_file", "from feedsvc.config import Settings"),
        ("feedsvc.cli.serve", "from feedsvc import __version__, web"),
        ("feedsvc.cli.serve", "now = datetime.now(UTC)"),
        ("feedsvc.kit.texts", "import time\nstart = time.monotonic()"),
        ("feedsvc.sources.files", "import time\nclock = time.time"),
        ("feedsvc.kit.texts", "from sqlalchemy import func\nnow = func.now()"),
    ],
)
def test_what_keeps_the_rule_is_let_through(module: str, source: str) -> None:
    assert find_violations(module, source) == []


def test_a_package_imports_from_itself() -> None:
    source = "from . import serve\nfrom .serve import main"
    assert find_violations("feedsvc.cli", source, is_package=True) == []
