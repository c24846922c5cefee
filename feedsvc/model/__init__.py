"""The nouns. Tables without behaviour, plain values, and the ports that extensions fill."""

from sqlmodel import SQLModel

# Names are given before any table is made, so that migrations can name what they change.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

from feedsvc.model import (  # noqa: E402
    article,
    delivery,
    edition,
    feed,
    hub,
    newsletter,
    notice,
    signing_key,
    subscriber,
    throttle,
)

#: All tables, for migrations and their tests.
metadata = SQLModel.metadata

__all__ = [
    "article",
    "delivery",
    "edition",
    "feed",
    "hub",
    "metadata",
    "newsletter",
    "notice",
    "signing_key",
    "subscriber",
    "throttle",
]
