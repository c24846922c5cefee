"""`ingest`, `publish` and `trace`: articles taken over by hand, and where they have been."""

import feedparser
from command_line import CONFIG, Newsroom

FEEDS = [f"http://127.0.0.1:8000/feeds/all/{name}" for name in ("rss.xml", "atom.xml", "feed.json")]


def titles(newsroom: Newsroom) -> set[str]:
    """Titles in the stored RSS document."""
    ((body,),) = newsroom.rows("SELECT body FROM feed_document WHERE format = 'rss'")
    parsed = feedparser.parse(body)
    assert not parsed.bozo
    return {entry.title for entry in parsed.entries}


def test_broken_articles_are_named_with_file_and_line_and_the_others_go_in(
    newsroom: Newsroom,
) -> None:
    newsroom.write_article("good.md", "好文章")
    unclosed = newsroom.write("a.md", "---\ntitle: 夜市\ntopics: [夜市\n---\n\n正文\n")
    untitled = newsroom.write("b.md", "---\nsection: 文化\n---\n\n没有标题。\n")
    binary = newsroom.write("c.md", b"# \xff\xfe\x00\xd8 \x81\x8d\n")
    outcome = newsroom.do("ingest")
    assert outcome.out == "folder: 1 new, 3 broken\n"
    problems = outcome.err.splitlines()
    assert [problem.split(": ")[0] for problem in problems] == [
        f"{unclosed}:4",
        f"{untitled}:1",
        f"{binary}:1",
    ]
    assert "not YAML" in problems[0]
    assert "has no title" in problems[1]
    assert "save the file as UTF-8" in problems[2]
    newsroom.do("publish")
    assert titles(newsroom) == {"好文章"}


def test_the_last_good_version_stays_in_the_feed_while_the_article_is_broken(
    newsroom: Newsroom,
) -> None:
    newsroom.publish("night.md", "夜市回来了")
    path = newsroom.write("night.md", "---\ntitle: [夜市\n---\n\n改了一半\n")
    outcome = newsroom.do("ingest")
    assert outcome.err.startswith(f"{path}:3: ")
    newsroom.do("publish")
    assert titles(newsroom) == {"夜市回来了"}
    newsroom.publish("night.md", "夜市又回来了")
    assert titles(newsroom) == {"夜市又回来了"}
    assert newsroom.do("ingest").err == ""


def test_a_file_written_at_this_moment_is_waited_for(newsroom: Newsroom) -> None:
    path = newsroom.write_article("now.md", "刚刚写好")
    path.touch()
    assert newsroom.do("ingest").out == "folder: 1 new\n"


def test_ingest_as_json_counts_and_names_problems(newsroom: Newsroom) -> None:
    newsroom.write_article("good.md", "好文章")
    broken = newsroom.write("broken.md", "没有标题。\n")
    facts = newsroom.do("ingest", "--json").json
    assert facts.keys() == {"folder"}
    assert facts["folder"].keys() == {
        "new",
        "changed",
        "untouched",
        "renamed",
        "returned",
        "withdrawn",
        "broken",
        "unchanged",
        "problems",
    }
    assert (facts["folder"]["new"], facts["folder"]["broken"]) == (1, 1)
    assert [text.split(": ")[0] for text in facts["folder"]["problems"]] == [f"{broken}:1"]
    again = newsroom.do("ingest", "folder", "--json").json["folder"]
    assert (again["new"], again["unchanged"]) == (0, 1)
    assert again["problems"] == facts["folder"]["problems"]


def test_a_source_that_is_not_there_is_said_and_withdraws_nothing(newsroom: Newsroom) -> None:
    newsroom.publish("good.md", "好文章")
    (newsroom.folder / "articles").rename(newsroom.folder / "elsewhere")
    outcome = newsroom.run("ingest")
    assert outcome.code == 1
    assert outcome.err.startswith("feedsvc: source folder: ")
    assert str(newsroom.folder / "articles") in outcome.err
    failed = newsroom.run("ingest", "--json")
    assert failed.code == 1
    assert failed.json["folder"].keys() == {"error"}
    newsroom.do("publish")
    assert titles(newsroom) == {"好文章"}


def test_publish_names_the_feeds_that_changed_and_no_others(newsroom: Newsroom) -> None:
    newsroom.write_article("good.md", "好文章")
    newsroom.do("ingest")
    assert newsroom.do("publish", "--json").json == {"changed": FEEDS}
    assert newsroom.do("publish", "--json").json == {"changed": []}
    assert newsroom.do("publish").out == "Every feed is up to date.\n"
    newsroom.write_article("second.md", "第二篇")
    newsroom.do("ingest")
    assert newsroom.do("publish").out.splitlines() == [f"renewed {url}" for url in FEEDS]


def test_trace_shows_the_editions_of_an_article_with_their_deliveries(newsroom: Newsroom) -> None:
    newsroom.do("ingest")
    for reader in ("alice", "li.lei"):
        newsroom.do("subscribers", "add", f"{reader}@example.com", "-n", "daily", "--confirmed")
    newsroom.publish("night.md", "夜市回来了")
    assert newsroom.do("trace", "night.md", "--json").json["editions"] == []
    newsroom.do("send", "daily")
    traced = newsroom.do("trace", "night.md", "--json").json
    assert traced.keys() == {"article", "feeds", "editions", "same_story"}
    assert traced["article"]["title"] == "夜市回来了"
    assert traced["feeds"] == ["all"]
    (edition,) = traced["editions"]
    assert edition.keys() == {
        "edition_id",
        "newsletter",
        "schedule",
        "period",
        "state",
        "reason",
        "due_at",
        "outcome",
        "revision",
        "deliveries",
    }
    assert (edition["newsletter"], edition["schedule"]) == ("daily", None)
    assert (edition["state"], edition["outcome"]) == ("done", "mailed")
    assert edition["deliveries"] == {"sent": 2}
    said = newsroom.do("trace", "night.md").out
    assert said.startswith("夜市回来了\n")
    assert "  source     folder: night.md\n" in said
    assert "  feeds      all\n" in said
    assert "    deliveries: 2 sent\n" in said


def test_an_article_is_found_by_all_its_names(newsroom: Newsroom) -> None:
    newsroom.publish("night.md", "夜市回来了")
    article = newsroom.do("trace", "night.md", "--json").json["article"]
    for name in (str(article["id"]), article["slug"], article["guid"]):
        assert newsroom.do("trace", name, "--json").json["article"]["id"] == article["id"]


def test_times_are_written_as_iso_8601(newsroom: Newsroom) -> None:
    newsroom.publish("night.md", "夜市回来了")
    published_at = newsroom.do("trace", "night.md", "--json").json["article"]["published_at"]
    date, _, time = published_at.partition("T")
    assert len(date) == 10
    assert time.endswith("+00:00")


def test_an_article_that_does_not_exist_is_answered_with_the_newest(newsroom: Newsroom) -> None:
    outcome = newsroom.run("trace", "nowhere.md")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.endswith("'nowhere.md' (the newest are: none yet)\n")
    newsroom.publish("night.md", "夜市回来了")
    outcome = newsroom.run("trace", "nowhere.md")
    assert outcome.code == 1
    assert outcome.err == (
        "feedsvc: no article has the id, slug, guid, address or source key 'nowhere.md'"
        " (the newest are: 1 night.md)\n"
    )


def test_a_source_that_is_not_configured_is_answered_with_those_there_are(
    newsroom: Newsroom,
) -> None:
    outcome = newsroom.run("ingest", "blog")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "feedsvc: no source is named 'blog' (there are: folder)\n"


def test_without_any_source_ingest_says_what_to_do(newsroom: Newsroom) -> None:
    newsroom.configure('title = "例子"\n')
    outcome = newsroom.do("ingest")
    assert outcome.out == "No source is configured: add [sources.NAME] to config.toml.\n"
    assert newsroom.do("ingest", "--json").json == {}
    missing = newsroom.run("ingest", "blog")
    assert "none is configured" in missing.err


def test_an_article_in_gbk_is_traced_in_chinese(newsroom: Newsroom) -> None:
    newsroom.write("gbk.md", "---\ntitle: 老街书店开了夜场\n---\n\n正文。\n".encode("gbk"))
    newsroom.do("ingest")
    assert newsroom.do("trace", "gbk.md").out.startswith("老街书店开了夜场\n")


def test_a_second_look_changes_nothing(newsroom: Newsroom) -> None:
    newsroom.publish("night.md", "夜市回来了")
    newsroom.do("ingest")
    before = newsroom.dump()
    newsroom.do("publish")
    assert newsroom.dump() == before


def test_what_vanished_from_the_configuration_is_published_no_more(newsroom: Newsroom) -> None:
    newsroom.publish("night.md", "夜市回来了")
    newsroom.configure(CONFIG.replace("[feeds.all]", "[feeds.other]"))
    newsroom.do("publish")
    assert {key for (key,) in newsroom.rows("SELECT feed FROM feed_document")} == {"other"}
