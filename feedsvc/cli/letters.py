"""What announcements and corrections have in common on the command line."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.output import console, say, say_error
from feedsvc.errors import FeedsvcError, TextUnusable

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.recipients import Counts
    from feedsvc.editions.writing import Writing
    from feedsvc.messages.render import RenderedMail
    from feedsvc.model.newsletter import Newsletter

#: Bytes of a file that are read; a letter has 100 000 characters at most.
_MOST_BYTES = 1_000_000

FileOption = Annotated[
    Path, typer.Option("--file", "-f", help="The letter, in Markdown; - reads standard input.")
]
RehearseOption = Annotated[
    bool, typer.Option("--rehearse", help="Show who would get what; nothing is sent or changed.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DraftOption = Annotated[
    bool,
    typer.Option("--draft", help="Make it, and send it when `feedsvc editions approve` says so."),
]


class NotAgreed(FeedsvcError):
    """Nobody has said that a letter is to go."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """A letter that could go, with what it would be and to whom."""

    newsletter: "Newsletter"
    writing: "Writing"
    counts: "Counts"
    #: As most of them would get it; in the newsletter's language where it goes to nobody.
    language: str
    mail: "RenderedMail"

    def facts(self) -> dict[str, Any]:
        """As a map for scripts."""
        counts = self.counts
        return {
            "newsletter": self.newsletter.key,
            "kind": self.writing.kind.value,
            "subject": self.writing.subject,
            "recipients": counts.total,
            "schedules": dict(counts.schedules),
            "languages": dict(counts.languages),
            "zones": dict(counts.zones),
            "left_out": dict(counts.left_out),
        }

    def shown(self) -> dict[str, str]:
        """The rendered mail for scripts, with stand-ins for what is one person's."""
        from feedsvc.pipeline.shown_mail import show_mail

        mail = self.mail
        shown = show_mail("letter", mail.subject, mail.html, mail.text, mail.page)
        return {
            "language": self.language,
            "subject": shown.subject,
            "text": shown.text,
            "html": shown.html,
        }


def read_letter_file(file: Path) -> str:
    """What stands in a file. Raises TextUnusable, which says what is wrong with it."""
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TextUnusable(f"{file}: it cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise TextUnusable(f"{file}: more than {_MOST_BYTES} bytes; this is no letter")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextUnusable(
            f"{file}: byte {error.start + 1} is not UTF-8; save it as UTF-8"
        ) from error


async def look_ahead(app: "App", newsletter: "Newsletter", writing: "Writing") -> Prospect:
    """Who would get a letter now, and as what."""
    import asyncio

    from feedsvc.editions.recipients import count_recipients
    from feedsvc.model.article import Article

    async with app.database.read() as session:
        counts = await count_recipients(session, writing.recipients(newsletter.id or 0))
        article = await session.get(Article, writing.article_id) if writing.article_id else None
    most = counts.languages.most_common(1)
    language = most[0][0] if most else newsletter.language
    mail = await asyncio.to_thread(
        renderer_of(app).render_letter,
        newsletter,
        subject=writing.subject,
        body=writing.body,
        language=language,
        date_at=app.clock(),
        article=article,
        kind=writing.kind,
    )
    return Prospect(newsletter, writing, counts, language, mail)


def renderer_of(app: "App") -> Any:
    """What renders letters with the parts of an application."""
    from feedsvc.messages.digests import DigestRenderer

    settings = app.settings
    return DigestRenderer(app.templates, settings.base_url, settings.title, settings.time_zone)


def say_prospect(prospect: Prospect) -> None:
    """Who gets it and who does not, and the mail as text."""
    counts, mail = prospect.counts, prospect.shown()
    say(f"{prospect.newsletter.key}, {prospect.writing.kind}: {prospect.writing.subject}")
    say(f"  to {_people(counts.total)}")
    for name, of in (
        ("schedule", counts.schedules),
        ("language", counts.languages),
        ("zone", counts.zones),
    ):
        if of:
            say(f"    by {name}: {_listed(of)}")
    for reason, count in sorted(counts.left_out.items()):
        say(f"  not to {count}: {reason}")
    others = len(counts.languages) - 1
    also = f", and as much in {others} other languages" if others > 0 else ""
    say(f"\nIn {mail['language']}{also}:\n")
    say(mail["text"])


def agree(what: str, *, yes: bool, as_json: bool) -> bool:
    """Have a person say that it may go; False when they said no.

    Raises:
        NotAgreed: there is nobody to ask.
    """
    if yes:
        return True
    if as_json or not (sys.stdin.isatty() and console.is_terminal):
        raise NotAgreed(f"{what}: nobody is there to be asked; say --yes to do it, or --rehearse")
    return typer.confirm(f"{what}?")


def say_not_sent() -> None:
    """Nothing happened."""
    say_error("nothing was sent", prefix=False)


def question(prospect: Prospect, when: str = "") -> str:
    """What is asked before a letter is made."""
    return f"Send this to {_people(prospect.counts.total)} of {prospect.newsletter.key}{when}"


def say_draft(edition_id: int) -> None:
    """What to do with a draft."""
    say(f"Edition {edition_id} is a draft. Send it with: feedsvc editions approve {edition_id}")


def _people(count: int) -> str:
    return "1 subscriber" if count == 1 else f"{count} subscribers"


def _listed(of: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(of).most_common())
