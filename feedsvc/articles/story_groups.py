"""Who belongs together by a chain of pairs. Pure."""

from collections import defaultdict
from collections.abc import Iterable


class Groups:
    """Numbers, each alone at first, joined pair by pair."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def join(self, one: int, other: int) -> None:
        """Put two, and all that are with either, together."""
        self._above[self._top(one)] = self._top(other)

    def are_one(self, one: int, other: int) -> bool:
        """Whether two are together."""
        return self._top(one) == self._top(other)

    def of(self, numbers: Iterable[int]) -> list[list[int]]:
        """These numbers, in the groups they are in."""
        together: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            together[self._top(number)].append(number)
        return list(together.values())

    def _top(self, number: int) -> int:
        path = []
        while (above := self._above.get(number, number)) != number:
            path.append(number)
            number = above
        for one in path:
            self._above[one] = number
        return number
