"""Mails that are looked at, not sent: on the terminal, or as files."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.output import say_error
from feedsvc.errors import OutputRefused

if TYPE_CHECKING:
    from feedsvc.pipeline.shown_mail import ShownMail


class MailPart(StrEnum):
    """Which form of a mail is shown."""

    #: For programs that show no HTML.
    TEXT = "text"
    #: For all others.
    HTML = "html"


ShowOption = Annotated[
    MailPart | None,
    typer.Option("--show", help="Print the mail that most get, as text or HTML, and nothing else."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write every different mail into this folder: .txt, .html, and .page.html for the"
        " page that its link opens.",
        file_okay=False,
    ),
]


def print_mail(mails: "Sequence[ShownMail]", part: MailPart) -> None:
    """The first of some mails on standard output; which it is, on standard error."""
    if not mails:
        say_error("there is no mail to show")
        return
    first = mails[0]
    others = f" (one of {len(mails)} different mails)" if len(mails) > 1 else ""
    say_error(f"{first.name}: {first.subject}{others}", prefix=False)
    sys.stdout.write(first.text if part is MailPart.TEXT else first.html)
    sys.stdout.write("\n")


def write_mails(mails: "Sequence[ShownMail]", folder: Path) -> None:
    """Every mail as files; what is there under their names is replaced.

    Raises:
        OutputRefused: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mail in mails:
            for suffix, content in (
                ("txt", mail.text),
                ("html", mail.html),
                ("page.html", mail.page),
            ):
                (folder / f"{mail.name}.{suffix}").write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputRefused(f"cannot write to {folder}: {error.strerror or error}") from error
    say_error(f"{len(mails)} mails written to {folder}", prefix=False)
