"""What several commands share: options of the same name, reading with bad lines set aside, bars, output."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click

from pneg.dialogue import Dialogue
from pneg.errors import DataError

T = TypeVar("T")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Number(click.FloatRange):
    """A number within a range; `nan` and `inf`, which a range lets pass, are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


class Names(click.ParamType):  # type: ignore[type-arg]
    """Names with commas between them; each counts once."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names, at least one."""
        if isinstance(value, tuple):
            return value
        found = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if not found:
            self.fail(f"{value!r} names nothing.", param, ctx)
        return found


class Counts(click.ParamType):  # type: ignore[type-arg]
    """Names with a count each, with commas between them."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:
        """The counts by name, at least one, each a whole number above 0."""
        if isinstance(value, dict):
            return value
        counts: dict[str, int] = {}
        for part in filter(None, map(str.strip, value.split(","))):
            name, _, count = (piece.strip() for piece in part.partition("="))
            if not name or not count.isdecimal() or int(count) < 1:
                self.fail(f"{part!r} is no count of a source; expected SOURCE=N, such as bm25=3.", param, ctx)
            if name in counts:
                self.fail(f"{name} is named twice in {value!r}.", param, ctx)
            counts[name] = int(count)
        if not counts:
            self.fail(f"{value!r} names nothing.", param, ctx)
        return counts


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random.")
limit = click.option("--limit", type=click.IntRange(1), help="Take only the first dialogues.")
count = click.option("--count", type=click.IntRange(1), default=5, show_default=True, help="Negatives a dialogue.")
fitted_model = click.option(
    "--model",
    metavar="NAME",
    help="The model to be fitted: a hub name or a folder.  [default: gpt2, else smollm2-135m]",
)
fit_examples = click.option(
    "--fit-examples",
    type=click.IntRange(0),
    metavar="N",
    help="Fit to N examples drawn from the corpus, 0 to all.  [default: 640 on a processor, 3 to 9 minutes on two "
    "idle cores; 200000 on a GPU]",
)


def _told(_: click.Context, __: click.Parameter, precision: str) -> str:
    if precision == "bfloat16" and find_spec("torch"):
        import torch

        from pneg import devices

        if devices.best_precision(torch.device(devices.best_device())) != precision:
            click.echo("pneg: note: this machine has no fast bfloat16; float32 takes less time here", err=True)
    return precision


def precision(*choices: str) -> Decorator:
    """What a model computes in: one of these, by default the first."""
    return click.option(
        "--precision", type=click.Choice(choices), default=choices[0], show_default=True, callback=_told
    )


skip_bad = click.option("--skip-bad", is_flag=True, help="Write bad lines aside and go on.")
out = click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Where the result is written.")


class Input:
    """Dialogues named on the command line; bad lines are set aside where that was asked for.

    Args:
        source: a file or the name of a corpus.
        limit: how many to read.
        aside: the file for bad lines; None means a bad line is an error.

    Attributes:
        bad: how many lines were set aside.
    """

    def __init__(self, source: str, limit: int | None = None, aside: Path | None = None) -> None:
        self.source, self.limit, self.aside, self.bad = source, limit, aside, 0

    def __iter__(self) -> Iterator[Dialogue]:
        from pneg import corpora

        self.bad = 0
        return islice(corpora.read(self.source, self._set_aside if self.aside else None), self.limit)

    def _set_aside(self, error: DataError, line: bytes) -> None:
        assert self.aside is not None
        self.bad += 1
        with self.aside.open("ab" if self.bad > 1 else "wb") as stream:
            stream.write(line + b"\n")
        click.echo(f"pneg: set aside: {error}", err=True)

    def summary(self) -> dict[str, Any]:
        """What to report about bad lines."""
        return {"bad_lines": self.bad, "bad_lines_file": str(self.aside)} if self.bad else {}


def aside_of(skip: bool, beside: Path) -> Path | None:
    """The file that bad lines go to: beside the output, so that input folders stay as they are."""
    return beside.with_name(beside.name + ".bad") if skip else None


def bar(items: Iterable[T], total: int | None, unit: str, said: Callable[[], str] | None = None) -> Iterator[T]:
    """The items with a bar on standard error, which is gone before anything else is said there.

    Args:
        items: what is counted.
        total: how many there will be, where that is known.
        unit: what one is called.
        said: gives what is shown behind the bar.
    """
    with progress(items, total, unit) as shown:
        for item in shown:
            if said is not None:
                shown.set_postfix_str(said(), refresh=False)
            yield item


def progress(items: Iterable[T] | None, total: int | None, unit: str) -> Any:
    """A bar of `tqdm`; in a log it is drawn every half a minute."""
    from tqdm import tqdm

    interval, delay = (0.2, 0.2) if sys.stderr.isatty() else (30.0, 5.0)
    return tqdm(items, total=total, unit=unit, mininterval=interval, maxinterval=interval, delay=delay, leave=False)


def report(found: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print a result, as JSON or as text, to which is added where bad lines are."""
    if "bad_lines" in found:
        text += f"\nbad lines: {found['bad_lines']}, set aside in {found['bad_lines_file']}"
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
