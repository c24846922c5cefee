"""The press that the feed readers of these tests read."""

from collections.abc import Iterator

import pytest
from served_press import Press, serve_press


@pytest.fixture(scope="session")
def press(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Press]:
    yield from serve_press(tmp_path_factory.mktemp("press"))
