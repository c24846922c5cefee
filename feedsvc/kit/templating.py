"""Templates: the operator's own first, ours behind them, rendered in a sandbox.

Templates get plain data and the texts of one language. There is no `safe` filter: markup is made
in code (`markupsafe.Markup`), and only of HTML that has been through the sanitiser.
"""

import traceback
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    Template,
    TemplateSyntaxError,
    meta,
)
from jinja2.exceptions import TemplateNotFound, UndefinedError
from jinja2.nodes import EvalContext
from jinja2.utils import pass_eval_context
from markupsafe import Markup, escape

from feedsvc.config_file import shipped
from feedsvc.errors import TemplateInvalid
from feedsvc.kit.sandbox import OUTPUT_LIMIT, Sandbox, counted_work
from feedsvc.kit.texts import LANGUAGES, Texts, known_texts, negotiate

#: The name of templates that are given as text; they make plain text.
_LINE = "line.txt"
#: Files that are compiled at the start; others in the folder are none of ours.
TEMPLATE_SUFFIXES = (".html", ".txt", ".xml", ".svg")


class Templates:
    """Renders templates by name, such as `mail/plain/digest.html`, in a language.

    Args:
        folder: the operator's templates; what is missing there is taken from ours. None: only
            ours. Read once: a changed template is seen at the next start.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        folders = [folder, shipped("templates")] if folder else [shipped("templates")]
        self._loaders = [FileSystemLoader(path, encoding="utf-8-sig") for path in folders]
        loader = ChoiceLoader(self._loaders)
        self._sandboxes = {
            language: _open_sandbox(loader, Texts(language)) for language in LANGUAGES
        }

    def render(self, name: str, language: str, **context: object) -> str:
        """Render a template; `lang`, the tag of our texts, is there beside the context.

        Raises:
            TemplateInvalid: it does not compile, names something that is not there, does what the
                sandbox forbids, or exceeds the limits on work and size.
        """
        sandbox = self._sandboxes[negotiate([language])]
        try:
            with counted_work():
                template = sandbox.get_template(name)
                return _collect(template.generate(**context))
        except TemplateSyntaxError as error:
            raise TemplateInvalid(_syntax_text(error)) from error
        except Exception as error:  # whatever a template does wrong is the template's mistake
            raise TemplateInvalid(f"{self._place(error, name)}: {_reason(error)}") from error

    def render_line(self, source: str, language: str, **context: object) -> str:
        """Render a template that stands in the settings, as plain text.

        Raises:
            TemplateInvalid: as from `render`, without a place; also when it names other templates.
        """
        sandbox = self._sandboxes[negotiate([language])]
        try:
            with counted_work():
                return _collect(_compile_line(sandbox, source).generate(**context))
        except TemplateSyntaxError as error:
            raise TemplateInvalid(f"{error.message}") from error
        except TemplateInvalid:
            raise
        except Exception as error:
            raise TemplateInvalid(_reason(error)) from error

    def has(self, name: str) -> bool:
        """Whether there is a template or file of this name, the operator's or ours."""
        try:
            self._sandboxes["en"].get_template(name)
        except TemplateNotFound:
            return False
        except (TemplateSyntaxError, UnicodeDecodeError):
            return True  # broken, but there: rendering it says how
        return True

    def has_theme(self, theme: str) -> bool:
        """Whether any file belongs to a theme of mails, the operator's or ours."""
        start = f"mail/{theme}/"
        return any(
            name.startswith(start) for loader in self._loaders for name in loader.list_templates()
        )

    def check(self) -> None:
        """Compile every template of the operator and of ours.

        Raises:
            TemplateInvalid: one line `file:line: problem` for each template that is broken.
        """
        if self._folder is not None and not self._folder.is_dir():
            raise TemplateInvalid(f"{self._folder}: there is no such folder of templates")
        problems = [problem for loader in self._loaders for problem in self._problems(loader)]
        if problems:
            raise TemplateInvalid("\n".join(problems))

    def _problems(self, loader: FileSystemLoader) -> Iterator[str]:
        sandbox = self._sandboxes["en"]
        there = {name for one in self._loaders for name in one.list_templates()}
        for name in loader.list_templates():
            if not name.endswith(TEMPLATE_SUFFIXES):
                continue
            path = Path(loader.searchpath[0]) / name
            try:
                source, _, _ = loader.get_source(sandbox, name)
                tree = sandbox.parse(source, name, str(path))
                used = [known for known in meta.find_referenced_templates(tree) if known]
                sandbox.compile(tree, name, str(path))
                missing = [other for other in used if other not in there]
                if missing:
                    yield f"{path}: there is no template {missing[0]!r}"
            except TemplateSyntaxError as error:
                yield _syntax_text(error)
            except (UnicodeDecodeError, OSError) as error:
                yield f"{path}: cannot be read: {error}"

    def _place(self, error: BaseException, name: str) -> str:
        """File and line of the innermost template in which something went wrong."""
        folders = [str(Path(loader.searchpath[0])) for loader in self._loaders]
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if any(frame.filename.startswith(folder) for folder in folders):
                return f"{frame.filename}:{frame.lineno}"
        return name


@lru_cache(maxsize=64)
def _compile_line(sandbox: Sandbox, source: str) -> Template:
    tree = sandbox.parse(source, _LINE, _LINE)
    if any(True for _ in meta.find_referenced_templates(tree)):
        raise TemplateInvalid("it may not use other templates")
    code = sandbox.compile(tree, _LINE, _LINE)
    return sandbox.template_class.from_code(sandbox, code, sandbox.make_globals(None))


def _collect(pieces: Iterator[str]) -> str:
    written: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > OUTPUT_LIMIT:
            raise ValueError(f"writes more than {OUTPUT_LIMIT} characters")
        written.append(piece)
    return "".join(written)


def _syntax_text(error: TemplateSyntaxError) -> str:
    return f"{error.filename or error.name}:{error.lineno}: {error.message}"


def _reason(error: Exception) -> str:
    if isinstance(error, TemplateNotFound):
        return f"there is no template {error.name!r}"
    if isinstance(error, UndefinedError):
        return str(error)
    if isinstance(error, RecursionError):
        return "templates or macros call each other without end"
    return f"{error}" if str(error) else type(error).__name__


def _is_markup(name: str | None) -> bool:
    # SECURITY: everything that is not declared to be plain text is escaped; the sandbox's own
    # default is not to escape at all.
    return name is None or not name.endswith(".txt")


def _open_sandbox(loader: BaseLoader, texts: Texts) -> Sandbox:
    sandbox = Sandbox(loader=loader, autoescape=_is_markup)
    # Our own functions take the values, where Jinja's wrappers would trust every msgid as markup.
    sandbox.newstyle_gettext = True  # type: ignore[attr-defined]  # of the i18n extension
    translate, translate_number = _translators(texts)
    sandbox.globals |= {
        "_": translate,
        "gettext": translate,
        "ngettext": translate_number,
        "lang": texts.lang,
    }
    sandbox.filters |= {
        "date": texts.date,
        "datetime": texts.datetime,
        "listed": texts.join,
        "schedule": texts.schedule,
    }
    return sandbox


def _translators(texts: Texts) -> tuple[Callable[..., str], Callable[..., str]]:
    """gettext and ngettext as templates call them, with values escaped where markup is made."""

    def fill(context: EvalContext, msgid: str, text: str, values: dict[str, Any]) -> str:
        # SECURITY: a template may write _(article.title). Only what stands in our catalogues is
        # trusted to be markup.
        known = msgid in known_texts()
        if context.autoescape:
            text = Markup(text) if known else escape(text)
        return text % values if known or values else text.replace("%%", "%")

    @pass_eval_context
    def gettext(context: EvalContext, msgid: str, /, **values: Any) -> str:
        return fill(context, msgid, texts.gettext_template(msgid), values)

    @pass_eval_context
    def ngettext(context: EvalContext, singular: str, plural: str, n: int, /, **values: Any) -> str:
        text = texts.ngettext_template(singular, plural, n)
        return fill(context, singular, text, {"num": n, **values})

    return gettext, ngettext
