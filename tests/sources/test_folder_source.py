"""A folder of articles, as its scans see it."""

import hashlib
import os
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import MediaType, Problem, Scan
from feedsvc.sources.files import FileSource
from feedsvc.sources.folder import ARTICLE_TYPES, FolderSource

Write = Callable[..., Path]
#: When the files of these tests were written (tests/sources/conftest.py).
WRITTEN_AT = 1_700_000_000


def keys(scan: Scan) -> list[str]:
    return [item.key for item in scan.items]


@pytest.fixture
def source(folder: Path) -> FolderSource:
    return FolderSource("news", folder)


def test_a_file_becomes_a_raw_item_untouched(source: FolderSource, write: Write) -> None:
    content = "标题\r\n".encode("gbk")
    path = write("2026/spring.md", content)
    (item,) = source.scan({}).items
    assert (item.source, item.key, item.location) == ("news", "2026/spring.md", str(path))
    assert (item.content, item.media_type) == (content, MediaType.MARKDOWN)
    assert item.fingerprint == hashlib.sha256(content).hexdigest()
    assert item.modified_at.timestamp() == WRITTEN_AT
    assert item.modified_at.tzinfo is not None
    assert not item.is_page


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.md", MediaType.MARKDOWN),
        ("a.markdown", MediaType.MARKDOWN),
        ("A.MD", MediaType.MARKDOWN),
        ("a.html", MediaType.HTML),
        ("a.htm", MediaType.HTML),
        ("a.txt", MediaType.PLAIN),
        ("_draft-notes.md", MediaType.MARKDOWN),
        ("新闻/广州 车展.txt", MediaType.PLAIN),
    ],
)
def test_the_suffix_says_what_a_file_is_written_in(
    source: FolderSource, write: Write, name: str, media_type: MediaType
) -> None:
    write(name)
    assert [(item.key, item.media_type) for item in source.scan({}).items] == [(name, media_type)]


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.md",
        ".git/notes.md",
        "sub/.obsidian/x.md",
        "a.md~",
        "a.tmp",
        "a.md.part",
        ".a.md.swp",
        "~$letter.html",
        "picture.jpg",
        "Makefile",
    ],
)
def test_hidden_unfinished_and_other_files_are_not_there(
    source: FolderSource, write: Write, name: str
) -> None:
    write(name)
    scan = source.scan({})
    assert (scan.present, scan.items, scan.problems) == ({}, (), ())


def test_a_known_fingerprint_leaves_the_item_out(source: FolderSource, write: Write) -> None:
    write("a.md", "one")
    first = source.scan({})
    write("a.md", "two, longer")
    write("b.md", "new")
    second = source.scan(first.present)
    assert keys(second) == ["a.md", "b.md"]
    assert source.scan(second.present).items == ()


def test_a_rename_shows_as_another_key_with_the_same_fingerprint(
    source: FolderSource, write: Write, folder: Path
) -> None:
    path = write("旧名.md", "same words")
    before = source.scan({}).present
    path.rename(folder / "新名.md")
    after = source.scan(before)
    assert list(after.present) == ["新名.md"]
    assert keys(after) == ["新名.md"]
    assert after.present["新名.md"] == before["旧名.md"]


def test_a_decomposed_file_name_gets_a_composed_key(source: FolderSource, write: Write) -> None:
    write(unicodedata.normalize("NFD", "Café/résumé.md"))
    assert keys(source.scan({})) == [unicodedata.normalize("NFC", "Café/résumé.md")]


def test_two_names_that_differ_in_unicode_form_only_are_a_problem(
    source: FolderSource, write: Write
) -> None:
    write(unicodedata.normalize("NFC", "é.md"), "one")
    write(unicodedata.normalize("NFD", "é.md"), "two")
    scan = source.scan({})
    assert len(scan.items) == 1
    assert "Unicode form" in str(scan.problems[0])


def test_a_file_name_that_is_not_utf8_is_a_problem_and_the_others_go_on(
    source: FolderSource, write: Write, folder: Path
) -> None:
    write("good.md")
    Path(os.fsdecode(os.fsencode(folder) + "/新闻.md".encode("gbk"))).write_text("x")
    scan = source.scan({})
    assert keys(scan) == ["good.md"]
    assert "not UTF-8" in scan.problems[0].reason
    str(scan.problems[0]).encode()


def test_a_link_inside_the_folder_is_read_under_its_own_name(
    source: FolderSource, write: Write, folder: Path
) -> None:
    write("..data/real.md", "mounted")
    (folder / "real.md").symlink_to("..data/real.md")
    scan = source.scan({})
    assert [(item.key, item.content) for item in scan.items] == [("real.md", b"mounted")]


@pytest.mark.parametrize("target", ["../secret.md", "/etc/hostname", "sub/../../secret.md"])
def test_a_link_that_leads_outside_is_a_problem_and_not_read(
    source: FolderSource, folder: Path, target: str
) -> None:
    (folder / "sub").mkdir()
    (folder.parent / "secret.md").write_text("secret")
    (folder / "a.md").symlink_to(target)
    scan = source.scan({"a.md": "known"})
    assert scan.items == ()
    assert scan.problems == (
        Problem(str(folder / "a.md"), "a link that leads out of the folder; it is not followed"),
    )
    assert scan.present == {"a.md": "known"}


def test_a_folder_linked_from_outside_is_not_entered(source: FolderSource, folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("secret")
    (folder / "inside").symlink_to(outside)
    (folder / "circle").symlink_to(folder)
    assert source.scan({}).present == {}


def test_a_folder_swapped_for_a_link_while_scanning_is_not_followed(
    folder: Path, write: Write
) -> None:
    write("sub/a.md", "article")
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "a.md").write_text("secret")

    def swap(folder_of_files: Path) -> None:
        (folder_of_files / "sub").rename(folder_of_files / ".gone")
        (folder_of_files / "sub").symlink_to(outside)

    class SwappedAfterTheWalk(FileSource):
        def _walk(self, opened):  # type: ignore[no-untyped-def]
            found = super()._walk(opened)
            swap(folder)
            return found

    scan = SwappedAfterTheWalk("news", folder, ARTICLE_TYPES).scan({})
    assert scan.items == ()
    assert scan.present == {"sub/a.md": ""}
    assert "cannot be read" in scan.problems[0].reason


def test_a_dangling_link_and_a_pipe_are_problems_and_count_as_there(
    source: FolderSource, folder: Path
) -> None:
    (folder / "a.md").symlink_to("nowhere.md")
    os.mkfifo(folder / "b.md")
    scan = source.scan({"a.md": "known"})
    assert scan.present == {"a.md": "known", "b.md": ""}
    assert len(scan.problems) == 2


def test_a_file_above_the_cap_is_a_problem_and_counts_as_there(folder: Path, write: Write) -> None:
    write("big.md", b"x" * 11)
    write("small.md", b"x" * 10)
    scan = FileSource("news", folder, ARTICLE_TYPES, max_file_bytes=10).scan({"big.md": "known"})
    assert keys(scan) == ["small.md"]
    assert scan.present["big.md"] == "known"
    assert "larger than 10 bytes" in scan.problems[0].reason


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_scan(
    folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.md", "half")
    source = FolderSource("news", folder)
    real_fstat, looks = os.fstat, []

    def fstat_then_write(descriptor: int) -> os.stat_result:
        status = real_fstat(descriptor)
        looks.append(status)
        if len(looks) == 1:
            write("a.md", "half and the rest")
        return status

    monkeypatch.setattr(os, "fstat", fstat_then_write)
    scan = source.scan({"a.md": "known"})
    assert (scan.items, scan.problems, scan.unsettled) == ((), (), True)
    assert scan.present == {"a.md": "known"}
    (item,) = source.scan({"a.md": "known"}).items
    assert item.content == b"half and the rest"


def test_an_unchanged_file_is_not_read_again(folder: Path, write: Write) -> None:
    opened: list[str] = []

    class CountsReading(FileSource):
        def _read(self, folder, found):  # type: ignore[no-untyped-def]
            opened.append(found.key)
            return super()._read(folder, found)

    write("a.md", "one")
    source = CountsReading("news", folder, ARTICLE_TYPES, clock=lambda: time.time() + 60)
    known = source.scan({}).present
    assert source.scan(known).present == known
    assert opened == ["a.md"]


def test_an_edit_of_equal_length_that_keeps_its_time_stamp_is_seen(
    folder: Path, write: Write
) -> None:
    path = write("a.md", "wrong")
    source = FileSource("news", folder, ARTICLE_TYPES, clock=lambda: time.time() + 60)
    known = source.scan({}).present
    written = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == written:  # until the clock of the file system has moved
        path.write_text("right")
        os.utime(path, (WRITTEN_AT, WRITTEN_AT))
    assert keys(source.scan(known)) == ["a.md"]


def test_a_file_that_may_have_changed_within_one_stamp_is_read_again(
    folder: Path, write: Write
) -> None:
    opened: list[str] = []

    class CountsReading(FileSource):
        def _read(self, folder, found):  # type: ignore[no-untyped-def]
            opened.append(found.key)
            return super()._read(folder, found)

    write("a.md", "one")
    source = CountsReading("news", folder, ARTICLE_TYPES)
    assert source.scan(source.scan({}).present).items == ()
    assert opened == ["a.md", "a.md"]


def test_what_the_caller_could_not_store_is_yielded_again(
    source: FolderSource, write: Write
) -> None:
    write("a.md")
    source.scan({})
    assert keys(source.scan({})) == ["a.md"]


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="does not exist; create it, or correct") as error:
        FolderSource("news", tmp_path / "nowhere").scan({})
    assert "sources.news.path" in str(error.value)
    assert not error.value.permanent


def test_a_file_where_a_folder_should_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SourceUnavailable, match="is not a folder"):
        FolderSource("news", tmp_path / "file").scan({})


def test_the_folder_itself_may_be_a_link(folder: Path, write: Write) -> None:
    write("a.md")
    link = folder.parent / "current"
    link.symlink_to(folder)
    (item,) = FolderSource("news", link).scan({}).items
    assert item.location == str(link / "a.md")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can become somebody else")
def test_what_is_below_an_unreadable_folder_counts_as_there(tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    (tmp_path / "unreadable.md").write_text("x")
    os.utime(tmp_path / "unreadable.md", (WRITTEN_AT, WRITTEN_AT))
    (tmp_path / "unreadable.md").chmod(0)
    known = {"closed/a.md": "1", "closed/deep/b.md": "2", "gone.md": "3", "unreadable.md": "4"}
    os.seteuid(65534)
    try:
        scan = FolderSource("news", tmp_path).scan(known)
    finally:
        os.seteuid(0)
    del known["gone.md"]
    assert scan.present == known
    assert {problem.location for problem in scan.problems} == {
        str(closed),
        str(tmp_path / "unreadable.md"),
    }


_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=20,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=_names)
def test_every_name_is_read_under_its_composed_form(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "one"
    folder.mkdir(exist_ok=True)
    path = folder / f"x{name}.md"
    path.write_text("x")
    os.utime(path, (WRITTEN_AT, WRITTEN_AT))
    try:
        scan = FolderSource("news", folder).scan({})
    finally:
        path.unlink()
    assert keys(scan) == [unicodedata.normalize("NFC", path.name)]
    assert scan.problems == ()
