"""What several commands share: options of the same name, paths, reading with bad lines set aside, bars, output."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from pneg import files
from pneg.cli.terminal import visible_json
from pneg.dialogue import ENDINGS, Dialogue
from pneg.errors import DataError, PnegError

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


LARGEST = (1 << 63) - 1
"""What torch, SQLite and a place in a list can hold."""


class Whole(click.IntRange):
    """A whole number from a least one on, that fits into 64 bits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        number: int = super().convert(value, param, ctx)
        if number > LARGEST:
            self.fail(f"{value} is too large; the largest is {LARGEST}.", param, ctx)
        return number


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
seed = click.option("--seed", type=Whole(0), default=0, show_default=True, help="Seed for every random choice.")
limit = click.option("--limit", type=Whole(1), help="Take only the first dialogues.")
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


class Read(click.Path):
    """The type of a path that a command only reads: a file, a folder, or the name of a corpus.

    Args:
        path_type: of the value.
        sets_aside: whether `--skip-bad` sets its bad lines aside in the working folder, as there is no output.
    """

    def __init__(self, path_type: type = str, *, sets_aside: bool = False) -> None:
        super().__init__(readable=False, path_type=path_type)  # opening it gives the better message
        self.sets_aside = sets_aside


class Written(click.Path):
    """The type of an output that replaces what is there.

    Args:
        endings: what its name may end with; nothing means anything.
        folder: whether it is a folder.
        beside: what is added to its name for the files and folders that belong to it.
    """

    def __init__(self, endings: tuple[str, ...] = (), *, folder: bool = False, beside: tuple[str, ...] = ()) -> None:
        super().__init__(readable=False, path_type=Path)
        self.endings, self.folder, self.beside = endings, folder, beside


class Kept(click.Path):
    """The type of a file or folder that is added to, or that a stopped job goes on with.

    Args:
        folder: whether it is a folder.
        beside: as for an output.
        default: what is added to OUT's name where the option is not given; nothing means that there is none then.
    """

    def __init__(self, *, folder: bool = False, beside: tuple[str, ...] = (), default: str = "") -> None:
        super().__init__(readable=False, path_type=Path)
        self.folder, self.beside, self.default = folder, beside, default


class Command(click.Command):
    """A command whose paths are claimed before it does anything, as the types of its parameters tell them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Claim the paths and run the command."""
        replace = bool(ctx.meta.get(FORCE) or ctx.params.get("dry_run"))
        files.claim(_paths(ctx), force=replace)
        return super().invoke(ctx)


FORCE = "pneg.force"
FOLDERS = (".parts",)
"""Endings of what lies beside an output and is a folder."""
BESIDE = (".bad", ".corpus.bad", ".pool.bad", ".unfinished", ".lock", ".batches.jsonl", *FOLDERS)
"""Endings of what may lie beside an output of dialogues: bad lines, and what stopped jobs go on with.

All belong to the output, whatever wrote it. Bad lines are replaced unasked: they are copied from an input, and a job
that goes on reads its input anew.
"""


def _paths(ctx: click.Context) -> Iterator[files.Named]:
    """What a command was given for the parameters that are paths, and what belongs to it."""
    output: Path | None = next(
        (ctx.params[part.name or ""] for part in ctx.command.params if isinstance(part.type, Written)), None
    )
    for parameter in ctx.command.params:
        kind, label = parameter.type, _label(parameter)
        if not isinstance(kind, Read | Written | Kept):
            continue
        value = ctx.params.get(parameter.name or "")
        if isinstance(kind, Read):
            for path in map(Path, value if isinstance(value, tuple) else filter(None, [value])):
                yield files.Named(label, path, "read")
                if kind.sets_aside and ctx.params["skip_bad"]:
                    yield files.Named("the file for its bad lines", aside_here(path), "keep")
            continue
        if not value and isinstance(kind, Kept) and kind.default and output:
            value = beside(output, kind.default)
        if value:
            path = Path(value)
            use: Literal["write", "keep"] = "write" if isinstance(kind, Written) else "keep"
            endings = kind.endings if isinstance(kind, Written) else ()
            yield files.Named(label, path, use, kind.folder, endings)
            for ending in kind.beside:
                yield files.Named(
                    f"{path.name}{ending}, which belongs to {label},", beside(path, ending), "keep", ending in FOLDERS
                )


def _label(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.human_readable_name


def beside(path: Path, ending: str) -> Path:
    """The path with something added to its name."""
    return path.parent / f"{path.name}{ending}"


def written(
    *names: str,
    endings: tuple[str, ...] = (),
    folder: bool = False,
    beside: tuple[str, ...] = (),
    required: bool = False,
    help: str = "Where the result is written.",
) -> Decorator:
    """An option for an output, and `--force` to replace it."""

    def ordered(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[FORCE] = value

    kind = Written(endings, folder=folder, beside=beside)
    replaces = click.option(
        "--force", is_flag=True, expose_value=False, callback=ordered, help="Replace the output if it is there."
    )
    output = click.option(*names, type=kind, required=required, help=help)
    return lambda command: output(replaces(command))


skip_bad = click.option("--skip-bad", is_flag=True, help="Write bad lines aside and go on.")
out = written("-o", "--out", endings=ENDINGS, beside=BESIDE, required=True)
"""Where dialogues are written."""


def corpus(help: str) -> Decorator:
    """An option for dialogues that responses are taken from."""
    return click.option("--corpus", type=Read(), metavar="FILE", help=help)


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


def aside_of(skip: bool, output: Path) -> Path | None:
    """The file that bad lines go to: beside the output, so that input folders stay as they are."""
    return beside(output, ".bad") if skip else None


def aside_here(source: str | Path) -> Path:
    """The file that bad lines go to where there is no output: in the working folder."""
    return Path(f"{Path(source).name}.bad")


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
    """Print a result, as JSON or as text, to which is added where bad lines are.

    Raises:
        PnegError: when a figure for JSON is NaN or infinite, which JSON has no word for.
    """
    if "bad_lines" in found:
        text += f"\nbad lines: {found['bad_lines']}, set aside in {found['bad_lines_file']}"
    click.echo(visible_json(_json(found)) if as_json else text)


def _json(found: Mapping[str, Any]) -> str:
    try:
        return json.dumps(found, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        names = ", ".join(_no_numbers(found, ""))
        raise PnegError(f"the result holds figures that are no numbers ({names}), so it is not printed") from error


def _no_numbers(value: Any, name: str) -> Iterator[str]:
    """The names of figures inside a result that are NaN or infinite."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _no_numbers(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _no_numbers(inner, name)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{name}: {value}"


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
