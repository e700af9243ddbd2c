"""`pneg serve` as a user runs it: a process of its own, a tiny selector, real connections, a real end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pneg import Selector, corpora
from pneg.cli import main

STARTER = list(corpora.read("starter:test"))
PNEG = [sys.executable, "-m", "pneg", "serve"]


@pytest.fixture(scope="module")
def folder(backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny selector whose scores are well apart."""
    selector = Selector.create(str(backbones["bert"]), seed=3, max_length=48, device="cpu")
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in selector.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.1)
    selector.save(tmp_path_factory.mktemp("serve") / "selector")
    return tmp_path_factory.getbasetemp() / "serve0" / "selector"


@dataclass(frozen=True)
class Server:
    """A running `pneg serve`."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, context: object, candidates: object, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        body = json.dumps({"context": context, "candidates": candidates})
        connection.request("POST", "/rank", body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def metric(self, name: str) -> float:
        """The value of a metric."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request("GET", "/metrics")
        [value] = re.findall(rf"^{name} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
        return float(value)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit status and what was said."""
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=300)
        return self.process.returncode, said


def hearing() -> None:
    """A child hears Ctrl-C even where its parents were told not to, as jobs in the background are."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(folder: Path, *words: str, **environment: str) -> Iterator[Server]:
    with subprocess.Popen(
        [*PNEG, str(folder), "--port", "0", "--json", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment, preexec_fn=hearing,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                pytest.fail(process.communicate()[1])
            yield Server(process, int(json.loads(line)["url"].rpartition(":")[2]))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with running(folder) as server:
        yield server


def test_a_ranking_over_http_is_the_selectors_own(server: Server, folder: Path) -> None:
    candidates = [*STARTER[0].positives, *STARTER[0].negatives["human"]]
    status, found = server.ask(STARTER[0].context, candidates)
    assert status == 200
    own = Selector.load(folder, device="cpu").rank(STARTER[0].context, candidates)
    assert [place["index"] for place in found["ranking"]] == [place.index for place in own]
    assert [place["score"] for place in found["ranking"]] == pytest.approx([p.score for p in own], abs=1e-5)


def test_a_hundred_clients_at_once_get_each_the_ranking_they_get_alone(server: Server, folder: Path) -> None:
    questions = [(d.context, [*d.positives, *d.negatives["human"]][: 3 + n % 6]) for n, d in enumerate(STARTER)]
    questions = (questions * 2)[:100]
    before = server.metric("pneg_model_calls_total")
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda asked: server.ask(*asked), questions))
    assert server.metric("pneg_model_calls_total") - before < 100
    selector = Selector.load(folder, device="cpu")
    for (context, candidates), (status, found) in zip(questions, answers, strict=True):
        assert status == 200
        alone = selector.score([(context, text) for text in candidates])
        scores = np.zeros(len(candidates), dtype=np.float32)
        for place in found["ranking"]:
            assert place["candidate"] == candidates[place["index"]]
            scores[place["index"]] = place["score"]
        assert np.abs(scores - alone).max() < 1e-5
        assert [p["score"] for p in found["ranking"]] == sorted((p["score"] for p in found["ranking"]), reverse=True)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_work_when_it_is_stopped_gets_its_answer(folder: Path, how: signal.Signals) -> None:
    texts = [f"{number} words about {number % 7}" for number in range(600)]
    with running(folder, "--max-candidates", "600", "--max-waiting", "100000") as server:
        idle = HTTPConnection("127.0.0.1", server.port, timeout=300)
        idle.connect()
        with ThreadPoolExecutor(24) as pool:
            answers = [pool.submit(server.ask, [f"turn {number}"], texts) for number in range(24)]
            while server.metric("pneg_waiting_candidates") < 10 * 600:
                pass
            ended = pool.submit(server.stop, how)
            found = [answer.result() for answer in answers]
            status, said = ended.result()
    assert [status for status, _ in found] == [200] * 24
    assert all(len(answer["ranking"]) == 600 for _, answer in found)
    assert status == 0
    assert "Traceback" not in said
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port)).close()


def test_a_client_that_sends_nothing_more_does_not_keep_it_beyond_the_grace(folder: Path) -> None:
    with running(folder, "--grace", "0.2") as server:
        stuck = socket.create_connection(("127.0.0.1", server.port))
        stuck.sendall(
            b"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert server.ask(["Hi."], ["a"])[0] == 200
        status, said = server.stop()
    assert status == 0
    assert said.splitlines()[1:] == ["pneg: 1 request was cut off after --grace 0.2 s"]


@pytest.mark.parametrize(
    ("words", "warns"),
    [(("--host", "0.0.0.0"), True), (("--host", "0.0.0.0", "--api-key-variable", "THE_KEY"), False), ((), False)],
)
def test_an_address_that_is_open_to_others_without_a_key_is_warned_of(
    folder: Path, words: tuple[str, ...], warns: bool
) -> None:
    with running(folder, *words, THE_KEY="s3cret") as server:
        status, said = server.stop()
    assert status == 0
    warning = f"pneg: warning: http://0.0.0.0:{server.port} is open to other machines and asks for no key; give --api"
    assert said.startswith(warning) == warns
    assert len(said.splitlines()) == (2 if warns else 1)


def test_limits_given_as_options_hold(folder: Path) -> None:
    words = ("--max-turns", "2", "--max-candidates", "3", "--max-bytes", "500")
    with running(folder, *words) as server:
        assert server.ask(["a", "b"], ["a", "b", "c"])[0] == 200
        status, found = server.ask(["a", "b", "c"], ["a"])
        assert status == 422
        assert found["detail"].endswith("at most 2 are taken; send the last ones, of which 4 are read")
        assert server.ask(["a"], ["a"] * 4)[0] == 422
        assert server.ask(["a" * 500], ["a"])[0] == 413


def test_the_key_comes_from_a_variable_and_is_nowhere_to_be_seen(folder: Path) -> None:
    with running(folder, "--api-key-variable", "THE_KEY", THE_KEY="s3cret") as server:
        assert server.ask(["Hi."], ["a"])[0] == 401
        assert server.ask(["Hi."], ["a"], Authorization="Bearer wrong")[0] == 401
        assert server.ask(["Hi."], ["a"], Authorization="Bearer s3cret")[0] == 200
        status, said = server.stop()
    assert status == 0
    assert "s3cret" not in said


def test_the_key_comes_from_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    with running(folder, "--api-key-file", str(tmp_path / "key")) as server:
        assert server.ask(["Hi."], ["a"])[0] == 401
        assert server.ask(["Hi."], ["a"], Authorization="Bearer s3cret")[0] == 200


def refused(*words: object) -> Callable[[pytest.CaptureFixture[str]], str]:
    def said(capsys: pytest.CaptureFixture[str]) -> str:
        assert main(["serve", *map(str, words)]) == 2
        found = capsys.readouterr()
        assert found.out == ""
        assert "Traceback" not in found.err
        return found.err

    return said


def test_a_port_that_is_taken_is_one_clear_message(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refused(folder, "--port", port)(capsys) == (
            f"pneg: --port {port} of 127.0.0.1 is taken; take another, or 0 for any that is free\n"
        )


def test_wrong_words_are_one_clear_message(
    folder: Path, backbones: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    for words, message in (
        ((backbones["bert"], "--port", 0), "holds no selector"),
        (("nowhere", "--port", 0), "nowhere holds no selector"),
        ((folder, "--host", "192.0.2.1", "--port", 0), "192.0.2.1"),
        ((folder, "--host", "no.such.host.invalid"), "--host no.such.host.invalid"),
        ((folder, "--api-key-variable", "NO_KEY"), "NO_KEY holds no key"),
        ((folder, "--api-key-variable", "A", "--api-key-file", "b"), "do not go together"),
        ((folder, "--max-turns", 0), "--max-turns"),
    ):
        assert message in refused(*words)(capsys)


def test_a_server_that_begins_to_listen_meanwhile_is_told(folder: Path) -> None:
    from fastapi import FastAPI

    from pneg.errors import DataError
    from pneg.web.serving.server import bound, run

    with bound("127.0.0.1", 0) as one, bound("127.0.0.1", one.getsockname()[1]) as two:
        two.listen()
        with pytest.raises(DataError, match="is taken"):
            run(FastAPI(), one, grace=1, ready=threading.Event().set)
