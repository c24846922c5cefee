"""The beginning of an article, cut where a reader would cut it."""

import time
from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.articles.excerpt import excerpt, plain_text

TEXTS = st.lists(
    st.one_of(
        # Python may know fewer characters than the newest Unicode.
        st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=12),
        st.sampled_from(
            ["。", "！”", "……", ". ", "? ", "，", " ", "\n", "\u200d", "\u0301", "\u0600"]
        ),
        st.sampled_from(
            ["中文句子", "word", "👩‍👩‍👧", "🇨🇳", "e\u0301", "Dr.", "https://x.test/a_b"]
        ),
    ),
    max_size=40,
).map("".join)


@given(TEXTS, st.integers(0, 60))
@settings(deadline=None)
def test_an_excerpt_is_a_beginning_of_whole_characters(text: str, limit: int) -> None:
    regex = pytest.importorskip("regex")
    html = f"<p>{escape(text)}</p>"
    whole, cut = plain_text(html), excerpt(html, limit)
    assert len(cut) <= limit + 1
    if len(whole) <= limit:
        assert cut == whole
        return
    borders = {0, *(found.end() for found in regex.finditer(r"\X", whole))}
    # A sentence may end with an ellipsis of its own.
    readings = [cut, cut.removesuffix("…")]
    assert any(whole.startswith(one) and len(one) in borders for one in readings)


@pytest.mark.parametrize(
    ("html", "limit", "cut"),
    [
        pytest.param("<p>短。</p>", 240, "短。", id="all-of-it"),
        pytest.param("<p>第一句话很短。第二句话更长，放不下。</p>", 12, "第一句话很短。",
                     id="sentence"),
        pytest.param("<p>他说：“今天很好。”然后走了，没有回来。</p>", 12, "他说：“今天很好。”",
                     id="quote"),
        pytest.param("<p>真的吗？！是的，当然是真的了。</p>", 8, "真的吗？！", id="marks"),
        pytest.param("<p>等一等……他还没有来，我们再等一等。</p>", 8, "等一等……", id="dots"),
        pytest.param("<p>It was 3.5 pm. He slept on and on.</p>", 20, "It was 3.5 pm.", id="latin"),
        pytest.param("<p>So said Dr. Smith of the town</p>", 20, "So said Dr. Smith of…",
                     id="abbreviation"),
        pytest.param("<p>没有句号，只有逗号，一直写下去</p>", 12, "没有句号，只有逗号…",
                     id="pause"),
        pytest.param("<p>没有任何标点的一行字</p>", 6, "没有任何标点…", id="characters"),
        pytest.param("<p>one two three four</p>", 10, "one two…", id="words"),
        pytest.param("<p>Supercalifragilistic</p>", 5, "Super…", id="one-long-word"),
        pytest.param("<p>ab👩‍👩‍👧‍👦</p>", 5, "ab…", id="family"),
    ],
)  # fmt: skip
def test_an_excerpt_ends_where_a_reader_would_stop(html: str, limit: int, cut: str) -> None:
    assert excerpt(html, limit) == cut


def test_a_sentence_far_too_short_is_not_all_there_is() -> None:
    assert excerpt("<p>Oh. " + "word " * 50, 40).endswith("word…")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h2>标题</h2><p>正文。</p><p>“第二段。”</p>", "标题 正文。“第二段。”"),
        ("<p>One.</p><p>Two.</p>", "One. Two."),
        ("<p>中文\n换行</p>", "中文换行"),
        ("<p>in\nEnglish</p>", "in English"),
        ("<p>a<br>b</p><ul><li>c</li><li>d</li></ul>", "a b c d"),
        ("<p>b<b>ol</b>d &amp; &lt;b&gt;&nbsp;x</p>", "bold & <b> x"),
        ("<figure><img><figcaption>图</figcaption></figure><p>文</p>", "文"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字", "漢字"),
        ("<script>x</script><!-- y -->z", "z"),
        ("", ""),
    ],
)
def test_the_words_of_html_are_one_line(html: str, text: str) -> None:
    assert plain_text(html) == text


def test_reading_stops_early_without_ending_early() -> None:
    html = "<p>   " + " " * 5000 + "一句话。</p>" * 3000
    assert excerpt(html, 240) == excerpt(html[:20_000], 240)
    assert excerpt(html, 240).endswith("一句话。")


@pytest.mark.parametrize(
    "html",
    ["<" * 100_000, "<a " * 33_000, " " * 100_000, "<br>" * 25_000, "&" * 100_000, "。" * 100_000,
     "a" + "\u0301" * 100_000, "🇨" * 50_000, "<script>" * 12_000, "<figcaption>" * 8_000],
)  # fmt: skip
def test_a_hundred_kilobytes_of_the_worst_are_no_trouble(html: str) -> None:
    began = time.perf_counter()
    excerpt(html)
    assert time.perf_counter() - began < 5
