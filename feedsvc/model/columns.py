"""How values of the nouns are stored: enums by value, lists and maps as JSON."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Enum
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

#: Table option: the id of a deleted row is never given again. Without it SQLite would give the
#: highest one a second time, and a link or a cache that names it would mean somebody else.
KEEP_IDS = {"sqlite_autoincrement": True}
#: Ids and numbers of articles are no larger: both databases keep them as 32-bit integers, and
#: PostgreSQL refuses to be asked for more.
MAX_ID = 2**31 - 1


def stored_enum(members: type[StrEnum]) -> Enum:
    """A column type that stores an enum by its value, as text, on every database."""
    return Enum(
        members,
        native_enum=False,
        create_constraint=False,
        length=24,
        values_callable=lambda enum: [member.value for member in enum],
    )


def stored_json() -> TypeEngine[Any]:
    """A column type for lists and maps: JSON on SQLite, JSONB on PostgreSQL."""
    return JSON().with_variant(JSONB(), "postgresql")
