"""From stored rows to rendered mails: articles of a cohort to its digest, letters to theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time

from feedsvc.kit.letters import Prose, write_prose
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.messages.leads import longer_excerpt
from feedsvc.messages.render import LISTED_LIMIT, RenderedMail, render_digest, render_letter
from feedsvc.messages.views import DigestView, ItemView, LetterView
from feedsvc.model.article import Article, article_address
from feedsvc.model.edition import EditionKind
from feedsvc.model.newsletter import Arrangement, Newsletter, Schedule

#: Bytes of a mail that intro and notes may take together.
_PROSE_ROOM = 40_000


@dataclass(frozen=True, slots=True)
class DigestRenderer:
    """Renders mails for one site. `zone` is the IANA zone its times are shown in.

    May be used by several threads at once.
    """

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
        more: Sequence[Article] = (),
        more_count: int = 0,
        due_at: datetime,
        day: date | None = None,
        intro: str = "",
        notes: Sequence[str] = (),
        kind: EditionKind = EditionKind.DIGEST,
    ) -> RenderedMail:
        """Render one cohort's mail. Blocking; run it in a thread.

        Args:
            schedule: None when the edition was made by hand.
            articles: those to be shown, in mail order.
            more: the first of the further ones that the newsletter's limit leaves out; the page
                lists them.
            more_count: how many there are of these.
            due_at: the edition's instant; its day is shown as the mail's date, in the zone of
                the schedule.
            day: the mail's date where that would be another: each subscriber has it at an hour
                of their own zone.
            intro: Markdown that stands above the articles; so do `notes`, each by itself.
            kind: a digest, or the WELCOME of somebody who has just come.

        Raises:
            TemplateInvalid: a template of the newsletter's theme fails.
        """
        texts = Texts(language)
        zone = schedule.zone if schedule else self.zone
        rhythm = _rhythm(texts, schedule) if schedule else ""
        arrangement = Arrangement.of(newsletter.arrangement)
        intro_prose, notes_prose = _written(intro, notes)
        view = DigestView(
            language=language,
            newsletter_title=newsletter.title,
            newsletter_description=newsletter.description,
            sender=newsletter.sender,
            postal_address=newsletter.postal_address,
            date=_day(texts, day) if day else texts.date(due_at, zone),
            items=tuple(self._arranged(texts, articles, zone, arrangement)),
            base_url=self.base_url,
            site_title=self.site_title,
            schedule=rhythm,
            more_count=max(more_count, len(more)),
            more=tuple(self._listed(article) for article in more[:LISTED_LIMIT]),
            by_section=arrangement.by_section,
            greeting=_greeting(texts, rhythm) if kind is EditionKind.WELCOME else "",
            intro=intro_prose,
            notes=notes_prose,
            theme=newsletter.theme,
        )
        if kind is EditionKind.WELCOME:
            return render_digest(self.templates, view)
        return render_digest(
            self.templates, view, subject=arrangement.subject, preheader=arrangement.preheader
        )

    def render_letter(
        self,
        newsletter: Newsletter,
        *,
        subject: str,
        body: str,
        language: str,
        date_at: datetime,
        article: Article | None = None,
        kind: EditionKind,
    ) -> RenderedMail:
        """Render an announcement or a correction. Blocking; run it in a thread.

        Args:
            body: Markdown. What a mail has no room for is on its page.
            date_at: its day is shown, in the site's zone.
            article: the one that is corrected; as its readers should now read it.

        Raises:
            TemplateInvalid: a template of the newsletter's theme fails.
        """
        texts = Texts(language)
        corrected = article if kind is EditionKind.CORRECTION else None
        view = LetterView(
            language=language,
            newsletter_title=newsletter.title,
            sender=newsletter.sender,
            postal_address=newsletter.postal_address,
            subject=subject,
            date=texts.date(date_at, self.zone),
            body=write_prose(body),
            base_url=self.base_url,
            site_title=self.site_title,
            article=self._listed(corrected) if corrected else None,
            theme=newsletter.theme,
        )
        return render_letter(self.templates, view)

    def _arranged(
        self, texts: Texts, articles: Sequence[Article], zone: str, arrangement: Arrangement
    ) -> Iterator[ItemView]:
        """The articles as shown: the lead by itself, the others with the sections they begin."""
        before = ""
        for number, article in enumerate(articles):
            item = self._item(texts, article, zone)
            if arrangement.lead and number == 0:
                excerpt = longer_excerpt(article.content, article.summary)
                yield replace(item, is_lead=True, excerpt=excerpt)
                continue
            if arrangement.by_section and item.section != before:
                # Without a name of its own it would seem to belong to the section before it.
                item = replace(item, heading=item.section or texts.gettext("Other articles"))
            before = item.section
            yield item

    def _item(self, texts: Texts, article: Article, zone: str) -> ItemView:
        return replace(
            self._listed(article),
            excerpt=article.summary,
            section=article.section or "",
            published=texts.datetime(article.published_at, zone, show_zone=True),
            authors=tuple(article.authors),
            audio=_recording(article, "audio/"),
            video=_recording(article, "video/"),
        )

    def _listed(self, article: Article) -> ItemView:
        """An article as a line that leads to it."""
        return ItemView(
            title=article.title,
            url=article_address(article, self.base_url),
            excerpt="",
            lang=article.language,
            id=article.id or 0,
        )


def _written(intro: str, notes: Sequence[str]) -> tuple[Prose | None, tuple[Prose, ...]]:
    """What stands above the articles, with as much of it in the mail as leaves room for them."""
    room = _PROSE_ROOM
    written = []
    for markdown in (intro, *notes):
        prose = write_prose(markdown, room)
        room -= prose.size
        written.append(prose)
    return (written[0] if written[0].page else None), tuple(one for one in written[1:] if one.page)


def _rhythm(texts: Texts, schedule: Schedule) -> str:
    return texts.schedule(schedule.cron, schedule.zone, own_zone=schedule.own_zone)


def _greeting(texts: Texts, rhythm: str) -> str:
    if not rhythm:
        return texts.gettext("Welcome. These are the latest articles.")
    return texts.gettext(
        "Welcome. These are the latest articles; from now on it comes %(schedule)s.",
        schedule=rhythm,
    )


def _day(texts: Texts, day: date) -> str:
    return texts.date(datetime.combine(day, time(12), UTC), "UTC")


def _recording(article: Article, kind: str) -> str:
    """Address of the first recording of a kind, such as `audio/`, that goes with an article."""
    for enclosure in article.enclosures:
        if str(enclosure.get("media_type", "")).lower().startswith(kind):
            return str(enclosure.get("url", ""))
    return ""
