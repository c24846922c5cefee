"""What a source held before we knew it is no news: the next digest holds what came since."""

import re

import pytest
from newsroom_walk import Inbox, Walk

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.fault,  # not for its faults: five thousand files take their time
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
ARCHIVE = 5000


async def test_after_an_archive_of_five_thousand_the_next_digest_holds_the_one_new_article(
    walk: Walk, inbox: Inbox
) -> None:
    for number in range(ARCHIVE):
        walk.write(
            f"{number:04}.md",
            f"旧闻第{number}号",
            f"这是编号为{number}的旧文章，早在订阅之前就已发表。",
            date=f"20{number % 20 + 5:02}-0{number % 9 + 1}-1{number % 9}",
        )
    await walk.ingest()
    await walk.subscribe("li.lei@example.com", inbox)
    await walk.next_morning()
    assert len(inbox.to("li.lei@example.com")) == 1  # the confirmation alone
    walk.write("new.md", "新闻来了", date="2019-01-01")  # dated as if it were old
    await walk.ingest()
    await walk.next_morning()
    _, digest = inbox.to("li.lei@example.com")
    body = digest.get_body(("plain",))
    assert body is not None
    headlines = re.findall(r"^ *\d+\. (.+?)\r?$", body.get_content(), re.MULTILINE)
    assert headlines == ["新闻来了"]
    assert "旧闻" not in body.get_content()
    await walk.next_morning()
    assert len(inbox.to("li.lei@example.com")) == 2
