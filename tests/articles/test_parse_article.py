"""From a raw item to an article."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from article_builders import DEFAULTS, NOW, make_raw
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from feedsvc.articles.changes import Change, ChangeKind
from feedsvc.articles.ingest import read_changes
from feedsvc.articles.parse import parse_article
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import ArticleData, Enclosure, MediaType


def parse(
    text: str | bytes, media_type: MediaType = MediaType.MARKDOWN, **more: str
) -> ArticleData:
    return parse_article(make_raw(text, media_type=media_type, **more), DEFAULTS)  # type: ignore[arg-type]


def broken(text: str | bytes, media_type: MediaType = MediaType.MARKDOWN) -> BrokenArticle:
    with pytest.raises(BrokenArticle) as caught:
        parse(text, media_type)
    return caught.value


FULL = """\
---
title: 长江 "三峡" & more
date: 2023年10月31日 09:04
lastmod: 2023-11-02
slug: three-gorges
category: [科技, 社会]
tags: [水电, 长江]
categories: [[能源], 水电]
author: 李雷
language: zh_cn
description: 一句话的摘要。
cover: /img/dam.jpg
canonical: https://old.example/2023/dam
enclosures:
  - url: dam.mp3
    length: 1234
---

正文，见[图](pic.html)。

![坝](dam.png)
"""


def test_every_field_is_read() -> None:
    data = parse(FULL)
    assert data == ArticleData(
        title='长江 "三峡" & more',
        content=(
            '<p>正文，见<a href="https://old.example/2023/pic.html"'
            ' rel="noopener noreferrer">图</a>。</p>\n'
            '<p><img src="https://old.example/2023/dam.png" alt="坝"></p>'
        ),
        summary="一句话的摘要。",
        published_at=datetime(2023, 10, 31, 1, 4, tzinfo=UTC),
        updated_at=datetime(2023, 11, 1, 16, 0, tzinfo=UTC),
        language="zh-CN",
        section="科技",
        topics=("水电", "长江", "能源"),
        authors=("李雷",),
        url="https://old.example/2023/dam",
        image="https://old.example/img/dam.jpg",
        enclosures=(Enclosure("https://old.example/2023/dam.mp3", "audio/mpeg", 1234),),
        slug="three-gorges",
        content_hash=data.content_hash,
    )


def test_what_an_item_does_not_say_is_taken_from_the_defaults() -> None:
    raw = make_raw("# 标题\n\n第一句。第二句。\n")
    data = parse_article(raw, replace(DEFAULTS, section="News"))
    assert (data.language, data.section) == ("zh-CN", "News")
    assert data.published_at == raw.modified_at
    assert data.summary == "第一句。第二句。"


@pytest.mark.parametrize(
    ("text", "media_type", "title", "content"),
    [
        pytest.param("x\n\n# The *title*\n\ny", MediaType.MARKDOWN, "The title",
                     "<p>x</p>\n\n<p>y</p>", id="first-heading"),
        pytest.param("---\ntitle: T\n---\n# T\n\ny", MediaType.MARKDOWN, "T",
                     "<p>y</p>", id="heading-that-repeats-it"),
        pytest.param("---\ntitle: T\n---\n# Other\n\ny", MediaType.MARKDOWN, "T",
                     "<h1>Other</h1>\n<p>y</p>", id="another-heading-stays"),
        pytest.param("# ![](a.png)\n\n# Real", MediaType.MARKDOWN, "Real",
                     '<h1><img src="https://news.example/a.png" alt=""></h1>',
                     id="heading-without-words"),
        pytest.param("<html lang=en><title>A &amp; B</title><p>y", MediaType.HTML, "A & B",
                     "<p>y</p>", id="title-of-a-document"),
        pytest.param("<title>A</title><h1>Better</h1><p>y", MediaType.HTML, "Better",
                     "<p>y</p>", id="heading-before-title"),
        pytest.param("标题\n\n正文。\n第二行", MediaType.PLAIN, "标题",
                     "<p>正文。<br>第二行</p>", id="first-line-of-a-text"),
        pytest.param("---\ntitle: T\n---\n<b>&\n\nb", MediaType.PLAIN, "T",
                     "<p>&lt;b&gt;&amp;</p>\n<p>b</p>", id="plain-is-escaped"),
        pytest.param("---\ntitle: T\n---\n　　一。\n　　二。\n", MediaType.PLAIN, "T",
                     "<p>一。</p>\n<p>二。</p>", id="indented-paragraphs"),
        pytest.param("---\ntitle: <b>x</b> \u202e &amp; \ud83d\n---\n".encode("utf-8", "replace"),
                     MediaType.MARKDOWN, "<b>x</b> &amp; ?", "", id="a-title-is-plain-text"),
    ],
)  # fmt: skip
def test_the_title_is_found(
    text: str | bytes, media_type: MediaType, title: str, content: str
) -> None:
    data = parse(text, media_type)
    assert (data.title, data.content) == (title, content)


def test_gbk_files_are_read() -> None:
    data = parse("---\ntitle: 国标码\n---\n\n老文件也能读。\n".encode("gbk"))
    assert (data.title, data.summary) == ("国标码", "老文件也能读。")


@pytest.mark.parametrize(
    ("fields", "draft"),
    [("draft: true", True), ("published: false", True), ("draft: no", False),
     ("published: yes", False),
     ("published: 2023-10-31", False), ("", False)],
)  # fmt: skip
def test_drafts_are_marked_in_either_way(fields: str, draft: bool) -> None:
    assert parse(f"---\ntitle: T\n{fields}\n---\n").draft is draft


@pytest.mark.parametrize(
    ("fields", "line", "words"),
    [
        ("date: someday", 3, "date: 'someday' is not a date"),
        ("x: 1\nlanguage: Chinese!", 4, "not a language tag"),
        ("draft: maybe", 3, "either true or false"),
        ("title: [a, b]", 3, "given twice"),
        ("slug: [a]", 3, "one value"),
        ("enclosure: {url: 'ftp://x/y'}", 3, "http"),
        ("enclosure: {url: 'http://x/y', length: big}", 3, "number of bytes"),
        ("enclosure: {url: 'http://x/y', type: audio}", 3, "media type"),
    ],
)
def test_a_mistaken_field_names_its_line(fields: str, line: int, words: str) -> None:
    error = broken(f"---\ntitle: T\n{fields}\n---\n")
    assert error.line == line
    assert words in error.reason


def test_an_item_without_title_is_broken() -> None:
    assert "has no title" in broken("just text").reason
    assert "has no title" in broken("---\ntitle: '\u202e'\n---\nx").reason


def test_a_path_as_url_is_no_address_of_ours() -> None:
    assert parse("---\ntitle: T\nurl: /2023/x\n---\n").url is None


def test_the_base_of_the_source_goes_before_all_others() -> None:
    data = parse("---\ntitle: T\nurl: x\n---\n[a](b)", base_url="https://base.test/d/")
    assert data.url == "https://base.test/d/x"
    assert 'href="https://base.test/d/b"' in data.content


def test_the_digest_covers_what_a_reader_sees_and_nothing_else() -> None:
    seen = parse("---\ntitle: T\n---\nx").content_hash
    assert (
        parse("---\ntitle:   'T'\nslug: s\ndraft: true\nupdated: 2023-01-01\n---\nx\n").content_hash
        == seen
    )
    for other in (
        "title: U",
        "title: T\ntags: a",
        "title: T\ndate: 2023-01-01",
        "title: T\nimage: /i",
    ):
        assert parse(f"---\n{other}\n---\nx").content_hash != seen


def test_the_date_of_a_file_is_not_part_of_the_digest() -> None:
    one = parse_article(make_raw("# T"), DEFAULTS)
    other = parse_article(make_raw("# T", modified_at=NOW), DEFAULTS)
    assert one.content_hash == other.content_hash


def test_a_saved_page_becomes_an_article() -> None:
    paragraph = "<p>这一段写着今天发生的事情，足够长，可以认出是正文，而不是栏目的名字。</p>"
    page = (
        "<html><head><title>标题甲乙丙丁_网站</title></head><body><nav><a href=/>首页</a></nav>"
        "<h1>标题甲乙丙丁</h1><span>2023年10月31日 09:04</span>"
        f"<div>{paragraph * 5}</div></body></html>"
    )
    data = parse_article(make_raw(page, media_type=MediaType.HTML, is_page=True), DEFAULTS)
    assert data.title == "标题甲乙丙丁"
    assert data.published_at == datetime(2023, 10, 31, 1, 4, tzinfo=UTC)
    assert "足够长" in data.content
    assert "首页" not in data.content


@pytest.mark.parametrize("media_type", list(MediaType))
def test_a_huge_item_is_refused_quickly(media_type: MediaType) -> None:
    began = time.perf_counter()
    assert "characters" in broken("# T\n\n" + "x " * 1_000_000, media_type).reason
    assert time.perf_counter() - began < 5


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(MediaType))
@settings(deadline=None)
def test_any_bytes_become_clean_text_or_a_problem(content: bytes, media_type: MediaType) -> None:
    for raw in (content, b"---\ntitle: T\ntags: [" + content + b"]\n---\n" + content):
        try:
            data = parse(raw, media_type)
        except BrokenArticle:
            continue
        holder = etree.Element("item")
        for text in (data.title, data.content, data.summary, *data.topics):
            holder.text = text
        assert "\n" not in data.title


def test_one_broken_item_does_not_hold_up_the_others() -> None:
    raws = [make_raw("no title", key="a.md"), make_raw("# Fine", key="b.md")]
    read = read_changes([Change(ChangeKind.NEW, raw.key, raw) for raw in raws], DEFAULTS)
    assert read[0].problem is not None
    assert read[0].problem.location == "/articles/a.md"
    assert read[1].data is not None
    assert read[1].data.title == "Fine"
