"""What spam filters hold against a mail, where it shows in how the mail is made.

The filters themselves are asked in tests/clients/test_spam_filters.py.
"""

import re
from dataclasses import replace

import pytest
from lxml import html as lxml_html

from feedsvc.kit.templating import Templates
from feedsvc.messages.render import DigestView, RenderedMail, render_digest
from feedsvc.messages.splice import marker, slots_in

_ADDRESS = re.compile(r"https://\S+")


def filled(mail: RenderedMail) -> tuple[str, str]:
    """HTML and plain text with an address in every slot that takes one."""
    html, text = mail.html, mail.text
    for slot in slots_in(html):
        value = f"https://news.example.com/{slot}" if slot.endswith("_url") else "alice@example.org"
        html, text = html.replace(marker(slot), value), text.replace(marker(slot), value)
    return html, text


@pytest.mark.parametrize("shown", [1, 2, 3])
def test_links_and_pictures_are_even_in_number_over_both_parts(
    templates: Templates, english_view: DigestView, shown: int
) -> None:
    """Rspamd's URI_COUNT_ODD: a part that links elsewhere than the other has something to hide."""
    mail = render_digest(templates, replace(english_view, items=english_view.items[:shown]))
    html, text = filled(mail)
    document = lxml_html.document_fromstring(html)
    addresses = [*document.xpath("//a/@href"), *document.xpath("//img/@src")]
    assert len(document.xpath("//img/@src")) == 1
    assert len(addresses + _ADDRESS.findall(text)) % 2 == 0
    assert {*document.xpath("//a/@href")} == {*_ADDRESS.findall(text)}


def test_nothing_has_the_colour_of_its_ground(
    templates: Templates, english_view: DigestView
) -> None:
    """SpamAssassin's HTML_FONT_LOW_CONTRAST looks at what is not displayed too."""
    document = lxml_html.document_fromstring(render_digest(templates, english_view).html)
    (preheader,) = document.xpath("//div[@class='preheader']/@style")
    assert "display: none" in preheader
    assert not re.search(r"(?<!-)color:", preheader)
