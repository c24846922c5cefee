"""How far a send is: a live bar on a terminal, now and then a line elsewhere."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from feedsvc.cli.output import console, say
from feedsvc.model.delivery import OPEN_STATES, DeliveryState
from feedsvc.model.edition import EditionState

if TYPE_CHECKING:
    from rich.progress import Progress

#: The rate is that of so many last seconds.
_LAST_SECONDS = 10.0
#: Two looks that are nearer tell nothing of a rate.
_LEAST_SECONDS = 1.0
#: Seconds between lines where there is no terminal.
_LINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """An edition at a moment."""

    state: EditionState
    totals: Mapping[DeliveryState, int]

    @property
    def total(self) -> int:
        """All its mails."""
        return sum(self.totals.values())

    @property
    def ended(self) -> int:
        """Those that came to an end, good or bad."""
        return sum(count for state, count in self.totals.items() if state not in OPEN_STATES)

    @property
    def to_go(self) -> int:
        """Those that can be sent now; a deferred one waits for its time."""
        return self.total - self.ended - self.totals.get(DeliveryState.DEFERRED, 0)

    @property
    def words(self) -> str:
        """Where they stand, in words: `12 of 1204 sent, 3 deferred, 1 failed`."""
        sent = self.totals.get(DeliveryState.SENT, 0)
        rest = {
            state: count
            for state, count in self.totals.items()
            if state is DeliveryState.DEFERRED
            or (state not in OPEN_STATES and state is not DeliveryState.SENT)
        }
        return ", ".join(
            [f"{sent} of {self.total} sent", *(f"{count} {state}" for state, count in rest.items())]
        )


class Pace:
    """How fast mails come to an end, by the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, at_seconds: float, ended: int) -> None:
        """So many had ended at this instant of a clock that only goes on."""
        self._seen.append((at_seconds, ended))
        while len(self._seen) > 2 and self._seen[1][0] <= at_seconds - _LAST_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """Mails a second; None before it can be told."""
        if not self._seen:
            return None
        (since, before), (until, now) = self._seen[0], self._seen[-1]
        if until - since < _LEAST_SECONDS:
            return None
        return max(now - before, 0) / (until - since)

    def left_seconds(self, to_go: int) -> float | None:
        """How long the rest takes at this pace; None when it cannot be told."""
        rate = self.per_second
        return to_go / rate if rate else None


def in_words(seconds: float) -> str:
    """A span of time as people say it, no finer than it is known."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"


def describe_pace(pace: Pace, to_go: int) -> str:
    """Rate and time left, as far as they are known."""
    rate, left = pace.per_second, pace.left_seconds(to_go)
    if rate is None:
        return ""
    told = f"{rate:.0f}/s" if rate >= 10 or rate == 0 else f"{rate:.1f}/s"
    return f"{told}, {in_words(left)} left" if left is not None and to_go else told


class View(Protocol):
    """Shows how far an edition is."""

    def show(self, standing: Standing, at_seconds: float) -> None:
        """Told at each look; the seconds are of a clock that only goes on."""
        ...


class Silent:
    """Shows nothing: for scripts."""

    def show(self, standing: Standing, at_seconds: float) -> None:
        """Nothing."""


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._said_at: float | None = None

    def show(self, standing: Standing, at_seconds: float) -> None:
        """Say it, if it was not said a moment ago."""
        self._pace.note(at_seconds, standing.ended)
        if self._said_at is None:
            self._said_at = at_seconds  # what is through at once has no progress to tell
        if at_seconds - self._said_at >= _LINE_SECONDS:
            self._said_at = at_seconds
            pace = describe_pace(self._pace, standing.to_go)
            say(f"{standing.state}: {standing.words}" + (f"; {pace}" if pace else ""))


class Bar:
    """A bar that moves."""

    def __init__(self, progress: "Progress") -> None:
        self._progress, self._pace = progress, Pace()
        self._task = progress.add_task("composing", total=None, words="", pace="")

    def show(self, standing: Standing, at_seconds: float) -> None:
        """Move it."""
        self._pace.note(at_seconds, standing.ended)
        composed = standing.state is not EditionState.COMPOSING
        self._progress.update(
            self._task,
            description=standing.state.value,
            total=standing.total or None if composed else None,
            completed=standing.ended,
            words=standing.words if composed else f"{standing.total} mails",
            pace=describe_pace(self._pace, standing.to_go),
        )


@contextmanager
def open_view(*, silent: bool) -> Iterator[View]:
    """What suits where the output goes; the bar is gone when the block ends."""
    if silent or not console.is_terminal:
        yield Silent() if silent else Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[words]}"),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress)
