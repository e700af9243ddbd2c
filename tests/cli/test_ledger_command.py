"""`pneg ledger`: runs, tokens, money and faults of a ledger that was written by hand."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from running import Run as Ran

import chaos
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


def test_another_program_s_database_is_refused_and_left_alone_by_every_use(pneg: Ran, tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')")
    connection.close()
    before = path.read_bytes()
    words = [
        "negatives",
        "prompted",
        "starter:test",
        "-o",
        "o.jsonl",
        "--lm",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
    ]
    for ran in (
        pneg("ledger", path),
        pneg("ledger", path, "--export", tmp_path / "rows.parquet"),
        pneg(*words, "--ledger", path),
        pneg(*words, "--ledger", path, "--dry-run"),
    ):
        assert (ran.status, ran.says) == (1, f"pneg: {path}: it is no ledger; choose another --ledger")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.glob("*.sqlite*")] == ["notes.sqlite"]


def test_a_ledger_is_shown_while_a_job_writes_it_and_left_as_it_is_otherwise(pneg: Ran, ledger: Path) -> None:
    before = ledger.read_bytes()
    assert pneg("ledger", ledger, "--json").status == 0
    assert ledger.read_bytes() == before
    assert [file.name for file in ledger.parent.glob("l.sqlite*")] == ["l.sqlite"]
    with Ledger(ledger, Run({"seed": 5})) as open_one:
        asyncio.run(open_one.record(b"x" * 32, Request("a", Sampling(), 1), Completion("cat", False, 5, 1), 0.1))
        ran = pneg("ledger", ledger, "--json")
        assert [run["requests"] for run in json.loads(ran.out)["runs"]] == [2, 0, 1]


EDITS = [
    "UPDATE runs SET settings = '{broken'",
    "UPDATE runs SET settings = x'ff'",
    "UPDATE runs SET started = x'1b5b'",
    "UPDATE requests SET faults = '{broken'",
    "UPDATE requests SET faults = '[[1]]'",
    "UPDATE requests SET faults = x'ff'",
    "UPDATE requests SET faults = 5",
    "UPDATE requests SET prompt_tokens = 9e999",
    "UPDATE requests SET seconds = 9e999",
    "UPDATE requests SET prompt_tokens = 'many', seconds = 'long'",
    "UPDATE requests SET completion_tokens = -1000000",
    "UPDATE requests SET cached_tokens = 1000000",
    "UPDATE requests SET text = x'ff00'",
    "UPDATE requests SET model = x'ff'",
    "UPDATE requests SET text = CAST(x'ff61' AS TEXT)",
    "UPDATE requests SET run = 77",
    "DELETE FROM runs",
    "UPDATE requests SET seed = 'none', cut = 'no', at = x'00'",
    "ALTER TABLE requests ADD COLUMN note",
    "CREATE TABLE notes (text)",
    "UPDATE requests SET hash = 'text' || seed",
    "UPDATE requests SET refused = x'ff'",
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_ledger_is_shown_exported_and_used_without_a_stack_trace(
    pneg: Ran, ledger: Path, tmp_path: Path, edit: str
) -> None:
    import pyarrow.parquet as pq

    connection = sqlite3.connect(ledger)
    connection.executescript(edit)
    connection.close()
    shown = pneg("ledger", ledger, "--json")
    assert shown.status == 0, shown.err
    assert float(json.loads(shown.out, parse_constant=pytest.fail)["dollars"]) >= 0
    assert pneg("ledger", ledger, "--export", tmp_path / "rows.parquet").status == 0
    assert pq.read_table(tmp_path / "rows.parquet").num_rows <= 2
    with chaos.serving(chaos.Server()) as server:
        words = [
            "negatives",
            "prompted",
            "starter:test",
            "--limit",
            1,
            "-o",
            tmp_path / "o.jsonl",
            "--lm",
            server.url,
        ]
        words += ["--model", "m", "--ledger", ledger, "--price-in", 1, "--price-out", 1, "--json"]
        planned = pneg(*words, "--dry-run")
        assert json.loads(planned.out)["spent"] == json.loads(shown.out)["dollars"]
        assert pneg(*words).status == 0


@pytest.mark.parametrize("price", ["free", "NaN", "-2"])
def test_a_price_that_is_none_is_one_message_everywhere(pneg: Ran, ledger: Path, price: str) -> None:
    connection = sqlite3.connect(ledger)
    connection.executescript(f"UPDATE runs SET price_in = '{price}'")
    connection.close()
    words = [
        "negatives",
        "prompted",
        "starter:test",
        "-o",
        "o.jsonl",
        "--lm",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
    ]
    for ran in (
        pneg("ledger", ledger),
        pneg(*words, "--ledger", ledger),
        pneg(*words, "--ledger", ledger, "--dry-run"),
    ):
        assert ran.status == 1
        assert ran.says.startswith(
            f"pneg: {ledger}: the prices of run 1 are no sums of dollars: '{price}', '0.25', '2'"
        )


def test_what_a_job_a_dry_run_and_the_ledger_say_was_spent_is_the_same(pneg: Ran, tmp_path: Path) -> None:
    def plan(number: int, _: object) -> chaos.Fault | None:
        return chaos.breaking_off if number == 1 else None

    words = ["negatives", "prompted", "starter:test", "--limit", 3, "--model", "m", "--ledger", "l.sqlite", "--json"]
    words += ["--price-in", 100, "--price-out", 500, "--concurrency", 1]
    with chaos.serving(chaos.Server(plan)) as server:
        ran = pneg(*words, "-o", "o.jsonl", "--lm", server.url)
        planned = pneg(*words, "-o", "p.jsonl", "--lm", server.url, "--dry-run")
    [run] = json.loads(pneg("ledger", "l.sqlite", "--json").out)["runs"]
    assert json.loads(ran.out)["dollars"] == json.loads(planned.out)["spent"] == run["dollars"]
    assert (run["refused"], run["estimated"]) == (1, 1)
    assert float(run["dollars"]) > 0.02 * (run["requests"] - 1)
    assert "tokens of 1 requests were not told by the server" in pneg("ledger", "l.sqlite").out
