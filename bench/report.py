"""The form of a benchmark's results, and the facts about the machine they were taken on."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `value` is None where it could not be taken; `note` then says why."""

    name: str
    value: float | None
    unit: str
    note: str = ""


#: A benchmark: given whether the short form is wanted, answers its results.
Bench = Callable[[bool], list[Result]]


def median_seconds(sides: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median wall time of each side; the sides run in turn, so that noise meets all alike."""
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for times, side in zip(taken, sides, strict=True):
            begin = time.perf_counter()
            side()
            times.append(time.perf_counter() - begin)
    return [statistics.median(times) for times in taken]


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "load_1m": load,
    }


def commit() -> str | None:
    """The commit measured, with `+` when files differ from it; None outside a checkout."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def as_json(bench: str, results: Sequence[Result]) -> str:
    """The results as one JSON object."""
    rows = [
        {key: value for key, value in asdict(result).items() if key != "note" or value}
        for result in results
    ]
    whole = {"bench": bench, "results": rows, "machine": machine(), "commit": commit()}
    return json.dumps(whole, indent=2, ensure_ascii=False)


def as_table(bench: str, results: Sequence[Result]) -> str:
    """The results as lines for people."""
    width = max(len(result.name) for result in results)
    lines = [f"{bench}  ({commit()})", *(f"  {key}: {value}" for key, value in machine().items())]
    for result in results:
        value = "null" if result.value is None else f"{result.value:.4g}"
        lines.append(f"{result.name:<{width}}  {value:>9} {result.unit:<5} {result.note}".rstrip())
    return "\n".join(lines)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()
