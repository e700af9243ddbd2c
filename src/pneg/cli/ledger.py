"""`pneg ledger`."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli import options
from pneg.errors import DataError, needs
from pneg.files import replacing

if TYPE_CHECKING:
    import sqlite3

RUNS = """
SELECT runs.id, started, settings, count(hash) AS requests, sum(coalesce(refused, '') != '') AS refused,
    coalesce(sum(prompt_tokens), 0) AS prompt_tokens, coalesce(sum(cached_tokens), 0) AS cached_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens, coalesce(avg(seconds), 0) AS seconds,
    price_in, price_cached, price_out, group_concat(DISTINCT model) AS models,
    group_concat(DISTINCT backend) AS backends
FROM runs LEFT JOIN requests ON run = runs.id GROUP BY runs.id ORDER BY runs.id
"""
FAULTS = "SELECT faults, count(*) FROM requests WHERE faults IS NOT NULL AND faults != '[]' GROUP BY faults"
EVERYTHING = "SELECT lower(hex(hash)) AS sha256, * FROM requests JOIN runs ON run = runs.id ORDER BY requests.rowid"
ROWS = 4096


@click.command(cls=options.Command)
@click.argument("file", type=options.Read(Path))
@options.written("--export", endings=(".parquet",), help="Write all rows to a .parquet file.")
@options.as_json
def ledger(file: Path, export: Path | None, as_json: bool) -> None:
    """What the runs in a ledger asked for, got, and paid.

    FILE is what `pneg negatives prompted` keeps beside its output, OUT.ledger.sqlite.
    """
    from pneg.lm.ledger import explained, opened

    if not file.is_file():
        raise DataError("there is no such file", "check the path", file=file)
    with explained(file), closing(opened(file)) as connection:
        runs = [_run(row) for row in _named(connection, RUNS)]
        faults: Counter[str] = Counter()
        for told, times in connection.execute(FAULTS):
            for reason, number in Counter(json.loads(told)).items():
                faults[reason] += number * times
        if export is not None:
            _export(connection, export)
    dollars = sum((Decimal(run["dollars"]) for run in runs), Decimal(0))
    found = {"ledger": str(file), "runs": runs, "dollars": str(dollars), "faults": dict(faults.most_common())}
    rows = [["run", "started", "model", "requests", "refused", "read", "cached", "written", "s each", "dollars"]]
    for run in runs:
        numbers = (run["requests"], run["refused"], *(run[f"{kind}_tokens"] for kind in KINDS))
        rows.append([str(run["id"]), run["started"], run["models"] or "-", *(f"{number:,}" for number in numbers)])
        rows[-1] += [f"{run['seconds']:.2f}", f"{Decimal(run['dollars']):.4f}"]
    told = ", ".join(f"{reason} {number:,}" for reason, number in faults.most_common()) or "none"
    text = f"{options.table(rows)}\n\n{dollars:.4f} dollars in all; faults: {told}"
    options.report(found, text + (f"\nexported to {export}" if export else ""), as_json)


KINDS = ("prompt", "cached", "completion")


def _named(connection: "sqlite3.Connection", query: str) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _run(row: dict[str, Any]) -> dict[str, Any]:
    from pneg.lm.prices import Price

    price = Price(*(Decimal(row.pop(f"price_{kind}")) for kind in ("in", "cached", "out")))
    dollars = price.of(row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"])
    settings = json.loads(row.pop("settings"))
    return {**row, "refused": row["refused"] or 0, "dollars": str(dollars), "settings": settings}


def _export(connection: "sqlite3.Connection", target: Path) -> None:
    with needs("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    kinds = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
    columns = {
        name: kinds[kind]
        for table in ("requests", "runs")
        for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
        if name not in ("hash", "id")
    }
    schema = pa.schema([("sha256", pa.string()), *columns.items()])
    with replacing(target) as stream, pq.ParquetWriter(stream, schema) as writer:
        rows: list[dict[str, Any]] = []
        for row in _named(connection, EVERYTHING):
            rows.append(row)
            if len(rows) == ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema))
