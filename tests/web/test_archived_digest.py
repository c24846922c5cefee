"""Digests of the usual theme, as they are rendered, in the archive."""

from datetime import timedelta
from typing import Any

import pytest
from past_editions import Mail, add_edition, change_newsletter, withdraw
from small_press import BASE_URL, NOW, TEMPLATES, SmallPress, parse
from sqlalchemy import select
from sqlmodel import col

from feedsvc.messages.digests import DigestRenderer
from feedsvc.model.article import Article
from feedsvc.model.newsletter import Arrangement, Newsletter

pytestmark = pytest.mark.anyio

RENDERER = DigestRenderer(TEMPLATES, BASE_URL, "示例日报", "Asia/Shanghai")


async def add_rendered(press: SmallPress, articles: list[Article], more: list[Article]) -> int:
    """An edition whose page is what the renderer makes."""
    async with press.database.read() as session:
        query = select(Newsletter).where(col(Newsletter.key) == "daily")
        newsletter = (await session.execute(query)).scalar_one()
    mail = RENDERER.render(
        newsletter,
        None,
        articles,
        language="zh",
        more=more,
        more_count=len(more),
        due_at=NOW - timedelta(days=1),
        intro="今天的**编者按**。",
    )
    return await add_edition(press, Mail(mail.subject, articles, more, page=mail.page))


@pytest.mark.parametrize(
    "arrangement",
    [Arrangement(), Arrangement(by_section=True, lead=True)],
    ids=["plain", "by section"],
)
@pytest.mark.parametrize("place", range(4))
async def test_a_withdrawn_article_leaves_the_page_of_the_usual_theme_as_it_was(
    press: SmallPress, arrangement: Any, place: int
) -> None:
    await change_newsletter(press, "daily", arrangement=arrangement.stored())
    articles = [
        await press.add_article(
            f"night-{number}",
            title=f"第{number}条标题",
            summary=f"这是第{number}条的摘要，说的是河边的事。",
            section="城市" if number < 2 else "文化",
            language="zh",
        )
        for number in range(4)
    ]
    number = await add_rendered(press, articles[:3], articles[3:])
    path = f"/newsletters/daily/editions/{number}"
    parse(await press.get(path))
    await withdraw(press, articles[place])
    response = await press.get(path)
    parse(response)
    assert "编者按" in response.text  # it is the mail's own page, not one in its place
    assert response.text.count("本文已撤回。") == 1
    for other, article in enumerate(articles):
        assert (article.title in response.text) == (other != place)
        assert (f"articles/{article.slug}" in response.text) == (other != place)
