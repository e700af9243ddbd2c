"""A copy of a ledger that many machines read at once, through any file system.

SQLite keeps what was written last in a file beside the ledger that only processes of one machine may share. A copy
has no such file, is never changed, and is read without a lock, so that a network file system does.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from pneg.lm.base import Completion
from pneg.lm.ledger import answer
from pneg.lm.ledger_file import explained, opened

Answer = tuple[Completion, str]
"""What was answered, and why it was refused if it was."""


def take(ledger: Path, copy: Path) -> None:
    """Write all that a ledger has to a file of its own, which appears at once; without a ledger the file goes.

    Raises:
        LedgerError: when the ledger cannot be read, or the copy not be written.
    """
    unfinished = copy.with_name(f"{copy.stem}.unfinished{copy.suffix}")
    unfinished.unlink(missing_ok=True)
    if not ledger.is_file():
        copy.unlink(missing_ok=True)
        return
    with explained(ledger), closing(opened(ledger)) as connection:
        connection.execute("VACUUM INTO ?", (str(unfinished),))
    unfinished.replace(copy)


@contextmanager
def reading(copy: Path | None) -> Iterator[Callable[[bytes], Answer | None]]:
    """Look up answers by the hashes of their requests in a copy; where there is no copy there are none.

    Raises:
        LedgerError: when the copy cannot be read.
    """
    if copy is None or not copy.is_file():
        yield lambda key: None
        return
    place = f"file:{quote(str(copy.absolute()))}?mode=ro&immutable=1"
    with explained(copy):
        connection = sqlite3.connect(place, uri=True, check_same_thread=False)

    def find(key: bytes) -> Answer | None:
        with explained(copy):
            return answer(connection, key)

    with closing(connection):
        yield find
