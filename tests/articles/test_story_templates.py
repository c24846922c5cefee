"""Two days of a template are two articles, however little of it they fill in differently."""

from datetime import UTC, datetime, timedelta

import pytest
from article_builders import DEFAULTS, make_raw

from feedsvc.articles.parse import parse_article
from feedsvc.articles.story_match import Telling, is_same_by_claim, is_same_by_words
from feedsvc.articles.story_text import StoryText

NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)

_AIR = """市生态环境局今天发布空气质量日报：全市空气质量{}，首要污染物为细颗粒物，
各监测站运行正常。

专家提醒，敏感人群外出请做好防护，尽量避免在交通高峰时段进行户外锻炼，
开窗通风宜选择上午十时至下午三时之间。更多数据请关注本台官方微信公众号，或拨打服务热线咨询。"""
_SKY = """北京市气象台今天早晨六时发布天气预报：今天白天{}，{}，能见度良好，体感舒适，
适宜户外活动。

气象部门提醒，近期早晚温差较大，市民朋友外出时请适时增减衣物，注意交通安全；
森林火险气象等级较高，请注意用火安全，做好个人防护。"""
_CITIES = """中央气象台发布全国主要城市天气预报。北京：多云，气温1到9℃；上海：多云，
气温8到15℃；广州：多云，气温15到23℃；成都：多云，气温7到13℃；武汉：多云，气温5到14℃；哈尔滨：
多云，气温零下{}到2℃。请注意防护。"""
_PARITY = """中国外汇交易中心公布，银行间外汇市场人民币汇率中间价为：1美元对人民币{}元，
1欧元对人民币7.6521元，100日元对人民币4.7312元，1港元对人民币0.9112元，1英镑对人民币9.0123元，
1澳大利亚元对人民币4.7001元，1新西兰元对人民币4.2888元，1新加坡元对人民币5.3312元，
1瑞士法郎对人民币8.1222元。"""
_MISSING = """{}，身高一米六左右，走失时身穿深色外套。如有发现，请立即与家属联系，
或拨打公安机关报警电话，必有重谢。

本台提醒广大市民，家中有老人和儿童的，外出时请务必有人陪同，随身携带写有联系方式的卡片，
遇到困难请及时向附近民警求助。"""
_FUEL = """国家发展改革委今天宣布，根据近期国际市场油价变化情况，按照现行成品油价格机制，
自今日二十四时起，国内汽、柴油价格每吨分别{}。

中石油、中石化、中海油三大公司及其他原油加工企业要组织好成品油生产和调运，确保市场稳定供应，
严格执行国家价格政策。各地相关部门要加大市场监督检查力度，严厉查处不执行国家价格政策的行为，
维护正常市场秩序。"""
_SHARES = """{}公告，公司控股股东计划自公告之日起十五个交易日后的三个月内，
以集中竞价或大宗交易方式减持公司股份不超过500万股，即不超过公司总股本的1%。
减持原因为自身资金需要，减持价格根据市场价格确定，减持计划的实施不会导致公司控制权发生变更，
也不会对公司治理结构和持续经营产生影响。"""
_POLLEN = """The pollen service says that the load of {} in the city is high today. People who
are allergic should keep their windows shut from morning to evening, wash their hair before they
go to bed, and take their medicine as they were told. The next report comes
tomorrow at the usual hour."""

#: name -> the title of both, and their bodies.
TEMPLATES = {
    "the air, in one character": ("今日空气质量", _AIR.format("优"), _AIR.format("良")),
    "the sky, without a number": (
        "北京今日天气",
        _SKY.format("晴", "北风二三级"),
        _SKY.format("小雨转阴", "南风三四级"),
    ),
    "one temperature of twelve": ("全国主要城市天气", _CITIES.format(6), _CITIES.format(8)),
    "one rate of nine": (
        "人民币汇率中间价公布",
        _PARITY.format("7.1021"),
        _PARITY.format("7.1033"),
    ),
    "two people who are missing": (
        "寻人启事",
        _MISSING.format("张某，女，七十二岁，昨日在人民公园附近走失"),
        _MISSING.format("李某，男，八岁，今早在火车站广场走失"),
    ),
    "fuel, up and down": (
        "国内成品油价格调整",
        _FUEL.format("上调一百二十元和一百一十五元"),
        _FUEL.format("下调九十元和八十五元"),
    ),
    "two companies": ("股东减持股份", _SHARES.format("甲科技"), _SHARES.format("乙电子")),
    "pollen of two trees": ("Pollen today", _POLLEN.format("birch"), _POLLEN.format("alder")),
}


def telling(title: str, body: str, source: str = "blog", days: int = 0) -> Telling:
    data = parse_article(make_raw(f"---\ntitle: {title}\n---\n\n{body}\n"), DEFAULTS)
    return Telling(source, NOON + timedelta(days=days), StoryText.of(data.title, data.content))


@pytest.mark.parametrize("source", ["blog", "wire"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_template_filled_in_differently_is_another_article(
    template: tuple[str, str, str], source: str
) -> None:
    title, one, other = template
    today, tomorrow = telling(title, one), telling(title, other, source, days=1)
    assert not is_same_by_words(today, tomorrow)
    assert not is_same_by_words(tomorrow, today)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_column_that_names_one_address_every_day_is_not_one_article(
    template: tuple[str, str, str],
) -> None:
    title, one, other = template
    assert not is_same_by_claim(telling(title, one), telling(title, other, days=1))


def test_short_items_of_one_address_are_one_only_to_the_letter() -> None:
    assert not is_same_by_claim(telling("北京今日天气", "晴。"), telling("北京今日天气", "小雨。"))
    assert is_same_by_claim(telling("停水通知", "今晚停水。"), telling("停水通知", "今晚停水！"))
