"""`pneg rank`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from pneg.cli import options
from pneg.errors import DataError

if TYPE_CHECKING:
    from pneg.selector.model import Ranked


class _Question(msgspec.Struct):
    context: tuple[str, ...]
    candidates: tuple[str, ...]


@click.command()
@click.argument("selector", type=click.Path(path_type=Path))
@click.option("--context", multiple=True, metavar="TURN", help="A turn, oldest first; give it once for each.")
@click.option("--candidate", multiple=True, metavar="TEXT", help="A candidate; give it once for each.")
@options.as_json
def rank(selector: Path, context: tuple[str, ...], candidate: tuple[str, ...], as_json: bool) -> None:
    """Order candidates by how well they fit a context, best first.

    Without --context and --candidate, standard input holds a JSON object a line,
    {"context": [...], "candidates": [...]}, and a line of ranked candidates is printed for each.
    """
    if bool(context) != bool(candidate):
        raise click.UsageError("--context and --candidate go together: give both, or neither to read standard input")
    from pneg.errors import needs

    with needs("selector"):
        from pneg.selector.model import Selector

    loaded = Selector.load(selector)
    if context:
        found = loaded.rank(context, candidate)
        text = "\n".join(f"{place.score:8.3f}  {place.candidate}" for place in found)
        options.report({"ranking": _plain(found)}, text, as_json)
        return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.isspace():
            continue
        try:
            question = msgspec.json.decode(line, type=_Question)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            expected = 'expected {"context": [...], "candidates": [...]}'
            raise DataError(str(error), expected, file="standard input", line=number) from error
        answer = {"ranking": _plain(loaded.rank(question.context, question.candidates))}
        click.echo(msgspec.json.encode(answer).decode())


def _plain(ranking: "list[Ranked]") -> list[dict[str, str | float | int]]:
    return [{"candidate": place.candidate, "score": place.score, "index": place.index} for place in ranking]
