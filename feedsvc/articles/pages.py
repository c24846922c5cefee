"""Reads saved news pages, whose headline, time and body stand among navigation."""

from zoneinfo import ZoneInfo

from feedsvc.articles.page_encoding import decode_page
from feedsvc.articles.page_html import read_html_page
from feedsvc.articles.page_reading import PageReading
from feedsvc.articles.page_text import read_text_page
from feedsvc.model.article import MediaType, RawItem

__all__ = ["PageReading", "read_page"]


def read_page(raw: RawItem, zone: ZoneInfo) -> PageReading:
    """Take the article out of a saved page. Its HTML is not yet sanitised.

    Args:
        raw: the page; text in any encoding, HTML with a right, wrong or missing charset.
        zone: the zone of times that the page writes without one.

    Raises:
        BrokenArticle: no headline or no text to be found, or the extra `pages` is missing.
    """
    text = decode_page(raw.content)
    if raw.media_type is MediaType.HTML:
        return read_html_page(text, raw.location, zone, raw.base_url)
    return read_text_page(text, raw.location, zone)
