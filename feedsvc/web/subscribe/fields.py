"""What was typed into a form, before anything is made of it."""

import unicodedata

from fastapi import Request

#: A form has a dozen, and a box for each topic.
_MAX_FIELDS = 200


async def read_fields(request: Request) -> dict[str, str]:
    """The text fields of a form, urlencoded or multipart; the last of each name, no files.

    Raises:
        HTTPException: 400, not a form.
    """
    form = await request.form(max_files=0, max_fields=_MAX_FIELDS)
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


async def read_all(request: Request, name: str) -> list[str]:
    """Every value of one field of a form, such as ticked boxes. Raises as `read_fields`."""
    form = await request.form(max_files=0, max_fields=_MAX_FIELDS)
    return [value for value in form.getlist(name) if isinstance(value, str)]


def is_plain_line(text: str) -> bool:
    """No control, line or paragraph separators, surrogates, or marks that turn text around."""
    return not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character)
        in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for character in text
    )


def showable(text: str) -> str:
    """What was typed, without control characters and others that may not stand in HTML."""
    return "".join(
        character
        for character in text
        if unicodedata.category(character) not in ("Cc", "Cs")
        and ord(character) & 0xFFFE != 0xFFFE
        and not 0xFDD0 <= ord(character) <= 0xFDEF
    )
