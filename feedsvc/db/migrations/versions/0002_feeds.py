"""Feeds at the cost of what changed: their fragments, archives and readers, and a WebSub hub."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_feeds"
down_revision = "0001_first_walk"


def upgrade() -> None:
    _create_article_label()
    _create_feed()
    _create_feed_archive()
    _create_feed_clients()
    _create_feed_entry()
    _create_feed_fragment()
    _create_feed_reader()
    _create_hub_host()
    _create_hub_ping()
    _create_hub_subscription()
    _extend_article()
    _extend_feed_document()
    _label_articles()


def _instant() -> sa.DateTime:
    """An instant in UTC."""
    return sa.DateTime(timezone=True)


def _json() -> sa.types.TypeEngine[Any]:
    """A list or map."""
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _create_article_label() -> None:
    op.create_table(
        "article_label",
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "seq", name=op.f("pk_article_label")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_article_label_seq", "article_label", ["seq"], unique=False)


def _create_feed() -> None:
    op.create_table(
        "feed",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("family", sa.String(length=50), nullable=True),
        sa.Column("value", sa.String(length=200), nullable=True),
        sa.Column("made_with", sa.String(length=64), nullable=False),
        sa.Column("basis", sa.Integer(), nullable=False),
        sa.Column("renew_at", _instant(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("created_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_feed")),
    )
    op.create_index(op.f("ix_feed_family"), "feed", ["family"], unique=False)


def _create_feed_archive() -> None:
    op.create_table(
        "feed_archive",
        sa.Column("feed", sa.String(length=100), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("from_seq", sa.Integer(), nullable=False),
        sa.Column("to_seq", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("previous_version", sa.Integer(), nullable=False),
        sa.Column("seqs", _json(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("made_with", sa.String(length=64), nullable=False),
        sa.Column("last_modified", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "number", name=op.f("pk_feed_archive")),
    )
    op.create_index("ix_feed_archive_feed_to_seq", "feed_archive", ["feed", "to_seq"], unique=False)
    op.create_index("ix_feed_archive_range", "feed_archive", ["to_seq", "from_seq"], unique=False)


def _create_feed_clients() -> None:
    op.create_table(
        "feed_clients",
        sa.Column("feed", sa.String(length=100), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("bitmap", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "day", name=op.f("pk_feed_clients")),
    )


def _create_feed_entry() -> None:
    op.create_table(
        "feed_entry",
        sa.Column("feed", sa.String(length=100), nullable=False),
        sa.Column("article", sa.Integer(), nullable=False),
        sa.Column("fragment", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("feed", "article", name=op.f("pk_feed_entry")),
    )
    op.create_index("ix_feed_entry_article", "feed_entry", ["article"], unique=False)
    op.create_index("ix_feed_entry_fragment", "feed_entry", ["fragment"], unique=False)


def _create_feed_fragment() -> None:
    op.create_table(
        "feed_fragment",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("updated_at", _instant(), nullable=False),
        sa.Column("rss", sa.LargeBinary(), nullable=True),
        sa.Column("atom", sa.LargeBinary(), nullable=True),
        sa.Column("json", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_feed_fragment")),
    )


def _create_feed_reader() -> None:
    op.create_table(
        "feed_reader",
        sa.Column("feed", sa.String(length=100), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("agent", sa.String(length=100), nullable=False),
        sa.Column("subscribers", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "day", "agent", name=op.f("pk_feed_reader")),
    )


def _create_hub_host() -> None:
    op.create_table(
        "hub_host",
        sa.Column("host", sa.String(length=300), nullable=False),
        sa.Column("since", _instant(), nullable=False),
        sa.Column("unconfirmed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_hub_host")),
    )


def _create_hub_ping() -> None:
    op.create_table(
        "hub_ping",
        sa.Column("hub", sa.String(length=500), nullable=False),
        sa.Column("topic", sa.String(length=300), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("next_at", _instant(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("hub", "topic", name=op.f("pk_hub_ping")),
    )
    op.create_index("ix_hub_ping_due", "hub_ping", ["next_at"], unique=False)


def _create_hub_subscription() -> None:
    op.create_table(
        "hub_subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(length=300), nullable=False),
        sa.Column("callback", sa.String(length=2000), nullable=False),
        sa.Column("callback_host", sa.String(length=300), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=True),
        sa.Column("lease_until", _instant(), nullable=True),
        sa.Column("asked_mode", sa.String(length=20), nullable=True),
        sa.Column("asked_secret", sa.String(length=200), nullable=True),
        sa.Column("asked_lease_seconds", sa.Integer(), nullable=True),
        sa.Column("delivered", sa.String(length=64), nullable=True),
        sa.Column("owed", sa.String(length=64), nullable=True),
        sa.Column("next_at", _instant(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("created_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_subscription")),
        sa.UniqueConstraint("topic", "callback", name=op.f("uq_hub_subscription_topic_callback")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_hub_subscription_due", "hub_subscription", ["next_at"], unique=False)
    op.create_index("ix_hub_subscription_host", "hub_subscription", ["callback_host"], unique=False)


def _extend_article() -> None:
    op.add_column("article", sa.Column("changed", sa.Integer(), server_default="0", nullable=False))
    op.add_column("article", sa.Column("extra", _json(), server_default="{}", nullable=False))
    op.create_index("ix_article_changed", "article", ["changed"], unique=False)
    op.create_index("ix_article_language", "article", ["state", "language", "seq"], unique=False)
    op.create_index("ix_article_section", "article", ["state", "section", "seq"], unique=False)
    op.create_index("ix_article_source", "article", ["state", "source", "seq"], unique=False)
    op.create_index("ix_article_stored", "article", ["stored_at"], unique=False)


def _extend_feed_document() -> None:
    op.add_column("feed_document", sa.Column("body_br", sa.LargeBinary(), nullable=True))
    op.add_column("feed_document", sa.Column("body_zstd", sa.LargeBinary(), nullable=True))
    op.add_column(
        "feed_document", sa.Column("dense", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def _label_articles() -> None:
    """Topics and authors of what is published already."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    listed = "json_each" if is_sqlite else "jsonb_array_elements_text"
    for kind, column in (("topic", "topics"), ("author", "authors")):
        op.execute(
            "INSERT INTO article_label (kind, value, seq)"  # noqa: S608 - names of our own
            f" SELECT DISTINCT '{kind}', one.value, article.seq"
            f" FROM article, {listed}(article.{column}) AS one"
            " WHERE article.state = 'published' AND length(one.value) <= 200"
        )
