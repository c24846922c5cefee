"""`feedsvc test`: the next edition in one's own inbox, and nothing changed by it."""

import shutil
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from command_line import CONFIG, Newsroom, Starter

#: A relay that nobody answers for.
AWAY = CONFIG + '[relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'
TWO = """
[newsletters.daily.schedules.weekly]
label = "每周一"
cron = "0 8 * * 1"
"""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Newsroom:
    """An article for one reader."""
    newsroom = Newsroom(tmp_path_factory.mktemp("stocked"), starter)
    newsroom.configure()
    (newsroom.folder / "articles").mkdir()
    newsroom.do("ingest")
    newsroom.do("subscribers", "add", "li.lei@example.com", "-n", "daily", "--confirmed")
    newsroom.publish("night.md", "夜市回来了")
    newsroom.do("notes", "add", "daily", "国庆**放假**")
    return newsroom


@pytest.fixture
def room(bare: Newsroom, stocked: Newsroom) -> Newsroom:
    """A copy of it, to do things to."""
    shutil.copytree(stocked.folder, bare.folder, dirs_exist_ok=True)
    return bare


def mail(room: Newsroom) -> EmailMessage:
    (path,) = room.mails()
    message = message_from_bytes(path.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def text(message: EmailMessage, kind: str = "plain") -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_the_next_edition_is_mailed_to_one_address_and_nothing_is_changed(
    room: Newsroom,
) -> None:
    before = room.dump()
    said = room.do("test", "daily", "me@example.com").out
    assert said == (
        "eml_folder has taken the next edition of daily to me@example.com: 每日新闻：夜市回来了\n"
    )
    assert room.dump() == before
    message = mail(room)
    assert message["Subject"] == "【测试】每日新闻：夜市回来了"
    assert (message["To"], message["Delivered-To"]) == ("me@example.com", "me@example.com")
    for kind in ("plain", "html"):
        assert "夜市回来了" in text(message, kind)
        assert "放假" in text(message, kind)
        assert "/unsubscribe/" not in text(message, kind)
    assert message["List-Unsubscribe"] == "<http://127.0.0.1:8000/>"
    # Who gets it for real gets it all the same.
    assert room.do("send", "daily", "--json").json["deliveries"] == {"sent": 1}


def test_it_is_written_in_the_language_that_is_asked_for(room: Newsroom) -> None:
    found = room.do("test", "daily", "me@example.com", "--language", "en-US", "--json").json
    assert (found["language"], found["articles"], found["relay"]) == ("en", 1, "eml_folder")
    assert mail(room)["Subject"].startswith("[Test] 每日新闻: 夜市")


def test_an_edition_that_went_is_mailed_as_it_was(room: Newsroom) -> None:
    room.do("send", "daily")
    (went,) = room.mails()
    shutil.move(went, room.folder / "went.eml")
    before = room.dump()
    said = room.do("test", "daily", "me@example.com", "--edition", "1").out
    assert said.startswith("eml_folder has taken edition 1 of daily to me@example.com")
    assert "夜市回来了" in text(mail(room))
    assert room.dump() == before
    outcome = room.run("test", "daily", "me@example.com")
    assert (outcome.code, outcome.out) == (1, "")
    assert "daily has nothing new for its readers yet" in outcome.err


def test_a_relay_that_is_away_is_told_and_nothing_is_changed(room: Newsroom) -> None:
    room.configure(AWAY)
    before = room.dump()
    outcome = room.run("test", "daily", "me@example.com")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("feedsvc: relay smtp: ")
    assert room.dump() == before


@pytest.mark.parametrize(
    ("call", "code", "problem"),
    [
        (("daily", "me@"), 1, "an e-mail address"),
        (("daily", "me@example.com"), 1, "several schedules: name one of weekly, yearly"),
        (("daily", "me@example.com", "-e", "9"), 1, "there is no edition 9"),
        (("daily", "me@example.com", "-s", "weekly", "-e", "9"), 2, "one of --schedule"),
        (("daily", "me@example.com", "--language", "fr"), 2, "mails are written in: en, zh"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_test_that_cannot_be_made_is_answered_with_why(
    room: Newsroom, call: tuple[str, ...], code: int, problem: str
) -> None:
    room.configure(CONFIG + TWO)
    outcome = room.run("test", *call)
    assert outcome.code == code, outcome.err
    assert problem in " ".join(outcome.err.split())
    assert room.mails() == []


def test_a_schedule_without_readers_is_tested_with_what_has_come_since_it_began(
    room: Newsroom,
) -> None:
    room.configure(CONFIG + TWO)
    room.do("publish")
    room.publish("bus.md", "Night buses")
    room.do("test", "daily", "me@example.com", "--schedule", "weekly")
    assert mail(room)["Subject"] == "【测试】每日新闻：Night buses"
