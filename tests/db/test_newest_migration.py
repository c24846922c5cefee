"""A start looks at one row to see that there is nothing to migrate."""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from feedsvc.db.migrate import MIGRATIONS


def test_migrations_are_named_in_the_order_they_run_in() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    run_order = [one.revision for one in script.walk_revisions()][::-1]
    named = sorted(path.stem for path in Path(MIGRATIONS, "versions").glob("[0-9]*.py"))
    assert run_order == named
