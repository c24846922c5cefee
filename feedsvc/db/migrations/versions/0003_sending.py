"""Sending: limits that outlive a restart, signatures, and due mail found edition by edition."""

import sqlalchemy as sa
from alembic import op

revision = "0003_sending"
down_revision = "0002_feeds"

_WAITING = sa.text("state IN ('pending', 'deferred')")
_TROUBLED = sa.text(
    "state IN ('deferred', 'failed', 'skipped', 'uncertain', 'held', 'expired', 'superseded')"
)


def upgrade() -> None:
    _create_mail_domain()
    _create_throttle()
    _extend_delivery()
    op.add_column("edition", sa.Column("paused_at", _instant(), nullable=True))


def _instant() -> sa.DateTime:
    """An instant in UTC."""
    return sa.DateTime(timezone=True)


def _create_mail_domain() -> None:
    op.create_table(
        "mail_domain",
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("provider", sa.String(length=253), nullable=False),
        sa.Column("looked_up_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_mail_domain")),
    )


def _create_throttle() -> None:
    op.create_table(
        "throttle",
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("period_seconds", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("refilled_at", _instant(), nullable=False),
        sa.Column("learnt_per_second", sa.Float(), nullable=True),
        sa.Column("clean_since", _instant(), nullable=True),
        sa.Column("rests_until", _instant(), nullable=True),
        sa.Column("rests", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "name", "period_seconds", name=op.f("pk_throttle")),
    )


def _extend_delivery() -> None:
    op.add_column("delivery", sa.Column("signed_with", sa.String(length=200), nullable=True))
    op.drop_index("ix_delivery_claim", table_name="delivery")
    op.create_index(
        "ix_delivery_due",
        "delivery",
        ["edition_id", "next_at"],
        unique=False,
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_index(
        "ix_delivery_troubled",
        "delivery",
        ["state", "edition_id"],
        unique=False,
        sqlite_where=_TROUBLED,
        postgresql_where=_TROUBLED,
    )
