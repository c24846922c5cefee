"""How feed requests were answered since the process began: plain numbers that others read."""

from feedsvc.web.feeds.codings import CODING_NAMES, Coding


class FeedTally:
    """Counts of answers. Adding to them is all that a request pays for."""

    __slots__ = ("body_bytes", "full", "known", "others")

    def __init__(self) -> None:
        #: Answers 200 by coding, GET and HEAD.
        self.full = [0] * len(Coding)
        #: Answers 304 by coding.
        self.known = [0] * len(Coding)
        #: Other answers by status.
        self.others: dict[int, int] = {}
        #: Bytes of bodies of documents; neither headers nor other answers.
        self.body_bytes = 0

    def count_other(self, status: int) -> None:
        """Count an answer that is not a document's."""
        self.others[status] = self.others.get(status, 0) + 1

    def by_status_and_coding(self) -> dict[tuple[int, str], int]:
        """Every count there is; other answers are not coded."""
        counts = {(200, CODING_NAMES[one]): self.full[one] for one in Coding}
        counts |= {(304, CODING_NAMES[one]): self.known[one] for one in Coding}
        return counts | {(status, "identity"): n for status, n in self.others.items()}
