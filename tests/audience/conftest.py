"""A publisher's database for the tests of the audience."""

import pytest
from publisher_house import NOW, House

from feedsvc.db.engine import Database
from feedsvc.model.article import Counter
from feedsvc.model.newsletter import Newsletter, Schedule


@pytest.fixture
async def house(database: Database) -> House:
    newsletters = {
        key: Newsletter(
            key=key,
            title=title,
            language="en",
            from_name="News",
            from_address="news@example.com",
            sender="Example Press",
            postal_address="1 Example Street",
            public=key != "board",
        )
        for key, title in (("daily", "Daily"), ("weekly", "周刊"), ("board", "Board papers"))
    }
    schedules: dict[tuple[str, str], Schedule] = {}
    async with database.write() as session:
        session.add(Counter(name="seq", value=7))
        session.add_all(newsletters.values())
        await session.flush()
        for key, newsletter in newsletters.items():
            for name, cron in (("morning", "0 8 * * *"), ("evening", "0 18 * * *")):
                schedules[key, name] = Schedule(
                    newsletter_id=newsletter.id or 0,
                    key=name,
                    label=name.title(),
                    cron=cron,
                    zone="Asia/Shanghai",
                    since=NOW,
                )
        session.add_all(schedules.values())
    return House(database, newsletters, schedules)
