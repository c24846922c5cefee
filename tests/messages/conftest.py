"""Views, newsletters and people for the tests of messages."""

from datetime import UTC, datetime

import pytest

from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.messages.assemble import Recipient
from feedsvc.messages.render import DigestView, ItemView, NoticeView
from feedsvc.model.newsletter import Newsletter

DUE_AT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(scope="session")
def templates() -> Templates:
    return Templates(None)


@pytest.fixture
def morning_post() -> Newsletter:
    return Newsletter(
        key="morning",
        title="Morning Post",
        language="en",
        from_name="Morning Post",
        from_address="news@example.com",
        sender="Morning Post Publishing Ltd",
        postal_address="12 Quay Street, Bristol BS1 4RN, United Kingdom",
    )


@pytest.fixture
def chenbao() -> Newsletter:
    return Newsletter(
        key="chenbao",
        title="晨报",
        language="zh-CN",
        from_name="晨报编辑部",
        from_address="news@example.com",
        sender="晨报编辑部",
        postal_address="上海市黄浦区人民大道 200 号，200003",
    )


@pytest.fixture
def english_view() -> DigestView:
    texts = Texts("en")
    return DigestView(
        language="en",
        newsletter_title="Morning Post",
        newsletter_description="What happened in the city, every morning.",
        sender="Morning Post Publishing Ltd",
        postal_address="12 Quay Street, Bristol BS1 4RN, United Kingdom",
        date=texts.date(DUE_AT, "Asia/Shanghai"),
        items=(
            ItemView(
                title="Harbour bridge reopens after eleven months of repairs",
                url="https://news.example.com/articles/bridge?a=1&b=2",
                excerpt="The first buses crossed at six in the morning. The council says the new "
                "deck will carry twice the traffic of the old one.",
                section="City",
                lang="en",
                published=texts.datetime(DUE_AT, "Asia/Shanghai", show_zone=True),
                authors=("Ada Palmer",),
                image="https://news.example.com/bridge.jpg",
                image_alt="A bus on the new deck",
            ),
            ItemView(
                title="“Ships & <lights>”: an evening at the pier",
                url="https://news.example.com/articles/pier",
                excerpt="Nobody quite believes the number.",
                authors=("Jun Ito", "M. Okafor"),
            ),
            ItemView(
                title="图书馆延长开放时间",
                url="https://news.example.com/articles/library",
                excerpt="自十二月起，中心图书馆工作日开放至晚上十点。",
                lang="zh-CN",
            ),
        ),
        base_url="https://news.example.com",
        site_title="Morning Post",
        schedule=texts.schedule("0 8 * * *", "Asia/Shanghai"),
        more_count=12,
    )


@pytest.fixture
def chinese_view() -> DigestView:
    texts = Texts("zh-CN")
    return DigestView(
        language="zh-CN",
        newsletter_title="晨报",
        sender="晨报编辑部",
        postal_address="上海市黄浦区人民大道 200 号，200003",
        date=texts.date(DUE_AT, "Asia/Shanghai"),
        items=(
            ItemView(
                title="市政府印发《关于推进城市更新的若干意见》",
                url="https://news.example.com/articles/chengshi-gengxin",
                excerpt="意见提出，到 2030 年，城市更新行动取得重要进展，老旧小区改造、"
                "完整社区建设、历史文化保护等工作机制更加完善，群众获得感进一步增强。",
                section="时政",
                lang="zh-CN",
                published=texts.datetime(DUE_AT, "Asia/Shanghai", show_zone=True),
                authors=("李雷", "韩梅梅"),
            ),
            ItemView(
                title="Python 3.15 发布：默认 UTF-8 与更快的启动速度",
                url="https://news.example.com/articles/python",
                excerpt="启动时间平均缩短约 15%，并修正了电子邮件头折行的老问题。",
            ),
        ),
        base_url="https://news.example.com",
        site_title="晨报",
        schedule=texts.schedule("30 7 * * 1-5", "Asia/Shanghai"),
    )


@pytest.fixture
def confirmation_view() -> NoticeView:
    texts = Texts("zh")
    return NoticeView(
        language="zh",
        newsletter_title="晨报",
        sender="晨报编辑部",
        postal_address="上海市黄浦区人民大道 200 号，200003",
        base_url="https://news.example.com",
        site_title="晨报",
        expires=texts.datetime(DUE_AT, "Asia/Shanghai", show_zone=True),
        schedule=texts.schedule("0 8 * * *", "Asia/Shanghai"),
    )


@pytest.fixture
def alice() -> Recipient:
    return Recipient(
        "alice@example.org",
        "Alice",
        {
            "unsubscribe_url": "https://news.example.com/unsubscribe/k1." + "Aa0_" * 24,
            "preferences_url": "https://news.example.com/preferences/k1." + "Cc2_" * 24,
            "view_url": "https://news.example.com/view/k1.cohort",
        },
    )


@pytest.fixture
def li_lei() -> Recipient:
    return Recipient(
        "lilei@xn--fsqu00a.xn--4rr70v",
        "李雷",
        {
            "unsubscribe_url": "https://news.example.com/unsubscribe/k1." + "Bb1-" * 24,
            "preferences_url": "https://news.example.com/preferences/k1." + "Dd3-" * 24,
            "view_url": "https://news.example.com/view/k1.cohort",
        },
    )
