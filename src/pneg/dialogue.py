"""The record that flows through everything, and its files: JSON lines (plain or gzip) and Parquet."""

import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from pneg.errors import DataError, needs
from pneg.files import check_output as check_path
from pneg.files import opened, replacing

OnBad = Callable[[DataError, bytes], None]
"""What to do with a bad line: gets the error and the line as it stands."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a zip.

    Attributes:
        archive: the zip.
        name: of the file in it.
    """

    archive: Path
    name: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"


AnyPath = Path | Member
"""A file, or one in a zip."""

Reader = Callable[[Path, OnBad | None], Iterator["Dialogue"]]
"""What reads a file of one form; `read` is one, each corpus has one."""

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
PARQUET_ROWS = 4096
PARQUET, GZIP, ZIP = b"PAR1", b"\x1f\x8b", b"PK\x03\x04"
"""What files of these forms begin with; a pipe has no ending to go by."""
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
        negatives: responses that do not, by source name; a name has printable characters only.
        persona: sentences about the one who responds.

    Raises:
        DataError: when the context is empty, a text is blank, or a name cannot be printed.
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
        for source in self.negatives:
            if not source.isprintable():
                raise DataError(
                    f"the name {source!r} among the negatives", "expected printable characters, such as human"
                )
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


def decoded(decode: Callable[[bytes], T], line: bytes, expected: str) -> T:
    """What a decoder makes of a line's JSON.

    Args:
        decode: of `msgspec`.
        line: the JSON.
        expected: what was expected, in a message's words.

    Raises:
        DataError: when it is no JSON, or not that of what the decoder makes.
    """
    try:
        return decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(_explained(error), expected) from error
    except RecursionError as error:
        raise DataError("lists or objects inside each other, deeper than can be read", expected) from error


def parse(line: bytes) -> Dialogue:
    """A dialogue from its JSON.

    Raises:
        DataError: when it is no JSON, or not a dialogue's.
    """
    found = decoded(_decode, line, "expected a JSON object with id, context, positives")
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
        path: JSON lines, plain or gzip, or Parquet. A pipe can be read as often as a file: what has come of it is
            kept as long as the process runs.
        on_bad: called for each bad line, which is then left out; without it a bad line raises.

    Raises:
        DataError: naming the file and the line.
    """
    path = Path(path)
    if is_parquet(path):
        return _read_parquet(path, on_bad)
    return read_lines(path, lambda line, _: parse(line), on_bad)


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet: by its ending, or by its first bytes where the ending says nothing.

    Raises:
        DataError: when the file has to be looked into and cannot be opened.
    """
    if path.name.endswith(ENDINGS):
        return path.suffix == ".parquet"
    return beginning(path, len(PARQUET)) == PARQUET


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
    try:
        with _unpacked(path) as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.removeprefix(BOM) if number == 1 else raw
                if line and not line.isspace():
                    yield number, line.rstrip(b"\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"the compressed data is broken: {error}", file=path) from error
    except (struct.error, NotImplementedError, ValueError) as error:  # a zip's own numbers lead astray
        raise DataError(f"the zip is broken: {error}", file=path) from error
    except OSError as error:
        raise DataError(f"it cannot be read any further: {error.strerror or error}", file=path) from error


@contextmanager
def _unpacked(path: AnyPath) -> Iterator[IO[bytes]]:
    if isinstance(path, Member):
        with opened(path.archive) as stream, zipfile.ZipFile(stream) as archive, archive.open(path.name) as member:
            yield member
        return
    with opened(path) as stream:
        packed = path.suffix == ".gz" or stream.read(len(GZIP)) == GZIP
        stream.seek(0)
        if not packed:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield unpacked  # type: ignore[misc]


def beginning(path: Path, count: int) -> bytes:
    """The first bytes of a file, by which its form is known.

    Raises:
        DataError: when the file is not there or cannot be opened.
    """
    with opened(path) as stream:
        return stream.read(count)


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
        DataError: when its ending is unknown, its folder is not there, or it is a folder.
    """
    check_path(path, ENDINGS)


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
    for row, values in enumerate(_rows(path), start=1):
        try:
            if isinstance(values, UnicodeDecodeError):
                raise DataError("a byte that is not UTF-8")
            values["negatives"] = dict(values.get("negatives") or ())
            values["persona"] = values.get("persona") or ()
            found = msgspec.convert(values, _Line)
            dialogue = Dialogue(found.id, found.context, found.positives, found.negatives, found.persona)
        except (msgspec.ValidationError, TypeError, ValueError, DataError) as error:
            located = DataError(_explained(error), file=path, line=row)
            _refuse(located, msgspec.json.encode(values, enc_hook=repr), on_bad)
        else:
            yield dialogue


def _rows(path: Path) -> Iterator[Any]:
    """The rows of a Parquet file as Python's objects, or why one cannot be."""
    with needs("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    with opened(path) as stream:
        try:
            table = pq.ParquetFile(stream)
            missing = {"id", "context", "positives"} - set(table.schema_arrow.names)
            if missing:
                raise DataError(f"the columns {', '.join(sorted(missing))} are missing", file=path)
            for batch in table.iter_batches(PARQUET_ROWS):
                yield from _decoded_rows(batch)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"it is no whole Parquet file: {error}", file=path) from error


def _decoded_rows(batch: Any) -> list[Any]:
    try:
        rows: list[Any] = batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [error]
        rows = [row for place in range(batch.num_rows) for row in _decoded_rows(batch.slice(place, 1))]
    return rows
