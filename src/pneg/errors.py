"""What can go wrong.

PnegError                 everything below; a command prints it as one line and exits with its status
├── DataError             a file, a line of it, or a word on the command line is wrong  (exit status 2)
├── ModelError            a model cannot be found, fetched, checked, loaded or trained, or its scores are no numbers
├── BackendError          a language model's server refused, failed or could not be reached
├── LedgerError           the ledger cannot be opened, read or written
├── BudgetExceeded        going on would cost more than was allowed
└── MissingExtra          an optional dependency is not installed
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

SEQUENCES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # a title, a link, the clipboard
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, the cursor
    r"|\x1b[ -/]*[0-~]?"
)
"""What terminals obey (ECMA-48, sections 5.4 and 5.6)."""


def printable(text: str) -> str:
    """The text on one line, without anything that a terminal would obey.

    Whoever puts words into an error that came from outside, such as a server's message, passes them through this.
    Escape sequences are left out, white space becomes a blank, and any other character that is not printable, half a
    surrogate pair included, becomes the replacement character.
    """
    if text.isprintable():
        return text
    line = " ".join(SEQUENCES.sub("", text).split())
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


class PnegError(Exception):
    """The root of every error this package raises on purpose."""

    exit_status = 1


class DataError(PnegError):
    """Input that is not what it should be.

    Args:
        found: what is wrong, in words that name what was found.
        expected: what was expected, or what to do about it.
        file: where it was found.
        line: the line in `file`, counted from 1.
    """

    exit_status = 2

    def __init__(self, found: str, expected: str = "", *, file: object = None, line: int | None = None) -> None:
        self.found, self.expected, self.file, self.line = found, expected, file, line
        place = "" if file is None else f"{file}: " if line is None else f"{file}, line {line}: "
        super().__init__(f"{place}{found}" + (f"; {expected}" if expected else ""))


class ModelError(PnegError):
    """A model that cannot be found, fetched, checked, loaded or trained, or whose scores are no numbers."""


class BackendError(PnegError):
    """A language model's server that refused, failed or could not be reached. Never carries a key.

    Args:
        message: what happened.
        retryable: whether the same request may succeed later.
        status: the HTTP status, where there was an answer.
        hint: what to do about it.
        retry_after: seconds the server asks to wait before anything is sent again.
        reason: why this request alone is refused, in a few words, where others may well succeed; empty where the
            error concerns every request.
        billed: whether the server may have done the work all the same, and charge for it.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        hint: str = "",
        retry_after: float | None = None,
        reason: str = "",
        billed: bool = False,
    ) -> None:
        self.message, self.retryable, self.status, self.hint = message, retryable, status, hint
        self.retry_after, self.reason, self.billed = retry_after, reason, billed
        super().__init__(message + (f"; {hint}" if hint else ""))


class LedgerError(PnegError):
    """The ledger cannot be opened, read or written.

    Args:
        file: the ledger.
        found: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, file: object, found: str, remedy: str) -> None:
        self.file, self.found, self.remedy = file, found, remedy
        super().__init__(f"{file}: {found}; {remedy}")


class BudgetExceeded(PnegError):
    """Going on would cost more than was allowed."""


class MissingExtra(PnegError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        super().__init__(f'{module} is not installed; run: pip install "pneg[{extra}]"')


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn the failed import of an optional dependency into the line that installs it.

    Raises:
        MissingExtra: when a module outside this package cannot be found inside the block.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if not module or module == "pneg":
            raise
        raise MissingExtra(module, extra) from error
