"""The paths of every command: no input is changed, nothing is replaced unasked, and no two are the same file.

The commands and their paths are those of the click tree, so a new command is tried as soon as it is there. What a
command does after its paths are claimed is the real thing where that is cheap; elsewhere a stand-in writes to each of
the command's outputs, and beside them, whatever the real one might.
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneg import Dialogue, cli, write
from pneg.cli import options
from pneg.files import replacing

REAL = {("show",), ("negatives", "random"), ("negatives", "context"), ("negatives", "human")}
"""The commands that are run as they are."""
PATHS = (options.Read, options.Written, options.Kept)
DIALOGUES = [
    Dialogue(str(n), (f"Is {n} ready?",), (f"It will be {n}.",), {"human": (f"{n} is a number.",)}) for n in range(3)
]


def tree(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from tree(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = dict(tree(cli.pneg))
several = [name for name, command in COMMANDS.items() if sum(isinstance(part.type, PATHS) for part in command.params)]


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_path_of_every_command_says_what_it_is_for(name: tuple[str, ...]) -> None:
    """A plain `click.Path` or `click.File` would be claimed by nobody."""
    command = COMMANDS[name]
    assert isinstance(command, options.Command), "give it cls=options.Command"
    plain = [part.name for part in command.params if type(part.type) in (click.Path, click.File)]
    assert plain == [], "give it the type Read, Written or Kept of options"
    if any(isinstance(part.type, options.Written) for part in command.params):
        assert any("--force" in part.opts for part in command.params)


def stand_in(command: click.Command, **words: Any) -> None:
    """Write to all outputs of a command and to what belongs to them."""
    for part in command.params:
        kind, value = part.type, words.get(part.name or "")
        if not value:
            continue
        if isinstance(kind, options.Written) and not kind.folder:
            with replacing(value) as stream:
                stream.write(b"an output")
        elif isinstance(kind, options.Written):
            shutil.rmtree(value, ignore_errors=True)
        if isinstance(kind, options.Written | options.Kept):
            if kind.folder:
                value.mkdir(parents=True, exist_ok=True)
            elif isinstance(kind, options.Kept):
                with value.open("ab") as stream:
                    stream.write(b"more")
            for ending in kind.beside:
                if ending not in options.FOLDERS:
                    options.beside(value, ending).write_bytes(b"a part")
        elif getattr(kind, "sets_aside", False) and words["skip_bad"]:
            options.aside_here(value).write_bytes(b"bad lines")


READ = ("a.jsonl", "b.jsonl", "full/c.jsonl", "new.jsonl.bad", "full/new.jsonl")
WRITTEN = ("b.jsonl", "new.jsonl", "to-new.jsonl", "a.parquet", "new.parquet", "new.html", "full", "new")
KEPT = ("b.jsonl", "log", "new.jsonl.ledger.sqlite", "full", "new")
ODD = (
    "./a.jsonl", "sub/../a.jsonl", "hard.jsonl", "link.jsonl", "linked/a.jsonl", "a.jsonl.bad", "./new.jsonl",
    "new.jsonl.unfinished", "new.jsonl.gz", "full/c.jsonl", "folder.jsonl", "nowhere/new.jsonl",
)  # fmt: skip
"""Files and folders of which some are there, and some are the same under other names."""


def names(kind: click.ParamType) -> st.SearchStrategy[str]:
    """Names for a path, mostly such as suit it, so that many calls are not refused."""
    suited = KEPT if isinstance(kind, options.Kept) else WRITTEN if isinstance(kind, options.Written) else READ
    if isinstance(kind, options.Written):
        suited = tuple(name for name in suited if name.endswith(kind.endings) or kind.folder)
    return st.one_of(
        st.sampled_from(suited), st.sampled_from(suited), st.sampled_from((*READ, *WRITTEN, *KEPT, *ODD))
    )


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made, chdir(made):
        here = Path(made)
        for name in ("sub", "folder.jsonl", "full"):
            (here / name).mkdir()
        write(here / "made.jsonl", DIALOGUES)
        good = (here / "made.jsonl").read_bytes()
        (here / "made.jsonl").unlink()
        for name in ("a.jsonl", "full/c.jsonl", "new.jsonl.unfinished", "a.parquet"):
            (here / name).write_bytes(good)
        for name in ("b.jsonl", "new.jsonl.bad"):
            (here / name).write_bytes(good + b"{broken\n")
        for name, target in (
            ("a.jsonl.bad", "b.jsonl"), ("link.jsonl", "a.jsonl"), ("linked", "."), ("to-new.jsonl", "new.jsonl"),
            ("full/new.jsonl", "../new.jsonl.bad"),
        ):  # fmt: skip
            (here / name).symlink_to(target)
        (here / "hard.jsonl").hardlink_to(here / "a.jsonl")
        yield here


def contents(here: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(here)): b"-> " + os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(here.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def run(words: list[str], name: tuple[str, ...]) -> tuple[int, str]:
    command = COMMANDS[name]
    said = io.StringIO()
    before = command.callback
    if name not in REAL:
        command.callback = partial(stand_in, command)
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            return cli.main([*name, *words]), said.getvalue()
    finally:
        command.callback = before


def identity(path: str) -> object:
    """Worked out as a reader would: the inode where there is one, else the place that all links lead to."""
    return Path(path).stat().st_ino if Path(path).exists() else str(Path(path).resolve())


@dataclass(frozen=True)
class Call:
    """A command's words, and the paths among them by what they are for."""

    words: list[str]
    force: bool
    read: list[str]
    replaced: list[str]
    kept: list[str]

    @property
    def clashes(self) -> bool:
        """Whether a file would be written that is read, or written as something else."""
        written = [identity(path) for path in (*self.replaced, *self.kept)]
        return len(set(written)) < len(written) or not set(written).isdisjoint(map(identity, self.read))


@st.composite
def calls(draw: Callable[..., Any], name: tuple[str, ...]) -> Call:
    """A call with one of the names for each path, where it need not be given, given or not."""
    command, arguments, switches = COMMANDS[name], [], []
    paths: dict[str, str] = {}
    for part in command.params:
        is_path = isinstance(part.type, PATHS)
        if not (is_path or isinstance(part, click.Argument)) or not (part.required or draw(st.booleans())):
            continue
        value = draw(names(part.type))
        if isinstance(part, click.Argument):
            arguments.append(value)
        else:
            switches.append(f"{max(part.opts, key=len)}={value}")
        if is_path:
            paths[part.name or ""] = value
    there = {option for part in command.params for option in part.opts}
    flags = [flag for flag in ("--force", "--skip-bad") if flag in there and draw(st.booleans())]
    call = Call([*flags, *switches, "--", *arguments], "--force" in flags, [], [], [])
    for part in command.params:
        kind, path = part.type, paths.get(part.name or "")
        if path is None and getattr(kind, "default", ""):
            path = f"{paths['out']}{kind.default}"
        if path is None or not isinstance(kind, PATHS):
            continue
        if isinstance(kind, options.Read):
            call.read.append(path)
            call.kept.extend([f"{Path(path).name}.bad"] if kind.sets_aside and "--skip-bad" in flags else [])
        else:
            (call.replaced if isinstance(kind, options.Written) else call.kept).append(path)
            call.kept.extend(f"{path}{ending}" for ending in kind.beside)
    return call


@pytest.mark.parametrize("name", several, ids=" ".join)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_input_is_changed_and_nothing_is_replaced_unasked(name: tuple[str, ...], data: st.DataObject) -> None:
    call = data.draw(calls(name))
    with workplace() as here:
        before, clashes = contents(here), call.clashes
        inputs = {path: Path(path).read_bytes() for path in call.read if Path(path).is_file()}
        may_change = {identity(path) for path in (*call.kept, *(call.replaced if call.force else ()))}
        known = {path: identity(path) for path in before}
        status, said = run(call.words, name)
        after = contents(here)

        assert status in ((2,) if clashes else (0, 1, 2))
        if clashes or (status == 2 and name not in REAL):
            assert after == before, "the paths were refused when something was written already"
            assert said.startswith("pneg: ") and said.count("\n") == 1
        assert {path: Path(path).read_bytes() for path in inputs} == inputs
        changed = {path for path, text in before.items() if path in after and after[path] != text}
        assert {path for path in changed if known[path] not in may_change} == set()
        for path in before.keys() - after.keys():
            assert call.force and any(path.startswith(f"{folder}/") for folder in call.replaced)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("negatives prompted a.jsonl -o x.jsonl --ledger x.jsonl", "x.jsonl: --out and --ledger are"),
        ("negatives prompted a.jsonl -o x.jsonl --ledger hard.jsonl", "hard.jsonl: IN and --ledger are"),
        ("negatives prompted x.jsonl.ledger.sqlite -o x.jsonl", "x.jsonl.ledger.sqlite: IN and --ledger are"),
        ("negatives prompted a.jsonl -o x.jsonl --examples x.jsonl.unfinished",
         "x.jsonl.unfinished: x.jsonl.unfinished, which belongs to --out, and --examples are"),
        ("negatives human new.jsonl.bad -o new.jsonl --skip-bad",
         "new.jsonl.bad: IN and new.jsonl.bad, which belongs to --out, are"),
        ("negatives random a.jsonl --corpus b.jsonl -o linked/b.jsonl --force", "b.jsonl: --out and --corpus are"),
        ("show full/new.jsonl --skip-bad", "new.jsonl.bad: FILE and the file for its bad lines are"),
        ("evaluate selector full/new.jsonl --skip-bad", "new.jsonl.bad: TEST and the file for its bad lines are"),
        ("calibrate selector full/new.jsonl --skip-bad", "new.jsonl.bad: DEV and the file for its bad lines are"),
        ("rank selector a.jsonl -o link.jsonl --force", "link.jsonl: FILE and --out are"),
        ("train a.jsonl -o selector --log sub/../a.jsonl", "sub/../a.jsonl: TRAIN and --log are"),
        ("train a.jsonl -o selector --log selector.bad --skip-bad",
         "selector.bad: --log and selector.bad, which belongs to --out, are"),
        ("ledger a.parquet --export ./a.parquet --force", "a.parquet: FILE and --export are"),
        ("export full -o linked/full --force", "linked/full: SELECTOR and --out are"),
    ],
)  # fmt: skip
def test_two_paths_that_are_the_same_file_are_named(words: str, says: str) -> None:
    name, rest = next(
        (name, words.split()[len(name) :]) for name in COMMANDS if words.split()[: len(name)] == [*name]
    )
    with workplace() as here:
        before = contents(here)
        status, said = run(rest, name)
        assert contents(here) == before
    assert (status, said) == (2, f"pneg: {says} the same file; give each a path of its own\n")


def test_an_input_in_a_folder_that_is_replaced_is_named() -> None:
    with workplace() as here:
        before = contents(here)
        status, said = run("a --test full/c.jsonl -o linked/full --force".split(), ("export",))
        assert contents(here) == before
    assert status == 2
    assert said == "pneg: full/c.jsonl: --test lies in the folder --out, which is replaced; choose another folder\n"


def test_calls_of_all_outcomes_are_drawn() -> None:
    """Words that are all refused would prove nothing."""
    seen: set[tuple[bool, int]] = set()

    @settings(max_examples=60, deadline=None, database=None)
    @given(calls(("negatives", "random")))
    def collect(call: Call) -> None:
        with workplace():
            seen.add((call.clashes, run(call.words, ("negatives", "random"))[0]))

    collect()
    assert seen == {(True, 2), (False, 2), (False, 0)}


odd = st.one_of(
    st.text(max_size=8),
    st.text(st.sampled_from("./\\~*?-= \n\t\x1b\0é🙂\udcff"), max_size=6),
    st.sampled_from(
        ["", "/", "..", ".", "-", "--", "~", "a" * 300, "a/" * 3000, "/dev/null", "/dev/fd/99999", "/proc/self/mem"]
    ),
)


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_no_word_whatever_leads_to_more_than_one_message(name: tuple[str, ...], data: st.DataObject) -> None:
    """Odd names, odd texts and numbers beyond all bounds: `main` would pass an exception on to this test."""
    switches, arguments = [], []
    for part in COMMANDS[name].params:
        word = data.draw(odd)
        if isinstance(part.type, options.Written) and data.draw(st.booleans()):
            word += ".jsonl"
        if isinstance(part, click.Argument):
            arguments.append(word)
        elif not (part.required or data.draw(st.integers(0, 3)) == 0) or part.is_flag:  # type: ignore[attr-defined]
            continue
        else:
            if not isinstance(part.type, PATHS) and data.draw(st.booleans()):
                word = str(data.draw(st.sampled_from([-1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**40])))
            switches.append(f"{max(part.opts, key=len)}={word}")
    with workplace() as here:
        before = contents(here)
        status, said = run([*switches, "--", *arguments], name)
        assert status in (0, 1, 2)
        assert status == 0 or said
        assert contents(here).items() >= before.items()
