"""The configuration: found, read, overridden, and every mistake pointed at."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.config_file import LoadedSettings, load_settings, shipped
from feedsvc.config_keys import ANY, all_keys
from feedsvc.config_lines import find_lines
from feedsvc.config_relays import EmlFolderRelaySettings, SmtpRelaySettings
from feedsvc.config_warnings import find_mismatches
from feedsvc.errors import ConfigError

NEWSLETTER = """\
[newsletters.daily]
title = "Daily"
from = "Daily <daily@example.com>"
sender = "Example"
postal_address = "1 Example Street"
[newsletters.daily.schedules.morning]
label = "mornings"
cron = "0 8 * * *"
"""


def _load(folder: Path, text: str | bytes, **environ: str) -> LoadedSettings:
    raw = text if isinstance(text, bytes) else text.encode()
    (folder / "config.toml").write_bytes(raw)
    return load_settings(None, environ, folder)


def _problems(folder: Path, text: str | bytes, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        _load(folder, text, **environ)
    return str(raised.value).splitlines()


# The example


def test_the_example_runs_as_it_is(tmp_path: Path) -> None:
    loaded = load_settings(None, {}, tmp_path)
    assert loaded.path == shipped("config.toml")
    assert loaded.settings.base_url == "http://127.0.0.1:8000"
    assert isinstance(loaded.settings.relay, EmlFolderRelaySettings)
    assert set(loaded.settings.newsletters["daily"].schedules) == {"morning", "weekly"}


def test_the_example_mentions_every_key() -> None:
    text = re.sub(r"(?m)^#\s*", "", shipped("config.toml").read_text("utf-8"))
    for path in all_keys():
        if path[0] == "relays":  # as [relay], under names
            continue
        path = path[:-1] if path[-1] == ANY else path
        section = r"\.".join(r"[a-z_0-9]+" if part == ANY else part for part in path[:-1])
        parts = re.split(rf"(?m)^\[{section}\]$", text) if section else ["", text]
        below = [re.split(r"(?m)^\[", part)[0] for part in parts[1:]]
        assert any(re.search(rf"(?m)^{path[-1]} = ", part) for part in below), ".".join(path)


def test_what_the_example_shows_commented_out_is_what_holds(tmp_path: Path) -> None:
    example = shipped("config.toml").read_text("utf-8")
    as_it_is = _load(tmp_path, example).settings.model_dump()
    shown = _load(tmp_path, re.sub(r"(?m)^#([a-z_]+ = )", r"\1", example)).settings.model_dump()

    def differences(left: object, right: object, at: str) -> list[str]:
        if isinstance(left, dict) and left and isinstance(right, dict):
            return [d for key in right for d in differences(left[key], right[key], f"{at}.{key}")]
        return [at] if left not in (None, [], {}, right) else []

    assert differences(as_it_is, shown, "") == []


def test_the_relay_that_the_example_offers_can_be_used(tmp_path: Path) -> None:
    example = shipped("config.toml").read_text("utf-8")
    offered = re.search(r"(?m)^# \[relay\]\n(#.*\n)+", example)
    assert offered is not None
    loaded = _load(tmp_path, re.sub(r"(?m)^# ?", "", offered[0]))
    relay = loaded.settings.relay
    assert isinstance(relay, SmtpRelaySettings)
    free = {"type", "host", "username", "password", "helo", "profile", "limits", "warm_up"}
    given_keys = relay.model_fields_set - free
    defaults = SmtpRelaySettings(type="smtp", host="smtp.example.com")
    assert {key: getattr(relay, key) for key in given_keys} == {
        key: getattr(defaults, key) for key in given_keys
    }


# Finding the file


def test_the_file_that_was_named_goes_before_the_environment_and_the_folder(
    tmp_path: Path,
) -> None:
    for name in ("config", "variable", "option"):
        (tmp_path / f"{name}.toml").write_text(f'title = "{name}"')
    variable = {"FEEDSVC_CONFIG": "variable.toml"}

    def title(path: Path | None, environ: dict[str, str]) -> str:
        return load_settings(path, environ, tmp_path).settings.title

    assert title(Path("option.toml"), variable) == "option"
    assert title(None, variable) == "variable"
    assert title(None, {}) == "config"
    assert title(None, {"FEEDSVC_CONFIG": ""}) == "config"


def test_a_file_that_was_named_and_is_missing_is_not_passed_over(tmp_path: Path) -> None:
    for path, environ in (
        (Path("gone.toml"), {}),
        (None, {"FEEDSVC_CONFIG": "gone.toml"}),
    ):
        with pytest.raises(ConfigError, match=r"gone\.toml: there is no such file"):
            load_settings(path, environ, tmp_path)


def test_a_folder_in_place_of_the_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path, {}, tmp_path)


def test_relative_paths_are_below_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "news.toml").write_text("")
    loaded = load_settings(Path("etc/news.toml"), {}, tmp_path)
    assert loaded.base == folder


def test_the_example_inside_an_installed_package_leaves_paths_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "feedsvc"
    (package / "_data").mkdir(parents=True)
    (package / "_data" / "config.toml").write_text('title = "packed"')
    monkeypatch.setattr("feedsvc.config_file._PACKAGE", package)
    loaded = load_settings(None, {}, tmp_path)
    assert (loaded.settings.title, loaded.base) == ("packed", tmp_path)


# Mistakes in the file


def test_all_mistakes_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path,
        """\
titel = "News"
time_zone = "Asia/Beijing"

[server]
port = "eighty"

[sources]
a = { type = "folder", path = "a", rescan_seconds = 0 }

[feeds.all]
title = "All"
formats = [
    "rss",
    "atm",
]

[newsletters.daily]
title = "Daily"
postal_address = "1 Example Street"
from = "Daily"
[newsletters.daily.schedules.morning]
label = "mornings"
cron = "0 25 * * *"
""",
    )
    assert problems == [
        "config.toml:1: titel: unknown; did you mean title?",
        "config.toml:2: time_zone: not a time zone name: 'Asia/Beijing' (write for example"
        " Asia/Shanghai)",
        "config.toml:5: server.port: must be a valid integer, unable to parse string as an"
        " integer, not 'eighty'",
        "config.toml:8: sources.a.rescan_seconds: must be greater than or equal to 0.2, not 0",
        "config.toml:14: feeds.all.formats[1]: must be 'rss', 'atom' or 'json', not 'atm'",
        "config.toml:17: newsletters.daily.sender: missing: every mail says who sends it",
        "config.toml:20: newsletters.daily.from: needs an address, such as News"
        " <news@example.com>: An email address must have an @-sign.",
        "config.toml:23: newsletters.daily.schedules.morning.cron: not a schedule: Bad hour",
    ]


def test_mistakes_between_sections_point_at_the_key_to_blame(tmp_path: Path) -> None:
    text = 'base_url = "http://news.example.com"\n' + NEWSLETTER
    text += '[feeds.all]\ntitle = "All"\nsources = ["here", "there"]\n'
    assert _problems(tmp_path, text) == [
        "config.toml:1: base_url: one-click unsubscribe (RFC 8058) needs https://, and there are"
        " newsletters",
        "config.toml:12: feeds.all.sources: no source is named 'here'",
        "config.toml:12: feeds.all.sources: no source is named 'there'",
    ]


@pytest.mark.parametrize("key", ["from", "sender", "postal_address"])
def test_a_newsletter_says_who_sends_it_and_from_where(tmp_path: Path, key: str) -> None:
    text = "".join(
        line for line in NEWSLETTER.splitlines(keepends=True) if not line.startswith(f"{key} =")
    )
    (problem,) = _problems(tmp_path, text)
    assert problem.startswith(f"config.toml:1: newsletters.daily.{key}: missing: ")


@pytest.mark.parametrize(
    ("relay", "problem"),
    [
        ('host = "h"', "config.toml:1: relay.type: missing: 'eml_folder' or 'smtp'"),
        ('type = "post"', "config.toml:2: relay.type: must be 'eml_folder' or 'smtp', not 'post'"),
        ('type = "smtp"', "config.toml:1: relay.host: missing"),
        (
            'type = "eml_folder"\nhost = "h"',
            "config.toml:3: relay.host: does not belong to this type",
        ),
        (
            'type = "smtp"\nhost = "h"\nusername = "u"\npassword = "hunter2"\ntls = "none"',
            'config.toml:6: relay.tls: a password needs tls = "required" or "implicit"',
        ),
        (
            'type = "smtp"\nhost = "h"\npassword = "hunter2"',
            "config.toml:4: relay.password: username and password come together",
        ),
    ],
)
def test_a_relay_is_of_a_known_type_with_all_it_needs(
    tmp_path: Path, relay: str, problem: str
) -> None:
    assert _problems(tmp_path, "[relay]\n" + relay) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        '[relay]\ntype = "smtp"\nhost = "h"\nusername = "u"\npassword = ["hunter2"]',
        '[relay]\ntype = "smtp"\nhost = "h"\nusername = "u"\npasword = "hunter2"',
        '[database]\nurl = "mysql://feedsvc:hunter2@db/feedsvc"',
        '[database]\nurls = "postgresql://feedsvc:hunter2@db/feedsvc"',
        'database = "postgresql://feedsvc:hunter2@db/feedsvc"',
        'relay = "smtp://feedsvc:hunter2@relay"',
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in "".join(_problems(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'title = "a"\ntitle = "b"\n', 2),
        (b'title = "a"\n[server\nport = 1\n', 2),
        (b'\n\ntitle = "a', 3),
        ('title = "新闻"\n[feeds]\n'.encode() + 'a = "新闻"'.encode("gbk"), 3),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(tmp_path: Path, text: bytes, line: int) -> None:
    (problem,) = _problems(tmp_path, text)
    assert problem.startswith(f"config.toml:{line}: not ")


def test_a_file_saved_on_windows_is_read(tmp_path: Path) -> None:
    text = '\ufefftitle = "新闻"\r\nserver.port = 8080\r\n'
    loaded = _load(tmp_path, text)
    assert loaded.settings.title == "新闻"
    assert loaded.line_of("server.port") == 2


# Lines


def test_every_way_to_write_a_key_is_found() -> None:
    text = '''\
# [fake]
top = """
[not.a.table]
not = "a key" """
dotted.key = 1  # = 2
inline = { a = 1, "b.c" = { d = [1, 2] } }
[table]
literal = '[no]'
list = [ # ]
    "a]b", # comment = 1
    { name = "x" },
    [1,
     2],
]
[ table . sub ]
"quoted key" = 1979-05-27 07:32:00
[[array]]
name = 1
[[array]]
name = 2
[array.inner]
deep = true
'''
    lines = find_lines(text)
    expected = {
        ("top",): 2,
        ("dotted",): 5,
        ("dotted", "key"): 5,
        ("inline", "a"): 6,
        ("inline", "b.c", "d", 1): 6,
        ("table",): 7,
        ("table", "literal"): 8,
        ("table", "list"): 9,
        ("table", "list", 0): 10,
        ("table", "list", 1, "name"): 11,
        ("table", "list", 2): 12,
        ("table", "list", 2, 1): 13,
        ("table", "sub"): 15,
        ("table", "sub", "quoted key"): 16,
        ("array",): 17,
        ("array", 0, "name"): 18,
        ("array", 1): 19,
        ("array", 1, "name"): 20,
        ("array", 1, "inner", "deep"): 22,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert not any("not" in path or "fake" in path for path in lines)


_scalars = st.sampled_from(["1", '"[x]"', "'#='", '"""a\nb"""', "'''\n'''", "true", '"\\""'])
_inline = st.recursive(
    _scalars,
    lambda values: (
        st.lists(values, max_size=3).map(lambda items: "[\n" + " ,\n".join(items) + "\n]")
        | st.dictionaries(st.sampled_from(["a", '"b c"', "d.e"]), _scalars, max_size=3).map(
            lambda table: "{" + ", ".join(f"{k} = {v}" for k, v in table.items()) + "}"
        )
    ),
    max_leaves=5,
)


@given(st.lists(_inline, max_size=5))
def test_whatever_stands_before_a_key_its_line_is_right(values: list[str]) -> None:
    text, expected = "", {}
    for number, value in enumerate(values):
        expected[(f"key{number}",)] = text.count("\n") + 1
        text += f"key{number} = {value} # note\n"
    lines = find_lines(text)
    assert {path: lines.get(path) for path in expected} == expected


def test_a_key_that_is_not_set_has_the_line_of_its_section(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "\n[sources.a]\ntype = 'folder'\npath = 'a'\n")
    assert loaded.line_of("sources.a.path") == 4
    assert loaded.line_of("sources.a.language") == 2
    assert loaded.line_of("relay.type") == 1


# The environment


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    text = '[server]\nport = 1\n[feeds.news-cn]\ntitle = "A"\n' + NEWSLETTER
    settings = _load(
        tmp_path,
        text,
        FEEDSVC_SERVER__PORT="2525",
        FEEDSVC_TITLE="新闻",
        FEEDSVC_FEEDS__NEWS_CN__FORMATS="rss, json",
        FEEDSVC_FEEDS__NEWS_CN__TOPICS='["a, b", "c"]',
        FEEDSVC_NEWSLETTERS__DAILY__FROM="Other <other@example.com>",
        FEEDSVC_NEWSLETTERS__DAILY__PUBLIC="false",
        FEEDSVC_CONFIG="",
        FEEDSVC_TEST_PG="postgresql://nobody@nowhere/nothing",
        HOME="/nowhere",
    ).settings
    assert settings.server.port == 2525
    assert settings.title == "新闻"
    assert [str(one) for one in settings.feeds["news-cn"].formats] == ["rss", "json"]
    assert settings.feeds["news-cn"].topics == ["a, b", "c"]
    assert settings.newsletters["daily"].from_ == "Other <other@example.com>"
    assert settings.newsletters["daily"].public is False


def test_a_secret_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    relay = _load(
        tmp_path,
        '[relay]\ntype = "smtp"\nhost = "h"\nusername = "u"\n',
        FEEDSVC_RELAY__PASSWORD_FILE="secret",
    ).settings.relay
    assert isinstance(relay, SmtpRelaySettings)
    assert relay.password is not None
    assert relay.password.get_secret_value() == "hunter2"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FEEDSVC_SMPT__PORT", "1", "unknown; did you mean FEEDSVC_SERVER__PORT?"),
        ("FEEDSVC_SERVER__PROT", "1", "unknown; did you mean FEEDSVC_SERVER__PORT?"),
        ("FEEDSVC_server__port", "1", "unknown; did you mean FEEDSVC_SERVER__PORT?"),
        ("FEEDSVC_FEEDS__AL__TITLE", "x", "unknown; did you mean FEEDSVC_FEEDS__ALL__TITLE?"),
        ("FEEDSVC_XYZZY", "1", "unknown; there is no such setting"),
        ("FEEDSVC_SERVER", "1", "is a section; set a key of it, such as FEEDSVC_SERVER__HOST"),
        ("FEEDSVC_SERVER__PORT_FILE", "1", "unknown; did you mean FEEDSVC_SERVER__PORT?"),
        (
            "FEEDSVC_SERVER__PORT",
            "eighty",
            "server.port: must be a valid integer, unable to parse string as an integer, not"
            " 'eighty'",
        ),
        (
            "FEEDSVC_FEEDS__ALL__FORMATS",
            "rss,atm",
            "feeds.all.formats[1]: must be 'rss', 'atom' or 'json', not 'atm'",
        ),
        ("FEEDSVC_FEEDS__ALL__FORMATS", '["rss"', 'write a list such as a,b or ["a", "b"]'),
        ("FEEDSVC_FEEDS__ALL__SOURCES", "x", "feeds.all.sources: no source is named 'x'"),
        ("FEEDSVC_DATABASE__URL", "mysql://u:hunter2@h/d", "database.url: starts with sqlite:///"),
        ("FEEDSVC_RELAY__PASSWORD_FILE", "gone", "gone cannot be read:"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, name: str, value: str, problem: str
) -> None:
    (first, *more) = _problems(tmp_path, '[feeds.all]\ntitle = "All"\n', **{name: value})
    assert first.startswith(f"{name}: {problem}")
    assert more == []
    assert "hunter2" not in first


def test_a_setting_is_given_by_one_variable_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    problems = _problems(
        tmp_path,
        '[relay]\ntype = "smtp"\nhost = "h"\nusername = "u"\n',
        FEEDSVC_RELAY__PASSWORD="y",
        FEEDSVC_RELAY__PASSWORD_FILE="secret",
    )
    assert problems == [
        "FEEDSVC_RELAY__PASSWORD_FILE: FEEDSVC_RELAY__PASSWORD is set too; keep one of them"
    ]


def test_mistakes_of_file_and_environment_are_reported_together(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path, "[server]\nprt = 1\n", FEEDSVC_SERVER__PORT="x", FEEDSVC_NOTHING="1"
    )
    assert [problem.split(": ")[0] for problem in problems] == [
        "config.toml:2",
        "FEEDSVC_SERVER__PORT",
        "FEEDSVC_NOTHING",
    ]


# Feeds

_FEED = '[feeds.a]\ntitle = "A"\n'
_PODCAST = '[feeds.a.podcast]\nauthor = "李雷"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[feeds.a]\ntitle = "新闻 {nam}"\neach = "topic"\n', "{nam} means nothing"),
        (_FEED + 'filter = " "\n', "says nothing"),
        (_FEED + 'newsletter = "no"\n', "no newsletter is named 'no'"),
        (_FEED + 'formerly = ["a"]\n', "is the name of a feed"),
        ('retired_feeds = ["a"]\n' + _FEED, "is the name of a feed"),
        (_FEED + 'formats = ["rss", "rss"]\n', "names one of them twice"),
        (
            _FEED + 'each = "topic"\n' + _PODCAST + 'categories = ["News"]\n',
            "a podcast is one feed",
        ),
        (_FEED + _PODCAST + 'categories = ["News"]\nfunding_text = "x"\n', "funding_url"),
        ('[websub]\nprivate_hosts = ["10.0.0.0/8"]\n', "not a host: '10.0.0.0/8'"),
        ('[websub]\nhubs = ["ftp://hub.example/"]\n', "https:// or http://"),
        ('[server]\ntrusted_proxies = ["proxy"]\n', "not an address or network"),
        (
            '[sources.s]\ntype = "folder"\npath = "in"\n[export]\nfolder = "in/out"\n',
            "lies in the same place as sources.s.path",
        ),
    ],
)
def test_what_feeds_cannot_be_is_said(tmp_path: Path, text: str, said: str) -> None:
    problems = _problems(tmp_path, text)
    assert len(problems) == 1
    assert said in problems[0]
    assert re.match(r".*config\.toml:[0-9]+: ", problems[0])


def test_what_podcast_directories_refuse_is_pointed_at(tmp_path: Path) -> None:
    text = _FEED + _PODCAST + 'categories = ["News > Daily News", "新闻"]\n'
    warnings = find_mismatches(_load(tmp_path, text))
    assert [warning.partition(": ")[2] for warning in warnings] == [
        "feeds.a.podcast: a podcast without `image` is not taken up by directories",
        "feeds.a.podcast.categories: '新闻' is none of Apple's categories, such as News or"
        " Arts > Books",
    ]
