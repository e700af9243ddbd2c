"""`pneg ledger`."""

import json
from collections import Counter
from collections.abc import Iterator
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
SELECT runs.id, CAST(started AS TEXT) AS started, CAST(settings AS TEXT) AS settings, count(hash) AS requests,
    coalesce(sum(refused != ''), 0) AS refused, coalesce(sum({own_count}), 0) AS estimated,
    coalesce(sum({READ}), 0) AS prompt_tokens, coalesce(sum(min({READ}, {CACHED})), 0) AS cached_tokens,
    coalesce(sum({WRITTEN}), 0) AS completion_tokens, coalesce(avg({SECONDS}), 0.0) AS seconds,
    group_concat(DISTINCT model) AS models, group_concat(DISTINCT backend) AS backends
FROM runs LEFT JOIN requests ON run = runs.id GROUP BY runs.id ORDER BY runs.id
"""
FAULTS = "SELECT faults, count(*) FROM requests WHERE faults IS NOT NULL AND faults != '[]' GROUP BY faults"
UNREADABLE = "unreadable"
"""What stands for the faults of a row that was edited into no list of them."""
KINDS = ("prompt", "cached", "completion")
ROWS = 4096


@click.command(cls=options.Command)
@click.argument("file", type=options.Read(Path))
@options.written("--export", endings=(".parquet",), help="Write all rows to a .parquet file.")
@options.as_json
def ledger(file: Path, export: Path | None, as_json: bool) -> None:
    """What the runs in a ledger asked for, got, and paid.

    FILE is what `pneg negatives prompted` keeps beside its output, OUT.ledger.sqlite.
    """
    from pneg.lm.ledger_file import reading, spent

    if not file.is_file():
        raise DataError("there is no such file", "check the path", file=file)
    with reading(file) as connection:
        dollars = spent(connection, file)
        runs = [_run(row, dollars) for row in _rows(connection, _runs_query(connection))]
        faults: Counter[str] = Counter()
        for noted, times in connection.execute(FAULTS):
            for reason, number in Counter(_reasons(noted)).items():
                faults[reason] += number * times
        if export is not None:
            _export(connection, export)
    total = sum(dollars.values(), Decimal(0))
    summary = {"ledger": str(file), "runs": runs, "dollars": str(total), "faults": dict(faults.most_common())}
    text = f"{_table(runs)}\n\n{total:.4f} dollars in all; faults: "
    text += ", ".join(f"{reason} {number:,}" for reason, number in faults.most_common()) or "none"
    if estimated := sum(run["estimated"] for run in runs):
        text += f"\ntokens of {estimated:,} requests were not told by the server, and are counted at most"
    options.report(summary, text + (f"\nexported to {export}" if export else ""), as_json)


def _table(runs: list[dict[str, Any]]) -> str:
    rows = [["run", "started", "model", "requests", "refused", "read", "cached", "written", "s each", "dollars"]]
    for run in runs:
        numbers = (run["requests"], run["refused"], *(run[f"{kind}_tokens"] for kind in KINDS))
        rows.append([str(run["id"]), run["started"], run["models"] or "-", *(f"{number:,}" for number in numbers)])
        rows[-1] += [f"{run['seconds']:.2f}", f"{Decimal(run['dollars']):.4f}"]
    return options.table(rows)


def _runs_query(connection: "sqlite3.Connection") -> str:
    from pneg.lm.ledger_file import CACHED, READ, SECONDS, WRITTEN, columns

    own_count = "estimated != 0" if "estimated" in columns(connection, "requests") else "0"
    return RUNS.format(own_count=own_count, READ=READ, CACHED=CACHED, WRITTEN=WRITTEN, SECONDS=SECONDS)


def _rows(connection: "sqlite3.Connection", query: str) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _run(row: dict[str, Any], dollars: dict[int, Decimal]) -> dict[str, Any]:
    try:
        settings = json.loads(row.pop("settings"))
    except (ValueError, TypeError, RecursionError):  # it was edited
        settings = None
    return {**row, "dollars": str(dollars.get(row["id"], Decimal(0))), "settings": settings}


def _reasons(noted: object) -> list[str]:
    """The faults of an answer, as the ledger notes them."""
    try:
        reasons = json.loads(noted) if isinstance(noted, str) else None
    except (ValueError, RecursionError):
        reasons = None
    if isinstance(reasons, list) and all(isinstance(reason, str) for reason in reasons):
        return reasons
    return [UNREADABLE]


def _export(connection: "sqlite3.Connection", target: Path) -> None:
    """Write all rows; what is not of its column's kind, since it was edited, is left empty."""
    with needs("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    from pneg.lm.ledger_file import ROW, RUN, columns

    kinds = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
    known = {"requests": {"run", *ROW.split(", ")}, "runs": set(RUN.split(", "))}
    types = {
        name: kind
        for table in known
        for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
        if name in known[table] & columns(connection, table)
    }
    schema = pa.schema([("sha256", pa.string()), *((name, kinds[kind]) for name, kind in types.items())])
    chosen = ", ".join(f"{CAST[kind].format(name)} AS {name}" for name, kind in types.items())
    tables = "requests JOIN runs ON run = runs.id"
    query = f"SELECT lower(hex(hash)) AS sha256, {chosen} FROM {tables} ORDER BY requests.rowid"
    with replacing(target) as stream, pq.ParquetWriter(stream, schema) as writer:
        rows: list[dict[str, Any]] = []
        for row in _rows(connection, query):
            rows.append(row)
            if len(rows) == ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema))


CAST = {
    "INTEGER": "CASE WHEN typeof({0}) = 'integer' THEN {0} END",
    "REAL": "CASE WHEN typeof({0}) IN ('real', 'integer') THEN {0} END",
    "TEXT": "CASE WHEN typeof({0}) = 'text' THEN {0} END",
}
"""SQL for the values of a column that are of its kind."""
