"""The scripted SMTP server of the battery, as a test sees it."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from battery_processes import PATIENCE_SECONDS

#: After which no further client is on its way to where the others are held.
_LAST_TO_COME_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A client of the sink has come to a step whose rule is `ask`; it waits for `Sink.go`."""

    number: int
    step: str
    #: What the client said; at DATA, BODY and DOT the recipient.
    argument: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the sink has taken, as its log says."""

    at: float
    sender: str
    recipient: str
    message_id: str
    sha256: str
    replied: bool
    message: bytes


class Sink:
    """The scripted SMTP server, in a process of its own; used as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        seed: int = 0,
        certificate: Path | None = None,
        login: str = "",
    ) -> None:
        self.log_path = folder / "sink.jsonl"
        self._options = ["--log", str(self.log_path), "--seed", str(seed), "--port", str(port)]
        if certificate is not None:
            self._options += ["--certificate", str(certificate)]
        if login:
            self._options += ["--login", login]
        self.port = 0
        self._asked: queue.Queue[Asked] = queue.Queue()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._count, self._read_to = 0, 0

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("sink_process.py")
        path = f"{script.parent.parent}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
        self._process = subprocess.Popen(
            [sys.executable, str(script), *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._reading = threading.Thread(target=self._listen, daemon=True)
        self._reading.start()
        try:
            self.port = self._answers.get(timeout=PATIENCE_SECONDS)["port"]
        except queue.Empty:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._reading.join()
        self._process.stdin.close()
        self._process.stdout.close()

    def on(self, step: str, action: str, **how: Any) -> None:
        """Answer a step so; see `SmtpSink.on`: match, times, chance, delay_seconds."""
        self._order(do="on", step=step, action=action, **how)

    def forget_rules(self) -> None:
        """Behave well from now on."""
        self._order(do="forget")

    def report(self) -> dict[str, Any]:
        """connections, most_connections, verbs and clear_verbs with how often each was said."""
        report: dict[str, Any] = self._order(do="report")["report"]
        return report

    def next_asked(self, limit_seconds: float = PATIENCE_SECONDS) -> Asked:
        """The next client that has come to a step whose rule is `ask`."""
        return self._asked.get(timeout=limit_seconds)

    def asked_within(self, seconds: float) -> Asked | None:
        """The next client that comes to such a step before the time is over."""
        with contextlib.suppress(queue.Empty):
            return self._asked.get(timeout=seconds)
        return None

    def hold(self, step: str, connections: int) -> list[Asked]:
        """From now on hold clients at a step; those that stand there, once all do or none moves."""
        self.on(step, "ask")
        held = [self.next_asked()]
        while len(held) < connections and (asked := self.asked_within(_LAST_TO_COME_SECONDS)):
            held.append(asked)
        return held

    def release(self, held: list[Asked]) -> None:
        """Behave well from now on, and let those who were held have their answers."""
        self.forget_rules()
        for one in held:
            self.go(one)
        while not self._asked.empty():  # who came while we looked away
            self.go(self._asked.get())

    def go(self, asked: Asked) -> None:
        """Let a client have its answer."""
        self._order(do="go", number=asked.number)

    def count(self) -> int:
        """How many messages have been taken, repeats included; cheap."""
        if self.log_path.exists():
            with self.log_path.open("rb") as file:
                file.seek(self._read_to)
                new = file.read()
            self._count += new.count(b"\n")
            self._read_to += len(new)
        return self._count

    def taken(self) -> list[Taken]:
        """Everything taken, in order."""
        found = []
        for line in self.log_path.read_bytes().splitlines() if self.log_path.exists() else []:
            entry = json.loads(line)
            del entry["bytes"]
            found.append(Taken(**entry | {"message": entry["message"].encode("latin-1")}))
        return found

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answers.get(timeout=PATIENCE_SECONDS)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "asked" in said:
                self._asked.put(Asked(**said["asked"]))
            else:
                self._answers.put(said)
