"""Whether the key file belongs to the database: no link of an old mail may die unnoticed."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.errors import KeyFileError
from feedsvc.kit.tokens import Keyring
from feedsvc.model.signing_key import SigningKey


async def check_keys(session: AsyncSession, keyring: Keyring, now: datetime) -> None:
    """Compare the keys with those this database has been used with, and record new ones.

    May run in several processes at once.

    Raises:
        KeyFileError: the database knows a key that the file lacks, or has another under its id.
    """
    known = {
        key.id: key.fingerprint
        for key in (await session.execute(select(SigningKey).order_by(col(SigningKey.id))))
        .scalars()
        .all()
    }
    for key_id, fingerprint in known.items():
        if key_id not in keyring.ids:
            raise KeyFileError(
                f"the key file lacks the key {key_id!r}, which links in mails already sent need;"
                " restore the key file that belongs to this database"
            )
        if keyring.fingerprint(key_id) != fingerprint:
            raise KeyFileError(
                f"the key {key_id!r} in the key file is not the one this database knows; restore"
                " the key file that belongs to this database"
            )
    rows = [
        {"id": key_id, "fingerprint": keyring.fingerprint(key_id), "first_seen_at": now}
        for key_id in keyring.ids
        if key_id not in known
    ]
    if rows:
        dialect = session.get_bind().dialect.name
        insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
        await session.execute(insert(SigningKey).values(rows).on_conflict_do_nothing())
