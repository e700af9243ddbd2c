"""`pneg ledger`: runs, tokens, money and faults of a ledger that was written by hand."""

import asyncio
import json
from pathlib import Path

import pytest
from running import Run as Ran

from pneg.lm import Completion, Ledger, Recorded, Request, Run, Sampling, Scripted


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Two runs: one of two answers and three faults at a price, one of none."""
    path = tmp_path / "l.sqlite"
    said = Completion("cat", False, 1_000, 100, 400, model="m-0613", backend="b42")
    requests = [Request("Once", Sampling(), seed) for seed in (1, 2)]

    async def ask(recorded: Recorded) -> None:
        async with recorded.connect() as complete:
            for request in requests:
                await complete(request)

    with Ledger(path, Run({"seed": 3}, "0.50", "0.25", "2")) as ledger:
        recorded = Recorded(Scripted([said]), ledger)
        asyncio.run(ask(recorded))
        recorded.judge(requests[0], ["empty", "underscores"])
        recorded.judge(requests[1], ["empty"])
    with Ledger(path, Run({"seed": 4})):
        pass
    return path


def test_runs_tokens_money_and_faults(pneg: Ran, ledger: Path) -> None:
    ran = pneg("ledger", ledger, "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    # (2 * 600 * 0.50 + 2 * 400 * 0.25 + 2 * 100 * 2) dollars a million
    assert found["dollars"] == "0.0012"
    assert found["faults"] == {"empty": 2, "underscores": 1}
    first, second = found["runs"]
    assert (first["requests"], first["prompt_tokens"], first["cached_tokens"], first["completion_tokens"]) == (
        2, 2_000, 800, 200,
    )  # fmt: skip
    assert (first["models"], first["backends"], first["settings"]) == ("m-0613", "b42", {"seed": 3})
    assert (second["requests"], second["dollars"], second["settings"]) == (0, "0", {"seed": 4})
    text = pneg("ledger", ledger).out
    assert "0.0012 dollars in all; faults: empty 2, underscores 1" in text
    assert "m-0613" in text


def test_the_rows_are_exported_to_parquet(pneg: Ran, ledger: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    assert pneg("ledger", ledger, "--export", tmp_path / "rows.parquet").status == 0
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.column("seed").to_pylist() == [1, 2]
    assert table.column("text").to_pylist() == ["cat", "cat"]
    assert table.column("faults").to_pylist() == ['["empty", "underscores"]', '["empty"]']
    assert table.column("price_in").to_pylist() == ["0.50", "0.50"]
    assert {len(sha) for sha in table.column("sha256").to_pylist()} == {64}


def test_refusals_and_seconds_are_shown_and_every_column_is_exported(pneg: Ran, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    async def record(ledger: Ledger) -> None:
        for seed, seconds, refused in ((1, 2.0, ""), (2, 3.0, "refused by the server")):
            said = Completion("cat", True, 7, 5, 3, model="m-0613", backend="b42")
            await ledger.record(bytes([seed]) * 32, Request("Once", Sampling(), seed), said, seconds, refused)

    with Ledger(tmp_path / "l.sqlite", Run({"seed": 3})) as ledger:
        asyncio.run(record(ledger))
    ran = pneg("ledger", tmp_path / "l.sqlite", "--export", tmp_path / "rows.parquet", "--json")
    [run] = json.loads(ran.out)["runs"]
    assert (run["requests"], run["refused"], run["seconds"]) == (2, 1, 2.5)
    first, second = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert first["at"] <= second["at"]
    assert first["started"]
    assert {name: second[name] for name in second if name not in ("at", "started")} == {
        "sha256": "02" * 32, "run": 1, "seed": 2, "seconds": 3.0, "text": "cat", "cut": 1, "prompt_tokens": 7,
        "completion_tokens": 5, "cached_tokens": 3, "model": "m-0613", "backend": "b42",
        "refused": "refused by the server", "faults": None, "estimated": 0, "settings": '{"seed": 3}',
        "price_in": "0", "price_cached": "0", "price_out": "0",
    }  # fmt: skip


def test_what_is_no_ledger_is_refused_and_left_alone(pneg: Ran, good: Path, tmp_path: Path) -> None:
    before = good.read_bytes()
    ran = pneg("ledger", good)
    assert (ran.status, ran.says) == (1, f"pneg: {good}: it is no ledger; choose another --ledger")
    assert good.read_bytes() == before
    ran = pneg("ledger", tmp_path / "none.sqlite")
    assert (ran.status, ran.says) == (2, f"pneg: {tmp_path}/none.sqlite: there is no such file; check the path")
    assert not (tmp_path / "none.sqlite").exists()
