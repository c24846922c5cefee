"""Which signing keys this database has been used with; the keys themselves are in the key file."""

from datetime import datetime

from sqlmodel import Field, SQLModel


class SigningKey(SQLModel, table=True):
    """A key id and a fingerprint, so that a start without that key can be refused."""

    __tablename__ = "signing_key"

    id: str = Field(primary_key=True, max_length=40)
    fingerprint: str = Field(max_length=64)
    first_seen_at: datetime
