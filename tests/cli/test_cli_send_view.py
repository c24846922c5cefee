"""How far a send is, in words that are true."""

from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from feedsvc.cli import send_view
from feedsvc.cli.send_view import Bar, Lines, Pace, Silent, Standing, describe_pace, in_words
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionState as E

HALF = Standing(E.SENDING, {S.PENDING: 40, S.DOT: 5, S.SENT: 50, S.DEFERRED: 3, S.FAILED: 2})


def test_a_standing_counts_what_ended_and_what_can_go_now() -> None:
    assert (HALF.total, HALF.ended, HALF.to_go) == (100, 52, 45)
    assert HALF.words == "50 of 100 sent, 3 deferred, 2 failed"
    assert Standing(E.SENDING, {S.PENDING: 3}).words == "0 of 3 sent"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "60 min"), (7500, "2 h 05 min")],
)
def test_time_left_is_told_no_finer_than_it_is_known(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.per_second is None
    pace.note(100.0, 0)
    assert describe_pace(pace, 10) == ""
    for second in range(1, 31):
        pace.note(100.0 + second, 100 * min(second, 15))  # and then nothing moves
    assert pace.per_second == 0
    assert describe_pace(pace, 500) == "0/s"
    for second in range(1, 11):
        pace.note(130.0 + second, 1500 + 20 * second)
    assert pace.per_second == pytest.approx(20)
    assert describe_pace(pace, 3000) == "20/s, 2 min left"
    assert describe_pace(pace, 0) == "20/s"


def test_a_rate_is_never_negative() -> None:
    pace = Pace()
    pace.note(0, 50)
    pace.note(5, 40)  # the failed were taken up again
    assert pace.per_second == 0


def test_elsewhere_than_on_a_terminal_there_is_a_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(send_view, "say", said.append)
    lines = Lines()
    for tenth in range(120):
        lines.show(Standing(E.SENDING, {S.SENT: tenth, S.PENDING: 120 - tenth}), 7 + tenth / 10)
    assert said == [
        "sending: 50 of 120 sent; 10/s, 7 s left",
        "sending: 100 of 120 sent; 10/s, 2 s left",
    ]
    Silent().show(HALF, 1000.0)
    assert len(said) == 2
    assert capsys.readouterr().out == ""


def test_the_bar_has_counts_rate_and_time_left() -> None:
    console = Console(width=100, force_terminal=True, file=StringIO())
    columns = (TextColumn("{task.description}|{task.fields[words]}|{task.fields[pace]}"),)
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = Bar(progress)
        bar.show(Standing(E.COMPOSING, {S.PENDING: 70}), 1.0)
        task = progress.tasks[0]
        assert (task.total, task.fields["words"]) == (None, "70 mails")
        bar.show(Standing(E.SENDING, {S.PENDING: 100}), 2.0)
        bar.show(HALF, 4.0)
        assert (task.total, task.completed) == (100, 52)
        assert task.fields["words"] == HALF.words
        assert task.fields["pace"] == "17/s, 3 s left"
