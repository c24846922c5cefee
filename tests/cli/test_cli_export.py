"""`feedsvc export` writes what is published, for a web server."""

import gzip
import os
import stat

import feedparser
from command_line import CONFIG, Newsroom


def test_every_document_is_written_with_its_twins(newsroom: Newsroom) -> None:
    newsroom.publish("a.md", "夜市回来了")
    public = newsroom.folder / "public"
    said = newsroom.do("export", "public").out
    assert said == f"{public}: 3 written, 0 unchanged, 0 removed\n"
    names = {path.name for path in (public / "feeds" / "all").iterdir() if path.is_file()}
    plain = ("rss.xml", "atom.xml", "feed.json")
    assert names == {name + twin for name in plain for twin in ("", ".gz", ".br", ".zst")}
    for name in ("rss.xml", "atom.xml"):
        packed = (public / "feeds" / "all" / f"{name}.gz").read_bytes()
        [entry] = feedparser.parse(gzip.decompress(packed)).entries
        assert entry.title == "夜市回来了"
    for path in (public, *public.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def stamps(newsroom: Newsroom) -> dict[str, tuple[int, int]]:
    """Which file, of which time, has each name."""
    files = (newsroom.folder / "public").rglob("*.*")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_exporting_again_changes_nothing(newsroom: Newsroom) -> None:
    newsroom.publish("a.md", "夜市回来了")
    newsroom.do("export", "public")
    before = stamps(newsroom)
    facts = newsroom.do("export", "public", "--json").json
    assert facts == {
        "folder": str(newsroom.folder / "public"),
        "written": 0,
        "unchanged": 3,
        "removed": 0,
        "left": [],
    }
    assert stamps(newsroom) == before


def test_the_folder_of_the_configuration_is_taken_below_it(newsroom: Newsroom) -> None:
    newsroom.publish("a.md", "夜市回来了")
    newsroom.configure(CONFIG + '[export]\nfolder = "www"\n')
    assert newsroom.do("export").out.startswith(f"{newsroom.folder / 'www'}: ")
    assert (newsroom.folder / "www" / "feeds" / "all" / "rss.xml").exists()


def test_without_any_folder_it_says_how_to_name_one(newsroom: Newsroom) -> None:
    outcome = newsroom.run("export")
    assert (outcome.code, outcome.out) == (2, "")
    assert "feedsvc export public" in outcome.err


def test_a_feed_that_is_published_no_more_goes(newsroom: Newsroom) -> None:
    newsroom.configure(CONFIG + '[feeds.other]\ntitle = "其他"\nformats = ["rss"]\n')
    newsroom.publish("a.md", "夜市回来了")
    newsroom.do("export", "public")
    # What was written in this very second may be newer than what is known here.
    for path in (newsroom.folder / "public" / "feeds" / "other").iterdir():
        os.utime(path, (0, 0))
    newsroom.configure()
    newsroom.do("publish")
    said = newsroom.do("export", "public").out
    assert said.endswith(": 0 written, 3 unchanged, 1 removed\n")
    assert [path.name for path in (newsroom.folder / "public" / "feeds").iterdir()] == ["all"]


def test_what_stands_in_the_way_is_named(newsroom: Newsroom) -> None:
    newsroom.publish("a.md", "夜市回来了")
    blocked = newsroom.folder / "public" / "feeds" / "all" / "rss.xml"
    blocked.mkdir(parents=True)
    outcome = newsroom.run("export", "public")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"feedsvc: {blocked}: is in the way, and no file; move it elsewhere\n"
    assert blocked.with_name("atom.xml").exists()


def test_a_newer_file_is_left_alone_and_named(newsroom: Newsroom) -> None:
    newsroom.publish("a.md", "夜市回来了")
    mine = newsroom.folder / "public" / "feeds" / "all" / "rss.xml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    outcome = newsroom.do("export", "public")
    assert outcome.out.endswith(": 2 written, 0 unchanged, 0 removed\n")
    assert outcome.err == (f"feedsvc: {mine} is newer than what is published, and was left alone\n")
    assert mine.read_text() == "mine"
