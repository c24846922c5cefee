"""Everything the first walk needs: articles, feeds, newsletters, people, editions, deliveries."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_first_walk"
down_revision = None


def upgrade() -> None:
    _create_article()
    _create_counter()
    _create_feed_document()
    _create_newsletter()
    _create_signing_key()
    _create_source()
    _create_source_problem()
    _create_subscriber()
    _create_worker()
    _create_schedule()
    _create_edition()
    _create_subscription()
    _create_cohort()
    _create_notice()
    _create_subscription_change()
    _create_wave()
    _create_cohort_item()
    _create_delivery()


def _instant() -> sa.DateTime:
    """An instant in UTC."""
    return sa.DateTime(timezone=True)


def _json() -> sa.types.TypeEngine[Any]:
    """A list or map."""
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _create_article() -> None:
    op.create_table(
        "article",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("source_key", sa.String(length=1000), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("guid", sa.String(length=100), nullable=False),
        sa.Column("slug", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("authors", _json(), nullable=False),
        sa.Column("section", sa.String(length=200), nullable=True),
        sa.Column("topics", _json(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("published_at", _instant(), nullable=False),
        sa.Column("updated_at", _instant(), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("image", sa.String(length=2000), nullable=True),
        sa.Column("enclosures", _json(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("story", sa.String(length=100), nullable=True),
        sa.Column("announce", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("stored_at", _instant(), nullable=False),
        sa.Column("withdrawn_at", _instant(), nullable=True),
        sa.Column("set_aside", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state <> 'published' OR seq IS NOT NULL", name=op.f("ck_article_published_has_seq")
        ),
        sa.CheckConstraint(
            "state NOT IN ('scheduled', 'held') OR seq IS NULL",
            name=op.f("ck_article_unpublished_has_no_seq"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_article")),
        sa.UniqueConstraint("guid", name=op.f("uq_article_guid")),
        sa.UniqueConstraint("seq", name=op.f("uq_article_seq")),
        sa.UniqueConstraint("slug", name=op.f("uq_article_slug")),
        sa.UniqueConstraint("source", "source_key", name=op.f("uq_article_source_source_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_article_due", "article", ["state", "published_at"], unique=False)
    op.create_index(op.f("ix_article_fingerprint"), "article", ["fingerprint"], unique=False)
    op.create_index("ix_article_published", "article", ["state", "seq"], unique=False)
    op.create_index(op.f("ix_article_story"), "article", ["story"], unique=False)


def _create_counter() -> None:
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )


def _create_feed_document() -> None:
    op.create_table(
        "feed_document",
        sa.Column("feed", sa.String(length=100), nullable=False),
        sa.Column("format", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("basis", sa.Integer(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("last_modified", _instant(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_gzip", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "format", name=op.f("pk_feed_document")),
    )


def _create_newsletter() -> None:
    op.create_table(
        "newsletter",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("theme", sa.String(length=100), nullable=False),
        sa.Column("from_name", sa.String(length=200), nullable=False),
        sa.Column("from_address", sa.String(length=320), nullable=False),
        sa.Column("sender", sa.String(length=300), nullable=False),
        sa.Column("postal_address", sa.String(length=500), nullable=False),
        sa.Column("selection", _json(), nullable=False),
        sa.Column("max_items", sa.Integer(), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_newsletter")),
        sa.UniqueConstraint("key", name=op.f("uq_newsletter_key")),
        sqlite_autoincrement=True,
    )


def _create_signing_key() -> None:
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("first_seen_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_key")),
    )


def _create_source() -> None:
    op.create_table(
        "source",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("first_complete_scan_at", _instant(), nullable=True),
        sa.Column("last_scan_at", _instant(), nullable=True),
        sa.Column("last_change_at", _instant(), nullable=True),
        sa.Column("read_with", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source")),
    )


def _create_source_problem() -> None:
    op.create_table(
        "source_problem",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("source_key", sa.String(length=1000), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("location", sa.String(length=2000), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_key", name=op.f("pk_source_problem")),
    )


def _create_subscriber() -> None:
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("address_key", sa.String(length=320), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=True),
        sa.Column("created_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint("address_key", name=op.f("uq_subscriber_address_key")),
        sqlite_autoincrement=True,
    )


def _create_worker() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("node", sa.String(length=200), nullable=False),
        sa.Column("started_at", _instant(), nullable=False),
        sa.Column("heartbeat_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )


def _create_schedule() -> None:
    op.create_table(
        "schedule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("newsletter_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("cron", sa.String(length=100), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("since", _instant(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"], name=op.f("fk_schedule_newsletter_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
        sa.UniqueConstraint("newsletter_id", "key", name=op.f("uq_schedule_newsletter_id_key")),
        sqlite_autoincrement=True,
    )


def _create_edition() -> None:
    op.create_table(
        "edition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("newsletter_id", sa.Integer(), nullable=False),
        sa.Column("schedule_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("period", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("counters", _json(), nullable=False),
        sa.Column("created_at", _instant(), nullable=False),
        sa.Column("frozen_at", _instant(), nullable=True),
        sa.Column("done_at", _instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"], name=op.f("fk_edition_newsletter_id")
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedule.id"], name=op.f("fk_edition_schedule_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edition")),
        sa.UniqueConstraint("schedule_id", "period", name=op.f("uq_edition_schedule_id_period")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_edition_newsletter_id"), "edition", ["newsletter_id"], unique=False)
    op.create_index("ix_edition_open", "edition", ["state", "id"], unique=False)


def _create_subscription() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("newsletter_id", sa.Integer(), nullable=False),
        sa.Column("schedule_id", sa.Integer(), nullable=False),
        sa.Column("topics", _json(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("paused_until", _instant(), nullable=True),
        sa.Column("cursor", sa.Integer(), nullable=True),
        sa.Column("requested_at", _instant(), nullable=False),
        sa.Column("confirmed_at", _instant(), nullable=True),
        sa.Column("consent_text", sa.Text(), nullable=False),
        sa.Column("consent_how", sa.String(length=40), nullable=False),
        sa.CheckConstraint(
            "state <> 'active' OR cursor IS NOT NULL",
            name=op.f("ck_subscription_active_has_cursor"),
        ),
        sa.ForeignKeyConstraint(
            ["newsletter_id"], ["newsletter.id"], name=op.f("fk_subscription_newsletter_id")
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedule.id"], name=op.f("fk_subscription_schedule_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_subscription_subscriber_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        sa.UniqueConstraint(
            "subscriber_id",
            "newsletter_id",
            name=op.f("uq_subscription_subscriber_id_newsletter_id"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_subscription_compose",
        "subscription",
        ["newsletter_id", "schedule_id", "state", "cursor"],
        unique=False,
    )


def _create_cohort() -> None:
    op.create_table(
        "cohort",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("content_key", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("theme", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_cohort_edition_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort")),
        sa.UniqueConstraint(
            "edition_id", "content_key", name=op.f("uq_cohort_edition_id_content_key")
        ),
        sqlite_autoincrement=True,
    )


def _create_notice() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("payload", _json(), nullable=False),
        sa.Column("created_at", _instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_notice_subscriber_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_notice_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_notice_kind_subject")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notice_subscriber_id"), "notice", ["subscriber_id"], unique=False)


def _create_subscription_change() -> None:
    op.create_table(
        "subscription_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("at", _instant(), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.Column("detail", _json(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_subscription_change_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_change")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_subscription_change_subscription_id"),
        "subscription_change",
        ["subscription_id"],
        unique=False,
    )


def _create_wave() -> None:
    op.create_table(
        "wave",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("due_at", _instant(), nullable=False),
        sa.Column("cut_seq", sa.Integer(), nullable=False),
        sa.Column("composed_at", _instant(), nullable=True),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_wave_edition_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wave")),
        sa.UniqueConstraint("edition_id", "zone", name=op.f("uq_wave_edition_id_zone")),
        sqlite_autoincrement=True,
    )


def _create_cohort_item() -> None:
    op.create_table(
        "cohort_item",
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_cohort_item_position_counts_up")),
        sa.ForeignKeyConstraint(
            ["article_id"], ["article.id"], name=op.f("fk_cohort_item_article_id")
        ),
        sa.ForeignKeyConstraint(
            ["cohort_id"], ["cohort.id"], name=op.f("fk_cohort_item_cohort_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cohort_id", "article_id", name=op.f("pk_cohort_item")),
    )
    op.create_index(op.f("ix_cohort_item_article_id"), "cohort_item", ["article_id"], unique=False)


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=True),
        sa.Column("notice_id", sa.Integer(), nullable=True),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=True),
        sa.Column("cohort_id", sa.Integer(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("from_seq", sa.Integer(), nullable=True),
        sa.Column("cut_seq", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("doubts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=40), nullable=True),
        sa.Column("next_at", _instant(), nullable=False),
        sa.Column("expires_at", _instant(), nullable=False),
        sa.Column("date_at", _instant(), nullable=True),
        sa.Column("address", sa.String(length=320), nullable=True),
        sa.Column("renderer", sa.String(length=40), nullable=True),
        sa.Column("relay", sa.String(length=100), nullable=True),
        sa.Column("reply_code", sa.Integer(), nullable=True),
        sa.Column("reply_text", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changed_at", _instant(), nullable=False),
        sa.CheckConstraint(
            "(edition_id IS NULL) <> (notice_id IS NULL)",
            name=op.f("ck_delivery_edition_or_notice"),
        ),
        sa.CheckConstraint(
            "edition_id IS NULL OR (subscription_id IS NOT NULL AND cohort_id IS NOT NULL"
            " AND from_seq IS NOT NULL AND cut_seq IS NOT NULL AND from_seq < cut_seq)",
            name=op.f("ck_delivery_digest_has_window"),
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_delivery_cohort_id")),
        sa.ForeignKeyConstraint(
            ["edition_id"], ["edition.id"], name=op.f("fk_delivery_edition_id")
        ),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_delivery_notice_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_delivery_subscriber_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_delivery_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "edition_id", "subscriber_id", name=op.f("uq_delivery_edition_id_subscriber_id")
        ),
        sa.UniqueConstraint("notice_id", name=op.f("uq_delivery_notice_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_delivery_claim",
        "delivery",
        ["priority", "next_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'deferred')"),
        postgresql_where=sa.text("state IN ('pending', 'deferred')"),
    )
    op.create_index(
        "ix_delivery_open",
        "delivery",
        ["edition_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'claimed', 'dot', 'deferred')"),
        postgresql_where=sa.text("state IN ('pending', 'claimed', 'dot', 'deferred')"),
    )
    op.create_index("ix_delivery_subscriber", "delivery", ["subscriber_id"], unique=False)
    op.create_index(
        "ix_delivery_worker",
        "delivery",
        ["worker"],
        unique=False,
        sqlite_where=sa.text("state IN ('claimed', 'dot')"),
        postgresql_where=sa.text("state IN ('claimed', 'dot')"),
    )
    op.create_index(
        "uq_delivery_one_open",
        "delivery",
        ["subscription_id"],
        unique=True,
        sqlite_where=sa.text(
            "state IN ('pending', 'claimed', 'dot', 'deferred') AND edition_id IS NOT NULL"
        ),
        postgresql_where=sa.text(
            "state IN ('pending', 'claimed', 'dot', 'deferred') AND edition_id IS NOT NULL"
        ),
    )
