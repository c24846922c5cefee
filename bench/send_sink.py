"""Where the mail of a measurement goes: Postfix's smtp-sink where installed, else a sink of ours.

Run as a module it is that sink of ours, in a process of its own: it takes every message and keeps
none, and can let every reply wait, as a server far away does.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Where a fresh interpreter finds this package.
PROJECT = Path(__file__).resolve().parent.parent
_PATIENCE_SECONDS = 10.0
_END = b"\r\n.\r\n"
_GREETING = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 33554432\r\n250 8BITMIME\r\n"


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink that listens on the loopback."""

    port: int
    name: str


def find_tool(name: str) -> str | None:
    """Path of one of Postfix's programs; they may be where only root looks."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    return shutil.which(name, path=path)


@contextmanager
def open_sink(reply_seconds: float = 0.0) -> Iterator[Sink]:
    """A sink for the length of a block; ours when replies are to wait."""
    tool = None if reply_seconds else find_tool("smtp-sink")
    with _open_c_sink(tool) if tool else _open_own_sink(reply_seconds) as sink:
        yield sink


@contextmanager
def _open_c_sink(tool: str) -> Iterator[Sink]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # It wants to be told whom to become when root starts it.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([tool, *user, f"127.0.0.1:{port}", "1000"])
    try:
        await_port(process, port)
        yield Sink(port, "smtp-sink")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _open_own_sink(reply_seconds: float) -> Iterator[Sink]:
    command = [sys.executable, "-m", "bench.send_sink", "--reply-seconds", str(reply_seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert process.stdout is not None
        yield Sink(int(process.stdout.readline()), "our own sink in Python")
    finally:
        process.terminate()
        process.communicate()


def await_port(process: subprocess.Popen[Any], port: int) -> None:
    """Wait until somebody listens there. Raises RuntimeError: the process ended, or is too slow."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nobody listens on port {port}") from error
        time.sleep(0.01)


class _Session(asyncio.Protocol):
    """One client. Replies to what came in one piece go out in one piece, after the wait."""

    def __init__(self, reply_seconds: float) -> None:
        self._reply_seconds = reply_seconds
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._in_message = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._reply(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        data, replies = self._rest + data, []
        while data:
            if self._in_message:
                before, end, after = data.partition(_END)
                if not end:
                    data = before[-len(_END) + 1 :]  # the end may have come in part
                    break
                self._in_message = False
                replies.append(b"250 2.0.0 taken\r\n")
                data = after
            else:
                line, end, after = data.partition(b"\r\n")
                if not end:
                    break
                replies.append(self._answer(line[:4].upper()))
                data = after
        self._rest = data
        if replies:
            self._reply(b"".join(replies))

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"DATA":
            self._in_message = True
            return b"354 go ahead\r\n"
        if verb in (b"EHLO", b"HELO"):
            return _GREETING
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n"

    def _reply(self, reply: bytes) -> None:
        if self._reply_seconds:
            self._loop.call_later(self._reply_seconds, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(reply)
        if reply.endswith(b"bye\r\n"):
            self._transport.close()


async def _serve(reply_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Session(reply_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reply-seconds", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args().reply_seconds))
