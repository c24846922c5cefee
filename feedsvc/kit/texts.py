"""What readers and subscribers are told, in their language: catalogues, dates, schedules in words.

English texts are the msgids; Chinese ones stand in `feedsvc/locale/zh/*.po`, compiled in memory.
"""

import gettext as catalogues
from collections.abc import Sequence
from datetime import datetime as Instant
from functools import cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_datetime
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from feedsvc.kit.schedule_words import describe_schedule

LOCALE_FOLDER = Path(__file__).resolve().parent.parent / "locale"
#: Language -> the BCP 47 tag of its texts; the first is what everybody else is given.
LANGUAGES = {"en": "en", "zh": "zh-Hans"}
_DATE = {"en": "d MMMM y", "zh": "y年M月d日"}
_DATETIME = {"en": "d MMMM y, HH:mm", "zh": "y年M月d日 HH:mm"}


def negotiate(wanted: Sequence[str]) -> str:
    """The language we speak that comes first in `wanted` (BCP 47 tags); English when none does."""
    for tag in wanted:
        primary = tag.partition(";")[0].strip().replace("_", "-").partition("-")[0].lower()
        if primary in LANGUAGES:
            return primary
    return "en"


@cache
def read_catalogue(language: str) -> Catalog:
    """All catalogues of a language in one; empty for English, whose texts are the msgids."""
    merged = Catalog(locale=language)
    for path in sorted((LOCALE_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id:
                    merged[message.id] = message
    return merged


@cache
def _translations(language: str) -> catalogues.NullTranslations:
    compiled = BytesIO()
    write_mo(compiled, read_catalogue(language))
    compiled.seek(0)
    return catalogues.GNUTranslations(compiled)


@cache
def known_texts() -> frozenset[str]:
    """Every msgid of our catalogues, plural forms included: texts that we wrote ourselves."""
    known: set[str] = set()
    for language in LANGUAGES:
        for message in read_catalogue(language):
            known.update([message.id] if isinstance(message.id, str) else message.id)
    known.discard("")
    return frozenset(known)


class Texts:
    """The texts of one language.

    Args:
        language: any BCP 47 tag; one that we do not speak is answered in English.
    """

    def __init__(self, language: str) -> None:
        self.language = negotiate([language])
        #: What belongs into a lang attribute around these texts.
        self.lang = LANGUAGES[self.language]
        self._locale = Locale.parse(self.language)
        self._translations = _translations(self.language)

    def gettext(self, msgid: str, **values: object) -> str:
        """The text for an English one, with `%(name)s` filled in (a bare % is written %%)."""
        return self._translations.gettext(msgid) % values

    def ngettext(self, singular: str, plural: str, n: int, **values: object) -> str:
        """As gettext, in the form for the number `n`, which is also `%(num)s`."""
        return self.ngettext_template(singular, plural, n) % {"num": n, **values}

    def gettext_template(self, msgid: str) -> str:
        """The text with its placeholders still in it."""
        return self._translations.gettext(msgid)

    def ngettext_template(self, singular: str, plural: str, n: int) -> str:
        """As gettext_template, in the form for `n`."""
        return self._translations.ngettext(singular, plural, n)

    def date(self, at: Instant, zone: ZoneInfo | str) -> str:
        """The day of an instant in a zone: `22 November 2026`, `2026年11月22日`."""
        return self._format(at, zone, _DATE[self.language])

    def datetime(self, at: Instant, zone: ZoneInfo | str, show_zone: bool = False) -> str:
        """Day and time in a zone: `22 November 2026, 08:00`, `2026年11月22日 08:00`."""
        written = self._format(at, zone, _DATETIME[self.language])
        return self.with_zone(written, zone) if show_zone else written

    def with_zone(self, words: str, zone: ZoneInfo | str) -> str:
        """Words about a time, followed by the name of the zone they hold in."""
        return self.gettext("%(words)s (%(zone)s)", words=words, zone=str(zone))

    def join(self, parts: Sequence[str]) -> str:
        """A list in words: `Monday, Tuesday, and Friday`, `周一、周二、周五`."""
        if self.language == "zh":
            return "、".join(parts)  # CLDR's 和 reads badly between figures
        joined: str = format_list(list(parts), locale=self._locale)
        return joined

    def weekday(self, number: int) -> str:
        """Name of a day of the week, 0 being Monday."""
        # Chinese says 周一 in running text; English abbreviations would look clipped.
        width = "abbreviated" if self.language == "zh" else "wide"
        return str(self._locale.days["format"][width][number])

    def schedule(self, cron: str, zone: ZoneInfo | str, *, own_zone: bool = False) -> str:
        """A rhythm in words, such as `every day at 08:00 (Asia/Shanghai)`.

        Args:
            cron: five fields; empty for an edition for each article.
            own_zone: it holds in each subscriber's own zone.
        """
        words, local = describe_schedule(cron, self)
        if local and own_zone:
            return self.gettext("%(words)s, your time", words=words)
        return self.with_zone(words, zone) if local else words

    def _format(self, at: Instant, zone: ZoneInfo | str, pattern: str) -> str:
        if at.tzinfo is None:
            raise ValueError("an instant without a zone has no date anywhere")
        local = at.astimezone(ZoneInfo(zone) if isinstance(zone, str) else zone)
        written: str = format_datetime(local.replace(tzinfo=None), pattern, locale=self._locale)
        return written
