"""Parsed Markdown as plain text: paragraphs as lines, to be wrapped by whoever knows the width."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

_INDENT = "    "


def write_plainly(tokens: Sequence[Token]) -> str:
    """The words of the tokens, one line a paragraph; lists keep their signs and numbers."""
    page = _Page()
    for token in tokens:
        page.take(token)
    return "\n".join(page.lines).strip("\n")


@dataclass
class _Page:
    lines: list[str] = field(default_factory=list)
    #: What is in front of each line: one entry for each list item or quotation around it.
    fronts: list[str] = field(default_factory=list)
    #: Of each list around it: the number that comes next, or None where there are none.
    numbers: list[int | None] = field(default_factory=list)
    #: The sign of a list item whose first line is still to come.
    sign: str = ""

    def take(self, token: Token) -> None:
        """Write what a block's token says, or remember what it means for those inside."""
        match token.type:
            case "inline" | "text":
                self._write(_inline(token.children or [token]).split("\n"))
            case "fence" | "code_block":
                self._write([_INDENT + line for line in token.content.rstrip("\n").split("\n")])
                self._end_block()
            case "hr":
                self._write(["* * *"])
                self._end_block()
            case "bullet_list_open":
                self.numbers.append(None)
            case "ordered_list_open":
                self.numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self.numbers.pop()
                self._end_block()
            case "list_item_open":
                self._open_item()
            case "blockquote_open":
                self.fronts.append(_INDENT)
            case "list_item_close" | "blockquote_close":
                self.fronts.pop()
                self.sign = ""
            case "paragraph_close" | "heading_close" if not token.hidden:
                self._end_block()

    def _open_item(self) -> None:
        number = self.numbers[-1]
        self.sign = "- " if number is None else f"{number}. "
        if number is not None:
            self.numbers[-1] = number + 1
        self.fronts.append(" " * len(self.sign))

    def _write(self, lines: Sequence[str]) -> None:
        for line in lines:
            front = "".join(self.fronts)
            if self.sign:
                front = front.removesuffix(" " * len(self.sign)) + self.sign
                self.sign = ""
            self.lines.append((front + line).rstrip())

    def _end_block(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")


def _inline(children: Sequence[Token]) -> str:
    written: list[str] = []
    links: list[tuple[str, int]] = []
    for child in children:
        if child.type == "softbreak":
            written.append(" ")
        elif child.type == "hardbreak":
            written.append("\n")
        elif child.type == "link_open":
            links.append((str(child.attrs["href"]), len(written)))
        elif child.type == "link_close":
            href, start = links.pop()
            written[start:] = [_linked("".join(written[start:]), href)]
        else:
            written.append(child.content.replace("\t", " ").replace("\n", " "))
    return "".join(written)


def _linked(words: str, href: str) -> str:
    """Words, and behind them where they lead; in brackets, or what follows would belong to it."""
    if href.lower().startswith("mailto:"):
        href = href[len("mailto:") :].partition("?")[0]
    if words.strip() in (href, ""):
        return f"<{href}>"
    return f"{words} <{href}>"
