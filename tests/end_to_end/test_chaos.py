"""A job over a server that fails in every way: the output is that of an undisturbed run."""

import threading
import time
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

import chaos
from pneg import Dialogue, corpora
from pneg.errors import BackendError
from pneg.lm import OpenAICompatible, Paced, Policy
from pneg.negatives import Prompted

CONTEXTS = 40
CONCURRENCY = 8
SOON = Policy(first_wait=0.01, longest_wait=0.1)
HASTY = replace(SOON, patience=3.0, first_patience=1.0)


def given() -> list[Dialogue]:
    return list(islice(corpora.read("starter:test"), CONTEXTS))


def written(url: str, timeout: float = 60.0, policy: Policy = SOON) -> tuple[list[tuple[str, ...]], Paced]:
    paced = Paced(OpenAICompatible(url, "m", key="k", concurrency=CONCURRENCY, timeout=timeout), policy)
    return list(Prompted(paced, corpora.read("starter:demonstrations")).propose(given(), 5)), paced


@pytest.fixture(scope="module")
def undisturbed() -> tuple[list[tuple[str, ...]], dict[Any, int]]:
    with chaos.serving(chaos.Server()) as server:
        found, paced = written(server.url)
    assert paced.retried == 0
    assert [len(responses) for responses in found] == [5] * CONTEXTS
    return found, dict(server.asked)


def every(n: int, fault: chaos.Fault) -> chaos.Plan:
    return lambda number, _: fault if number % n == n - 1 else None


def first(n: int, fault: chaos.Fault) -> chaos.Plan:
    return lambda number, _: fault if 10 <= number < 10 + n else None


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(first(25, chaos.refusing(429)), id="429 storm"),
        pytest.param(first(8, chaos.refusing(429, after="0.2")), id="429 storm with Retry-After"),
        pytest.param(every(3, chaos.refusing(500)), id="500s"),
        pytest.param(every(3, chaos.refusing(503)), id="503s"),
        pytest.param(every(4, chaos.breaking_off), id="resets in mid-body"),
        pytest.param(every(4, chaos.saying(b'{"id": "1", "choices": [{"te')), id="truncated JSON"),
        pytest.param(every(4, chaos.saying(b"<html>wait</html>", "text/html")), id="HTML"),
        pytest.param(every(4, chaos.saying(b'{"id": "1", "choices": []}')), id="empty choices"),
        pytest.param(every(4, chaos.saying(b"[]")), id="a list"),
    ],
)
def test_the_output_is_that_of_an_undisturbed_run(undisturbed: Any, plan: chaos.Plan) -> None:
    with chaos.serving(chaos.Server(plan)) as server:
        found, paced = written(server.url)
    assert found == undisturbed[0]
    # what was answered was asked for once: the failures alone were sent again
    assert dict(server.asked) == undisturbed[1] | dict.fromkeys(set(server.asked) - set(undisturbed[1]), 0)
    assert paced.retried == len(server.times) - sum(server.asked.values()) > 0


def test_a_server_that_stalls_is_not_waited_for(undisturbed: Any) -> None:
    stalled = threading.Event()

    def stall(handler: chaos.Handler) -> None:
        stalled.wait(60)
        handler.close_connection = True

    with chaos.serving(chaos.Server(every(12, stall))) as server:
        found, paced = written(server.url, timeout=1.0)
        stalled.set()
    assert found == undisturbed[0]
    # No more than this can be said of how many: a machine that stands still makes an answer late too.
    assert paced.retried >= len(server.times) // 12


def test_a_server_that_admits_few_is_given_few(undisturbed: Any) -> None:
    refused: list[int] = []
    server = chaos.Server(delay=0.01)

    def plan(number: int, _: dict[str, Any]) -> chaos.Fault | None:
        if server.working > 3:
            refused.append(number)
            return chaos.refusing(429)
        return None

    server.plan = plan
    with chaos.serving(server):
        assert written(server.url)[0] == undisturbed[0]
    assert len(refused) < len(undisturbed[1]) / 3


def test_a_server_that_dies_and_comes_back(undisturbed: Any) -> None:
    found: list[Any] = []
    with chaos.serving(chaos.Server(delay=0.02)) as server:
        port = server.server_port
        job = threading.Thread(target=lambda: found.append(written(server.url)[0]))
        job.start()
        while server.answered < 15:
            time.sleep(0.005)
        server.plan = lambda _, __: chaos.breaking_off
    time.sleep(0.5)
    with chaos.serving(chaos.Server(port=port)) as revived:
        job.join()
    assert found == [undisturbed[0]]
    repeated = set(server.asked) & set(revived.asked)
    assert len(repeated) <= CONCURRENCY


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (lambda _, __: chaos.refusing(500, "on fire"), "on fire"),
        (lambda number, _: chaos.refusing(500, "on fire") if number > 20 else None, "on fire"),
        (lambda _, __: chaos.saying(b"<html>"), "without a completion; check --lm"),
    ],
)
def test_a_server_that_keeps_failing_stops_the_job(plan: chaos.Plan, says: str) -> None:
    with chaos.serving(chaos.Server(plan)) as server, pytest.raises(BackendError) as caught:
        written(server.url, policy=HASTY)
    assert says in str(caught.value)
    assert "what is done is kept: give the same command to go on" in str(caught.value)
    assert not caught.value.retryable
    assert len(server.times) < 400


@pytest.mark.parametrize(("status", "code"), [(401, ""), (404, ""), (429, "insufficient_quota")])
def test_what_no_attempt_can_help_is_tried_by_nobody_twice(status: int, code: str) -> None:
    plan = lambda _, __: chaos.refusing(status, "no", code)  # noqa: E731
    with chaos.serving(chaos.Server(plan)) as server, pytest.raises(BackendError):
        written(server.url)
    assert len(server.times) <= CONCURRENCY
