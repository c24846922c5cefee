"""Serving one feed to readers that poll: `feedsvc serve` beside one nginx worker.

The whole service runs as people run it, in a process of its own, with its scheduler and database;
nginx sends the same bytes from files, compressed before (`gzip_static`). The load comes from wrk,
on the same machine.
"""

import gzip
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random

from bench.report import Result

_PATH = "/feeds/all/rss.xml"
_BYTES = 60_000
_ARTICLES = 20
#: Of each item, beside its text: elements, summary, paragraphs.
_MARKUP_BYTES = 850
_ROUNDS, _SECONDS = 5, 3
_QUICK_ROUNDS, _QUICK_SECONDS = 1, 1
_CONNECTIONS, _THREADS = 64, 1
_PATIENCE_SECONDS = 30.0
_COMPARED = ("gzip_200", "etag_304")

_CONFIG = """\
base_url = "http://127.0.0.1:{port}"
title = "Bench 新闻"
[server]
port = {port}
[sources.folder]
type = "folder"
path = "articles"
[feeds.all]
title = "All articles 全部文章"
formats = ["rss"]
"""
_NGINX = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  types {{ application/rss+xml xml; }}
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/root;
    gzip_static on;
  }}
}}
"""
_ENGLISH = (
    "the of and report city market weather government people said new year train bridge river"
    " economy minister school harbour night letter"
)
_CHINESE = "今天 北京 上海 科技 文化 城市 新闻 报道 市场 天气 政府 经济 学校 河流 桥梁"


@dataclass(frozen=True, slots=True)
class _Side:
    """A server, and what it answers with."""

    port: int
    etag: str
    bytes_gzip: int


def run(quick: bool) -> list[Result]:
    """All results; null for what needs wrk or nginx where they are not installed."""
    missing = [tool for tool in ("wrk", "nginx") if _find_tool(tool) is None]
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as path, ExitStack() as stack:
        folder = Path(path)
        port = _free_port()
        process = stack.enter_context(_serve(folder, port))
        ours, plain, packed = _look(port, folder / "serve.log")
        if missing:
            reason = f"not installed: {', '.join(missing)}"
            rss = Result("rss_mb", _rss_mb(process.pid), "MB", "idle")
            absent = [
                Result(f"{one}_{name}", None, unit, reason)
                for one in _COMPARED
                for name, unit in (("vs_nginx", "x"), ("per_s", "req/s"))
            ]
            return [*absent, rss]
        theirs = stack.enter_context(_nginx(folder, plain, packed))
        rounds, seconds = (_QUICK_ROUNDS, _QUICK_SECONDS) if quick else (_ROUNDS, _SECONDS)
        results = [
            result for one in _COMPARED for result in _compare(one, ours, theirs, rounds, seconds)
        ]
        note = f"after the load; document of {len(plain)} B, {len(packed)} B as gzip"
        return [*results, Result("rss_mb", _rss_mb(process.pid), "MB", note)]


def _compare(name: str, ours: _Side, theirs: _Side, rounds: int, seconds: int) -> list[Result]:
    """Requests a second of both, in turn: the median of the rounds' ratios."""
    conditional = name == "etag_304"
    pairs = [
        (_load(ours, seconds, conditional), _load(theirs, seconds, conditional))
        for _ in range(rounds)
    ]
    ratios = [our / their for our, their in pairs]
    spread = f"{min(ratios):.2f} - {max(ratios):.2f} in {rounds} rounds"
    our, their = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [
        Result(f"{name}_vs_nginx", statistics.median(ratios), "x", spread),
        Result(f"{name}_per_s", our, "req/s", f"nginx: {their:.0f}"),
    ]


def _load(side: _Side, seconds: int, conditional: bool) -> float:
    """Requests a second that wrk gets answered. Raises RuntimeError when any went wrong."""
    _check(side, conditional)
    command = [
        str(_find_tool("wrk")),
        f"-t{_THREADS}",
        f"-c{_CONNECTIONS}",
        f"-d{seconds}s",
        *("-H", "Accept-Encoding: gzip, deflate", "-H", "User-Agent: bench/1.0"),
        *(("-H", f"If-None-Match: {side.etag}") if conditional else ()),
        f"http://127.0.0.1:{side.port}{_PATH}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk says: {done.stdout}")
    return float(found[1])


def _check(side: _Side, conditional: bool) -> None:
    headers = {"If-None-Match": side.etag} if conditional else {}
    status, seen, body = _get(side.port, "gzip", **headers)
    expected = (304, 0) if conditional else (200, side.bytes_gzip)
    if (status, len(body)) != expected or seen.get("etag") != side.etag:
        raise RuntimeError(f"port {side.port} answers {status} with {len(body)} bytes: {seen}")


def _get(port: int, coding: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", _PATH, headers={"Accept-Encoding": coding, **headers})
        answer = connection.getresponse()
        seen = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, seen, answer.read()
    finally:
        connection.close()


@contextmanager
def _serve(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service on a folder of articles, listening."""
    articles = folder / "articles"
    articles.mkdir()
    random = Random(20261122)
    for number in range(_ARTICLES):
        text = f"---\ntitle: Article {number} 文章\n---\n\n{_prose(random)}\n"
        (articles / f"{number:02}.md").write_text(text, encoding="utf-8")
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(port=port), encoding="utf-8")
    command = [sys.executable, "-m", "feedsvc", "serve", "--config", str(config)]
    with (
        (folder / "serve.log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _look(port: int, log: Path) -> tuple[_Side, bytes, bytes]:
    """What it serves, as it is and as gzip, once it serves all articles coded densely."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            _, _, plain = _get(port, "identity")
            _, seen, packed = _get(port, "gzip")
        except (OSError, HTTPException):
            plain = packed = b""
        is_whole = plain.count(b"<item>") == _ARTICLES
        if is_whole and len(packed) <= len(gzip.compress(plain, 6)):
            return _Side(port, seen["etag"], len(packed)), plain, packed
        time.sleep(0.2)
    said = log.read_text(encoding="utf-8")[-2000:]
    raise RuntimeError(f"feedsvc serve does not serve {_PATH} whole and dense; it says:\n{said}")


@contextmanager
def _nginx(folder: Path, plain: bytes, packed: bytes) -> Iterator[_Side]:
    """nginx with the same document in files."""
    file = folder / "root" / _PATH[1:]
    file.parent.mkdir(parents=True)
    file.write_bytes(plain)
    file.with_name(f"{file.name}.gz").write_bytes(packed)
    port = _free_port()
    # Its worker would be another user, who may not look into this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, user=user), encoding="utf-8")
    with subprocess.Popen([str(_find_tool("nginx")), "-c", str(config)]) as process:
        try:
            yield _Side(port, _wait_for_etag(port), len(packed))
        finally:
            process.terminate()


def _wait_for_etag(port: int) -> str:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            return _get(port, "gzip")[1]["etag"]
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nginx does not listen")


def _prose(random: Random) -> str:
    """About as many bytes as make the document `_BYTES` long, three quarters English."""
    english, chinese = _ENGLISH.split(), _CHINESE.split()
    text = ""
    while len(text.encode()) < _BYTES // _ARTICLES - _MARKUP_BYTES:
        words = [random.choice(chinese if random.random() < 0.25 else english) for _ in range(30)]
        text += f"{' '.join(words)} {random.randrange(10**6)}.\n\n"
    return text


def _rss_mb(pid: int) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else None


def _find_tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
