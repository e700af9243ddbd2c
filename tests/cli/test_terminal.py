"""Nothing that a server, a file or a name says reaches the terminal as a command to it."""

import io
import json
import logging
import re
import sys
from pathlib import Path

import click
import pytest
from running import Run

import chaos
from pneg import Dialogue, write
from pneg.cli import options
from pneg.cli import pneg as group
from pneg.cli.terminal import shown, visible, visible_json

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b]8;;http://x\x1b\\link\x9b31m\x9d0;t\x9c\x7f\x08\x00"
    "\r\u202eevil\u2066\u2028\ud83d"
)
COMMAND = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def test_each_control_character_is_shown_as_its_escape() -> None:
    assert visible("a\x1b[31mb\x9b\x7f\r\u202e\ud83d") == r"a\x1b[31mb\x9b\x7f\x0d\u202e\ud83d"
    assert visible(HOSTILE) == visible(visible(HOSTILE))
    assert not COMMAND.search(visible(HOSTILE))


@pytest.mark.parametrize(
    "text", ["", "plain\n\ttext\n", "d\u00e9j\u00e0 vu", "\N{MAN}\u200d\N{WOMAN}", "\u05e9\u05dc\u05d5\u05dd"]
)
def test_text_without_any_is_left_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_json_keeps_its_value() -> None:
    text = visible_json(json.dumps({"a": HOSTILE, "b": 1}, ensure_ascii=False))
    assert json.loads(text) == {"a": HOSTILE, "b": 1}
    assert not COMMAND.search(text)


def test_whoever_prints_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = [io.StringIO(), io.StringIO()]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    with shown():
        click.echo(HOSTILE, color=True)
        click.echo(HOSTILE, err=True, color=True)
        log = logging.Logger("its own")
        log.addHandler(logging.StreamHandler())
        log.warning(HOSTILE)
        for _ in options.bar([1, 2], None, "context", lambda: HOSTILE):
            pass
        bar = options.progress(None, 2, "context")
        bar.write(HOSTILE, file=sys.stderr)
    assert [sys.stdout, sys.stderr] == streams
    for stream in streams:
        assert "\\x1b]52;c;ZXZpbA==\\x07" in stream.getvalue()
        assert not COMMAND.search(stream.getvalue().replace("\r", ""))  # a bar begins its line with it
    assert streams[1].getvalue().count("\\x1b]52;c") == 3


def test_a_bar_may_begin_its_line_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with shown():
        sys.stderr.write("\r 10%")
        sys.stderr.write("a message\rthat hides itself")
    assert stream.getvalue() == "\r 10%a message\\x0dthat hides itself"


def test_a_server_s_message_is_shown(pneg: Run, tmp_path: Path) -> None:
    with chaos.serving(chaos.Server(lambda _, __: chaos.refusing(400, HOSTILE))) as server:
        ran = pneg(
            "negatives", "prompted", "starter:test", "--limit", 1, "-o", "o.jsonl", "--lm", server.url, "--model", "m"
        )
    assert ran.status == 1
    assert not COMMAND.search(ran.err.replace("\r", ""))
    assert "(status 400)" in ran.says


def test_dialogues_are_shown(pneg: Run, tmp_path: Path) -> None:
    text = HOSTILE.replace("\ud83d", "").replace("\x00", "")
    write(tmp_path / "d.jsonl", [Dialogue(f"id {text}", (text, "b"), (text,), {"human": (f"no {text}",)})])
    ran = pneg("show", tmp_path / "d.jsonl")
    assert (ran.status, ran.err) == (0, "")
    assert not COMMAND.search(ran.out)
    assert "\\u202eevil" in ran.out
    ran = pneg("show", tmp_path / "d.jsonl", "--json")
    assert not COMMAND.search(ran.out.rstrip("\n"))
    assert "negatives: human" in json.loads(ran.out)["texts"]


def test_words_of_the_command_line_are_shown(pneg: Run) -> None:
    for words in (["show", "nowhere\x1b[2J\u202e.jsonl"], ["no\x1b[2Jsuch\x9b"], ["show", "--no\x1b]0;x\x07"]):
        ran = pneg(*words)
        assert ran.status == 2
        assert not COMMAND.search(ran.err)


def test_a_name_that_is_no_utf_8_is_no_stack_trace(process: Run, tmp_path: Path) -> None:
    ran = process("show", b"nowhere\xff\x9b.jsonl".decode(errors="surrogateescape"))
    assert ran.status == 2
    assert "\\udcff" in ran.says


def test_not_enough_memory_is_one_message(pneg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(group, "main", fail)
    ran = pneg("show", "x")
    assert (ran.status, ran.says[:36]) == (1, "pneg: there is not enough memory; wh")
