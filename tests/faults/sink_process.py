"""The scripted SMTP server as a process of its own, whose log survives whatever else is killed.

Started by `battery_sink.Sink`, which tells it what to do by lines of JSON on standard input.
"""

import argparse
import asyncio
import json
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from smtp_sink import SmtpSink


class _Controlled:
    """A sink that is told what to do."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink
        self._waiting: dict[int, asyncio.Event] = {}
        self._asked = 0
        sink.at_ask = self._ask

    async def obey(self) -> None:
        """Do what comes in on standard input, until its end."""
        reader = asyncio.StreamReader(limit=1 << 22)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            order: dict[str, Any] = json.loads(line)
            match order.pop("do"):
                case "on":
                    self._sink.on(order.pop("step"), order.pop("action"), **order)
                    _say(done=True)
                case "forget":
                    self._sink.forget_rules()
                    _say(done=True)
                case "go":
                    self._waiting.pop(order["number"]).set()
                    _say(done=True)
                case "report":
                    _say(report=self._report())

    async def _ask(self, step: str, argument: str) -> None:
        """Tell what a client has come to, and wait for leave to answer it."""
        self._asked += 1
        number = self._asked
        self._waiting[number] = asyncio.Event()
        _say(asked={"number": number, "step": step, "argument": argument})
        await self._waiting[number].wait()

    def _report(self) -> dict[str, Any]:
        verbs = Counter(line.partition(" ")[0].upper() for line in self._sink.commands)
        clear = Counter(line.partition(" ")[0].upper() for line in self._sink.clear_commands)
        return {
            "connections": self._sink.connections,
            "most_connections": self._sink.most_connections,
            "verbs": dict(verbs),
            "clear_verbs": dict(clear),
        }


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--certificate", type=Path, help="PEM of certificate and key: offer TLS")
    parser.add_argument("--login", help="user:password: ask for it")
    options = parser.parse_args()
    tls = None
    if options.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate)
    user, _, password = (options.login or "").partition(":")
    sink = SmtpSink(
        port=options.port,
        log=options.log,
        seed=options.seed,
        tls=tls,
        login=(user, password) if options.login else None,
        keep_bytes=False,
        log_bytes=True,
    )
    async with sink:
        _say(port=sink.port)
        await _Controlled(sink).obey()


if __name__ == "__main__":
    asyncio.run(_main())
