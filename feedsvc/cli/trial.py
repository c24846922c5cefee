"""`feedsvc test`: the next edition in one's own inbox."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.options import MAX_ID, ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.model.newsletter import Newsletter
    from feedsvc.model.relay import Relay
    from feedsvc.pipeline.trial import Tested, Trials


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("test")(send_test)


def send_test(
    newsletter: NewsletterArgument,
    address: Annotated[str, typer.Argument(help="Your e-mail address.")],
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", "-s", help="Key of the schedule; needed if there are several."),
    ] = None,
    edition: Annotated[
        int | None,
        typer.Option(
            "--edition", "-e", max=MAX_ID, help="Id of a draft, or of an edition that has gone."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the mail; the newsletter's by default.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Mail the next edition to one address, as most readers would get it now; nothing is changed.

    It goes at once by the newsletter's relay, beside all limits, marked as a test. Its links to
    unsubscribe and to preferences lead to the site, and act on nobody.

    Example: `feedsvc test daily you@example.com`
    """
    from feedsvc.errors import InvalidAddress
    from feedsvc.kit.addresses import parse_address
    from feedsvc.kit.texts import LANGUAGES

    parsed = parse_address(address)
    if parsed.smtputf8:
        raise InvalidAddress("letters beyond ASCII before the @ cannot be mailed to yet")
    if schedule is not None and edition is not None:
        raise typer.BadParameter("an edition has its schedule: give one of --schedule, --edition")
    if language and language.replace("_", "-").split("-")[0].lower() not in LANGUAGES:
        raise typer.BadParameter(f"mails are written in: {', '.join(LANGUAGES)}")

    async def work(app: "App") -> "Tested":
        return await open_trials(app).send(
            newsletter, parsed, schedule=schedule, edition=edition, language=language
        )

    tested = run_with_app(config, work, renders=True)
    if as_json:
        print_json({**asdict(tested), "address": parsed.wire})
        return
    which = f"edition {tested.edition}" if tested.edition else "the next edition"
    say(f"{tested.relay} has taken {which} of {newsletter} to {parsed.wire}: {tested.subject}")
    if tested.too_few:
        say("It has fewer articles than min_items: readers would get them with later ones.")


def open_trials(app: "App") -> "Trials":
    """What sends test mails with the parts of an application."""
    from feedsvc.messages.digests import DigestRenderer
    from feedsvc.messages.dkim import Signers
    from feedsvc.messages.trials import TrialMaker
    from feedsvc.pipeline.trial import Trials

    settings = app.settings
    return Trials(
        app.database,
        DigestRenderer(app.templates, settings.base_url, settings.title, settings.time_zone),
        TrialMaker(
            app.keyring,
            Signers.load(settings.dkim, app.loaded.base),
            settings.returns,
            settings.base_url,
        ),
        partial(_relays, app),
        app.clock,
    )


def _relays(app: "App", newsletter: "Newsletter") -> "Sequence[Relay]":
    """The relays that may carry a newsletter, by rank."""
    from feedsvc.relays.open import open_relay

    settings, base = app.settings, app.loaded.base
    names = settings.newsletters[newsletter.key].relays
    chosen = {name: one for name, one in settings.every_relay.items() if not names or name in names}
    ranked = sorted(chosen.items(), key=lambda one: one[1].rank)
    return [open_relay(one, base, name) for name, one in ranked]
