"""Memory that was freed is written into again without asking the system for it."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from feedsvc.kit.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def write():
    before = faults()
    document = b"".join([bytes(4096)] * 2048)
    return faults() - before

if {keep}:
    assert keep_freed_memory()
write()
print(write())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize("keep", [True, False])
def test_a_document_of_8_mb_is_written_into_pages_that_are_there(keep: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    # Pages of 4 kB: as they come, the system is asked for most of the 2048 every time.
    assert (int(done.stdout) < 100) is keep
