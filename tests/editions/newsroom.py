"""Builders for the rows an edition needs."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

NOW = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)


class Newsroom:
    """A newsletter with one schedule, and short ways to add articles and readers."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.newsletter = Newsletter(
            key="daily",
            title="每日新闻",
            language="zh-CN",
            from_name="新闻",
            from_address="news@example.com",
            sender="Example News",
            postal_address="1 Example Road",
        )
        self.counter = Counter(name="seq", value=0)
        self.people = 0

    async def open(self) -> None:
        self.session.add_all([self.newsletter, self.counter])
        await self.session.flush()
        self.schedule = Schedule(
            newsletter_id=self.newsletter.id or 0,
            key="morning",
            label="Morning",
            cron="0 8 * * *",
            zone="Asia/Shanghai",
            since=NOW - timedelta(days=2),
        )
        self.session.add(self.schedule)
        await self.session.flush()

    async def publish(
        self,
        title: str = "头条",
        *,
        topics: tuple[str, ...] = (),
        announce: bool = True,
        state: ArticleState = ArticleState.PUBLISHED,
        published_at: datetime = NOW,
    ) -> Article:
        self.counter.value += 1
        seq = self.counter.value
        article = Article(
            source="folder",
            source_key=f"{seq}.md",
            fingerprint=f"{seq:064d}",
            seq=seq,
            guid=f"urn:article:{seq}",
            slug=f"article-{seq}",
            title=title,
            topics=list(topics),
            language="zh-CN",
            published_at=published_at,
            updated_at=published_at,
            content="<p>正文。</p>",
            summary="正文。",
            content_hash=f"{seq:064d}",
            announce=announce,
            state=state,
            stored_at=NOW,
        )
        self.session.add(article)
        await self.session.flush()
        return article

    async def join(
        self,
        *,
        state: SubscriptionState = SubscriptionState.ACTIVE,
        topics: tuple[str, ...] = (),
        language: str = "zh",
        zone: str = "",
        cursor: int | None = 0,
    ) -> Subscription:
        self.people += 1
        person = Subscriber(
            address=f"reader{self.people}@example.com",
            address_key=f"reader{self.people}@example.com",
            language=language,
            created_at=NOW,
        )
        self.session.add(person)
        await self.session.flush()
        subscription = Subscription(
            subscriber_id=person.id or 0,
            newsletter_id=self.newsletter.id or 0,
            schedule_id=self.schedule.id or 0,
            topics=sorted(topics),
            language=language,
            zone=zone,
            state=state,
            cursor=cursor if state is not SubscriptionState.PENDING else None,
            requested_at=NOW,
        )
        self.session.add(subscription)
        await self.session.flush()
        return subscription
