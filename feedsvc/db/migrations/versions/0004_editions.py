"""Editions: waves by zone, drafts, letters, and what each reader chose and was left out of."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_editions"
down_revision = "0003_sending"

_OPEN = "state IN ('pending', 'claimed', 'dot', 'deferred')"
_EDITION_HAS_COHORT = (
    "edition_id IS NULL OR (subscription_id IS NOT NULL AND cohort_id IS NOT NULL)"
)
_WINDOW_IS_WHOLE = (
    "(from_seq IS NULL) = (cut_seq IS NULL)"
    " AND (from_seq IS NULL OR (from_seq < cut_seq AND edition_id IS NOT NULL))"
)


def upgrade() -> None:
    _extend_article()
    _create_story_key()
    _extend_newsletter()
    _extend_schedule()
    _extend_edition()
    _extend_subscription()
    _loosen_delivery()
    _create_dropped_article()
    _create_letter()
    _create_pinned_note()
    _create_reader_group()


def _instant() -> sa.DateTime:
    """An instant in UTC."""
    return sa.DateTime(timezone=True)


def _json() -> sa.types.TypeEngine[Any]:
    """A list or map."""
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _add(table: str, name: str, kind: sa.types.TypeEngine[Any], default: str | None = None) -> None:
    """Add a column; without a default it may be empty."""
    op.add_column(table, sa.Column(name, kind, server_default=default, nullable=default is None))


def _extend_article() -> None:
    _add("article", "weight", sa.Integer(), "0")
    _add("article", "revised_at", _instant())
    op.execute("UPDATE article SET revised_at = stored_at")
    there = sa.text("withdrawn_at IS NOT NULL")
    op.create_index(
        "ix_article_withdrawn",
        "article",
        ["withdrawn_at"],
        unique=False,
        sqlite_where=there,
        postgresql_where=there,
    )


def _create_story_key() -> None:
    # Filled as articles are read again, which a new reader has them all be.
    op.create_table(
        "story_key",
        sa.Column("value", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("article_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("value", "article_id", name=op.f("pk_story_key")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_story_key_article", "story_key", ["article_id"], unique=False)


def _extend_newsletter() -> None:
    _add("newsletter", "filter", sa.Text(), "")
    _add("newsletter", "min_items", sa.Integer(), "1")
    _add("newsletter", "carry_max", sa.Integer(), "3")
    _add("newsletter", "arrangement", _json(), "{}")
    _add("newsletter", "review", sa.String(length=24), "automatic")
    _add("newsletter", "review_minutes", sa.Integer(), "120")
    _add("newsletter", "unapproved", sa.String(length=24), "send")
    _add("newsletter", "on_withdrawal", sa.String(length=24), "without")
    _add("newsletter", "welcome_items", sa.Integer(), "0")
    _add("newsletter", "archive", sa.Boolean(), "1")


def _extend_schedule() -> None:
    _add("schedule", "description", sa.String(length=500), "")
    _add("schedule", "own_zone", sa.Boolean(), "0")
    _add("schedule", "settle_minutes", sa.Float(), "10")
    _add("schedule", "settle_max_minutes", sa.Float(), "60")
    _add("schedule", "catch_up", sa.String(length=24), "late")
    _add("schedule", "grace_minutes", sa.Float(), "60")
    _add("schedule", "spread_minutes", sa.Float(), "0")
    _add("schedule", "quiet_days", _json(), "[]")
    _add("schedule", "max_items", sa.Integer(), "30")
    _add("schedule", "min_items", sa.Integer(), "1")
    _add("schedule", "since_seq", sa.Integer(), "0")


def _extend_edition() -> None:
    _add("edition", "once", sa.String(length=200))
    _add("edition", "due_at", _instant())
    _add("edition", "open_until", _instant())
    _add("edition", "cut_seq", sa.Integer())
    _add("edition", "curation", _json(), "{}")
    op.create_index("uq_edition_once", "edition", ["once"], unique=True)
    op.drop_index(op.f("ix_edition_newsletter_id"), table_name="edition")
    op.create_index("ix_edition_newsletter", "edition", ["newsletter_id", "id"], unique=False)
    _add("wave", "missed", sa.String(length=24))


def _extend_subscription() -> None:
    unreachable = sa.text("state IN ('dead', 'complained')")
    op.create_index(
        "ix_subscriber_unreachable",
        "subscriber",
        ["state"],
        unique=False,
        sqlite_where=unreachable,
        postgresql_where=unreachable,
    )
    _add("subscription", "language", sa.String(length=35), "en")
    _add("subscription", "zone", sa.String(length=64), "")
    _add("subscription", "resume", sa.String(length=24), "catch_up")
    _add("subscription", "carried", sa.Integer(), "0")
    _add("subscription", "carried_from", sa.Integer())
    _add("subscription", "carried_by", sa.Integer())
    _add("subscription", "welcome_at", _instant())
    # What was the person's becomes the choice for each of their newsletters.
    op.execute(
        "UPDATE subscription SET"
        " language = (SELECT s.language FROM subscriber s WHERE s.id = subscriber_id),"
        " zone = (SELECT coalesce(s.zone, '') FROM subscriber s WHERE s.id = subscriber_id)"
    )
    op.drop_index("ix_subscription_compose", table_name="subscription")
    op.create_index(
        "ix_subscription_readers",
        "subscription",
        ["newsletter_id", "schedule_id", "state", "id"],
        unique=False,
    )
    op.create_index(
        "ix_subscription_wave",
        "subscription",
        ["newsletter_id", "schedule_id", "state", "zone", "id"],
        unique=False,
    )
    for name, column in (
        ("ix_subscription_paused", "paused_until"),
        ("ix_subscription_welcome", "welcome_at"),
    ):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            name,
            "subscription",
            [column],
            unique=False,
            sqlite_where=there,
            postgresql_where=there,
        )


def _loosen_delivery() -> None:
    """An edition's mail may have no window: announcements and their like move no cursor."""
    op.drop_index("uq_delivery_one_open", table_name="delivery")
    # SQLite has no ALTER for this: there the table is written anew.
    with op.batch_alter_table("delivery", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint(op.f("ck_delivery_digest_has_window"), type_="check")
        table.create_check_constraint(op.f("ck_delivery_edition_has_cohort"), _EDITION_HAS_COHORT)
        table.create_check_constraint(op.f("ck_delivery_window_is_whole"), _WINDOW_IS_WHOLE)
    where = sa.text(f"{_OPEN} AND from_seq IS NOT NULL")
    op.create_index(
        "uq_delivery_one_open",
        "delivery",
        ["subscription_id"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def _create_dropped_article() -> None:
    op.create_table(
        "dropped_article",
        sa.Column("newsletter_id", sa.Integer(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("at", _instant(), nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["article.id"], name=op.f("fk_dropped_article_article_id")
        ),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"], name=op.f("fk_dropped_article_newsletter_id")
        ),
        sa.PrimaryKeyConstraint("newsletter_id", "article_id", name=op.f("pk_dropped_article")),
    )


def _create_letter() -> None:
    op.create_table(
        "letter",
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("audience", _json(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=True),
        sa.Column("created_by", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_letter_article_id")),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_letter_edition_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("edition_id", name=op.f("pk_letter")),
    )


def _create_pinned_note() -> None:
    op.create_table(
        "pinned_note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("newsletter_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("starts_at", _instant(), nullable=False),
        sa.Column("ends_at", _instant(), nullable=True),
        sa.Column("created_at", _instant(), nullable=False),
        sa.Column("created_by", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"], name=op.f("fk_pinned_note_newsletter_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pinned_note")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_pinned_note_newsletter_id"), "pinned_note", ["newsletter_id"], unique=False
    )


def _create_reader_group() -> None:
    op.create_table(
        "reader_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("wave_id", sa.Integer(), nullable=False),
        sa.Column("from_seq", sa.Integer(), nullable=False),
        sa.Column("topics", _json(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("carried", sa.Integer(), nullable=False),
        sa.Column("had", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=True),
        sa.Column("reasons", _json(), nullable=False),
        sa.Column("readers", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohort.id"],
            name=op.f("fk_reader_group_cohort_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["wave_id"], ["wave.id"], name=op.f("fk_reader_group_wave_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reader_group")),
        sa.UniqueConstraint(
            "wave_id",
            "from_seq",
            "topics",
            "language",
            "carried",
            "had",
            name=op.f("uq_reader_group_wave_id_from_seq_topics_language_carried_had"),
        ),
        sqlite_autoincrement=True,
    )
