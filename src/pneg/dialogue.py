"""The record that flows through everything, and its files: JSON lines (plain or gzip) and Parquet."""

import gzip
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from pneg.errors import DataError, needs

OnBad = Callable[[DataError, bytes], None]
"""What to do with a bad line: gets the error and the line as it stands."""

AnyPath = Path | zipfile.Path
"""A file, or a member of a zip."""

Reader = Callable[[Path, OnBad | None], Iterator["Dialogue"]]
"""What reads a file of one form; `read` is one, each corpus has one."""

PARQUET_ROWS = 4096
BOM = b"\xef\xbb\xbf"


def normalised(text: str) -> str:
    """A response as it is compared with others: case, space and final punctuation do not count."""
    return " ".join(text.split()).casefold().rstrip(".,;:!?\u2026 ")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue context with responses that fit and responses that do not.

    Attributes:
        id: unique in its corpus.
        context: turns, oldest first; at least one, none blank.
        positives: responses that fit.
        negatives: responses that do not, by source name.
        persona: sentences about the one who responds.

    Raises:
        DataError: when the context is empty or a text is blank.
    """

    id: str
    context: tuple[str, ...]
    positives: tuple[str, ...]
    negatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    persona: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.context, str):
            raise DataError(f"the context is the string {self.context!r}", "expected a tuple of turns")
        if not self.context:
            raise DataError("the context is empty", "expected at least one turn")
        parts = (("context", self.context), ("positives", self.positives), ("persona", self.persona))
        for name, texts in (*parts, *self.negatives.items()):
            for place, text in enumerate(texts):
                if not text or text.isspace():
                    raise DataError(f"{name}[{place}] is blank", "expected text")


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a file: the record with its types checked, before its contents are."""

    id: str
    context: tuple[str, ...]
    positives: tuple[str, ...]
    negatives: dict[str, tuple[str, ...]] = {}
    persona: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def parse(line: bytes) -> Dialogue:
    """A dialogue from its JSON.

    Raises:
        DataError: when it is no JSON, or not a dialogue's.
    """
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(_explained(error), "expected a JSON object with id, context, positives") from error
    return Dialogue(found.id, found.context, found.positives, found.negatives, found.persona)


def _explained(error: Exception) -> str:
    text = str(error)
    if "utf-8" in text.lower():
        return "a byte that is not UTF-8"
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def dump(dialogue: Dialogue) -> bytes:
    """The JSON of a dialogue, one line with its end.

    Raises:
        DataError: when a text is no Unicode.
    """
    try:
        return _encode(dialogue) + b"\n"
    except UnicodeEncodeError as error:
        raise DataError(f"a text of the dialogue {dialogue.id} is no Unicode: {error}") from error


def read(path: str | Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read dialogues lazily, in the file's order.

    Args:
        path: `.jsonl`, `.jsonl.gz` or `.parquet`.
        on_bad: called for each bad line, which is then left out; without it a bad line raises.

    Raises:
        DataError: naming the file and the line.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return _read_parquet(path, on_bad)
    return read_lines(path, lambda line, _: parse(line), on_bad)


def read_lines(
    path: AnyPath, parse: Callable[[bytes, int], Dialogue], on_bad: OnBad | None = None
) -> Iterator[Dialogue]:
    """Read a text file that holds a dialogue a line, in any form that `parse` knows.

    Args:
        path: plain or gzip.
        parse: makes a dialogue of a line and its number, or raises `DataError`.
        on_bad: as in `read`.
    """
    for number, line in lines(path):
        try:
            dialogue = parse(line, number)
        except DataError as error:
            _refuse(DataError(error.found, error.expected, file=path, line=number), line, on_bad)
        else:
            yield dialogue


def _refuse(error: DataError, line: bytes, on_bad: OnBad | None) -> None:
    if on_bad is None:
        raise error
    on_bad(error, line)


def lines(path: AnyPath) -> Iterator[tuple[int, bytes]]:
    """The non-blank lines of a text file, gzip or not, with their numbers from 1.

    Raises:
        DataError: when the file is not there, cannot be read, or its compression is broken.
    """
    with _opened(path) as stream:
        try:
            for number, raw in enumerate(stream, start=1):
                line = raw.removeprefix(BOM) if number == 1 else raw
                if line and not line.isspace():
                    yield number, line.rstrip(b"\r\n")
        except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"the compressed data is broken: {error}", file=path) from error


@contextmanager
def _opened(path: AnyPath) -> Iterator[IO[bytes]]:
    try:
        raw: Any = path.open("rb")
        stream: Any = gzip.open(raw) if path.suffix == ".gz" else raw
    except FileNotFoundError as error:
        raise DataError("there is no such file", "check the path", file=path) from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"it cannot be read: {error.strerror}", file=path) from error
    with raw, stream:
        yield stream


def write(path: str | Path, dialogues: Iterable[Dialogue]) -> int:
    """Write dialogues to a file that appears whole or not at all, and return how many there were.

    Args:
        path: `.jsonl`, `.jsonl.gz` or `.parquet`; a file of that name is replaced.
    """
    path = Path(path)
    check_output(path)
    with replacing(path) as stream:
        if path.suffix == ".parquet":
            return _write_parquet(stream, dialogues)
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
                return _write_lines(packed, dialogues)
        return _write_lines(stream, dialogues)


def check_output(path: Path) -> None:
    """Refuse an output file that cannot be written, before any work is done.

    Raises:
        DataError: when its ending is unknown or its folder is not there.
    """
    if not path.name.endswith((".jsonl", ".jsonl.gz", ".parquet")):
        raise DataError(f"{path.name} has an unknown ending", "expected .jsonl, .jsonl.gz or .parquet", file=path)
    if not path.absolute().parent.is_dir():
        raise DataError(f"there is no folder {path.parent}", "make it first", file=path)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become the file `path` when the block ends well, and vanish when it does not."""
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_lines(stream: Any, dialogues: Iterable[Dialogue]) -> int:
    count = 0
    for dialogue in dialogues:
        stream.write(dump(dialogue))
        count += 1
    return count


def _schema() -> Any:
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return pa.schema(
        [
            ("id", pa.string()),
            ("context", texts),
            ("positives", texts),
            ("negatives", pa.map_(pa.string(), texts)),
            ("persona", texts),
        ]
    )


def _write_parquet(stream: IO[bytes], dialogues: Iterable[Dialogue]) -> int:
    with needs("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    schema, count = _schema(), 0
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(stream, schema) as writer:
        for dialogue in dialogues:
            row = msgspec.to_builtins(dialogue)
            rows.append(row | {"negatives": list(row["negatives"].items())})
            count += 1
            if len(rows) == PARQUET_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return count


def _read_parquet(path: Path, on_bad: OnBad | None) -> Iterator[Dialogue]:
    with needs("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    with _opened(path) as stream:
        try:
            table = pq.ParquetFile(stream)
            missing = {"id", "context", "positives"} - set(table.schema_arrow.names)
            if missing:
                raise DataError(f"the columns {', '.join(sorted(missing))} are missing", file=path)
            row = 0
            for batch in table.iter_batches(PARQUET_ROWS):
                for values in batch.to_pylist():
                    row += 1
                    try:
                        values["negatives"] = dict(values.get("negatives") or ())
                        values["persona"] = values.get("persona") or ()
                        found = msgspec.convert(values, _Line)
                        dialogue = Dialogue(found.id, found.context, found.positives, found.negatives, found.persona)
                    except (msgspec.ValidationError, TypeError, ValueError, DataError) as error:
                        located = DataError(_explained(error), file=path, line=row)
                        _refuse(located, msgspec.json.encode(values), on_bad)
                    else:
                        yield dialogue
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"it is no whole Parquet file: {error}", file=path) from error
