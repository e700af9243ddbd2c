"""Many texts in one piece of memory: half of what a list of strings takes, and a hash to compare each by."""

from array import array
from collections.abc import Iterable, Iterator

from pneg.dialogue import normalised


class Texts:
    """A sequence of texts that grows only while it is made.

    Args:
        texts: in the order in which they are numbered.

    Attributes:
        hashes: of each text as normalised: where two differ the texts differ. They hold in this process only.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        joined = bytearray()
        self._starts = array("Q", [0])
        self.hashes = array("q")
        for text in texts:
            joined += text.encode("utf-8", "surrogatepass")
            self._starts.append(len(joined))
            self.hashes.append(hash(normalised(text)))
        self._joined = bytes(joined)

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, number: int) -> str:
        return self._joined[self._starts[number] : self._starts[number + 1]].decode("utf-8", "surrogatepass")

    def several(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """The texts of these numbers, faster than one by one."""
        joined, starts = self._joined, self._starts
        return tuple([joined[starts[n] : starts[n + 1]].decode("utf-8", "surrogatepass") for n in numbers])

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))
