"""The command as a user runs it: in this process, or in one of its own where that matters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import DIALOGUES, Ran, Run

from pneg import write
from pneg.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def pneg(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run(*words: object) -> Ran:
        status = main([str(word) for word in words])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def process() -> Run:
    """Runs a command in a process of its own, before it `code`."""

    def run(*words: object, code: str = "", stdout: int = subprocess.PIPE) -> Ran:
        program = f"{code}\nimport sys; from pneg.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, *map(str, words)]
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=300, env=os.environ)
        return Ran(done.returncode, done.stdout or "", done.stderr)

    return run


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file of two dialogues."""
    write(tmp_path / "good.jsonl", DIALOGUES)
    return tmp_path / "good.jsonl"


@pytest.fixture
def half_bad(good: Path) -> Path:
    """The same with a broken line between them."""
    first, second = good.read_bytes().splitlines(keepends=True)
    file = good.with_name("half-bad.jsonl")
    file.write_bytes(first + b"{broken\n" + second)
    return file
