"""A result as JSON: never with figures that are no numbers, which JSON has no word for."""

import json
import math

import pytest

from pneg.cli import options
from pneg.errors import PnegError


def test_a_result_is_printed_as_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    options.report({"name": "\u00e9", "r@1": 0.5, "n": None}, "text", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "\u00e9", "r@1": 0.5, "n": None}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_is_named_and_nothing_is_printed(
    value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"sets": {"human": {"r@1": value, "n": 3}}, "losses": [0.5, value], "fine": 1.0}
    with pytest.raises(PnegError, match=rf"\(sets\.human\.r@1: {value}, losses: {value}\)"):
        options.report(result, "text", as_json=True)
    assert capsys.readouterr().out == ""
