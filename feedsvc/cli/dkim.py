"""`feedsvc dkim …`: keys that mails are signed with, and what DNS has to say of them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, load
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.config import Settings
    from feedsvc.messages.dkim_keys import DkimKey


@dataclass(frozen=True, slots=True)
class _Record:
    """The TXT record of a key."""

    name: str
    value: str
    #: The value in the pieces of at most 255 octets that DNS keeps it in.
    strings: list[str]
    zone_line: str


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made, and what is to be done with it."""

    selector: str
    domain: str
    algorithm: str
    file: str
    record: _Record
    #: For the configuration.
    lines: list[str]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A configured key."""

    selector: str
    domain: str
    algorithm: str
    active: bool
    file: str
    record: _Record
    #: Keys of the newsletters whose new mail it signs.
    newsletters: list[str]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Make and show the keys that mails are signed with (DKIM).")
    group.command("new")(new)
    group.command("show")(show)
    app.add_typer(group, name="dkim", no_args_is_help=True)


def new(
    selector: Annotated[
        str, typer.Argument(help="Name of the key in DNS; take a new one for each key.")
    ],
    domain: Annotated[
        str,
        typer.Option(
            "--domain", help="The domain mail is from, or one above it; its DNS gets the record."
        ),
    ],
    ed25519: Annotated[
        bool,
        typer.Option(
            "--ed25519",
            help="Make an Ed25519 key, to sign with beside RSA; few receivers know it alone.",
        ),
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Where to store it; by default data/dkim/SELECTOR.pem.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a key, and say what to put into DNS and into the configuration.

    Example: `feedsvc dkim new s2026 --domain example.com`
    """
    from pydantic import ValidationError

    from feedsvc.config_sending import DkimKeySettings
    from feedsvc.messages.dkim_keys import DkimKey, check_selector, make_private_key

    loaded = load(config)
    default = Path("data/dkim") / f"{selector}.pem"
    if selector in loaded.settings.dkim:
        default = loaded.settings.dkim[selector].file
    path = file.absolute() if file else (loaded.base / default).absolute()
    try:
        check_selector(selector)
        wanted = DkimKeySettings(file=path, domain=domain)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{reason}", param_hint="--domain") from error
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="SELECTOR") from error
    key = DkimKey(selector, wanted.domain, make_private_key(path, is_rsa=not ed25519))
    made = _Made(
        selector=selector,
        domain=key.domain,
        algorithm=key.algorithm,
        file=str(path),
        record=_record(key),
        lines=_configure(key, path, loaded.base.absolute()),
    )
    if as_json:
        print_json(asdict(made))
        return
    _say_made(made)


def _say_made(made: _Made) -> None:
    say(f"{made.file} holds the new key ({made.algorithm}). Nobody else may read it.")
    say("")
    say(f"1. Put this TXT record into the DNS of {made.domain}:")
    say("")
    _say_record(made.record)
    say("")
    say(f"2. When it is there (dig +short TXT {made.record.name}), add to the configuration:")
    say("")
    for line in made.lines:
        say(line)


def show(
    selector: Annotated[
        str | None, typer.Argument(help="Show this key alone.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the configured keys: their DNS records, and which newsletters each of them signs.

    Example: `feedsvc dkim show`
    """
    from feedsvc.errors import NotFound
    from feedsvc.messages.dkim import Signers

    loaded = load(config)
    settings = loaded.settings
    if selector is not None and selector not in settings.dkim:
        raise NotFound(f"no key has the selector {selector!r}; see: feedsvc dkim show")
    signers = Signers.load(settings.dkim, loaded.base)
    signed = {key: signers.for_domain(domain) for key, domain in _domains(settings).items()}
    shown = [
        _Shown(
            selector=key.selector,
            domain=key.domain,
            algorithm=key.algorithm,
            active=key.is_active,
            file=str(loaded.base / settings.dkim[key.selector].file),
            record=_record(key),
            newsletters=[name for name, selectors in signed.items() if key.selector in selectors],
        )
        for key in signers.keys
        if selector in (None, key.selector)
    ]
    unsigned = [name for name, selectors in signed.items() if not selectors]
    if as_json:
        print_json({"keys": [asdict(one) for one in shown], "unsigned": unsigned})
        return
    _say_shown(shown, unsigned if selector is None else [])


def _say_shown(shown: list[_Shown], unsigned: list[str]) -> None:
    if not shown:
        say("No key is configured. Make one by: feedsvc dkim new s2026 --domain example.com")
    for one in shown:
        say(f"{one.selector} ({one.algorithm}, {one.file})")
        _say_record(one.record)
        if not one.active:
            say("  signs  nothing new: active = false")
        else:
            say(f"  signs  {', '.join(one.newsletters) or 'no newsletter'}")
        say("")
    if unsigned:
        say(f"Not signed here: {', '.join(unsigned)}")


def _say_record(record: _Record) -> None:
    say(f"  name   {record.name}")
    say(f"  value  {record.value}")
    say(f"  zone   {record.zone_line}")


def _record(key: "DkimKey") -> _Record:
    record = key.record
    return _Record(record.name, record.value, record.strings, record.zone_line)


def _configure(key: "DkimKey", path: Path, base: Path) -> list[str]:
    written = path.relative_to(base) if path.is_relative_to(base) else path
    return [
        f"[dkim.{key.selector}]",
        f"file = {json.dumps(written.as_posix(), ensure_ascii=False)}",
        f'domain = "{key.domain}"',
    ]


def _domains(settings: "Settings") -> dict[str, str]:
    """Each newsletter's domain in From, as A-label."""
    from feedsvc.config_values import split_mailbox
    from feedsvc.messages.headers import wire_address

    return {
        key: wire_address(split_mailbox(one.from_)[1]).rpartition("@")[2]
        for key, one in settings.newsletters.items()
    }
