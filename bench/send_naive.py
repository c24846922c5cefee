"""What a service without cohorts would do for each recipient: render, inline, EmailMessage."""

from dataclasses import fields
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any

import css_inline
from jinja2 import Environment, FileSystemLoader

from bench.send_world import ARTICLES, BASE_URL, SENDER, compose_view, recipient
from feedsvc.config_file import shipped
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Keyring, Scope
from feedsvc.messages.subjects import usual_preheader, usual_subject
from feedsvc.messages.tokens import read_tokens


class NaiveMaker:
    """Makes the large digest for one person at a time; our templates, in Jinja2 without sandbox.

    Templates are compiled once, and what the view says is put together once.
    """

    def __init__(self, folder: Path) -> None:
        texts, view, tokens = Texts("en"), compose_view(ARTICLES[100]), read_tokens(Templates())
        self._keyring = Keyring.open(folder / "keys.json")
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
        environment = _open_environment(texts)
        self._html = environment.get_template("mail/plain/digest.html")
        self._text = environment.get_template("mail/plain/digest.txt")
        self._subject = usual_subject(texts, view)
        self._about: dict[str, Any] = {one.name: getattr(view, one.name) for one in fields(view)}
        self._about |= {
            "lang": texts.lang,
            "subject": self._subject,
            "light": tokens.light,
            "dark": tokens.dark,
            "preheader": usual_preheader(texts, view),
            "personal": True,
        }

    def make(self, number: int) -> EmailMessage:
        """The message for reader `number`."""
        address, name = recipient(number)
        leave = f"{BASE_URL}/unsubscribe/{self._keyring.sign(Scope.UNSUBSCRIBE, number)}"
        slots = {
            "address": address,
            "name": name,
            "unsubscribe_url": leave,
            "view_url": f"{BASE_URL}/editions/{self._keyring.sign(Scope.VIEW, 1)}",
        }
        message = EmailMessage(policy=SMTP)
        message["From"] = f"Morning News <{SENDER}>"
        message["To"] = f"{name} <{address}>"
        message["Subject"] = self._subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="example.com")
        message["List-Unsubscribe"] = f"<{leave}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(self._text.render(self._about, slots=slots))
        html = self._inliner.inline(self._html.render(self._about, slots=slots))
        message.add_alternative(html, subtype="html")
        return message


def _open_environment(texts: Texts) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(shipped("templates")),
        autoescape=lambda name: name is None or not name.endswith(".txt"),
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        texts.gettext_template, texts.ngettext_template, newstyle=True
    )
    environment.filters |= {"listed": texts.join}
    return environment
