"""The template sandbox: what it finds, what it refuses, and where it says the mistake is."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from feedsvc.errors import TemplateInvalid
from feedsvc.kit.templating import Templates

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Thing:
    name: str = "thing"

    def forget(self) -> str:
        return "called"


@dataclass
class Operator:
    """The operator's template folder."""

    folder: Path

    def write(self, name: str, source: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.encode() if isinstance(source, str) else source)

    def render(
        self, source: str, language: str = "en", name: str = "t.html", **context: object
    ) -> str:
        self.write(name, source)
        return Templates(self.folder).render(name, language, **context)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_our_own_templates_all_compile() -> None:
    Templates(None).check()


def test_the_operators_template_goes_before_ours(operator: Operator) -> None:
    operator.write("mail/plain/digest.txt", "theirs")
    templates = Templates(operator.folder)
    assert templates.render("mail/plain/digest.txt", "en") == "theirs"
    assert templates.has("mail/plain/digest.html")
    assert not templates.has("mail/plain/nothing.html")


def test_html_is_escaped_and_plain_text_is_not(operator: Operator) -> None:
    assert operator.render("{{ x }}", x="<b>") == "&lt;b&gt;"
    assert operator.render("{{ x }}", name="t.xml", x="<b>") == "&lt;b&gt;"
    assert operator.render("{{ x }}", name="t.txt", x="<b>") == "<b>"


def test_texts_come_in_the_language_asked_for(operator: Operator) -> None:
    source = "{{ _('Read on') }}|{{ lang }}|{% trans %}Unsubscribe{% endtrans %}"
    assert operator.render(source, "zh-CN") == "阅读全文|zh-Hans|退订"
    assert operator.render(source, "en") == "Read on|en|Unsubscribe"


def test_values_in_texts_are_escaped(operator: Operator) -> None:
    source = "{{ _('Also: %(headlines)s', headlines=x) }}"
    assert operator.render(source, "zh", x="<b>") == "另有：&lt;b&gt;"
    assert operator.render(source, "zh", name="t.txt", x="<b>") == "另有：<b>"


def test_a_headline_given_to_gettext_is_not_trusted(operator: Operator) -> None:
    assert operator.render("{{ _(x) }}", x="<b>100% %(y)s") == "&lt;b&gt;100% %(y)s"
    own = "{% trans who=x %}Dear {{ who }}, 100%{% endtrans %}"
    assert operator.render(own, x="<b>") == "Dear &lt;b&gt;, 100%"


def test_numbers_choose_the_form(operator: Operator) -> None:
    source = "{{ ngettext('And %(num)d more article', 'And %(num)d more articles', n) }}"
    assert operator.render(source, n=1) == "And 1 more article"
    assert operator.render(source, n=3) == "And 3 more articles"


def test_ordinary_templates_work_in_the_sandbox(operator: Operator) -> None:
    operator.write("base.html", "[{% block b %}{% endblock %}]")
    source = """{% extends "base.html" %}{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}
{% block b %}{{ super() }}{% for x in items if x > 1 %}{{ loop.index }}/{{ loop.length
}}{{ loop.cycle("a", "b") }} {% endfor %}{% set s %}{{ 1 + 2 }}{% endset %}{{ s }}{{ bold("<")
}}{{ ["<", "x"]|join(",") }}{{ "a" ~ "<" }}{{ d.items()|list|length }}{{ t.name|upper }}{{ nothing
}}{% endblock %}"""
    written = operator.render(source, items=[1, 2, 3], d={"a": 1}, t=Thing(), nothing=None)
    assert written == "[1/2a 2/2b 3<b>&lt;</b>&lt;,xa&lt;1THING]"


ATTACKS = {
    "class of a text": "{{ ''.__class__.__mro__ }}",
    "class by index": "{{ ''['__class__'] }}",
    "attr filter": "{{ x|attr('__class__') }}",
    "map to a dunder": "{{ ['a']|map(attribute='__class__')|first }}",
    "lipsum globals": "{{ lipsum.__globals__ }}",
    "cycler": "{{ cycler.__init__.__globals__.os }}",
    "namespace": "{{ namespace(a=1) }}",
    "template reference": "{{ self.__init__.__globals__ }}",
    "globals of a text function": "{{ gettext.__globals__ }}",
    "code of a function handed in": "{{ function.__code__ }}",
    "method's owner": "{{ x.items.__self__ }}",
    "format": "{{ '{0.__class__}'.format(x) }}",
    "format_map": "{{ '{a}'.format_map(x) }}",
    "format filter": "{{ '%s'|format(x) }}",
    "settings": "{{ config }}",
    "environment variables": "{{ env }}",
    "import of a module": "{% import 'os' as os %}",
    "file outside the folder": "{% include '../../etc/passwd' %}",
    "absolute file": "{% include '/etc/passwd' %}",
    "method of a thing": "{{ thing.forget() }}",
    "changing a thing": "{{ x.update({'a': 2}) }}",
    "emptying a thing": "{{ x.pop('a') }}",
    "trusting markup": "{{ '<script>'|safe }}",
    "unknown name": "{{ nothing_of_this_name }}",
}
BOMBS = {
    "repeated text": "{{ 'x' * (10 ** 8) }}",
    "repeated list": "{{ ([1] * 100000000)|length }}",
    "power": "{{ 9 ** 9 }}",
    "wide format": "{{ '%1000000000d' % 1 }}",
    "centred": "{{ 'x'|center(1000000000) }}",
    "ljust": "{{ 'x'.ljust(1000000000) }}",
    "large range": "{{ range(100000000)|list }}",
    "nested loops": "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "loop that writes": "{% for a in range(1000) %}{% for b in range(1000) %}"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "branching macro": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}"
    "{{ f(40) }}",
    "doubling macro": "{% macro d(s) %}{{ s }}{{ s }}{% endmacro %}{% macro g(s, n) %}{% if n %}"
    "{{ g(d(s), n-1) }}{% endif %}{% endmacro %}{{ g('xxxx', 60) }}",
    "doubling tilde": "{% macro g(s, n) %}{% if n %}{{ g(s ~ s, n-1) }}{% endif %}{% endmacro %}"
    "{{ g('xxxx', 60) }}",
    "doubling plus": "{% macro g(s, n) %}{% if n %}{{ g(s + s, n-1) }}{% endif %}{% endmacro %}"
    "{{ g('xxxx', 60) }}",
    "doubling join": "{% macro g(s, n) %}{% if n %}{{ g([s, s]|join, n-1) }}{% endif %}"
    "{% endmacro %}{{ g('xxxx', 60) }}",
    "doubling block": "{% set s = 'xxxxxxxxxxxxxxxxxxxx' %}"
    + "{% set s %}{{ s }}{{ s }}{% endset %}" * 30,
    "list of lists": "{% set s = ['x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'] %}"
    + "{% set s = [s, s, s, s, s, s, s, s, s, s] %}" * 12
    + "{{ s }}",
    "endless include": "{% include 't.html' %}",
    "long work on long texts": "{% set s %}{% for a in range(1000) %}{{ t }}{% endfor %}"
    "{% endset %}{% for a in range(1000) %}{% if s|striptags %}{% endif %}{% endfor %}",
}


@pytest.mark.parametrize("source", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_template_cannot_reach_around_its_data(operator: Operator, source: str) -> None:
    with pytest.raises(TemplateInvalid):
        operator.render(source, x={"a": 1}, thing=Thing(), function=lambda: 1)


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS.keys())
def test_the_work_of_a_template_is_bounded(operator: Operator, source: str) -> None:
    before = monotonic()
    with pytest.raises(TemplateInvalid):
        operator.render(source, t="x" * 1000)
    assert monotonic() - before < 2


def test_a_mistake_is_named_by_file_and_line(operator: Operator) -> None:
    with pytest.raises(TemplateInvalid, match=r"t\.html:3: 'missing' is undefined"):
        operator.render("one\ntwo\n{{ missing }}\n")
    operator.write("part.html", "\n{{ missing }}")
    with pytest.raises(TemplateInvalid, match=r"part\.html:2: "):
        operator.render("{% include 'part.html' %}")
    with pytest.raises(TemplateInvalid, match=r"t\.html:2: "):
        operator.render("a\n{% if %}")


def test_the_check_names_every_broken_template(operator: Operator) -> None:
    operator.write("a.html", "fine\n{% for %}")
    operator.write("b.txt", "{{ x|nofilter }}")
    operator.write("c.xml", b"\xff\xfe")
    operator.write("d.html", "{% extends 'absent.html' %}")
    operator.write("notes.md", "{% not a template")
    with pytest.raises(TemplateInvalid) as caught:
        Templates(operator.folder).check()
    lines = str(caught.value).splitlines()
    assert [Path(line.split(":")[0]).name for line in lines] == [
        "a.html",
        "b.txt",
        "c.xml",
        "d.html",
    ]
    assert "a.html:2:" in lines[0]
    assert "absent.html" in lines[3]


def test_a_template_saved_with_a_byte_order_mark_is_read(operator: Operator) -> None:
    operator.write("bom.txt", b"\xef\xbb\xbfhello")
    assert Templates(operator.folder).render("bom.txt", "en") == "hello"


def test_every_template_environment_escapes() -> None:
    environments = {"Environment", "NativeEnvironment", "Sandbox"}
    environments |= {"SandboxedEnvironment", "ImmutableSandboxedEnvironment", "from_string"}
    found = 0
    for path in (ROOT / "feedsvc").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "jinja2" not in source and "kit.sandbox" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in environments:
                    found += 1
                    assert "autoescape" in {word.arg for word in node.keywords}, path
    assert found


def test_no_shipped_template_switches_escaping_off() -> None:
    for path in (ROOT / "templates").rglob("*.*"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape", source), path
