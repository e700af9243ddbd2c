"""What all commands share: exit statuses, messages without a traceback, missing extras, a full disk."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from running import Run

from pneg.cli import COMMANDS, main
from pneg.cli import pneg as group

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{module}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["show", "starter:test", "--limit", "1"]])
def test_what_is_done_exits_with_0(pneg: Run, words: list[str]) -> None:
    ran = pneg(*words)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nosuch"],
        ["show"],
        ["show", "--nosuch", "x"],
        ["show", "starter:test", "--limit", "0"],
        ["show", "nowhere.jsonl"],
        ["show", "."],
        ["negatives"],
        ["negatives", "random", "starter:test"],
        ["fetch"],
    ],
    ids=" ".join,
)
def test_wrong_words_exit_with_2_and_print_nothing_on_standard_output(pneg: Run, words: list[str]) -> None:
    ran = pneg(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(pneg: Run, name: str) -> None:
    assert isinstance(group.get_command(click.Context(group), name), click.Command)
    ran = pneg(name, "--help")
    assert ran.status == 0
    assert f"pneg {name}" in ran.out


def test_a_failed_job_exits_with_1_and_one_line(process: Run) -> None:
    ran = process("fetch", "./nowhere")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("pneg: there is no folder ./nowhere; give a folder")
    assert ran.err.count("\n") == 1


def test_a_bad_file_exits_with_2_and_one_line_that_names_the_place(process: Run, half_bad: Path) -> None:
    ran = process("show", half_bad)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"pneg: {half_bad}, line 2: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["rank", "selector", "--context", "Hi.", "--candidate", b"\xff"],
        ["rank", "selector", "--context", b"caf\xe9", "--candidate", "Hi.", "--persona", "x"],
        ["show", b"\xff.jsonl"],
        ["negatives", "random", "starter:test", "-o", b"\xff.jsonl"],
        ["negatives", b"\xff"],
        ["evaluate", "selector", "starter:test", "--sets", b"human,\xff"],
    ],
    ids=ascii,
)
def test_a_word_that_is_no_text_is_refused_in_one_line(words: list[str | bytes]) -> None:
    command = [sys.executable, "-m", "pneg", *words]
    ran = subprocess.run(command, capture_output=True, text=True)
    [bad] = [word for word in words if isinstance(word, bytes)]
    shown = ascii(os.fsdecode(bad))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"pneg: the word {shown} on the command line is no UTF-8 text; rename it, or encode it\n"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, click.Abort])
def test_a_stopped_command_exits_with_130(pneg: Run, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    def stop(*_: object) -> None:
        raise kind

    monkeypatch.setattr("pneg.corpora.read", stop)
    ran = pneg("show", "starter:test")
    assert (ran.status, ran.out, ran.says) == (130, "", "pneg: stopped")


@pytest.mark.parametrize(
    ("module", "extra", "words"),
    [
        ("pyarrow", "parquet", ["show", "some.parquet"]),
        ("pyarrow", "parquet", ["negatives", "human", "starter:test", "-o", "out.parquet"]),
        ("torch", "selector", ["train", "starter:test", "-o", "selector"]),
        ("onnx", "export", ["export", "selector", "-o", "exported"]),
        ("torch", "transformers", ["negatives", "prompted", "starter:test", "-o", "out.jsonl"]),
        ("xllamacpp", "embedded", ["negatives", "prompted", "starter:test", "-o", "out.jsonl", "--lm", "embedded"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_missing_extra_gives_the_line_that_installs_it(
    process: Run, tmp_path: Path, module: str, extra: str, words: list[str]
) -> None:
    (tmp_path / "some.parquet").write_bytes(b"")
    ran = process(*words, code=BLOCKED.format(module=module))
    assert (ran.status, ran.out) == (1, "")
    assert ran.says == f'pneg: {module} is not installed; run: pip install "pneg[{extra}]"'
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_says_so_and_what_to_do(process: Run) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = process("show", "starter:test", "--json", stdout=full.fileno())
    assert ran.status == 1
    assert ran.says == "pneg: No space left on device; make room and run the same command again"


def test_a_file_that_may_not_be_written_is_named(pneg: Run, tmp_path: Path) -> None:
    (tmp_path / "taken.jsonl").mkdir()
    ran = pneg("negatives", "human", "starter:test", "--limit", "2", "-o", "taken.jsonl")
    assert (ran.status, ran.says) == (2, "pneg: taken.jsonl: it is a folder; name a file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken.jsonl"]


def test_main_takes_the_words_of_the_command_line_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["pneg", "show", "starter:demonstrations", "--dialogues", "0"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("300 dialogues, 0 with a persona\n")


def test_a_closed_standard_input_is_said(pneg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    ran = pneg("rank", "selector")
    assert ran.status == 2
    assert "Error: standard input is closed: give FILE, or --context and --candidate" in ran.err
