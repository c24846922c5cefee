"""Rendered mails as people look at them who do not get them: nobody's tokens in the slots."""

from dataclasses import dataclass

from feedsvc.messages.splice import Slot, splice

#: What stands for one person's values.
_STAND_INS = {slot.value: f"<{slot.value.replace('_', ' ')}>" for slot in Slot}


@dataclass(frozen=True, slots=True)
class ShownMail:
    """A cohort's mail, ready to be looked at; `name` is good for a file."""

    name: str
    subject: str
    html: str
    text: str
    #: As it is read in the browser.
    page: str


def show_mail(name: str, subject: str, html: str, text: str, page: str) -> ShownMail:
    """Put stand-ins, such as `<address>`, into the slots of rendered parts.

    Raises:
        MessageUnbuildable: a part has a marker that belongs to no slot.
    """
    return ShownMail(
        name,
        splice(subject, _STAND_INS, escape=False),
        splice(html, _STAND_INS, escape=True),
        splice(text, _STAND_INS, escape=False),
        splice(page, _STAND_INS, escape=True),
    )
