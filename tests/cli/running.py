"""How a command ran, and the dialogues it is given."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pneg import Dialogue


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def says(self) -> str:
        """The one message on standard error, where a bar may have stood too."""
        assert "Traceback" not in self.err
        [message] = re.findall(r"pneg: .*", self.err)
        return message


Run = Callable[..., Ran]

DIALOGUES = [
    Dialogue("a", ("Hi.", "Oh, hi!"), ("All well?", "Fine."), {"human": ("Hi is a word.", "fine")}),
    Dialogue("b", ("One two three.",), ("Four.",), {"human": ("Three is a crowd.",)}, ("i count",)),
]
