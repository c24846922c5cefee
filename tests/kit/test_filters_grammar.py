"""What filters say, how they are written, and what is said about a mistake."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from filter_cases import FIRST, article_values, build_articles, conditions
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import FilterInvalid
from feedsvc.kit.filters import Filter, from_selection, has_value, parse_filter
from feedsvc.kit.filters.fields import ARTICLE_FIELDS, FieldKind, FieldTable, FilterField
from feedsvc.kit.filters.grammar import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, MAX_VALUES
from feedsvc.model.article import Article
from feedsvc.model.ports import Selection

SHANGHAI = ZoneInfo("Asia/Shanghai")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/filters.md"


def an_article(**values: Any) -> Article:
    plain: dict[str, Any] = {
        "source": "news",
        "section": "city",
        "topics": ["economy", "科技"],
        "authors": ["李雷", "Alice"],
        "language": "zh-CN",
        "title": "新地铁 Line 9 opens",
        "summary": "",
        "content": "<p>Smith &amp; Sons&nbsp;Ltd build 3 &lt; 4 trams</p>",
        "published_at": FIRST,
        "updated_at": FIRST,
        "image": None,
        "enclosures": [],
        "announce": True,
    }
    (article,) = build_articles([{**plain, **values}])
    return article


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('section = "city"', True),
        ('section = "City"', False),
        ('section != "ads"', True),
        ('topic = "economy"', True),
        ('topic != "economy"', False),
        ('topic in ("sport", "科技")', True),
        ('topic not in ("sport", "art")', True),
        ('author = "李雷"', True),
        ('author contains "ALI"', True),
        ('source is "news"', True),
        ('title contains "地铁"', True),
        ('title contains "LINE 9"', True),
        ('title not contains "bus"', True),
        ('title contains "%"', False),
        ('title contains "L_ne"', False),
        ('text contains "smith & sons"', True),
        ('text contains "3 < 4"', True),
        ('text contains "sons\xa0ltd"', True),
        ("has section and not has image", True),
        ("has enclosure", False),
        ("has summary", False),
        ("announced", True),
        ("not announced", False),
        ('section = "ads" or section = "city" and announced', True),
        ('(section = "city" or section = "ads") and not announced', False),
        ('NOT Section = "ads" AND Announced', True),
        # As Chinese input methods write it.
        ("section ＝ “city”", True),
        ("topic in （「sport」，「科技」）", True),
        ("topic in ('sport'、'科技')", True),
        ("section ！＝ ＂ads＂　and　announced", True),
        ("section ≠ ‘city’", False),
        ("published ≥ 2026-01-01 and published ≤ 2026-01-01", True),
        (r'title contains "\"" or title contains "9 \o"', True),
    ],
)
def test_a_filter_admits_what_it_describes(text: str, holds: bool) -> None:
    assert parse_filter(text).matches(an_article()) is holds


@pytest.mark.parametrize(
    ("wanted", "tag", "holds"),
    [
        ("zh", "zh", True),
        ("zh", "zh-CN", True),
        ("zh", "zh-Hans-CN", True),
        ("zh-Hans", "zh-Hans-CN", True),
        ("ZH_cn", "zh-CN", True),
        ("zh-CN", "zh", False),
        ("zh-CN", "zh-Hans-CN", False),
        ("z", "zh", False),
        ("en", "enm", False),
    ],
)
def test_a_language_is_asked_for_by_its_first_subtags(wanted: str, tag: str, holds: bool) -> None:
    article = an_article(language=tag)
    assert parse_filter(f'language = "{wanted}"').matches(article) is holds
    assert parse_filter(f'language not in ("{wanted}")').matches(article) is not holds
    assert parse_filter(f'language is "{wanted}"').matches(article) is (wanted == tag)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("published = 2026-01-02", (24, 47)),
        ("published != 2026-01-02", (0, 23, 48)),
        ("published >= 2026-01-02", (24, 47, 48)),
        ("published > 2026-01-02", (48,)),
        ("published <= 2026-01-02", (0, 23, 24, 47)),
        ("published < 2026-01-02", (0, 23)),
        ("published = 2026-01-02T23:00", (47,)),
        ("published != 2026-01-01T15:00:00.000000Z", (0, 24, 47, 48)),
        ('published > "2026-01-02T22:59:59.5+08:00"', (47, 48)),
        ("published <= 2026-01-02T00:00", (0, 23, 24)),
    ],
)
def test_a_date_is_a_day_in_the_service_s_own_zone(text: str, hours: tuple[int, ...]) -> None:
    midnight = datetime(2026, 1, 1, tzinfo=SHANGHAI)
    admitted = parse_filter(text, SHANGHAI)
    found = [
        hour
        for hour in (0, 23, 24, 47, 48)
        if admitted.matches(an_article(published_at=midnight + timedelta(hours=hour)))
    ]
    assert tuple(found) == hours
    assert parse_filter(str(admitted), UTC) == admitted


def test_an_article_without_a_section_is_in_no_section() -> None:
    article = an_article(section=None, topics=[], authors=[])
    assert parse_filter('section != "ads" and section not in ("a", "b")').matches(article)
    assert parse_filter('not (section contains "a" or topic = "b" or has author)').matches(article)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        (" \n", ""),
        ('section in ("b", "a", "b")', 'section in ("a", "b")'),
        ('section not in ("a")', 'section != "a"'),
        ('not not section is "a"', 'section = "a"'),
        ("language = 'ZH_cn'", 'language = "zh-CN"'),
        ('language is not in ("en", "zh")', 'language is not in ("en", "zh")'),
        ("(has image and (announced and has text))", "has image and announced and has text"),
        ("not (announced or not has image)", "not (announced or not has image)"),
        ("(announced or has text) and has image", "(announced or has text) and has image"),
        (
            "published = 2026-01-02",
            "published >= 2026-01-02T00:00:00Z and published < 2026-01-03T00:00:00Z",
        ),
        ("title contains '\\'\"\\\\'", 'title contains "\'\\"\\\\"'),
    ],
)
def test_a_filter_is_written_in_one_way(text: str, written: str) -> None:
    admitted = parse_filter(text)
    assert str(admitted) == written
    assert repr(admitted) == f"Filter({written!r})"
    assert parse_filter(written) == admitted
    assert hash(parse_filter(written)) == hash(admitted)


@pytest.mark.parametrize(
    ("text", "position", "parts"),
    [
        (
            'sectoin = "city"',
            1,
            ["'sectoin'", "did you mean section?", "Fields: announced, author"],
        ),
        ('tag = "x"', 1, ["did you mean topic?"]),
        ('标签 = "x"', 1, ["did you mean topic?"]),
        ("announced and", 14, ["expected the name of a field", "found the end"]),
        ('section "city"', 9, ["expected =, !=, in,", "after section", "found '\"city\"'"]),
        ("section = 城市", 11, ["expected a text in quotes", 'texts stand in quotes: "城市"']),
        ('section = "city', 11, ['no closing "']),
        ('section = “city"', 11, ["no closing ”"]),
        ('section > "city"', 9, ["expected =, !="]),
        ('section not = "city"', 13, ["expected in, contains after not"]),
        ('topic in "a"', 10, ['expected "(" and a list of texts']),
        ('topic in ("a" "b")', 15, ['expected "," or ")"']),
        ("topic in ()", 11, ["expected a text in quotes"]),
        ('(section = "a"', 15, ['expected "and", "or" or ")", found the end']),
        ('section = "a")', 14, ['expected "and", "or" or the end']),
        ('section = "a" section = "b"', 15, ['expected "and", "or" or the end']),
        ('section = "a" && announced', 15, ["'&' means nothing here", 'write "and"']),
        ('title contains ""', 16, ["not empty"]),
        ('text = "x"', 6, ["expected contains, not contains after text"]),
        ("published >= yesterday", 14, ["a date such as 2026-03-01"]),
        ("published >= 2026-02-30", 14, ["no date"]),
        ("published >= 2026-W01-1", 14, ["no date"]),
        ("published >= 0001-01-01", 14, ["no date"]),
        ("published contains 'x'", 11, ["expected >=, >,"]),
        ('language = "Chinese!"', 12, ["not a language tag"]),
        ("has published", 5, ['"has" cannot be asked of published']),
        ('enclosure = "x"', 1, ['write "has enclosure"']),
        ('announced = "x"', 11, ['expected "and", "or" or the end']),
        ('section = "a\x00"', 11, ["no article can hold"]),
        ('section = "\ud800"', 11, ["no article can hold"]),
        ("\u202e = 'x'", 1, [r"'\u202e' means nothing here"]),
    ],
    ids=lambda value: None if isinstance(value, list) else repr(value),
)
def test_a_mistake_is_shown_with_its_place(text: str, position: int, parts: list[str]) -> None:
    with pytest.raises(FilterInvalid) as caught:
        parse_filter(text)
    assert caught.value.position == position
    assert str(caught.value).startswith(f"at character {position}: ")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("fits", "more"),
    [
        ("(" * MAX_DEPTH + "announced" + ")" * MAX_DEPTH, "(" * 10_000),
        ("not " * MAX_DEPTH + "announced", "not " * 2000 + "announced"),
        (" and ".join(["announced"] * MAX_TERMS), " or ".join(["announced"] * (MAX_TERMS + 1))),
        (
            "topic in (" + ", ".join(f"'{n}'" for n in range(MAX_VALUES)) + ")",
            "topic in (" + ", ".join(f"'{n}'" for n in range(MAX_VALUES + 1)) + ")",
        ),
        (
            "title = '" + "x" * (MAX_LENGTH - 10) + "'",
            "title = '" + "x" * (MAX_LENGTH - 9) + "'",
        ),
        ('title = "x"', "title = '" + '"' * (MAX_LENGTH // 2) + "'"),
        (
            "not (" * 9 + "published != 2026-01-01" + ")" * 9,
            "not (" * 10 + "published != 2026-01-01" + ")" * 10,
        ),
    ],
    ids=["parentheses", "nots", "terms", "values", "length", "length as written", "days"],
)
def test_what_is_too_much_is_refused_at_once(fits: str, more: str) -> None:
    assert parse_filter(str(parse_filter(fits))) == parse_filter(fits)
    with pytest.raises(FilterInvalid):
        parse_filter(more)


@settings(deadline=None)
@given(conditions)
def test_what_is_written_is_read_as_the_same(condition: Any) -> None:
    admitted = Filter(condition)
    again = parse_filter(str(admitted), SHANGHAI)
    assert again == admitted
    assert (str(again), repr(again)) == (str(admitted), repr(admitted))


_pieces = st.sampled_from(
    ["section", "topic", "published", "language", "has", "not", "and", "or", "in", "is", "(", ")",
     "（", "，", '"a"', "“a”", '"', "\\", "=", "!=", "contains", "2026-01-01", "9999-12-31", "\x00",
     "\ud800", "\u202e", "０", "İ", "announced", "2026-01-01T25:00", " "]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_pieces, max_size=12).map(" ".join) | st.text(max_size=40))
def test_hostile_text_is_refused_in_no_other_way(text: str) -> None:
    try:
        admitted = parse_filter(text, SHANGHAI)
    except FilterInvalid as error:
        str(error).encode()
    else:
        assert parse_filter(str(admitted)) == admitted


_few = st.frozensets(st.sampled_from(["City", "city", "科技", "zh", "zh-CN", 'a "b"', "\\", ""]))


@settings(max_examples=50, deadline=None)
@given(_few, _few, _few, _few, st.lists(article_values, max_size=5))
def test_a_selection_becomes_the_filter_that_says_the_same(
    sources: frozenset[str],
    sections: frozenset[str],
    topics: frozenset[str],
    languages: frozenset[str],
    values: list[dict[str, Any]],
) -> None:
    selection = Selection(sources, sections, topics, languages)
    admitted = from_selection(selection)
    assert parse_filter(str(admitted)) == admitted
    for article in build_articles(values):
        assert admitted.matches(article) is selection.matches(article)


def test_a_selection_may_name_authors_too() -> None:
    admitted = from_selection(Selection(sections=frozenset({"city"})), ["李雷", "Bob"])
    assert str(admitted) == 'section = "city" and author in ("Bob", "李雷")'
    assert from_selection(Selection()) == Filter() == parse_filter("")
    with pytest.raises(FilterInvalid):
        from_selection(Selection(topics=frozenset({"\x00"})))


def test_two_filters_are_joined_to_what_both_admit() -> None:
    one, other = parse_filter("announced or has image"), parse_filter('section = "city"')
    assert str(one & other) == '(announced or has image) and section = "city"'
    assert one & Filter() == Filter() & one == one
    assert (one & other).uses == {"announced", "image", "section"}


def test_filters_on_different_things_are_different() -> None:
    people = FieldTable(FilterField("source", FieldKind.TEXT, lambda one: one["source"], None))
    person = {"source": "web form"}
    joined = parse_filter('source = "web form"', fields=people)
    assert joined.matches(person)
    assert joined != parse_filter('source = "web form"')
    with pytest.raises(ValueError, match="different things"):
        joined & Filter()
    with pytest.raises(FilterInvalid, match="Fields: source"):
        parse_filter("announced", fields=people)


def test_a_value_may_be_asked_for_exactly() -> None:
    assert str(has_value("language", ["zh"])) == 'language is "zh"'
    assert str(has_value("topic", ["科技"])) == 'topic = "科技"'


def test_the_document_tells_of_every_field_and_its_examples_can_be_read() -> None:
    text = DOCUMENT.read_text("utf-8")
    examples = re.findall(r"^```filter\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in examples for line in block.splitlines() if line]
    assert len(lines) > 10
    for line in lines:
        assert parse_filter(line, SHANGHAI).condition is not None, line
    for name in ARTICLE_FIELDS:
        assert f"`{name}`" in text, name
    for number in (MAX_LENGTH, MAX_DEPTH, MAX_TERMS, MAX_VALUES):
        assert re.search(rf"\b{number:,}\b".replace(",", ",?"), text), number
