"""The text of replies, made fit to be read, stored and logged. Knows no meanings."""

import re

#: Characters of a reply that are kept; servers may say as much as they like.
MAX_REPLY_TEXT = 1000

#: What servers in China say when they say it in Chinese; tells GBK from other octets.
_CHINESE = re.compile(
    r"[用使]户|用者|邮[箱件]|信箱|地址|发[送信件]|收[件信]|频率|拒|登录|[账帐][号户]|域名|垃圾"
)


def recover_chinese(text: str) -> str:
    """The text, with GBK that was taken for UTF-8 or Latin-1 set right where it is plain.

    QUIRK: RFC 6531 §3.4 wants UTF-8, and some servers in China still answer in GBK.
    """
    if text.isascii() or _CHINESE.search(text):
        return text
    for charset in ("utf-8", "latin-1"):
        try:
            octets = text.encode(charset, "surrogateescape" if charset == "utf-8" else "strict")
        except UnicodeEncodeError:
            continue
        # A cut may have gone through a character.
        recovered = octets.decode("gb18030" if charset == "utf-8" else _guess(octets), "replace")
        if _CHINESE.search(recovered):
            return recovered
    return text


def _guess(octets: bytes) -> str:
    """UTF-8, if these octets can be that; else GBK."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"


def clean_text(text: str) -> str:
    """A reply as one storable line: no controls, no lone surrogates, bounded."""
    # SECURITY: a server chooses this text; databases refuse NUL, terminals obey escapes.
    line = " ".join(text[: 2 * MAX_REPLY_TEXT].split())
    if line.isascii() and line.isprintable():
        return line[:MAX_REPLY_TEXT]
    line = recover_chinese(line).encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() else "?" for char in line)[:MAX_REPLY_TEXT]


def hide_addresses(text: str) -> str:
    """The text with every word that holds an `@` left out, for logs: servers repeat addresses."""
    return " ".join("…" if "@" in word else word for word in text.split())
