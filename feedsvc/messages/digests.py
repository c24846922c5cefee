"""From the articles of a cohort to its rendered digest: stored rows in, a mail with slots out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.messages.render import RenderedMail, render_digest
from feedsvc.messages.views import DigestView, ItemView
from feedsvc.model.article import Article, article_address
from feedsvc.model.newsletter import Newsletter, Schedule


@dataclass(frozen=True, slots=True)
class DigestRenderer:
    """Renders digests for one site. `zone` is the IANA zone its times are shown in."""

    templates: Templates
    base_url: str
    site_title: str
    zone: str

    def render(
        self,
        newsletter: Newsletter,
        schedule: Schedule | None,
        articles: Sequence[Article],
        *,
        language: str,
        more_count: int,
        due_at: datetime,
    ) -> RenderedMail:
        """Render one cohort's mail. Blocking; run it in a thread.

        Args:
            schedule: None when the edition was made by hand.
            articles: those to be shown, in mail order.
            more_count: further new articles that the newsletter's limit leaves out.
            due_at: the edition's instant, shown as its date.

        Raises:
            TemplateInvalid: a template of the newsletter's theme fails.
        """
        texts = Texts(language)
        zone = schedule.zone if schedule else self.zone
        view = DigestView(
            language=language,
            newsletter_title=newsletter.title,
            newsletter_description=newsletter.description,
            sender=newsletter.sender,
            postal_address=newsletter.postal_address,
            date=texts.date(due_at, zone),
            items=tuple(self._item(texts, article, zone) for article in articles),
            base_url=self.base_url,
            site_title=self.site_title,
            schedule=texts.schedule(schedule.cron, schedule.zone) if schedule else "",
            more_count=more_count,
            more_url=f"{self.base_url}/",
            theme=newsletter.theme,
        )
        return render_digest(self.templates, view)

    def _item(self, texts: Texts, article: Article, zone: str) -> ItemView:
        return ItemView(
            title=article.title,
            url=article_address(article, self.base_url),
            excerpt=article.summary,
            section=article.section or "",
            lang=article.language,
            published=texts.datetime(article.published_at, zone, show_zone=True),
            authors=tuple(article.authors),
        )
