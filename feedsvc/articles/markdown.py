"""Markdown to HTML: CommonMark with tables, strikethrough, footnotes and task lists.

The HTML that comes out is as hostile as what went in; sanitise.py makes it safe.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

from feedsvc.articles.text import runs_on

#: Blocks and spans nested deeper are left as text.
_MAX_NESTING = 50
#: A paragraph with more of either is not searched for links and emphasis: the work grows with the
#: square of their number.
_MAX_BRACKETS = 2000
_MAX_PARAGRAPH_LENGTH = 100_000


def render_markdown(text: str) -> str:
    """The HTML of a Markdown text. HTML inside it is passed through as it is."""
    return str(_markdown().render(text))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": True, "maxNesting": _MAX_NESTING})
    markdown.enable(["table", "strikethrough"])
    markdown.use(footnote_plugin).use(tasklists_plugin)
    markdown.core.ruler.before("inline", "leave_huge_paragraphs", _leave_huge_paragraphs)
    markdown.core.ruler.push("join_wide_lines", _join_wide_lines)
    markdown.core.ruler.push("write_checkboxes", _write_checkboxes)
    markdown.core.ruler.push("align_cells", _align_cells)
    # Ids are not kept, so footnotes are numbered and not linked.
    markdown.add_render_rule("footnote_ref", _render_footnote_number)
    markdown.add_render_rule("footnote_anchor", _render_nothing)
    markdown.add_render_rule("footnote_block_open", _render_footnote_rule)
    return markdown


def _leave_huge_paragraphs(state: StateCore) -> None:
    for index, token in enumerate(state.tokens):
        if token.type != "inline":
            continue
        if token.content.count("[") > _MAX_BRACKETS or len(token.content) > _MAX_PARAGRAPH_LENGTH:
            text = Token("text", "", 0, content=token.content, level=token.level)
            state.tokens[index] = text


def _join_wide_lines(state: StateCore) -> None:
    """Drop line ends between Chinese characters: a browser would show a gap there."""
    for token in state.tokens:
        children = token.children or []
        for before, child, after in zip(children, children[1:], children[2:], strict=False):
            if child.type != "softbreak" or not before.content or not after.content:
                continue
            if runs_on(before.content[-1], after.content[0]):
                child.type, child.content, child.tag = "text", "", ""


def _write_checkboxes(state: StateCore) -> None:
    """Task lists with signs in place of form controls, which mail and feeds do not show."""
    for token in state.tokens:
        for child in token.children or []:
            if child.type == "html_inline" and "task-list-item-checkbox" in child.content:
                checked = 'checked="checked"' in child.content
                child.type, child.content = "text", "☑" if checked else "☐"


def _align_cells(state: StateCore) -> None:
    """Alignment of table cells as an attribute: style attributes are not kept."""
    for token in state.tokens:
        style = token.attrs.pop("style", None) if token.type in ("th_open", "td_open") else None
        if style is not None:
            token.attrs["align"] = str(style).rpartition(":")[2]


def _render_footnote_number(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: Any
) -> str:
    return f"<sup>[{int(tokens[index].meta['id']) + 1}]</sup>"


def _render_nothing(
    _renderer: RendererHTML, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any
) -> str:
    return ""


def _render_footnote_rule(
    _renderer: RendererHTML, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any
) -> str:
    return "<hr>\n<section>\n<ol>\n"
