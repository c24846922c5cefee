"""A configuration that cannot be used: where, which key, what is wrong; and nothing has begun."""

from pathlib import Path

import pytest
from command_line import CONFIG, Newsroom

NEWSLETTER = """\
[newsletters.daily]
title = "每日新闻"
from = "news@example.com"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.daily.schedules.morning]
label = "早上"
cron = "0 8 * * *"
"""


def without(key: str) -> str:
    return "".join(
        line for line in NEWSLETTER.splitlines(keepends=True) if not line.startswith(f"{key} =")
    )


CASES = {
    "a TOML syntax error": (
        'title = "例子"\n[server\nport = 1\n',
        ["config.toml:2: not TOML: Expected ']' at the end of a table declaration"],
    ),
    "a value of another type": (
        '[server]\nport = "eighty"\n',
        [
            "config.toml:2: server.port: must be a valid integer, unable to parse string as an"
            " integer, not 'eighty'"
        ],
    ),
    "an unknown key": (
        'titel = "例子"\n',
        ["config.toml:1: titel: unknown; did you mean title?"],
    ),
    "http on a public host with a newsletter": (
        'title = "例子"\nbase_url = "http://news.example.com"\n' + NEWSLETTER,
        [
            "config.toml:2: base_url: one-click unsubscribe (RFC 8058) needs https://, and there"
            " are newsletters"
        ],
    ),
    "a newsletter without a sender": (
        without("sender"),
        ["config.toml:1: newsletters.daily.sender: missing: every mail says who sends it"],
    ),
    "a newsletter without a postal address": (
        without("postal_address"),
        [
            "config.toml:1: newsletters.daily.postal_address: missing: every mail says where its"
            " sender can be found by post"
        ],
    ),
    "a newsletter without From": (
        without("from"),
        [
            "config.toml:1: newsletters.daily.from: missing: who the mails come from, such as"
            " Morning News <news@example.com>"
        ],
    ),
    "a feed of an unknown source": (
        '[feeds.all]\ntitle = "全部"\nsources = ["blog"]\n',
        ["config.toml:3: feeds.all.sources: no source is named 'blog'"],
    ),
    "a cron that is none": (
        NEWSLETTER.replace("0 8 * * *", "0 25 * * *"),
        ["config.toml:8: newsletters.daily.schedules.morning.cron: not a schedule: Bad hour"],
    ),
    "a cron that never comes due": (
        NEWSLETTER.replace("0 8 * * *", "0 8 30 2 *"),
        [
            "config.toml:8: newsletters.daily.schedules.morning.cron: not a schedule: Bad"
            " day-of-month"
        ],
    ),
    "a zone that is none": (
        'time_zone = "Asia/Beijing"\n',
        [
            "config.toml:1: time_zone: not a time zone name: 'Asia/Beijing' (write for example"
            " Asia/Shanghai)"
        ],
    ),
    "two mistakes at once": (
        'titel = "例子"\n\n[server]\nport = 65536\n',
        [
            "config.toml:1: titel: unknown; did you mean title?",
            "config.toml:4: server.port: must be less than or equal to 65535, not 65536",
        ],
    ),
}
COMMANDS = [
    ("check-config",),
    ("serve",),
    ("ingest",),
    ("publish",),
    ("trace", "1"),
    ("rehearse", "daily"),
    ("send", "daily"),
    ("subscribers", "list"),
    ("subscribers", "add", "alice@example.com", "--newsletter", "daily"),
]


@pytest.mark.parametrize("command", [("serve",), ("ingest",)], ids=" ".join)
@pytest.mark.parametrize(("text", "problems"), CASES.values(), ids=CASES)
def test_each_mistake_is_named_with_file_line_and_key_and_nothing_begins(
    bare: Newsroom, text: str, problems: list[str], command: tuple[str, ...]
) -> None:
    bare.configure(text)
    outcome = bare.run(*command)
    assert outcome.err.splitlines() == problems
    assert (outcome.code, outcome.out) == (2, "")
    assert [path.name for path in bare.folder.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_configuration_with_a_mistake(
    bare: Newsroom, command: tuple[str, ...]
) -> None:
    bare.configure(CONFIG + "colour = 1\n")
    outcome = bare.run(*command)
    line = CONFIG.count("\n") + 1
    assert outcome.err.startswith(
        f"config.toml:{line}: newsletters.daily.schedules.yearly.colour: unknown"
    )
    assert (outcome.code, outcome.out) == (2, "")
    assert [path.name for path in bare.folder.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_configuration_that_is_not_there(
    bare: Newsroom, command: tuple[str, ...]
) -> None:
    outcome = bare.run(*command, "--config", "gone.toml")
    assert outcome.err == "gone.toml: there is no such file\n"
    assert (outcome.code, outcome.out) == (2, "")
    assert list(bare.folder.iterdir()) == []


def test_the_file_of_another_folder_is_named_whole(bare: Newsroom) -> None:
    other = bare.folder / "配置"
    other.mkdir()
    (other / "config.toml").write_text('titel = "例子"\n', encoding="utf-8")
    outcome = bare.run("check-config", "-c", "配置/config.toml")
    assert outcome.err == "配置/config.toml:1: titel: unknown; did you mean title?\n"
    assert outcome.code == 2


def test_a_setting_in_the_environment_that_does_not_exist_is_named(bare: Newsroom) -> None:
    bare.configure()
    outcome = bare.run("serve", FEEDSVC_SERVER__PROT="8080")
    assert outcome.err == "FEEDSVC_SERVER__PROT: unknown; did you mean FEEDSVC_SERVER__PORT?\n"
    assert (outcome.code, outcome.out) == (2, "")
    assert [path.name for path in bare.folder.iterdir()] == ["config.toml"]


def test_a_template_that_does_not_compile_is_named_with_its_line(bare: Newsroom) -> None:
    bare.configure(CONFIG + '[templates]\nfolder = "模板"\n')
    broken = bare.folder / "模板" / "mail" / "plain" / "digest.txt"
    broken.parent.mkdir(parents=True)
    broken.write_text("{{ _('好') }}\n{% if %}\n", encoding="utf-8")
    for command in (("check-config",), ("serve",), ("send", "daily")):
        outcome = bare.run(*command)
        assert outcome.err.startswith(f"feedsvc: {broken}:2: ")
        assert (outcome.code, outcome.out) == (1, "")
    assert not (bare.folder / "data").exists()


def test_check_config_says_what_there_is_and_when_it_is_due(bare: Newsroom) -> None:
    bare.configure()
    said = bare.do("check-config").out
    assert said.startswith(f"{bare.folder}/config.toml: can be used, but look at\n")
    assert "sources.folder.path: there is no " in said
    Path(bare.folder, "articles").mkdir()
    said = bare.do("check-config").out
    assert said.startswith(f"{bare.folder}/config.toml: fine\n")
    assert "-01-01 00:00 +08:00 Asia/Shanghai\n" in said
    facts = bare.do("check-config", "--json").json
    assert facts.keys() == {"config", "sources", "feeds", "newsletters", "warnings", "next_due"}
    assert facts["warnings"] == []
    assert facts["sources"] == ["folder"]
    assert facts["feeds"] == ["all"]
    assert facts["newsletters"] == ["daily"]
    dues = facts["next_due"]["daily.yearly"]
    assert len(dues) == 5
    assert all(due.endswith("-01-01T00:00:00+08:00") for due in dues)
    assert not (bare.folder / "data").exists()


def test_the_shipped_example_is_used_where_there_is_no_configuration(bare: Newsroom) -> None:
    facts = bare.do("check-config", "--json").json
    assert facts["newsletters"] == ["daily"]
    assert list(bare.folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604], ids=oct)
def test_a_key_file_that_others_can_read_is_refused(newsroom: Newsroom, mode: int) -> None:
    keys = newsroom.folder / "data" / "keys.json"
    keys.chmod(mode)
    for command in (("serve",), ("rehearse", "daily")):
        outcome = newsroom.run(*command)
        assert outcome.err == (
            f"feedsvc: {keys}: others may read or change it; run: chmod 600 {keys}\n"
        )
        assert (outcome.code, outcome.out) == (1, "")


def test_the_key_file_is_made_for_its_owner_alone(newsroom: Newsroom) -> None:
    assert (newsroom.folder / "data" / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_database_without_the_keys_it_was_used_with_is_refused(newsroom: Newsroom) -> None:
    (newsroom.folder / "data" / "keys.json").unlink()
    for _ in range(2):
        outcome = newsroom.run("send", "daily")
        assert outcome.code == 1
        assert "restore the key file that belongs to this database" in outcome.err
