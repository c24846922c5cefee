"""Language tags in one spelling, so that equal tags are equal texts."""


def language_tag(text: str) -> str:
    """A language tag in the usual letter case (RFC 5646 §2.1.1): zh_cn -> zh-CN."""
    language, *parts = text.replace("_", "-").split("-")
    cased = [
        part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part.lower()
        for part in parts
    ]
    return "-".join([language.lower(), *cased])
