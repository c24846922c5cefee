"""The exported folder equals what is served, whoever wrote to it, and whatever feeds are named."""

import gzip
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedsvc.errors import ExportFailed
from feedsvc.feeds.documents.export import ExportOutcome, export_documents
from feedsvc.feeds.documents.variants import compress_quick
from feedsvc.model.feed import (
    MEDIA_TYPES,
    ArchiveName,
    FeedFormat,
    ServedDocument,
    document_path,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RSS, JSON = FeedFormat.RSS, FeedFormat.JSON


def document(
    text: str,
    key: str = "all",
    feed_format: FeedFormat = RSS,
    at: datetime = NOON,
    archive: ArchiveName | None = None,
) -> ServedDocument:
    body = f"<rss>{text}</rss>".encode()
    coded = compress_quick(body)
    return ServedDocument(
        path=document_path(key, feed_format, archive),
        media_type=MEDIA_TYPES[feed_format],
        etag="0" * 32,
        last_modified=at,
        body=body,
        body_gzip=coded.gzip,
        body_br=coded.br,
        body_zstd=coded.zstd,
        feed=key,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "www" / "public"


@pytest.fixture(autouse=True)
def _strict_umask() -> Iterator[None]:
    """As the command line sets it: what is written is the owner's alone, unless told otherwise."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which file, of which time, has each name."""
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_document_has_twins_of_the_same_time_that_give_it_back(folder: Path) -> None:
    one = document("夜市", key="topics/科技")
    assert export_documents(folder, [one], None) == ExportOutcome(written=1)
    plain = folder / "feeds" / "topics" / "科技" / "rss.xml"
    assert plain.read_bytes() == one.body
    assert gzip.decompress(plain.with_name("rss.xml.gz").read_bytes()) == one.body
    assert brotli.decompress(plain.with_name("rss.xml.br").read_bytes()) == one.body
    assert zstandard.decompress(plain.with_name("rss.xml.zst").read_bytes()) == one.body
    assert len(listing(folder)) == 4
    for path in plain.parent.iterdir():
        assert path.stat().st_mtime == NOON.timestamp()
    done = subprocess.run(["gzip", "-dc", f"{plain}.gz"], capture_output=True, check=True)
    assert done.stdout == one.body


def test_other_users_can_read_it_whatever_the_umask(folder: Path) -> None:
    export_documents(folder, [document("a", archive=ArchiveName(1, 2))], None)
    parts = [folder.parent, folder, *folder.rglob("*")]
    assert len(parts) == 10
    for path in parts:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_modes_that_somebody_chose_for_a_folder_stay(folder: Path) -> None:
    (folder / "feeds").mkdir(parents=True)
    (folder / "feeds").chmod(0o750)
    export_documents(folder, [document("a")], None)
    assert stat.S_IMODE((folder / "feeds").stat().st_mode) == 0o750


def test_what_is_right_already_is_not_touched(folder: Path) -> None:
    export_documents(folder, [document("a"), document("b", "other")], None)
    before = stamps(folder)
    outcome = export_documents(folder, [document("a"), document("b", "other")], ())
    assert outcome == ExportOutcome(unchanged=2)
    assert stamps(folder) == before


def test_a_new_version_replaces_the_files_and_their_time(folder: Path) -> None:
    export_documents(folder, [document("a")], None)
    later = document("b", at=NOON + timedelta(seconds=1))
    assert export_documents(folder, [later], None) == ExportOutcome(written=1)
    assert (folder / "feeds/all/rss.xml").read_bytes() == later.body
    assert {mtime for _, mtime in stamps(folder).values()} == {
        int((NOON.timestamp() + 1) * 1_000_000_000)
    }


def test_files_of_the_same_size_and_time_but_other_bytes_are_replaced(folder: Path) -> None:
    export_documents(folder, [document("a")], None)
    assert export_documents(folder, [document("b")], None) == ExportOutcome(written=1)
    assert (folder / "feeds/all/rss.xml").read_bytes() == b"<rss>b</rss>"


def test_a_version_with_the_bytes_of_an_older_one_moves_the_time(folder: Path) -> None:
    export_documents(folder, [document("a")], None)
    later = document("a", at=NOON + timedelta(hours=1))
    assert export_documents(folder, [later], None) == ExportOutcome(written=1)
    for path in (folder / "feeds/all").iterdir():
        assert path.stat().st_mtime == NOON.timestamp() + 3600


def test_smaller_codings_replace_the_twins_alone(folder: Path) -> None:
    one = document("a" * 1000)
    export_documents(folder, [one], None)
    before = stamps(folder)
    dense = replace(one, body_br=brotli.compress(one.body, quality=1))
    assert export_documents(folder, [dense], None) == ExportOutcome(written=1)
    changed = {path.name for path, stamp in stamps(folder).items() if before[path] != stamp}
    assert changed == {"rss.xml.br"}


def test_the_twin_of_an_older_version_goes_when_the_new_one_lacks_that_coding(
    folder: Path,
) -> None:
    export_documents(folder, [document("a")], None)
    bare = replace(document("b", at=NOON + timedelta(hours=1)), body_br=None, body_zstd=None)
    export_documents(folder, [bare], None)
    assert listing(folder) == ["feeds/all/rss.xml", "feeds/all/rss.xml.gz"]


def test_a_later_version_that_another_process_wrote_stays(folder: Path) -> None:
    later = document("later", at=NOON + timedelta(seconds=5))
    export_documents(folder, [later], None)
    before = stamps(folder)
    outcome = export_documents(folder, [document("earlier")], ())
    assert outcome == ExportOutcome(left=["feeds/all/rss.xml"])
    assert stamps(folder) == before


def test_twins_are_replaced_before_the_plain_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[str] = []
    rename = os.rename

    def watch(source: str, target: str, **places: int) -> None:
        renamed.append(target)
        rename(source, target, **places)

    monkeypatch.setattr(os, "rename", watch)
    export_documents(folder, [document("a")], None)
    assert renamed == ["rss.xml.gz", "rss.xml.br", "rss.xml.zst", "rss.xml"]


def test_a_reader_meanwhile_sees_whole_files_only(folder: Path) -> None:
    versions = [
        document(str(number) * 200_000, at=NOON + timedelta(seconds=number)) for number in range(9)
    ]
    bodies = {one.body for one in versions}
    export_documents(folder, versions[:1], None)
    plain, seen = folder / "feeds/all/rss.xml", []
    writer = threading.Thread(
        target=lambda: [export_documents(folder, [one], None) for one in versions]
    )
    writer.start()
    while writer.is_alive():
        seen.append(plain.read_bytes())
        assert gzip.decompress(plain.with_name("rss.xml.gz").read_bytes()) in bodies
    writer.join()
    assert seen
    assert set(seen) <= bodies


# What is gone


def test_files_of_feeds_that_are_gone_go_with_their_folders(folder: Path) -> None:
    page = ArchiveName(1, 1)
    gone = [document("a", "topics/科技"), document("b", "topics/科技", archive=page)]
    kept = [document("c"), document("d", feed_format=JSON)]
    export_documents(folder, [*gone, *kept], None)
    outcome = export_documents(folder, kept[:1], {kept[1].path})
    assert outcome == ExportOutcome(unchanged=1, removed=2)
    assert [path.name for path in (folder / "feeds").iterdir()] == ["all"]
    assert len(listing(folder)) == 8


def test_an_export_of_some_documents_removes_nothing(folder: Path) -> None:
    export_documents(folder, [document("a"), document("b", "other")], None)
    assert export_documents(folder, [document("a")], None) == ExportOutcome(unchanged=1)
    assert len(listing(folder)) == 8


def test_nothing_but_documents_is_ever_removed(folder: Path, tmp_path: Path) -> None:
    export_documents(folder, [replace(document("a", "old"), body_zstd=None)], None)
    old = folder / "feeds" / "old"
    strangers = ["index.html", "rss.xml.bak", "feed.xml", ".htaccess", "rss.xml.gz.old"]
    for name in strangers:
        (old / name).write_text("mine")
    (folder / "rss.xml").write_text("mine")
    (old / "atom.xml").symlink_to(tmp_path)
    (old / "rss.xml.zst").symlink_to(tmp_path / "rss.xml")
    (old / "feed.json").mkdir()
    (old / "linked").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "rss.xml").write_text("mine")
    (folder / "feeds" / "empty").mkdir()
    assert export_documents(folder, [], ()) == ExportOutcome(removed=1)
    assert sorted(path.name for path in old.iterdir()) == sorted(
        [*strangers, "atom.xml", "feed.json", "linked", "rss.xml.zst"]
    )
    assert (tmp_path / "rss.xml").read_text() == "mine"
    assert (folder / "rss.xml").read_text() == "mine"
    assert (folder / "feeds" / "empty").is_dir()


def test_what_an_interrupted_export_left_is_removed(folder: Path) -> None:
    export_documents(folder, [document("a")], None)
    part = folder / "feeds/all/.feedsvc-0123456789abcdef.part"
    part.write_bytes(b"half")
    assert export_documents(folder, [document("a")], ()) == ExportOutcome(unchanged=1)
    assert not part.exists()


def test_what_was_written_after_the_documents_were_read_is_not_removed(folder: Path) -> None:
    before, after = document("a", "before"), document("b", "after", at=NOON + timedelta(seconds=9))
    export_documents(folder, [before, after], None)
    outcome = export_documents(folder, [], (), known_at=NOON + timedelta(seconds=9.5))
    assert outcome == ExportOutcome(removed=1)
    assert {path.split("/")[1] for path in listing(folder)} == {"after"}


def test_a_folder_that_is_not_there_yet_is_made_even_for_nothing(folder: Path) -> None:
    assert export_documents(folder, [], ()) == ExportOutcome()
    assert list(folder.iterdir()) == []


# What stands in the way


def test_a_link_in_place_of_a_file_is_named_and_not_followed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (folder / "feeds" / "all").mkdir(parents=True)
    link = folder / "feeds" / "all" / "rss.xml.gz"
    link.symlink_to(secret)
    with pytest.raises(ExportFailed) as caught:
        export_documents(folder, [document("a"), document("b", "other")], ())
    assert str(caught.value) == f"{link}: is in the way, and no file; move it elsewhere"
    assert secret.read_text() == "mine"
    assert len(listing(folder / "feeds" / "other")) == 4


@pytest.mark.parametrize("name", ["rss.xml", "rss.xml.br"])
def test_a_folder_or_pipe_in_place_of_a_file_is_named(folder: Path, name: str) -> None:
    blocked = folder / "feeds" / "all"
    blocked.mkdir(parents=True)
    (blocked / name).mkdir()
    with pytest.raises(ExportFailed, match=f"all/{name}: is in the way"):
        export_documents(folder, [document("a")], None)
    (blocked / name).rmdir()
    os.mkfifo(blocked / name)
    with pytest.raises(ExportFailed, match=f"all/{name}: is in the way"):
        export_documents(folder, [document("a")], ())
    assert stat.S_ISFIFO((blocked / name).stat().st_mode)


def test_a_link_in_place_of_a_folder_is_named_and_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "feeds").mkdir(parents=True)
    (folder / "feeds" / "all").symlink_to(elsewhere, target_is_directory=True)
    (folder / "feeds" / "file").write_text("mine")
    with pytest.raises(ExportFailed) as caught:
        export_documents(folder, [document("a"), document("b", "file"), document("c", "x")], ())
    said = str(caught.value)
    assert f"{folder}/feeds/all/rss.xml: 'all' on the way there is no folder" in said
    assert f"{folder}/feeds/file/rss.xml: 'file' on the way there is no folder" in said
    assert list(elsewhere.iterdir()) == []
    assert (folder / "feeds" / "file").read_text() == "mine"
    assert (folder / "feeds" / "x" / "rss.xml").exists()


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "real", target_is_directory=True)
    export_documents(folder, [document("a")], ())
    assert (tmp_path / "real" / "feeds/all/rss.xml").exists()


def test_a_folder_that_is_a_file_is_named(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("mine")
    with pytest.raises(ExportFailed, match=f"{folder}: Not a directory"):
        export_documents(folder, [document("a")], ())


def test_of_many_problems_the_first_are_named_and_the_rest_counted(folder: Path) -> None:
    documents = [document("a", f"topics/../{number}") for number in range(8)]
    with pytest.raises(ExportFailed, match=r"'feeds/topics/\.\./4/rss\.xml': .* \(and 3 more\)$"):
        export_documents(folder, documents, ())


@pytest.mark.parametrize(
    "key",
    [
        "../all", "..", "a/../../b", ".", "a/./b", "a//b", "/etc", "a/", "", "a\0b", "\ud800",
        "x" * 300,
    ],
    ids=ascii,
)  # fmt: skip
def test_a_key_that_is_no_path_below_the_folder_is_refused(folder: Path, key: str) -> None:
    with pytest.raises(ExportFailed):
        export_documents(folder, [document("a", key)], None)
    assert [path for path in folder.parent.rglob("*") if path.is_file()] == []


def test_a_document_of_another_name_is_refused(folder: Path) -> None:
    for path in ("feeds/all/index.php", "index.html/rss.xml", "rss.xml", "feeds/rss.xml"):
        with pytest.raises(ExportFailed, match="is no path of a document"):
            export_documents(folder, [replace(document("a"), path=path)], None)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(parts=st.lists(st.text("./\\\0\n 科x~", max_size=5), min_size=1, max_size=4))
def test_no_key_whatever_leaves_the_folder(folder: Path, parts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        export_documents(folder, [document("a", "/".join(parts))], ())
    except ExportFailed as error:
        assert "no path of a document" in str(error)  # noqa: PT017 - both ways are fine
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}
    assert {path.name for path in folder.iterdir()} <= {"feeds"}
