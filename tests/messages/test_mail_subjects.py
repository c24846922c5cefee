"""Subjects and preheaders by templates of the newsletter's own."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from test_mail_digests import DUE_AT, SHANGHAI, article

from feedsvc.config_file import load_settings
from feedsvc.kit.templating import Templates
from feedsvc.messages.digests import DigestRenderer
from feedsvc.messages.render import RenderedMail
from feedsvc.messages.splice import has_markers
from feedsvc.messages.subjects import check_subject_templates
from feedsvc.model.newsletter import Arrangement, Newsletter

USUAL = "Morning Post: Rain"


def render(newsletter: Newsletter, subject: str = "", preheader: str = "") -> RenderedMail:
    newsletter.arrangement = Arrangement(subject=subject, preheader=preheader).stored()
    desk = DigestRenderer(Templates(None), "https://news.example.com", "晨报", "Asia/Shanghai")
    titles = ["Rain", "Wind <b>", "{{ 7*7 }}"]
    articles = [article(n, "City", title=title) for n, title in enumerate(titles)]
    return desk.render(newsletter, SHANGHAI, articles, language="en", more_count=2, due_at=DUE_AT)


@pytest.mark.parametrize(
    ("template", "subject"),
    [
        ("{{ newsletter }}, {{ date }}", "Morning Post, 22 November 2026"),
        (
            "{{ headline }} ({{ count }} articles, {{ more_count }} more)",
            "Rain (5 articles, 2 more)",
        ),
        ("{{ headlines|join(' / ') }}", "Rain / Wind <b> / {{ 7*7 }}"),
        ("{{ section }}: {{ sections|listed }}", "City: City"),
        ("{{ headlines[1]|upper }}{# no #}", "WIND <B>"),
        ("{% for one in headlines %}{{ loop.index }} {% endfor %}", "1 2 3"),
        ("{{ _('Read on') }}", "Read on"),
        ("  a\n\tb\u202ec\u2028d\x00e  ", "a b c d e"),
        ("{{ 'a\\nb\\u202ec' }}", "a b c"),
        ("{{ '\\U0010fffcname\\U0010fffd' }}", "name"),
        ("\U0010fffcname\U0010fffd", "name"),
        ("城" * 200, "城" * 119 + "…"),
    ],
)
def test_a_subject_is_what_its_template_says_on_one_line(
    morning_post: Newsletter, template: str, subject: str
) -> None:
    mail = render(morning_post, template)
    assert mail.subject == subject
    assert not has_markers(mail.subject)


def test_a_preheader_is_what_its_template_says(morning_post: Newsletter) -> None:
    html = render(morning_post, preheader="{{ headlines[1] }} & {{ section }}").html
    assert ">Wind &lt;b&gt; &amp; City" in html
    assert len(render(morning_post, preheader="x" * 500).html) < len(html) + 200


HOSTILE = [
    "{{ nothing }}",
    "{{ headlines[99] }}",
    "{{ newsletter.__class__ }}",
    "{{ headlines.__class__.__mro__ }}",
    "{{ ''.format }}{{ '{0.__class__}'.format(1) }}",
    "{{ self.__init__.__globals__ }}",
    "{{ _.__globals__ }}",
    "{{ date|attr('__class__') }}",
    "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}x{% endfor %}",
    "{{ 'x' * 1000000 }}",
    "{{ 9**9**9 }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set x = headlines + headlines %}{{ x.append(1) }}",
    "{% include 'mail/plain/digest.html' %}",
    "{% include headline %}",
    "{% extends 'mail/plain/_layout.html' %}",
    "{% import 'tokens.css' as t %}",
    "{{ 1/0 }}",
    "{% if %}",
    "{{ headline",
    "{{ headlines }}",
]


@pytest.mark.parametrize("template", [*HOSTILE, "   ", "{{ '' }}", "{# #}", "\u202e", ""])
def test_a_template_that_fails_or_says_nothing_leaves_the_usual_subject(
    morning_post: Newsletter, template: str
) -> None:
    with capture_logs() as logs:
        mail = render(morning_post, template, template)
    assert mail.subject == USUAL
    assert "Also: Wind" in mail.html
    assert all(log["event"] == "template of a line failed" for log in logs)
    assert bool(logs) == (template in HOSTILE)


CONFIG = """
base_url = "https://news.example.com"
[newsletters.daily]
title = "Daily"
from = "news@example.com"
sender = "Daily"
postal_address = "Quay 12"
subject = {subject!r}
preheader = "{{{{ headlines|join(', ') }}}}"
schedules.d = {{ label = "d", cron = "0 8 * * *" }}
"""


def mistakes(folder: Path, subject: str) -> dict[str, str]:
    path = folder / "config.toml"
    path.write_text(CONFIG.format(subject=subject), encoding="utf-8")
    return check_subject_templates(Templates(None), load_settings(path, {}, folder).settings)


@pytest.mark.parametrize("template", HOSTILE)
def test_a_broken_template_is_found_before_the_start(tmp_path: Path, template: str) -> None:
    found = mistakes(tmp_path, template.replace("'", '"'))
    assert list(found) == ["newsletters.daily.subject"]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    for template, problem in [
        ("{{ headlin }}", "'headlin' is undefined"),
        ("{% if count == 1 %}{{ x }}{% endif %}", "with a single article: 'x' is undefined"),
        ('{% include "tokens.css" %}', "it may not use other templates"),
        ("{{ headlines[2] }}", "with a single article: list object has no element 2"),
    ]:
        assert mistakes(tmp_path, template) == {"newsletters.daily.subject": problem}


@pytest.mark.parametrize(
    "template",
    [
        "{{ newsletter }}: {{ headline }}",
        "{% if count > 2 %}{{ headlines[2] }}{% endif %}{{ date|upper }}",
        "{{ sections|join('、') or newsletter }}",
        "{{ ngettext('And %(num)d more article', 'And %(num)d more articles', more_count) }}",
    ],
)
def test_templates_that_work_pass(tmp_path: Path, template: str) -> None:
    assert mistakes(tmp_path, template.replace("'", '"')) == {}
