"""Codings give back the document, are the same every time, and are worth their time."""

import gzip
import subprocess
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.feeds.documents.variants import (
    Variants,
    check_coding,
    choose_dense_levels,
    compress_dense,
    compress_each,
    compress_quick,
)

Compress = Callable[[bytes], Variants]
WORDS = ("夜市", "trams", "恢复", "&", "run", "<p>until</p>", "midnight", "凌晨", "one", "two")
#: A feed's worth of text that repeats itself as news do, but not word for word.
NEWS = " ".join(WORDS[at * at % 97 % len(WORDS)] + str(at % 89) for at in range(9000)).encode()

both = pytest.mark.parametrize("compress", [compress_quick, compress_dense], ids=["quick", "dense"])


@both
@pytest.mark.parametrize("body", [b"", b"x", "北京".encode(), NEWS], ids=["0", "1", "zh", "news"])
def test_every_coding_gives_back_the_document(compress: Compress, body: bytes) -> None:
    coded = compress(body)
    assert gzip.decompress(coded.gzip) == body
    assert brotli.decompress(coded.br) == body
    assert zstandard.decompress(coded.zstd) == body


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=4))
def test_documents_coded_side_by_side_are_not_mixed_up(bodies: list[bytes]) -> None:
    coded = compress_each(bodies)
    assert [gzip.decompress(one.gzip) for one in coded] == bodies
    assert [brotli.decompress(one.br) for one in coded] == bodies
    assert [zstandard.decompress(one.zstd) for one in coded] == bodies


@pytest.mark.parametrize(("program", "coding"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_the_usual_programs_read_them(program: str, coding: str) -> None:
    for compress in (compress_quick, compress_dense):
        data = getattr(compress(NEWS), coding)
        try:
            done = subprocess.run([program, "-dc"], input=data, capture_output=True, check=True)
        except FileNotFoundError:
            pytest.skip(f"no {program} here")
        assert done.stdout == NEWS


@both
def test_codings_depend_on_the_document_alone(compress: Compress) -> None:
    coded = compress(NEWS)
    assert compress(NEWS) == coded
    assert coded.gzip[4:8] == bytes(4)  # RFC 1952 §2.3: no time
    assert coded.gzip[3] == 0  # no file name
    whole = zlib.decompressobj(31)
    whole.decompress(coded.gzip)
    assert whole.eof
    assert whole.unused_data == b""


def test_dense_codings_are_smaller_than_quick_ones() -> None:
    quick, dense = compress_quick(NEWS), compress_dense(NEWS)
    assert len(dense.gzip) <= len(quick.gzip)
    assert len(dense.br) < len(quick.br) < len(NEWS)
    assert len(dense.zstd) < len(quick.zstd) < len(NEWS)


def test_the_larger_a_document_the_less_a_byte_of_it_may_cost() -> None:
    # Seconds of a core a megabyte, as measured; twice that on a machine that is busy.
    brotli_cost = {9: 0.12, 10: 1.2, 11: 2.0}
    zstd_cost = {12: 0.1, 19: 0.7}
    before = choose_dense_levels(0)
    for kilobytes in (20, 400, 512, 513, 1000, 1024, 1025, 2048, 2049, 4000, 8000):
        levels = choose_dense_levels(kilobytes * 1024)
        megabytes = kilobytes / 1024
        assert megabytes * (brotli_cost[levels.brotli] + zstd_cost[levels.zstd]) <= 2
        assert (levels.brotli, levels.zstd) <= (before.brotli, before.zstd)
        before = levels
    assert (choose_dense_levels(300_000).brotli, choose_dense_levels(300_000).zstd) == (11, 19)


def test_no_zstd_window_is_larger_than_browsers_accept() -> None:
    # RFC 9659 §3: 8 MB. A document in one segment needs a window of its own size.
    body = bytes(9_000_000)
    for compress in (compress_quick, compress_dense):
        frame = zstandard.get_frame_parameters(compress(body).zstd)
        assert frame.window_size <= 8 << 20


@pytest.mark.parametrize(
    ("coded", "complaint"),
    [
        (b"", "cannot be decoded"),
        (b"garbage", "cannot be decoded"),
        (gzip.compress(b"the document", mtime=0)[:-4], "cannot be decoded"),
        (gzip.compress(b"another document", mtime=0), "decodes to something else"),
    ],
    ids=["empty", "garbage", "cut short", "another"],
)
def test_a_coding_that_does_not_give_back_the_document_is_not_served(
    coded: bytes, complaint: str
) -> None:
    with pytest.raises(RuntimeError, match=f"the gzip form of a document {complaint}"):
        check_coding("gzip", coded, lambda data: zlib.decompress(data, 31), b"the document")
