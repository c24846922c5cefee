"""The documents say what is true: commands, settings, tables, links and examples are checked."""

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import pytest
import typer
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined
from sqlalchemy import func, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession
from typer.testing import CliRunner

from feedsvc.articles import media as media_fields
from feedsvc.articles import metadata as metadata_fields
from feedsvc.audience.subscriptions import request_subscription
from feedsvc.cli import app
from feedsvc.config import Settings
from feedsvc.config_file import load_settings
from feedsvc.config_keys import ANY, all_keys
from feedsvc.config_relays import EmlFolderRelaySettings, SmtpRelaySettings
from feedsvc.db.engine import Database
from feedsvc.kit.addresses import parse_address
from feedsvc.kit.templating import Templates
from feedsvc.messages.render import DigestView, ItemView, render_digest
from feedsvc.model import metadata
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.newsletter import Newsletter, Schedule

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "bench/README.md"])
#: Where users are told of commands, settings and variables.
README, STARTING, OPERATING = (
    ROOT / "README.md",
    ROOT / "docs/getting-started.md",
    ROOT / "docs/operating.md",
)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: Words the project has another one for (article, newsletter), in text for people.
_FOREIGN = re.compile(
    r"\b(campaigns?|mailing lists?|blog ?posts?|(?:a|the|new|each|every|all|these) posts?)\b", re.I
)


def _blocks(language: str) -> list[Any]:
    """Code blocks of a language, as parameters named after file and line."""
    found = []
    for path in DOCUMENTS:
        content = path.read_text("utf-8")
        for match in _BLOCK.finditer(content):
            if match[1] == language:
                line = content.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{path.name}:{line}"))
    return found


def _rows(path: Path, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its own head."""
    after = path.read_text("utf-8").partition(f"{heading}\n")[2]
    assert after, f"{path.name} has no {heading!r}"
    lines = after[after.index("\n| ") + 1 :].partition("\n\n")[0]
    rows = [line[1:-1].split("|") for line in lines.splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    waiting: list[tuple[str, Any]] = [("feedsvc", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        inside = getattr(command, "commands", None)
        if inside is None:
            yield words, command
        else:
            waiting += [(f"{words} {name}", one) for name, one in inside.items()]


COMMANDS = dict(_commands())


# Commands


def test_readme_lists_every_command_and_no_other() -> None:
    assert {_code(row[0])[0] for row in _rows(README, "## Commands")} == set(COMMANDS)


def test_operating_lists_every_command_with_every_option_and_no_other() -> None:
    told = {}
    for name, *rest in _rows(OPERATING, "## Commands and options"):
        words = [word for word in _code(name)[0].split() if not word.isupper()]
        listed = [word for cell in rest for word in _code(cell) if word.startswith("-")]
        told[" ".join(words)] = set(listed)
    there = {
        words: {
            option
            for one in command.params
            for option in (*one.opts, *one.secondary_opts)
            if option.startswith("-")
        }
        for words, command in COMMANDS.items()
    }
    assert told == there


@pytest.mark.parametrize("words", COMMANDS)
def test_the_help_of_a_command_has_an_example(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split()[1:], "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    example = re.search(r"Example: `([^`]+)`", COMMANDS[words].help or "")
    assert example is not None
    assert example[1].startswith(words)


@pytest.mark.parametrize("block", _blocks("sh"))
def test_commands_in_documents_exist(block: str) -> None:
    for line in block.splitlines():
        called = re.search(r"(?:^|/|&& )feedsvc((?: [a-z][a-z-]*)+)", line)
        if called and not line.startswith(("docker", "sudo")):
            assert any(f"feedsvc{called[1]} ".startswith(f"{one} ") for one in COMMANDS), line


# Settings


def _defaults(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        key = f"{path}{info.alias or name}"
        kind = info.annotation
        if key == "relay":
            yield from _defaults(SmtpRelaySettings, "relay.")
            yield from _defaults(EmlFolderRelaySettings, "relay.")
            yield "relay.type", "eml_folder"
        elif key == "relays":
            continue  # as `relay`, under names
        elif get_origin(kind) is dict and not _is_section(get_args(kind)[1]):
            yield f"{key}.{ANY}", None  # names of one's own, none unless given
        elif get_origin(kind) is dict:
            yield from _defaults(get_args(kind)[1], f"{key}.{ANY}.")
        elif sections := [one for one in (kind, *get_args(kind)) if _is_section(one)]:
            yield from _defaults(sections[0], f"{key}.")
        else:
            yield key, info.get_default(call_default_factory=True)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "needed"
    if default is None:
        return "–"
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{json.dumps(str(default) if isinstance(default, Path) else default)}`"


def test_operating_lists_every_setting_with_its_default() -> None:
    told = {_code(row[0])[0]: row[1] for row in _rows(OPERATING, "## Settings")}
    assert set(told) == {".".join(path) for path in all_keys() if path[0] != "relays"}
    assert told == {key: _shown(default) for key, default in _defaults(Settings)}


@pytest.mark.parametrize("block", _blocks("toml"))
def test_a_configuration_in_the_documents_can_be_loaded(block: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(block, encoding="utf-8")
    load_settings(None, {}, tmp_path)


def test_variables_in_the_documents_mean_something(tmp_path: Path) -> None:
    whole = ("[sources.articles]", "[feeds.all]", "[newsletters.daily]")
    example = next(one for one in _blocks("toml") if all(key in one.values[0] for key in whole))
    (tmp_path / "config.toml").write_text(example.values[0], encoding="utf-8")
    written = "".join(path.read_text("utf-8") for path in (README, STARTING, OPERATING))
    names = set(re.findall(r"FEEDSVC_[A-Z_]*[A-Z]\b", written)) - {"FEEDSVC_CONFIG"}
    assert len(names) >= 5
    secret = tmp_path / "secret"
    secret.write_text("postgresql://feedsvc@127.0.0.1/feedsvc\n")
    values = {
        name: str(secret) if name.endswith("_FILE") else re.findall(rf"{name}='?(\w+)", written)[0]
        for name in names
        if not re.fullmatch("FEEDSVC_RELAYS?__(MAIN__)?PASSWORD_FILE", name)
    }
    load_settings(None, values, tmp_path)
    smtp = '[relay]\ntype = "smtp"\nhost = "smtp.example.com"\nusername = "news"\n'
    (tmp_path / "config.toml").write_text(smtp, encoding="utf-8")
    load_settings(None, {"FEEDSVC_RELAY__PASSWORD_FILE": str(secret)}, tmp_path)
    (tmp_path / "config.toml").write_text(smtp.replace("relay", "relays.main", 1), "utf-8")
    load_settings(None, {"FEEDSVC_RELAYS__MAIN__PASSWORD_FILE": str(secret)}, tmp_path)


def test_every_name_in_front_matter_is_told() -> None:
    told = {name for row in _rows(STARTING, "### Front matter") for name in _code(row[1])}
    known = {
        name
        for module in (metadata_fields, media_fields)
        for key, names in vars(module).items()
        if isinstance(names, tuple) or key == "_PEOPLE"
        for name in names
        if isinstance(name, str)
    }
    assert known - told == set()


# Tables of the database


def test_every_table_is_called_by_a_word_of_the_glossary() -> None:
    rows = _rows(ROOT / "docs/glossary.md", "# Glossary")
    words = {word.strip() for row in rows for word in re.sub(r"\(.*\)", "", row[0]).split(",")}
    for table_name in metadata.tables:
        name = table_name.replace("_", " ")
        assert {name, name.rpartition(" ")[2]} & words, f"the glossary has no word for {name}"


def test_privacy_looks_at_every_column() -> None:
    privacy = (ROOT / "PRIVACY.md").read_text("utf-8")
    told = {
        name: {_code(row[0])[0] for row in _rows(ROOT / "PRIVACY.md", heading)}
        for heading, name in re.findall(r"^(### `(\w+)`.*)$", privacy, re.MULTILINE)
    }
    for name, columns in re.findall(r"^- `(\w+)`: (.+)$", privacy, re.MULTILINE):
        told[name] = set(_code(columns))
    assert told == {name: set(one.columns.keys()) for name, one in metadata.tables.items()}


def test_every_state_of_a_delivery_is_explained() -> None:
    rows = _rows(OPERATING, "## What becomes of a delivery")
    assert [_code(row[0])[0] for row in rows] == [state.value for state in DeliveryState]


@pytest.mark.anyio
async def test_the_statement_for_deleting_a_person_leaves_nothing_of_them(
    database: Database,
) -> None:
    block = next(one for one in _sql() if "DELETE FROM subscriber" in one)
    statements = [one.strip() for one in block.split(";") if one.strip()]
    if database.kind == "postgresql":
        statements = statements[1:]
    tables = ("subscriber", "subscription", "subscription_change", "notice", "delivery")
    async with database.write() as session:
        await _ask_in_the_name_of_alice(session)
        assert await _count(session, tables) == [1, 1, 1, 1, 1]
    async with database.write() as session:
        for statement in statements:
            await session.execute(text(statement))
    async with database.read() as session:
        assert await _count(session, tables) == [0, 0, 0, 0, 0]


@pytest.mark.anyio
async def test_the_statement_for_reviving_an_address_revives_it(database: Database) -> None:
    (statement,) = (one for one in _sql() if "UPDATE subscriber" in one)
    async with database.write() as session:
        await _ask_in_the_name_of_alice(session)
        await session.execute(text("UPDATE subscriber SET state = 'dead'"))
        await session.execute(text(statement.strip().removesuffix(";")))
        assert await session.scalar(text("SELECT state FROM subscriber")) == "good"


def test_the_statement_for_a_backup_copies_a_database_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (statement,) = (one for one in _sql() if "VACUUM INTO" in one)
    (tmp_path / "backup").mkdir()
    monkeypatch.chdir(tmp_path)
    with (
        closing(sqlite3.connect("feedsvc.db")) as used,
        closing(sqlite3.connect("feedsvc.db")) as beside,
    ):
        used.execute("PRAGMA journal_mode=WAL")
        used.execute("CREATE TABLE kept (x)")
        used.commit()
        used.execute("INSERT INTO kept VALUES (1)")
        beside.execute(statement)
    with closing(sqlite3.connect("backup/feedsvc.db")) as copy:
        assert copy.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def _sql() -> list[str]:
    return [one.values[0] for one in _blocks("sql")]


async def _count(session: AsyncSession, tables: Sequence[str]) -> list[int]:
    rows = [await session.execute(select(func.count()).select_from(table(one))) for one in tables]
    return [one.scalar_one() for one in rows]


async def _ask_in_the_name_of_alice(session: AsyncSession) -> None:
    """Rows of every kind that a person leaves: subscription, its log, notice, delivery."""
    newsletter = Newsletter(
        key="daily",
        title="Daily",
        language="en",
        from_name="Daily",
        from_address="daily@example.com",
        sender="Example",
        postal_address="1 Example Street",
    )
    session.add(newsletter)
    await session.flush()
    schedule = Schedule(
        newsletter_id=newsletter.id or 0,
        key="morning",
        label="mornings",
        cron="0 8 * * *",
        zone="UTC",
        since=NOW,
    )
    session.add(schedule)
    await session.flush()
    await request_subscription(
        session,
        newsletter=newsletter,
        schedule=schedule,
        address=parse_address("Alice@example.com"),
        name="Alice",
        language="en",
        zone=None,
        topics=(),
        now=NOW,
        how="form",
        consent_text="yes",
        notice_expires_at=NOW,
    )


# Examples


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_in_the_documents_runs(block: str) -> None:
    exec(compile(block, "example", "exec"), {"__name__": "example"})


def test_the_theme_in_the_documents_renders(tmp_path: Path) -> None:
    (template,) = (one.values[0] for one in _blocks("jinja"))
    path = tmp_path / "mail/brief/digest.txt"
    path.parent.mkdir(parents=True)
    path.write_text(template, encoding="utf-8")
    templates = Templates(tmp_path)
    templates.check()
    item = ItemView(title="老街书店开了夜场", url="https://news.example.com/a", excerpt="…")
    view = DigestView(
        language="zh-CN",
        newsletter_title="简报",
        sender="示例新闻编辑部",
        postal_address="上海市黄浦区人民大道 1 号",
        date="2026年11月22日",
        items=(item,),
        base_url="https://news.example.com",
        site_title="示例新闻",
        more_count=2,
        theme="brief",
    )
    mail = render_digest(templates, view)
    assert mail.text.startswith("简报, 2026年11月22日\n")
    assert "- 老街书店开了夜场\n  https://news.example.com/a\n" in mail.text
    assert "退订" in mail.text
    assert "老街书店开了夜场" in mail.html  # the HTML form is the plain theme's


def test_what_the_documents_say_a_template_has_is_what_it_has() -> None:
    extending = (ROOT / "docs/extending.md").read_text("utf-8")
    section = extending.partition("In a digest there are:")[2].partition("Both forms")[0]
    told = set(re.findall(r"`([a-z_.]+)`", section))
    assert set(DigestView.__dataclass_fields__) - {"language", "theme"} <= told
    assert set(ItemView.__dataclass_fields__) <= told


# Log, links, words


def test_events_in_the_documents_are_logged() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "feedsvc").rglob("*.py"))
    for row in _rows(OPERATING, "## Logs"):
        for event in _code(row[0]):
            assert f'"{event}"' in source, event


def _anchors(path: Path) -> set[str]:
    headings = _HEADING.findall(_BLOCK.sub("", path.read_text("utf-8")))
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "")).lower().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_leads_nowhere(path: Path) -> None:
    for link in _LINK.findall(_BLOCK.sub("", path.read_text("utf-8"))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_what_is_said_to_be_defended_is_tested() -> None:
    rows = _rows(ROOT / "SECURITY.md", "## What is defended today")
    assert len(rows) >= 15
    for what, where in rows:
        assert re.search(r"\(tests/[\w/]+\.py\)", where), what


def test_specifications_are_followed_in_so_many_words() -> None:
    content = (ROOT / "docs/specifications.md").read_text("utf-8")
    for heading in re.findall(r"^## .+$", content, re.MULTILINE):
        for specification, how_far, where in _rows(ROOT / "docs/specifications.md", heading):
            assert re.match(r"(Full|Partial: .+|No)\b", how_far), specification
            assert "](../feedsvc/" in where or how_far.startswith("No"), specification


def _texts_for_people() -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        yield path.name, path.read_text("utf-8")
    for path in (ROOT / "templates").rglob("*.html"):
        yield path.name, path.read_text("utf-8")
    for path in (ROOT / "feedsvc/locale").rglob("*.po"):
        yield path.name, path.read_text("utf-8")
    for words, command in COMMANDS.items():
        helps = [getattr(one, "help", None) or "" for one in command.params]
        yield words, "\n".join([command.help or "", *helps])
    yield "config.toml", (ROOT / "config.toml").read_text("utf-8")


def test_people_read_the_words_of_the_glossary() -> None:
    found = {name: sorted(set(_FOREIGN.findall(told))) for name, told in _texts_for_people()}
    assert {name: words for name, words in found.items() if words} == {}
