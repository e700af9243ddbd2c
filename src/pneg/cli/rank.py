"""`pneg rank`."""

import gzip
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from pneg.cli import options
from pneg.dialogue import decoded, lines
from pneg.errors import DataError
from pneg.files import replacing

if TYPE_CHECKING:
    from pneg.selector.ranking import Question, Ranked, Scorer

Line = tuple[int, bytes]
"""A line's number, from 1, and what it holds."""
BLOCK = 256
"""Questions of a file that are scored together."""
STREAM_BYTES = 1 << 16
"""What is read of a stream at a time, where so much is there: what a pipe holds."""
INPUT = "standard input"


class _Question(msgspec.Struct):
    context: tuple[str, ...]
    candidates: tuple[str, ...]
    persona: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Question).decode


@click.command(cls=options.Command)
@click.argument("selector", type=options.Read(Path))
@click.argument("file", required=False, type=options.Read(Path))
@click.option("--context", multiple=True, metavar="TURN", help="A turn, oldest first; give it once for each.")
@click.option("--candidate", multiple=True, metavar="TEXT", help="A candidate; give it once for each.")
@click.option("--persona", multiple=True, metavar="TEXT", help="A sentence about who answers; once for each.")
@options.written("-o", "--out", endings=(".jsonl", ".jsonl.gz"), help="Where the answers to FILE are written.")
@options.as_json
def rank(
    selector: Path,
    file: Path | None,
    context: tuple[str, ...],
    candidate: tuple[str, ...],
    persona: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Order candidates by how well they fit a context, best first.

    Without --context and --candidate, FILE or standard input holds a JSON object a line,
    {"context": [...], "candidates": [...]} with "persona" if need be, and a line of ranked candidates is written for
    each. SELECTOR is what pneg train or pneg export wrote.
    """
    if bool(context) != bool(candidate):
        raise click.UsageError("--context and --candidate go together: give both, or neither to read standard input")
    if persona and not context:
        raise click.UsageError("--persona goes with --context; in a file it is a key of each object")
    if context and file is not None:
        raise click.UsageError("give either a file or --context and --candidate")
    if out is not None and file is None:
        raise click.UsageError("--out is for the answers to a file")
    if not context and file is None and sys.stdin is None:
        raise click.UsageError("standard input is closed: give FILE, or --context and --candidate")
    from pneg.selector import ranking

    loaded = ranking.load(selector)
    if context:
        found = loaded.rank(context, candidate, persona=persona)
        options.report({"ranking": _plain(found)}, "\n".join(map(_shown, found)), as_json)
        return
    blocks = _stream_blocks(sys.stdin.buffer) if file is None else _file_blocks(file)
    with _opened(out) as stream:
        count = 0
        for block in blocks:
            for answer in _answers(loaded, block, INPUT if file is None else file):
                stream.write(answer)
                count += 1
            stream.flush()
    if out is not None:
        options.report({"out": str(out), "questions": count}, f"{count} questions -> {out}", as_json)


def _answers(selector: "Scorer", block: Iterable[Line], place: object) -> Iterator[bytes]:
    """The answer to each line; what stands before a bad line is answered before it is refused."""
    from pneg.selector.ranking import rank_all

    questions, bad = [], None
    for number, line in block:
        try:
            questions.append(_parsed(line))
        except DataError as error:
            bad = DataError(error.found, error.expected, file=place, line=number)
            break
    for ranking in rank_all(selector, questions):
        yield msgspec.json.encode({"ranking": _plain(ranking)}) + b"\n"
    if bad is not None:
        raise bad


def _parsed(line: bytes) -> "Question":
    from pneg.selector.ranking import Question

    found = decoded(_decode, line, 'expected {"context": [...], "candidates": [...]}')
    return Question(found.context, found.candidates, found.persona)


def _stream_blocks(stream: Any) -> Iterator[list[Line]]:
    """The whole lines that are there, as soon as there are any: who asks by hand is answered at once."""
    number, rest = 0, b""
    while chunk := stream.read1(STREAM_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        yield [(number + place, line) for place, line in enumerate(whole, start=1) if line.strip()]
        number += len(whole)
    if rest.strip():
        yield [(number + 1, rest)]


def _file_blocks(file: Path) -> Iterator[list[Line]]:
    there = lines(file)
    while block := list(islice(there, BLOCK)):
        yield block


@contextmanager
def _opened(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    with replacing(out) as stream:
        if out.suffix == ".gz":
            with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield stream


def _plain(ranking: "list[Ranked]") -> list[dict[str, str | float | int | None]]:
    return [
        {
            "candidate": place.candidate,
            "score": place.score,
            "probability": place.probability,
            "index": place.index,
        }
        for place in ranking
    ]


def _shown(place: "Ranked") -> str:
    probability = "" if place.probability is None else f"{place.probability:7.1%}  "
    return f"{place.score:8.3f}  {probability}{place.candidate}"
