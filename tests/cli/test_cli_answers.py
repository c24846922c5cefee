"""`explain`, `rehearse` and `replay`: what became of an article, and what mails are, or were."""

import shutil

import pytest
from command_line import CONFIG, Newsroom, Starter
from lxml import html

LI_LEI = "li.lei@example.com"
TWO = (
    CONFIG
    + """
[newsletters.daily.schedules.morning]
label = "早上八点"
cron = "0 8 * * *"
time_zone = "subscriber"
"""
)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Newsroom:
    """One edition has gone to Alice and 李雷; an article has come since."""
    newsroom = Newsroom(tmp_path_factory.mktemp("answers"), starter)
    newsroom.configure(TWO)
    (newsroom.folder / "articles").mkdir()
    newsroom.publish("archive.md", "旧闻")
    for name, more in (("alice", ("--language", "en")), ("li.lei", ("--name", "李雷"))):
        who = (f"{name}@example.com", "-n", "daily", "-s", "yearly", "--confirmed")
        newsroom.do("subscribers", "add", *who, *more)
    newsroom.publish("night.md", "夜市回来了")
    newsroom.do("send", "daily")
    newsroom.publish("buses.md", "夜班公交")
    return newsroom


@pytest.fixture
def room(bare: Newsroom, example: Newsroom) -> Newsroom:
    """A copy of it."""
    shutil.copytree(example.folder, bare.folder, dirs_exist_ok=True)
    return bare


# Why


def test_an_answer_is_a_sentence_with_its_facts_below(room: Newsroom) -> None:
    before = room.dump()
    said = room.do("explain", LI_LEI, "night.md").out.splitlines()
    assert said[0] == "article 2, 夜市回来了"
    assert said[1].startswith("daily: They got it in edition 1 (")
    assert said[2].startswith("  article     published, number 2, of ")
    assert said[3].startswith("  subscriber  active, schedule yearly (Asia/Shanghai), topics: all;")
    assert said[4].startswith("  edition 1   digest, done, due ")
    assert said[4].endswith("mail: sent, the article: mailed")
    assert room.dump() == before


def test_an_answer_as_json_has_its_outcome_and_facts(room: Newsroom) -> None:
    found = room.do("explain", "2", "公交", "--json").json
    assert found.keys() == {"subscriber", "article", "answers"}
    assert (found["subscriber"], found["article"]["title"]) == (2, "夜班公交")
    (answer,) = found["answers"]
    assert answer.keys() == {"newsletter", "outcome", "sentence", "edition_id", "facts"}
    assert (answer["newsletter"], answer["outcome"]) == ("daily", "comes_next")
    assert "-01-01 00:00 Asia/Shanghai" in answer["sentence"]
    assert answer["facts"]["reader"]["cursor"] == 2
    assert LI_LEI not in str(found)


def test_what_was_there_before_is_told_as_not_announced(room: Newsroom) -> None:
    found = room.do("explain", LI_LEI, "旧闻", "--newsletter", "daily", "--json").json
    assert found["answers"][0]["outcome"] == "not_announced"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("nobody@example.com", "2"), "nobody with this address has ever asked"),
        (("77", "2"), "there is no subscriber 77"),
        (("somebody", "2"), "an e-mail address is written like"),
        ((LI_LEI, "足球"), "no article has the id, slug"),
        ((LI_LEI, "夜"), "'夜' is in several titles, say an id: 3 夜班公交; 2 夜市回来了"),
        ((LI_LEI, "2", "-n", "weekly"), "subscriber 2 has never asked for weekly"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_who_or_what_is_not_found_is_told(
    room: Newsroom, command: tuple[str, ...], answer: str
) -> None:
    outcome = room.run("explain", *command)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"feedsvc: {answer}")


# What is to come


def test_a_rehearsal_shows_the_mail_of_most_and_nothing_else(room: Newsroom) -> None:
    shown = room.do("rehearse", "daily", "--show", "text")
    assert "夜班公交" in shown.out
    assert "夜市回来了" not in shown.out
    assert "<address>" in shown.out
    assert "@example.com" not in shown.out.replace("news@example.com", "")
    assert shown.err.startswith("daily-yearly-1-")
    page = html.document_fromstring(room.do("rehearse", "daily", "--show", "html").out)
    assert "夜班公交" in page.text_content()


def test_a_rehearsal_shows_the_mail_of_a_reader_with_given_choices(room: Newsroom) -> None:
    english = room.do("rehearse", "daily", "--show", "text", "--language", "en").out
    assert "Unsubscribe" in english
    chinese = room.do("rehearse", "daily", "--show", "text", "--language", "zh").out
    assert "退订" in chinese
    outcome = room.run("rehearse", "daily", "--show", "text", "--topic", "足球")
    assert (outcome.code, outcome.out) == (1, "")
    assert "would get no mail" in outcome.err


def test_a_rehearsal_writes_every_mail_as_files(room: Newsroom) -> None:
    room.do("rehearse", "daily", "--output", "mails")
    names = sorted(path.name for path in (room.folder / "mails").iterdir())
    assert len(names) == 6
    assert {name.partition(".")[2] for name in names} == {"txt", "html", "page.html"}
    assert {name.partition(".")[0][-2:] for name in names} == {"en", "CN"}
    (room.folder / "file").write_text("")
    assert "cannot write to file" in room.run("rehearse", "daily", "--output", "file/mails").err


def test_a_rehearsal_of_a_moment_says_that_others_come_before(room: Newsroom) -> None:
    said = room.do("rehearse", "daily", "-s", "yearly", "--at", "2100-06-01 08:00").out
    assert "as if it came due Tue 2100-06-01 08:00 Asia/Shanghai, though " in said
    (found,) = room.do("rehearse", "daily", "-s", "morning", "--json").json
    assert (found["schedule"], found["waves"]) == ("morning", [])


@pytest.mark.parametrize(
    ("options", "code", "answer"),
    [
        (("--at", "morgen"), 2, "'morgen' is no moment"),
        (("--at", "2020-01-01"), 1, "it is past; feedsvc replay shows"),
        (("-s", "hourly"), 1, "daily has no schedule 'hourly' (there are: morning, yearly)"),
        (("--language", "zh"), 2, "choose a mail for --show or --output"),
        (("--language", "tlh", "--show", "text"), 2, "mails are written in: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_rehearsed_is_told(
    room: Newsroom, options: tuple[str, ...], code: int, answer: str
) -> None:
    outcome = room.run("rehearse", "daily", *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert answer in " ".join(outcome.err.replace("│", " ").split())


# What was


def test_a_past_edition_is_shown_with_what_each_cohort_got(room: Newsroom) -> None:
    before = room.dump()
    said = room.do("replay", "1").out
    assert said.startswith("digest 1 of daily, by hand: done\n")
    assert said.count("1 sent: ") == 2
    assert said.count("    mailed          2  夜市回来了\n") == 2
    found = room.do("replay", "1", "--subscriber", LI_LEI, "--json").json
    (cohort,) = found["cohorts"]
    assert cohort["deliveries"] == {"sent": 1}
    assert [(item["title"], item["changed"]) for item in cohort["items"]] == [("夜市回来了", False)]
    assert room.dump() == before


def test_a_past_mail_is_shown_as_it_was_without_anybodys_links(room: Newsroom) -> None:
    room.publish("night.md", "夜市没有回来")
    shown = room.do("replay", "1", "--subscriber", LI_LEI, "--show", "text").out
    assert "夜市回来了" in shown
    assert "夜市没有回来" not in shown
    for stand_in in ("<address>", "<unsubscribe url>"):
        assert stand_in in shown
    assert "revision 1; edited since" in room.do("replay", "1").out
    room.do("replay", "1", "--output", "mails")
    pages = list((room.folder / "mails").glob("edition-1-cohort-*.page.html"))
    assert len(pages) == 2
    assert LI_LEI not in "".join(path.read_text("utf-8") for path in pages)


def test_an_edition_or_mail_that_is_not_there_is_told(room: Newsroom) -> None:
    assert "there is no edition 9" in room.run("replay", "9").err
    room.do("subscribers", "add", "bob@example.com", "-n", "daily", "--confirmed")
    outcome = room.run("replay", "1", "-s", "bob@example.com")
    assert outcome.code == 1
    assert "edition 1 has no mail to subscriber 3" in outcome.err
