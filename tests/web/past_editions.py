"""Editions that have gone out, as their rows stand in the database afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from small_press import NOW, SmallPress
from sqlalchemy import select
from sqlmodel import col

from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import (
    Cohort,
    CohortItem,
    Edition,
    EditionKind,
    EditionState,
    GroupOutcome,
    ItemOutcome,
    Letter,
    ReaderGroupRow,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Schedule

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Mail:
    """A cohort: what it says, and to how many readers with which topics it went."""

    subject: str = "晨报：夜市回来了"
    articles: Sequence[Article] = ()
    more: Sequence[Article] = ()
    language: str = "zh"
    topics: tuple[str, ...] = ()
    readers: int = 10
    #: Whether the theme marks the parts of an article.
    marked: bool = True
    page: str | None = None


def page_of(mail: Mail) -> str:
    """A page as the themes write them: tables, a style of its own, and parts that are marked."""

    def mark(article: Article) -> str:
        return f' data-article="{article.id}"' if mail.marked else ""

    rows = "\n".join(
        f'<tr{mark(one)}><td class="article"><h2 dir="auto">'
        f'<a href="https://news.example.com/articles/{one.slug}">{one.title}</a></h2>'
        f'<p class="text">{one.summary}</p></td></tr>'
        for one in mail.articles
    )
    more = "\n".join(f"<li{mark(one)}>{one.title}</li>" for one in mail.more)
    return (
        f'<!doctype html>\n<html lang="{mail.language}" dir="ltr">\n<head>\n<meta charset="utf-8">'
        f"<title>{mail.subject}</title><style>.article {{ color: #111; }}</style>\n</head>\n<body>"
        f'<!--[if mso]><table><tr><td><![endif]-->\n<table role="presentation">{rows}</table>'
        f"<ul>{more or '<li>–</li>'}</ul>\n</body>\n</html>\n"
    )


async def add_edition(
    press: SmallPress,
    *mails: Mail,
    newsletter: str = "daily",
    schedule: str | None = "morning",
    state: EditionState = EditionState.DONE,
    due_at: datetime = NOW - WEEK,
    kind: EditionKind = EditionKind.DIGEST,
    letter: dict[str, Any] | None = None,
    with_groups: bool = True,
) -> int:
    """An edition with its cohorts; with the usual one when none is given. Its id."""
    async with press.database.write() as session:
        row = await session.scalar(select(Newsletter).where(col(Newsletter.key) == newsletter))
        assert row is not None
        found = await session.scalar(
            select(Schedule).where(
                col(Schedule.newsletter_id) == row.id, col(Schedule.key) == (schedule or "")
            )
        )
        edition = Edition(
            newsletter_id=row.id or 0,
            schedule_id=found.id if found else None,
            kind=kind,
            period=f"{due_at.isoformat()}/{schedule}/{kind}",
            state=state,
            due_at=due_at,
            created_at=due_at,
            frozen_at=due_at + timedelta(minutes=1),
        )
        session.add(edition)
        await session.flush()
        number = edition.id or 0
        if letter is not None:
            session.add(Letter(edition_id=number, **{"subject": "s", "body": "b", **letter}))
        wave = Wave(
            edition_id=number, zone="Asia/Shanghai", due_at=due_at, cut_seq=9, composed_at=due_at
        )
        session.add(wave)
        await session.flush()
        for place, mail in enumerate(mails or (Mail(),)):
            await _add_cohort(session, number, wave.id or 0 if with_groups else 0, place, mail)
        return number


async def _add_cohort(session: Any, edition_id: int, wave_id: int, place: int, mail: Mail) -> None:
    cohort = Cohort(
        edition_id=edition_id,
        content_key=f"{place}",
        language=mail.language,
        theme="plain",
        subject=mail.subject,
        html="an address goes here",
        text="an address goes here",
        page=page_of(mail) if mail.page is None else mail.page,
    )
    session.add(cohort)
    await session.flush()
    outcomes = [(one, ItemOutcome.MAILED) for one in mail.articles]
    outcomes += [(one, ItemOutcome.AND_MORE) for one in mail.more]
    for position, (article, outcome) in enumerate(outcomes):
        session.add(
            CohortItem(
                cohort_id=cohort.id or 0,
                article_id=article.id or 0,
                revision=1,
                position=position,
                outcome=outcome,
            )
        )
    if wave_id:
        session.add(
            ReaderGroupRow(
                wave_id=wave_id,
                from_seq=place,
                topics=list(mail.topics),
                language=mail.language,
                outcome=GroupOutcome.MAILED,
                cohort_id=cohort.id,
                readers=mail.readers,
            )
        )


async def cohort_of(press: SmallPress, edition_id: int) -> int:
    """The first cohort of an edition."""
    async with press.database.read() as session:
        query = select(col(Cohort.id)).where(col(Cohort.edition_id) == edition_id)
        return (await session.execute(query.order_by(col(Cohort.id)))).scalars().first() or 0


async def withdraw(press: SmallPress, article: Article, at: datetime = NOW) -> None:
    """An article is taken back."""
    await change(press, Article, article.id, state=ArticleState.WITHDRAWN, withdrawn_at=at)


async def change(press: SmallPress, table: type[Any], key: object, **values: Any) -> None:
    """Set columns of a row."""
    async with press.database.write() as session:
        row = await session.get_one(table, key)
        for name, value in values.items():
            setattr(row, name, value)


async def change_newsletter(press: SmallPress, key: str, **values: Any) -> None:
    """Set columns of a newsletter."""
    async with press.database.read() as session:
        query = select(col(Newsletter.id)).where(col(Newsletter.key) == key)
        number = await session.scalar(query)
    await change(press, Newsletter, number, **values)
