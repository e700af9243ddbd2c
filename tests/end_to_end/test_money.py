"""Dollars on the command line: said before, counted during, and never more than the budget."""

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

import chaos
from pneg.cli import main

PRICES = ["--price-in", "100", "--price-out", "500"]
EACH = Decimal(100 * chaos.PROMPT_TOKENS + 500 * chaos.COMPLETION_TOKENS) / 1_000_000


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    def run(url: str, *more: str) -> tuple[int, dict[str, Any], str]:
        out = str(tmp_path / "out.jsonl")
        words = ["negatives", "prompted", "starter:test", "-o", out, "--lm", url, "--model", "m", "--json", *more]
        status = main(words)
        said = capsys.readouterr()
        return status, json.loads(said.out or "{}"), said.err

    return run


def test_a_dry_run_spends_nothing_and_leaves_nothing(run: Any, tmp_path: Path) -> None:
    with chaos.serving(chaos.Server()) as server:
        status, found, _ = run(server.url, "--dry-run", "--limit", "40", *PRICES)
    assert status == 0
    assert not server.times
    assert list(tmp_path.iterdir()) == []
    assert (found["contexts"], found["exact_tokens"], found["done_before"]) == (40, False, 0)
    assert found["requests"] == 53  # 40 * 4/3: a quarter is assumed to be faulty
    assert found["habits"]["seen"] == 0
    _, story, _ = run("http://127.0.0.1:9/v1", "--dry-run", "--limit", "40", "--instruction", "implicit", *PRICES)
    assert (story["contexts"], story["requests"]) == (40, 267)  # five requests a context
    assert Decimal(found["dollars"]) == pytest.approx(
        Decimal(100 * found["prompt_tokens"] + 500 * found["completion_tokens"]) / 1_000_000, abs=Decimal("0.0001")
    )


def test_what_was_spent_is_said(run: Any, tmp_path: Path) -> None:
    with chaos.serving(chaos.Server()) as server:
        status, found, _ = run(server.url, "--limit", "40", *PRICES)
        assert status == 0
        assert Decimal(found["dollars"]) == EACH * found["requests"] == EACH * len(server.times)
        _, dry, _ = run(server.url, "--dry-run", *PRICES)
    assert dry["done_before"] == 0
    assert dry["habits"]["written"] == chaos.COMPLETION_TOKENS or dry["habits"]["seen"] == 0


def test_a_budget_stops_the_job_and_a_higher_one_goes_on(run: Any, tmp_path: Path) -> None:
    with chaos.serving(chaos.Server(delay=0.02)) as server:
        for _ in range(2):  # the second time at most what is small enough is asked for
            status, found, said = run(server.url, "--budget", "2.0", *PRICES)
            assert (status, found) == (1, {})
            assert "of 2.0 dollars are spent" in said
            assert "higher --budget to go on" in said
            spent = len(server.times)
            assert Decimal("1.0") < spent * EACH <= Decimal("2.0")
            with sqlite3.connect(tmp_path / "out.jsonl.ledger.sqlite") as ledger:
                assert ledger.execute("SELECT count(*) FROM requests").fetchone() == (spent,)
        status, found, _ = run(server.url, "--budget", "50", *PRICES)
        assert (status, found["dialogues"]) == (0, 100)
    assert set(server.asked.values()) == {1}
    assert Decimal(found["dollars"]) == EACH * len(server.times)


def test_a_dry_run_says_what_is_left_of_a_stopped_job(run: Any, tmp_path: Path) -> None:
    ledger, other = tmp_path / "out.jsonl.ledger.sqlite", ("-o", str(tmp_path / "other.jsonl"), *PRICES)
    with chaos.serving(chaos.Server(delay=0.02)) as server:
        assert run(server.url, "--budget", "2.0", *PRICES)[0] == 1
        answered = len(server.times)
        _, left, _ = run(server.url, "--dry-run", *other, "--ledger", str(ledger))
        assert left["requests_in_ledger"] == answered
        assert 0 < left["in_ledger"] < 100
        assert left["contexts"] == 100 - left["in_ledger"]
        parts = tmp_path / "other.jsonl.parts"  # of a job on a cluster
        parts.mkdir()
        mark, *_ = (tmp_path / "out.jsonl.unfinished").read_bytes().splitlines(keepends=True)
        (parts / "job.json").write_bytes(mark)
        copyfile(ledger, parts / "00000000.ledger.sqlite")
        assert run(server.url, "--dry-run", *other)[1]["in_ledger"] == left["in_ledger"]
        _, resumed, _ = run(server.url, "--dry-run", *PRICES)  # what the journal has is not looked for
        assert resumed["done_before"] + resumed["in_ledger"] == left["in_ledger"]
        assert (resumed["contexts"], resumed["dollars"]) == (left["contexts"], left["dollars"])
        assert len(server.times) == answered
        _, whole, _ = run(server.url, *PRICES)
        _, nothing, _ = run(server.url, "--dry-run", *other, "--ledger", str(ledger))
    assert whole["from_ledger"] + len(server.times) - answered == whole["requests"]
    assert (nothing["contexts"], nothing["requests"], nothing["in_ledger"]) == (0, 0, 100)
    assert (nothing["requests_in_ledger"], Decimal(nothing["dollars_at_most"])) == (len(server.times), 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--budget", "1"], "the price of m is not known: --budget needs --price-in and --price-out"),
        (["--price-in", "1"], "--price-in and --price-out go together"),
        (["--budget", "much"], "much is no sum of dollars"),
        (["--budget", "-1"], "-1 is no sum of dollars"),
        (["--budget", "1e999999"], "1e999999 is no sum of dollars"),
    ],
)
def test_sums_that_make_no_sense_are_refused(run: Any, words: list[str], says: str) -> None:
    status, _, said = run("http://127.0.0.1:9/v1", *words)
    assert status == 2
    assert says in said
