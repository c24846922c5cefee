"""Fixtures of the articles stage."""

import pytest
from article_builders import Pipeline

from feedsvc.db.engine import Database


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    return Pipeline(database)
