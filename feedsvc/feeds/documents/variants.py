"""The codings a document is served in: gzip (RFC 1952), brotli (RFC 7932), zstd (RFC 8878).

The same bytes for the same document, whenever they are made: no time or file name in them. Each
is decoded again before it is handed out, because nobody reads a coding before it is served.
"""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import brotli
import zstandard

_GZIP_WINDOW = 31  # zlib's way to ask for gzip's frame
_KILOBYTE, _MEGABYTE = 1 << 10, 1 << 20

# Measured on feeds of whole articles. Of a coding's levels these are the last that cost about as
# much time as they save bytes; brotli at 5 is quicker than gzip, and gains 5 % over 4.
_QUICK_GZIP, _QUICK_BROTLI, _QUICK_ZSTD = 6, 5, 3

_DENSE_GZIP = 9
#: Up to so many bytes: levels of brotli and zstd that together take at most 2 s of a core.
# brotli needs about 2 s a megabyte at 11, 1.2 at 10, 0.1 at 9; zstd 0.7 at 19, 0.1 at 12.
# SECURITY: levels of zstd above 19 have windows that browsers refuse (RFC 9659: 8 MB).
_DENSE_LEVELS = (
    (512 * _KILOBYTE, 11, 19),
    (1 * _MEGABYTE, 10, 19),
    (2 * _MEGABYTE, 9, 19),
)
_DENSE_LARGE = (9, 12)


@dataclass(frozen=True, slots=True)
class Variants:
    """One document in each coding."""

    gzip: bytes
    br: bytes
    zstd: bytes


@dataclass(frozen=True, slots=True)
class _Levels:
    gzip: int
    brotli: int
    zstd: int


def compress_quick(body: bytes) -> Variants:
    """The codings at once, to be served now. Blocking: run it in a thread."""
    return compress_each([body])[0]


def compress_each(bodies: Sequence[bytes]) -> list[Variants]:
    """The quick codings of several documents, side by side on several cores. Blocking."""
    levels = _Levels(_QUICK_GZIP, _QUICK_BROTLI, _QUICK_ZSTD)
    # The libraries release the interpreter's lock while they work. The slowest are begun first.
    threads = _threads()
    gzips = [threads.submit(_gzip, body, levels.gzip) for body in bodies]
    brotlis = [threads.submit(_brotli, body, levels.brotli) for body in bodies]
    zstds = [threads.submit(_zstd, body, levels.zstd) for body in bodies]
    return [
        Variants(*(_result(one) for one in codings))
        for codings in zip(gzips, brotlis, zstds, strict=True)
    ]


def compress_dense(body: bytes) -> Variants:
    """The codings as small as about two seconds of one core make them. Blocking, in one thread."""
    levels = choose_dense_levels(len(body))
    return Variants(
        _gzip(body, levels.gzip), _brotli(body, levels.brotli), _zstd(body, levels.zstd)
    )


def choose_dense_levels(size_bytes: int) -> _Levels:
    """The levels for a document of this size: the larger it is, the less a byte may cost."""
    for up_to, brotli_level, zstd_level in _DENSE_LEVELS:
        if size_bytes <= up_to:
            return _Levels(_DENSE_GZIP, brotli_level, zstd_level)
    return _Levels(_DENSE_GZIP, *_DENSE_LARGE)


def check_coding(name: str, coded: bytes, decode: Callable[[bytes], bytes], body: bytes) -> bytes:
    """The coded bytes, if they decode to the body. Raises RuntimeError: they must not be served."""
    try:
        decoded = decode(coded)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise RuntimeError(f"the {name} form of a document cannot be decoded: {error}") from error
    if decoded != body:
        raise RuntimeError(f"the {name} form of a document decodes to something else")
    return coded


def _gzip(body: bytes, level: int) -> bytes:
    coded = zlib.compress(body, level, wbits=_GZIP_WINDOW)
    return check_coding("gzip", coded, lambda data: zlib.decompress(data, _GZIP_WINDOW), body)


def _brotli(body: bytes, level: int) -> bytes:
    coded: bytes = brotli.compress(body, mode=brotli.MODE_TEXT, quality=level)
    return check_coding("brotli", coded, brotli.decompress, body)


def _zstd(body: bytes, level: int) -> bytes:
    # A compressor keeps state while it works: one for each document, not one for all threads.
    coded = zstandard.ZstdCompressor(level=level).compress(body)
    return check_coding("zstd", coded, zstandard.ZstdDecompressor().decompress, body)


def _result(one: Future[bytes]) -> bytes:
    return one.result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="codings")
