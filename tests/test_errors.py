"""The exception tree and what its members say."""

import re
from pathlib import Path

import pytest

from pneg import errors
from pneg.errors import (
    BackendError,
    BudgetExceeded,
    DataError,
    LedgerError,
    MissingExtra,
    ModelError,
    PnegError,
    needs,
    printable,
)


def test_the_tree_drawn_in_the_module_is_the_tree() -> None:
    drawn = re.findall(r"^[├└]── (\w+)", errors.__doc__ or "", re.M)
    assert set(drawn) == {kind.__name__ for kind in PnegError.__subclasses__()}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("a blank"), "a blank"),
        (DataError("a blank", "expected text"), "a blank; expected text"),
        (DataError("a blank", file=Path("f.jsonl")), "f.jsonl: a blank"),
        (DataError("a blank", "expected text", file="f", line=3), "f, line 3: a blank; expected text"),
        (BackendError("refused"), "refused"),
        (BackendError("refused", hint="wait a minute"), "refused; wait a minute"),
        (LedgerError("l.sqlite", "it is full", "make room"), "l.sqlite: it is full; make room"),
        (MissingExtra("pyarrow", "parquet"), 'pyarrow is not installed; run: pip install "pneg[parquet]"'),
    ],
)
def test_a_message_says_where_what_and_what_to_do(error: PnegError, message: str) -> None:
    assert str(error) == message


def test_only_bad_words_and_bad_input_exit_with_2() -> None:
    status = {kind: kind.exit_status for kind in PnegError.__subclasses__()}
    assert status == {
        DataError: 2,
        ModelError: 1,
        BackendError: 1,
        BudgetExceeded: 1,
        LedgerError: 1,
        MissingExtra: 1,
    }


def test_a_missing_optional_module_names_its_top_package_and_the_extra() -> None:
    with pytest.raises(MissingExtra) as caught, needs("parquet"):
        import surely_not_installed.at_all  # noqa: F401
    assert (caught.value.module, caught.value.extra) == ("surely_not_installed", "parquet")


def test_a_missing_module_of_our_own_is_a_bug_and_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needs("parquet"):
        import pneg.surely_not_there  # noqa: F401


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "plain, with umlauts: äöü, \u4e2d\u6587 and \U0001f600",
            "plain, with umlauts: äöü, \u4e2d\u6587 and \U0001f600",
        ),
        ("", ""),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cGF5\x9cafter", "after"),
        ("\x1bcreset\x1b(B", "reset"),
        ("an end \x1b", "an end"),
        ("two\nlines\r\n\tand  more", "two lines and more"),
        ("bell\x07 back\x08 nul\x00", "bell\ufffd back\ufffd nul\ufffd"),
        ("right \u202e to left", "right \ufffd to left"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown.isprintable()
