"""Finds articles for pages and for people who ask about one."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.errors import NotFound
from feedsvc.model.article import Article, ArticleState

#: Ids beyond this are no ids.
_MAX_ID = 2**31 - 1
#: Articles named when a title may mean several.
_MOST_NAMED = 5


async def find_article(session: AsyncSession, text: str) -> Article:
    """The article a person means by its id, slug, guid, web address or key in its source.

    Raises:
        NotFound: there is none, or the key stands for articles of several sources.
    """
    wanted = text.strip()
    if wanted.isascii() and wanted.isdigit() and int(wanted) <= _MAX_ID:
        by_id = await session.get(Article, int(wanted))
        if by_id is not None:
            return by_id
    for column in (Article.slug, Article.guid, Article.url, Article.source_key):
        rows = await session.execute(select(Article).where(col(column) == wanted).limit(2))
        found = list(rows.scalars())
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(str(one.id) for one in found)
            raise NotFound(f"{wanted!r} may mean several articles, such as {ids}; name one id")
    raise NotFound(f"no article has the id, slug, guid, address or source key {wanted!r}")


async def find_titled_article(session: AsyncSession, text: str) -> Article:
    """As `find_article`, and by a part of its title, if only one article has it.

    Raises:
        NotFound: there is none, or several; then some are named.
    """
    try:
        return await find_article(session, text)
    except NotFound as error:
        wanted = text.strip()
        if not wanted:
            raise
        rows = await session.execute(
            select(Article)
            .where(col(Article.title).icontains(wanted, autoescape=True))
            .order_by(col(Article.id).desc())
            .limit(_MOST_NAMED + 1)
        )
        found = list(rows.scalars())
        if not found:
            raise NotFound(f"{error}, or a title with that in it") from error
        if len(found) == 1:
            return found[0]
        named = "; ".join(f"{one.id} {one.title}" for one in found[:_MOST_NAMED])
        more = ", and more" if len(found) > _MOST_NAMED else ""
        raise NotFound(f"{wanted!r} is in several titles, say an id: {named}{more}") from error


async def article_by_slug(session: AsyncSession, slug: str) -> Article:
    """The article of a public page: published, or withdrawn after it was.

    Raises:
        NotFound: there is none that the public has ever been able to see.
    """
    article = await session.scalar(
        # SECURITY: drafts and scheduled articles have no seq and are nobody's business yet.
        select(Article).where(col(Article.slug) == slug, col(Article.seq).is_not(None))
    )
    if article is None:
        raise NotFound("there is no such article")
    return article


async def list_story_mates(session: AsyncSession, article: Article) -> list[Article]:
    """The other articles that tell the same, those withdrawn too, the first stored first."""
    if article.story is None:
        return []
    rows = await session.execute(
        select(Article)
        .where(col(Article.story) == article.story, col(Article.id) != article.id)
        .order_by(col(Article.id))
    )
    return list(rows.scalars())


async def list_recent(
    session: AsyncSession, limit: int, before_seq: int | None = None, section: str | None = None
) -> list[Article]:
    """Published articles, the newest number first.

    Args:
        limit: at most so many.
        before_seq: only articles with lower numbers; the last of one page begins the next.
        section: only articles of this section.
    """
    query = select(Article).where(col(Article.state) == ArticleState.PUBLISHED)
    if before_seq is not None:
        query = query.where(col(Article.seq) < before_seq)
    if section is not None:
        query = query.where(col(Article.section) == section)
    rows = await session.execute(query.order_by(col(Article.seq).desc()).limit(limit))
    return list(rows.scalars())
