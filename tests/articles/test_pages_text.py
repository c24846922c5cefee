"""News pages saved as plain text."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from feedsvc.articles.page_lines import read_furniture
from feedsvc.articles.page_times import find_time
from feedsvc.articles.pages import PageReading, read_page
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import MediaType, RawItem

SHANGHAI = ZoneInfo("Asia/Shanghai")
CORPUS = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpus" / "news"


def read(text: str | bytes) -> PageReading:
    content = text.encode() if isinstance(text, str) else text
    now = datetime(2026, 1, 1, tzinfo=UTC)
    raw = RawItem("page", "a.txt", "a.txt", MediaType.PLAIN, content, "", now, is_page=True)
    return read_page(raw, SHANGHAI)


def paragraphs(reading: PageReading) -> list[str]:
    return re.findall("<p>(.*)</p>", reading.html)


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=SHANGHAI)  # type: ignore[misc,arg-type]


BODY = (
    "　　今天上午，第一辆电动公车在广州上路，许多市民前来乘坐。\n\n　　交通局说，年内还有三百辆。\n"
)


@pytest.mark.skipif(not CORPUS.exists(), reason=f"NOT RUN: no corpus at {CORPUS}")
def test_a_page_of_a_news_centre_is_read_exactly() -> None:
    expected = json.loads((CORPUS / "expected.json").read_text())["zhaoqing-cluster.txt"]
    reading = read((CORPUS / "zhaoqing-cluster.txt").read_bytes())
    assert reading.title == expected["title"]
    assert reading.section == expected["section"]
    assert reading.published_at == datetime.fromisoformat(expected["published"]).replace(
        tzinfo=SHANGHAI
    )
    assert reading.published_at is not None
    assert reading.published_at.utcoffset() == UTC.utcoffset(None)
    assert len(paragraphs(reading)) == expected["paragraphs"]
    assert all(words in reading.html for words in expected["in_body"])
    assert not any(words in reading.html for words in expected["not_in_body"])


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("2023-10-31 09:04:50", local(2023, 10, 31, 9, 4, 50)),
        ("2023年10月31日 09:04", local(2023, 10, 31, 9, 4)),
        ("2023年10月31日09时04分", local(2023, 10, 31, 9, 4)),
        ("2023/10/31 9:04", local(2023, 10, 31, 9, 4)),
        ("2023.10.31 09:04", local(2023, 10, 31, 9, 4)),
        ("发布时间：2023-10-31 09:04:50", local(2023, 10, 31, 9, 4, 50)),
        ("时间: 2023-10-31 09:04", local(2023, 10, 31, 9, 4)),
        ("發佈時間：2023年10月31日 星期二 09:04", local(2023, 10, 31, 9, 4)),
        ("2023年10月31日 下午3:04", local(2023, 10, 31, 15, 4)),
        ("发布日期：2023-10-31", local(2023, 10, 31)),
        ("新华社 2023-10-31 09:04", local(2023, 10, 31, 9, 4)),
        (
            "来源：新华社  作者：李雷  时间：2023-10-31 09:04  浏览次数：12",
            local(2023, 10, 31, 9, 4),
        ),
        ("【2023-10-31 09:04】【字号：大 中 小】【打印】【关闭】", local(2023, 10, 31, 9, 4)),
    ],
)
def test_the_usual_time_lines_are_understood(line: str, time: datetime) -> None:
    reading = read(f"广州电动公车上路\n{line}\n\n{BODY}")
    assert (reading.title, reading.published_at) == ("广州电动公车上路", time)
    assert len(paragraphs(reading)) == 2


@pytest.mark.parametrize("text", ["2023-02-31 09:04", "2023-13-01", "版本 12023-10-31", "1.2.2023"])
def test_what_is_no_date_is_not_taken_for_one(text: str) -> None:
    assert find_time(text) is None


def test_the_time_of_a_later_change_is_not_that_of_publication() -> None:
    reading = read(
        f"广州电动公车上路\n更新时间：2023-11-02 10:00\n发布时间：2023-10-31 09:04\n{BODY}"
    )
    assert reading.published_at == local(2023, 10, 31, 9, 4)


def test_navigation_around_the_article_is_left_out() -> None:
    head = ["首页 | 搜索 | 关于我们", "首页 > 新闻中心 > 公司新闻 > 正文", "广州电动公车上路"]
    facts = ["2023-10-31 09:04", "来源：广州日报", "作者：李雷", "责任编辑：韩梅梅"]
    more = ["浏览次数: 128", "字号：大 中 小", "分享到：微信 微博", BODY]
    foot = ["（责任编辑：韩梅梅）", "打印", "关闭", "上一篇：广州地铁新线开通", "下一篇：没有了"]
    end = ["相关新闻", "广州地铁新线开通", "版权所有 广州日报", "搜索"]
    reading = read("\n".join(head + facts + more + foot + end))
    assert reading.title == "广州电动公车上路"
    assert reading.section == "公司新闻"
    assert reading.authors == ("李雷",)
    assert paragraphs(reading) == [
        "今天上午，第一辆电动公车在广州上路，许多市民前来乘坐。",
        "交通局说，年内还有三百辆。",
    ]


def test_where_an_article_was_taken_from_stands_in_for_an_author() -> None:
    reading = read(f"广州电动公车上路\n2023-10-31 09:04\n来源：新华社 作者：未知\n{BODY}")
    assert reading.authors == ("新华社",)


@pytest.mark.parametrize(
    "paragraph",
    [
        "记者在首页上搜索“打印”，返回列表中只有三条结果，关闭后再试也是一样。",
        "搜索引擎公司今天公布了第三季度的财报，收入比去年同期增长了一成。",
        "来源：本报记者从交通局获悉，这批公车来自三家本地厂商，年内全部交付使用。",
        "上一篇文章谈到公车，这一篇谈地铁。",
        "时间：2023年11月5日上午，市民可以到体育中心试乘新车，现场还有抽奖活动等着大家参加。",
        "2023年10月31日，第一辆电动公车上路。",
        "作者：这是一个问题。",
    ],
)
def test_a_paragraph_that_contains_navigation_words_stays(paragraph: str) -> None:
    reading = read(f"广州电动公车上路\n2023-10-31 09:04\n{BODY}　　{paragraph}\n{BODY}返回列表\n")
    assert paragraphs(reading)[2] == paragraph
    assert len(paragraphs(reading)) == 5


def test_facts_of_an_event_inside_the_text_stay() -> None:
    event = "时间：2023-11-05 10:00\n地点：体育中心\n"
    reading = read(f"广州电动公车上路\n2023-10-31 09:04\n{BODY}{event}{BODY}")
    assert paragraphs(reading)[2:4] == ["时间：2023-11-05 10:00", "地点：体育中心"]
    assert reading.published_at == local(2023, 10, 31, 9, 4)


def test_a_date_under_a_signature_stays_and_dates_the_page() -> None:
    reading = read(f"关于公车改线的说明\n{BODY}广州市交通局\n2023年10月31日\n")
    assert paragraphs(reading)[-2:] == ["广州市交通局", "2023年10月31日"]
    assert reading.published_at == local(2023, 10, 31)


def test_a_page_without_time_has_none() -> None:
    reading = read(f"新闻中心\n广州电动公车上路\n{BODY}")
    assert (reading.title, reading.section) == ("广州电动公车上路", "新闻中心")
    assert reading.published_at is None


def test_a_time_above_the_headline_is_found() -> None:
    reading = read(f"2023-10-31 09:04\n广州电动公车上路\n{BODY}")
    assert (reading.title, reading.published_at) == (
        "广州电动公车上路",
        local(2023, 10, 31, 9, 4),
    )


def test_an_english_page_is_read_too() -> None:
    reading = read(
        "Home\nElectric buses reach Guangzhou\nBy: Alice Li\n2023-10-31 09:04\nPrint\n\n"
        "The first electric bus left its depot in Guangzhou this morning.\n\nShare\n"
    )
    assert reading.title == "Electric buses reach Guangzhou"
    assert paragraphs(reading) == [
        "The first electric bus left its depot in Guangzhou this morning."
    ]


def test_text_is_escaped() -> None:
    reading = read("标题 <b>\n2023-10-31 09:04\n<script>alert(1)</script> & 其他\n")
    assert reading.title == "标题 <b>"
    assert paragraphs(reading) == ["&lt;script&gt;alert(1)&lt;/script&gt; &amp; 其他"]


@pytest.mark.parametrize("text", ["", "\n \n", "首页\n返回列表\n搜索\n", "2023-10-31 09:04\n"])
def test_a_page_without_an_article_is_refused(text: str) -> None:
    with pytest.raises(BrokenArticle, match=r"a\.txt: no headline found"):
        read(text)


def test_a_headline_alone_is_refused() -> None:
    with pytest.raises(BrokenArticle, match="no article text"):
        read("广州电动公车上路\n2023-10-31 09:04\n返回列表\n")


@pytest.mark.parametrize("line", ["广州电动公车上路", "分享经济", "来自新华社", "大中小城市"])
def test_a_headline_is_not_furniture(line: str) -> None:
    assert read_furniture(line) is None
