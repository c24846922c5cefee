"""One place speaks HTTP to others: what goes round it goes round its guard."""

import ast
from pathlib import Path

import pytest

import feedsvc

PACKAGE = Path(feedsvc.__file__).parent
ALLOWED = {PACKAGE / "kit" / "fetch" / "__init__.py", PACKAGE / "kit" / "fetch" / "wire.py"}
CLIENTS = (
    "aiohttp",
    "ftplib",
    "http.client",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "niquests",
    "pycurl",
    "requests",
    "urllib.request",
    "urllib3",
    "websockets",
    "xmlrpc",
)


def find_clients(source: str) -> set[str]:
    """The HTTP clients that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("import_module", "__import__") and node.args:
                names |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return {
        client
        for client in CLIENTS
        for name in names
        if name == client or name.startswith(f"{client}.")
    }


def test_nobody_else_speaks_http_to_others() -> None:
    modules = set(PACKAGE.rglob("*.py"))
    assert modules >= ALLOWED
    found = {path: find_clients(path.read_text("utf-8")) for path in modules}
    assert {path for path, clients in found.items() if clients} == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import httpx2",
        "from httpx import AsyncClient",
        "from urllib import request",
        "import urllib.request as r",
        "def f():\n    from http.client import HTTPConnection",
        "import importlib\nimportlib.import_module('requests')",
    ],
)
def test_a_client_is_found(source: str) -> None:
    assert find_clients(source)


def test_reading_addresses_is_no_client() -> None:
    assert not find_clients("from urllib.parse import urlsplit\nfrom http import HTTPStatus")
