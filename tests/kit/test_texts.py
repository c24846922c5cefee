"""Texts, dates and schedules in both languages, and catalogues that miss nothing."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from feedsvc.kit.texts import LOCALE_FOLDER, Texts, negotiate, read_catalogue

ROOT = Path(__file__).resolve().parents[2]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
OPTIONS = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
PLACEHOLDER = re.compile(r"%\([a-z_]+\)[a-z]|%%")
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def _as_set(msgid: str | tuple[str, ...]) -> tuple[str, ...]:
    return (msgid,) if isinstance(msgid, str) else tuple(msgid)


def _used() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where a text stands, and its msgid (two with a plural)."""
    sources: list[tuple[Path, object]] = [
        (path, "python") for path in sorted((ROOT / "feedsvc").rglob("*.py"))
    ]
    for suffix in ("html", "txt", "xml"):
        for path in sorted((ROOT / "templates").rglob(f"*.{suffix}")):
            sources.append((path, babel_extract))
    for path, method in sources:
        options = OPTIONS if method is babel_extract else {}
        with path.open("rb") as file:
            for line, msgid, _, _ in extract(method, file, keywords=KEYWORDS, options=options):
                yield f"{path.relative_to(ROOT)}:{line}", _as_set(msgid)


def test_every_text_that_is_used_has_a_chinese_translation() -> None:
    chinese = {_as_set(one.id): one.string for one in read_catalogue("zh") if one.id}
    used = list(_used())
    assert len(used) > 30, "the scan has gone blind"
    missing = [f"{where}: {ids}" for where, ids in used if not any(_as_set(chinese.get(ids, "")))]
    assert missing == []


def test_no_catalogue_holds_a_text_that_nobody_uses() -> None:
    used = {ids for _, ids in _used()}
    unused = [one.id for one in read_catalogue("zh") if one.id and _as_set(one.id) not in used]
    assert unused == []


def test_translations_have_the_placeholders_of_the_original() -> None:
    for message in read_catalogue("zh"):
        if not message.id:
            continue
        expected = set(PLACEHOLDER.findall(_as_set(message.id)[-1]))
        for text in _as_set(message.string):
            assert set(PLACEHOLDER.findall(text)) == expected, message.id


def test_two_catalogues_never_translate_one_text_differently() -> None:
    seen: dict[tuple[str, ...], tuple[object, str]] = {}
    for path in sorted((LOCALE_FOLDER / "zh").glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale="zh", abort_invalid=True):
                if not message.id:
                    continue
                assert not message.fuzzy, f"{path.name}: {message.id}"
                other, name = seen.setdefault(_as_set(message.id), (message.string, path.name))
                assert message.string == other, f"{message.id}: {path.name} and {name}"


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        (["zh-CN"], "zh"),
        (["zh_Hans_CN"], "zh"),
        (["ZH"], "zh"),
        (["en-GB", "zh"], "en"),
        (["fr", "zh-TW;q=0.8", "en"], "zh"),
        (["fr", "de"], "en"),
        ([], "en"),
        (["*"], "en"),
        (["zhx"], "en"),
    ],
)
def test_the_first_language_we_speak_is_chosen(wanted: list[str], language: str) -> None:
    assert negotiate(wanted) == language


def test_chinese_texts_say_that_they_are_simplified_chinese() -> None:
    assert Texts("zh-CN").lang == "zh-Hans"
    assert Texts("fr").lang == "en"


def test_dates_are_written_as_each_language_writes_them() -> None:
    english, chinese = Texts("en"), Texts("zh")
    assert english.datetime(MIDNIGHT, "Asia/Shanghai") == "22 November 2026, 08:00"
    assert chinese.datetime(MIDNIGHT, "Asia/Shanghai") == "2026年11月22日 08:00"
    assert english.date(MIDNIGHT, "America/New_York") == "21 November 2026"
    assert chinese.datetime(MIDNIGHT, "UTC", show_zone=True) == "2026年11月22日 00:00（UTC）"


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        Texts("en").date(datetime(2026, 11, 22), "UTC")  # noqa: DTZ001


@pytest.mark.parametrize(
    ("cron", "english", "chinese"),
    [
        ("0 8 * * *", "every day at 08:00 (Z)", "每天 08:00（Z）"),
        ("0 8,18 * * *", "every day at 08:00 and 18:00 (Z)", "每天 08:00、18:00（Z）"),
        ("30 7 * * 1-5", "Monday to Friday at 07:30 (Z)", "周一至周五 07:30（Z）"),
        ("0 8 * * MON,thu", "every Monday and Thursday at 08:00 (Z)", "每周一、周四 08:00（Z）"),
        ("0 9 * * 7", "every Sunday at 09:00 (Z)", "每周日 09:00（Z）"),
        ("0 9 * * 0", "every Sunday at 09:00 (Z)", "每周日 09:00（Z）"),
        ("0 9 * * 0-6", "every day at 09:00 (Z)", "每天 09:00（Z）"),
        ("0 9 1 * *", "on day 1 of every month at 09:00 (Z)", "每月 1 日 09:00（Z）"),
        (
            "0 9 1,15 * *",
            "on days 1 and 15 of every month at 09:00 (Z)",
            "每月 1、15 日 09:00（Z）",
        ),
        (
            "0 9 L * *",
            "on the last day of every month at 09:00 (Z)",
            "每月最后一天 09:00（Z）",
        ),
        ("* * * * *", "every minute", "每 1 分钟"),
        ("*/15 * * * *", "every 15 minutes", "每 15 分钟"),
        ("0 * * * *", "every hour, on the hour", "每小时整点"),
        ("5 * * * *", "every hour, 5 minutes past", "每小时第 5 分钟"),
        ("*/7 * * * *", "on the schedule */7 * * * * (Z)", "按计划 */7 * * * *（Z）"),
        ("0 8 1 * 1", "on the schedule 0 8 1 * 1 (Z)", "按计划 0 8 1 * 1（Z）"),
        ("5 4 * 2 1-5", "on the schedule 5 4 * 2 1-5 (Z)", "按计划 5 4 * 2 1-5（Z）"),
        ("0 8 * * fri#2", "on the schedule 0 8 * * fri#2 (Z)", "按计划 0 8 * * fri#2（Z）"),
    ],
)
def test_a_schedule_is_said_in_words(cron: str, english: str, chinese: str) -> None:
    assert Texts("en").schedule(cron, "Z") == english
    assert Texts("zh").schedule(cron, "Z") == chinese


def test_a_schedule_in_each_subscribers_zone_names_none() -> None:
    english, chinese = Texts("en"), Texts("zh")
    zone = "Asia/Shanghai"
    assert english.schedule("0 8 * * *", zone, own_zone=True) == "every day at 08:00, your time"
    assert chinese.schedule("0 8 * * *", zone, own_zone=True) == "每天 08:00（您当地时间）"
    assert chinese.schedule("5 4 * 2 *", zone, own_zone=True) == "按计划 5 4 * 2 *（您当地时间）"
    assert english.schedule("0 * * * *", zone, own_zone=True) == "every hour, on the hour"


@pytest.mark.parametrize("own_zone", [False, True])
def test_a_schedule_without_a_cron_follows_the_articles(own_zone: bool) -> None:
    english = Texts("en").schedule("", "Asia/Shanghai", own_zone=own_zone)
    assert english == "for each article, soon after it appears"
    assert Texts("zh").schedule("", "Asia/Shanghai", own_zone=own_zone) == "每篇文章发布后不久"


def test_the_words_follow_the_number() -> None:
    forms = ("And %(num)d more article", "And %(num)d more articles")
    assert Texts("en").ngettext(*forms, 1) == "And 1 more article"
    assert Texts("en").ngettext(*forms, 2) == "And 2 more articles"
    assert Texts("zh").ngettext(*forms, 1) == "还有 1 篇文章"
