"""Dates as people write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from feedsvc.articles.dates import read_date

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    "text",
    [
        "2023-10-31 09:04",
        "2023-10-31 09:04:00",
        "2023-10-31T09:04",
        "2023-10-31T09:04:00.123456",
        "2023-10-31T01:04:00Z",
        "2023-10-31 09:04:00 +0800",
        "2023-10-31T09:04:00+08:00",
        "2023-10-31 01:04 UTC",
        "2023/10/31 09:04",
        "2023/10/31 9:04 AM",
        "2023.10.31 09:04",
        "2023年10月31日 09:04",
        "2023年10月31日09:04",
        "2023年10月31日 星期二 09：04",
        "2023年10月31日 上午9时04分",
        "２０２３年１０月３１日　０９：０４",
        "31 October 2023 09:04",
        "October 31, 2023 9:04 am",
        "Oct 31st, 2023, 09:04",
        "31.10.2023 09:04",
        "Tue, 31 Oct 2023 09:04:00 +0800",
        "Tue, 31 Oct 2023 01:04:00 GMT",
        "Tue, 31 Oct 2023 09:04:00",
    ],
)
def test_the_usual_shapes_name_one_instant(text: str) -> None:
    moment = read_date(text, SHANGHAI).replace(microsecond=0)
    assert moment == datetime(2023, 10, 31, 1, 4, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("text", ["2023-10-31", "2023年10月31日", "31 Oct 2023", "2023/10/31"])
def test_a_date_alone_is_its_first_minute_there(text: str) -> None:
    assert read_date(text, SHANGHAI) == datetime(2023, 10, 30, 16, 0, tzinfo=UTC)


def test_an_afternoon_hour_is_past_noon() -> None:
    assert read_date("2023年10月31日 下午3:05", SHANGHAI).hour == 7


def test_a_local_time_that_the_clocks_skip_is_still_an_instant() -> None:
    moment = read_date("2026-03-29 02:30", ZoneInfo("Europe/Berlin"))
    assert moment == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2023",
        "2023-13-45",
        "2023-02-30",
        "2023-10-31 25:00",
        "10/11/2023",
        "9999-12-31",
        "0001-01-01",
        "31 Brumaire 2023",
        "2023-10-31 09:04 +99:99",
        "1 2 3 4",
        "9" * 5000,
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_date(text, SHANGHAI)
