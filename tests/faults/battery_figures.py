"""What a test of the battery says about promises."""

from typing import Any


class Figures:
    """The record of one test: call it as soon as the counts are known, before they are judged."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}

    def __call__(self, *promises: str, injected: str, case: str = "", **counts: Any) -> None:
        """Note what was seen.

        Args:
            promises: their ids, such as "R02".
            injected: the fault in words; the same for all cases of a test.
            case: what is this case's own, such as "hold, 5 connections".
            counts: the figures; those of a tally are summed over cases, the others shown.
        """
        assert all(one[:1] == "R" and one[1:].isdigit() for one in promises), promises
        self.record = {"promises": promises, "injected": injected}
        self.record |= {"case": case, "figures": counts}
