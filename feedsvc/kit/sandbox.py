"""The sandbox templates run in: what they may call, and how much work one rendering may do.

Nothing here knows files or languages. Work is counted in steps, not in seconds, so that a
template that passes once passes always: each turn of a loop, call, include, joined text and filter
is one step, and more when the text it handles is long.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import FunctionType
from typing import Any, cast

from jinja2 import StrictUndefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_eval_context
from markupsafe import escape, soft_str

#: Characters one template may write, and one text in it may have.
OUTPUT_LIMIT = 2_000_000
#: Steps one rendering may take; a digest of 200 articles takes some 10 000.
STEP_LIMIT = 200_000
_CHARACTERS_PER_STEP = 100
_RANGE_LIMIT = 1_000

# SECURITY: filters that can make much out of little (center, format, indent, batch, replace, sum,
# tojson …), that reach around the sandbox (attr) or around escaping (safe) are not there at all.
# fmt: off
_TEXT_FILTERS = (
    "abs", "capitalize", "e", "escape", "filesizeformat", "float", "int", "lower", "round",
    "string", "striptags", "title", "trim", "truncate", "upper", "urlencode",
)
_LIST_FILTERS = (
    "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length", "list",
    "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort",
    "unique",
)
# fmt: on
# SECURITY: the only methods templates may call; str.format and its kin are not among them.
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset({"endswith", "lower", "removeprefix", "removesuffix", "startswith", "strip"}),
    Mapping: frozenset({"get", "items", "keys", "values"}),
    LoopContext: frozenset({"changed", "cycle"}),
}

_CONTAINERS = (list, tuple, dict, set, frozenset)

_steps_left: ContextVar[list[int] | None] = ContextVar("steps_left", default=None)


@contextmanager
def counted_work() -> Iterator[None]:
    """Give what is rendered inside the block its own count of steps."""
    token = _steps_left.set([STEP_LIMIT])
    try:
        yield
    finally:
        _steps_left.reset(token)


def _take_step(text_length: int = 0) -> None:
    left = _steps_left.get()
    if left is None:  # while compiling: constants are joined and filtered then
        return
    left[0] -= 1 + text_length // _CHARACTERS_PER_STEP
    if left[0] < 0:
        raise SecurityError(f"the template works too long (more than {STEP_LIMIT} steps)")


def _bounded(value: Any) -> Any:
    """Count a value that a template made; refuse a text or list that is too long."""
    if isinstance(value, (str, list, tuple)):
        if len(value) > OUTPUT_LIMIT:
            raise SecurityError(f"the template makes a text of {len(value)} characters")
        _take_step(len(value))
    else:
        _take_step()
    return value


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    """The same values, each a step."""
    for value in values:
        _take_step()
        yield value


def _as_printed(value: Any) -> Any:
    """A value as it may be printed or joined to a text: None is nothing, and no lists.

    SECURITY: a short list can name the same long text a million times over.
    """
    if value is None:
        return ""
    if isinstance(value, _CONTAINERS):
        raise SecurityError(f"a {type(value).__name__} is not text; use join or a loop")
    return value


@pass_eval_context
def _join(context: nodes.EvalContext, values: Iterable[Any], separator: str = "") -> str:
    """Values one after another, in markup escaped where they are not markup themselves."""
    parts = [soft_str(_as_printed(part)) for part in _counted(values)]
    length = sum(map(len, parts)) + len(separator) * len(parts)
    if length > OUTPUT_LIMIT:
        raise SecurityError(f"the template makes a text of {length} characters")
    _take_step(length)
    return escape(separator).join(parts) if context.autoescape else separator.join(parts)


def _range(*numbers: int) -> range:
    """A range of at most a thousand numbers."""
    made = range(*numbers)
    if len(made) > _RANGE_LIMIT:
        raise SecurityError(f"range() of more than {_RANGE_LIMIT} numbers")
    return made


def _counting(filter_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filter_)  # keeps the mark that says which context the filter is passed
    def counting(*args: Any, **kwargs: Any) -> Any:
        _take_step(sum(len(arg) for arg in args if isinstance(arg, str)))
        return _bounded(filter_(*args, **kwargs))

    return counting


def _of_text(filter_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filter_)
    def of_text(*args: Any, **kwargs: Any) -> Any:
        return filter_(
            *(_as_printed(arg) if isinstance(arg, _CONTAINERS) else arg for arg in args), **kwargs
        )

    return of_text


class _CountingCodeGenerator(CodeGenerator):
    """Puts the counting filters around loops, joined texts and captured blocks."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        loops = list(node.find_all(nodes.For))
        joined = list(node.find_all(nodes.Concat))
        for loop in loops:
            loop.iter = _filtered(cast(nodes.Expr, loop.iter), "_counted", loop.lineno)
        for concat in joined:
            parts = [_filtered(part, "_as_printed", concat.lineno) for part in concat.nodes]
            whole = nodes.Concat(parts, lineno=concat.lineno)
            concat.nodes = [_filtered(whole, "_bounded", concat.lineno)]
        for block in node.find_all(nodes.AssignBlock):
            block.filter = _filtered(block.filter, "_bounded", block.lineno)
        node.set_environment(self.environment)
        super().visit_Template(node, frame)


def _filtered(node: nodes.Expr | None, name: str, line: int) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=line)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 for templates that an operator may write."""

    code_generator_class = _CountingCodeGenerator
    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, **options: Any) -> None:
        super().__init__(
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=_as_printed,
            **options,
        )
        self.policies["ext.i18n.trimmed"] = True
        # SECURITY: lipsum, cycler, joiner, namespace and dict are ways into Python or memory.
        self.globals.clear()
        self.globals["range"] = _range
        self.filters = {name: _counting(FILTERS[name]) for name in _LIST_FILTERS}
        self.filters |= {name: _counting(_of_text(FILTERS[name])) for name in _TEXT_FILTERS}
        self.filters |= {"join": _join, "_counted": _counted, "_bounded": _bounded}
        self.filters["_as_printed"] = _as_printed

    def wrap_str_format(self, value: Any) -> None:
        """Leave str.format to is_safe_attribute, which refuses it: its widths have no bound."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Data may be read; of methods only the few named above."""
        if isinstance(value, (str, int)) and not attr.startswith("_"):
            return True  # what nearly all attributes are; the questions below take time
        if not super().is_safe_attribute(obj, attr, value):
            return False
        if not callable(value) or isinstance(value, (Macro, BlockReference)):
            return True
        return any(isinstance(obj, kind) and attr in names for kind, names in _METHODS.items())

    def is_safe_callable(self, obj: Any) -> bool:
        """Macros, blocks, the permitted methods, and functions that our code handed in."""
        if not super().is_safe_callable(obj):
            return False
        if isinstance(obj, (Macro, LoopContext, BlockReference, FunctionType)):
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        return any(isinstance(owner, kind) and name in names for kind, names in _METHODS.items())

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call, as a counted step."""
        _take_step()
        return _bounded(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, and `+` on texts and lists; nothing that makes them huge."""
        numbers = all(isinstance(side, (int, float)) for side in (left, right))
        if operator == "**" or (operator != "+" and not numbers):
            raise SecurityError(f"a template may not use {operator} like this")
        if numbers and max(abs(left), abs(right)) > 2**53:
            raise SecurityError("a number in a template is too large")
        return _bounded(super().call_binop(context, operator, left, right))

    def _load_template(self, name: str, globals: Any) -> Any:
        _take_step()
        return super()._load_template(name, globals)
