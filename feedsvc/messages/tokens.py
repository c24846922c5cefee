"""The design's colours and sizes out of `tokens.css`, as values that mails can have written in."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from feedsvc.errors import TemplateInvalid
from feedsvc.kit.templating import Templates

_DECLARATION = re.compile(r"--([a-z0-9-]+)\s*:\s*([^;{}<]+);")
_DARK = "@media (prefers-color-scheme: dark)"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Name (with _ for -) -> value, for each colour scheme."""

    light: dict[str, str]
    dark: dict[str, str]


def read_tokens(templates: Templates) -> Tokens:
    """The tokens of the operator's tokens.css, or of ours.

    Raises:
        TemplateInvalid: it has no dark block.
    """
    light, found, dark = templates.render("tokens.css", "en").partition(_DARK)
    if not found:
        raise TemplateInvalid(f"tokens.css: there is no block {_DARK}")
    return Tokens(_declared(light), _declared(dark))


def _declared(css: str) -> dict[str, str]:
    # SECURITY: markup, because quotes in a style element must stay quotes; the file is the
    # operator's, as templates are, and the pattern lets no < through.
    return {
        name.replace("-", "_"): Markup(" ".join(value.split()))
        for name, value in _DECLARATION.findall(css)
    }
