"""Every command reads a pipe as it reads a file: all dialogues, as often as it needs them."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pneg import Dialogue, read, write
from pneg.cli import main

DIALOGUES = [
    Dialogue(
        str(n),
        (f"Is {n} ready?", "Not yet."),
        (f"It will be {n}.",),
        {"human": tuple(f"{n} is {what}." for what in ("a number", "round", "too much", "my age", "late"))},
    )
    for n in range(12)
]


@contextmanager
def slowly(path: Path, text: bytes) -> Iterator[Path]:
    """A FIFO that gets the text in four pieces, which break lines in two."""
    os.mkfifo(path)
    size = len(text) // 4 + 1

    def feed() -> None:
        with path.open("wb", buffering=0) as stream:
            for start in range(0, len(text), size):
                stream.write(text[start : start + size])

    thread = threading.Thread(target=feed)
    thread.start()
    yield path
    thread.join()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path / "cache"))


def json_lines(ending: str = ".jsonl") -> bytes:
    write(f"given{ending}", DIALOGUES)
    return Path(f"given{ending}").read_bytes()


def plus_plus() -> bytes:
    entries = ({"context": ["x"], "positive_responses": [str(n)], "id": n} for n in range(12))
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def convai2() -> bytes:
    return b"1 your persona: i surf.\n2 hi\thello\n" * 12


def chitchat() -> bytes:
    turns = [[{"text": f"turn {n} is here"}] for n in range(9)]
    return json.dumps({str(n): {"messages": turns} for n in range(12)}).encode()


def text() -> bytes:
    return b"Hi . __eou__ Bye . __eou__\n" * 12


def packed() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("test/dialogues_test.txt", text())
    return made.getvalue()


@pytest.mark.parametrize(
    "form",
    [
        json_lines,
        lambda: json_lines(".jsonl.gz"),
        lambda: json_lines(".parquet"),
        plus_plus,
        convai2,
        chitchat,
        text,
        packed,
    ],
    ids=["jsonl", "gzip", "parquet", "dailydialog++", "personachat", "chitchat", "dailydialog", "zip"],
)
def test_all_dialogues_of_every_form_come_through_a_pipe(
    form: Callable[[], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    with slowly(Path("pipe"), form()):
        assert main(["show", "pipe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dialogues"] == 12


@pytest.mark.parametrize("source", ["human", "random", "context", "bm25", "all"])
def test_a_source_adds_to_all_dialogues_of_a_pipe_what_it_adds_to_those_of_a_file(source: str) -> None:
    words = ["--only", "human,random,bm25"] if source == "all" else []
    given = json_lines()
    assert main(["negatives", source, "given.jsonl", "-o", "file.jsonl", *words]) == 0
    with slowly(Path("pipe"), given):
        assert main(["negatives", source, "pipe", "-o", "out.jsonl", *words]) == 0
    assert Path("out.jsonl").read_bytes() == Path("file.jsonl").read_bytes()
    assert len(list(read("out.jsonl"))) == 12


def test_a_corpus_may_come_through_a_pipe_of_its_own() -> None:
    given = json_lines()
    with slowly(Path("pipe"), given), slowly(Path("corpus"), plus_plus()):
        assert main(["negatives", "random", "pipe", "--corpus", "corpus", "-o", "out.jsonl"]) == 0
    assert {text for found in read("out.jsonl") for text in found.negatives["random"]} <= set(map(str, range(12)))
    assert len(list(read("out.jsonl"))) == 12


def test_an_input_and_examples_through_pipes_are_all_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--lm", "http://127.0.0.1:9/v1", "--model", "m", "--dry-run", "--json"]
    given = json_lines()
    with slowly(Path("pipe"), given), slowly(Path("examples"), given):
        command = ["negatives", "prompted", "pipe", "--examples", "examples", "-o", "out.jsonl", *words]
        assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["contexts"] == 12


def test_a_limit_is_reached_without_waiting_for_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe")
    text, done = json_lines(), threading.Event()

    def feed() -> None:
        with Path("pipe").open("wb", buffering=0) as stream:
            stream.write(text)
            assert done.wait(60)

    thread = threading.Thread(target=feed)
    thread.start()
    assert main(["show", "pipe", "--limit", "12", "--json"]) == 0
    done.set()
    thread.join()
    assert json.loads(capsys.readouterr().out)["dialogues"] == 12


def test_the_same_pipe_is_read_anew_by_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    given = json_lines()
    for count in (12, 5):
        with slowly(Path("pipe"), b"".join(given.splitlines(keepends=True)[:count])):
            assert main(["show", "pipe", "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["dialogues"] == count
        Path("pipe").unlink()


PNEG = f"{sys.executable} -m pneg"


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="process substitution is bash's")
def test_a_process_substitution_loses_nothing() -> None:
    json_lines()
    producer = 'while read -r line; do echo "$line"; done < given.jsonl'
    command = f"{PNEG} negatives random <({producer}) -o out.jsonl"
    subprocess.run(["/bin/bash", "-c", command], check=True, timeout=300)
    assert [found.id for found in read("out.jsonl")] == [dialogue.id for dialogue in DIALOGUES]


def test_a_pipe_that_nobody_writes_to_is_waited_for_until_ctrl_c() -> None:
    os.mkfifo("pipe")
    waits = "import sys, pneg.cli; print('ready', flush=True); sys.exit(pneg.cli.main())"
    command = [sys.executable, "-c", waits, "show", "pipe"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdout and process.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr and process.stderr.read().strip() == "pneg: stopped"


def test_several_processes_of_a_training_do_not_share_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    json_lines()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for words in (["pipe"], ["given.jsonl", "--validation", "pipe"]):
        assert main(["train", *words, "-o", "selector"]) == 2
        assert capsys.readouterr().err == (
            "pneg: pipe: it gives its dialogues only once, and each process of the training would get some of them; "
            "write them to a file first\n"
        )
