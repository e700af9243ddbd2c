"""The application behind a real server, with a selector that is scripted."""

import json
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from types import SimpleNamespace

import numpy as np
import pytest
from asking import ASK, Served
from scripted import Scripted

from pneg.errors import ModelError
from pneg.selector.ranking import Pair
from pneg.web.serving import limits
from pneg.web.serving.app import application
from pneg.web.serving.key import Key
from pneg.web.serving.limits import Limits
from pneg.web.serving.server import bound, made, reachable

Serving = Callable[..., Served]


def test_candidates_come_best_first_with_score_and_index(serving: Serving) -> None:
    status, found, headers = serving().ask()
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert found == {
        "ranking": [
            {"candidate": "seventh", "score": 5.0, "index": 2},
            {"candidate": "four", "score": 2.0, "index": 0},
            {"candidate": "a", "score": -1.0, "index": 1},
        ]
    }


def test_twins_are_scored_once_and_keep_their_order(serving: Serving) -> None:
    served = serving()
    _, found, _ = served.ask({"context": ["Hi."], "candidates": ["ab", "abc", "ab"]})
    assert [place["index"] for place in found["ranking"]] == [1, 0, 2]
    assert served.selector.calls == [[(("Hi.",), "ab"), (("Hi.",), "abc")]]


def test_the_persona_is_read_before_the_last_turns(serving: Serving) -> None:
    served = serving()
    served.ask({"context": list("abcde"), "candidates": ["x"], "persona": ["I bake."]})
    assert served.selector.calls == [[(("I bake.", "b", "c", "d", "e"), "x")]]


def test_no_candidates_are_ranked_without_the_model(serving: Serving) -> None:
    served = serving()
    assert served.ask({"context": ["Hi."], "candidates": []})[:2] == (200, {"ranking": []})
    assert served.selector.calls == []


def test_a_calibrated_selector_gives_probabilities(serving: Serving) -> None:
    _, found, _ = serving(Scripted(temperature=1.0)).ask({"context": ["Hi."], "candidates": ["ab", "ab"]})
    assert [place["probability"] for place in found["ranking"]] == [0.5, 0.5]


def test_the_body_is_held_to_its_limit_before_and_while_it_comes_in(serving: Serving) -> None:
    served = serving(bounds=Limits(bytes=1000))
    exactly = json.dumps({"context": ["Hi."], "candidates": [""]}).encode()
    exactly = exactly.replace(b'""', b'"' + b"x" * (1000 - len(exactly)) + b'"')
    assert len(exactly) == 1000
    assert served.ask(exactly)[0] == 200
    status, found, headers = served.ask(exactly + b" ")
    assert (status, headers["connection"]) == (413, "close")
    assert "longer than 1000 bytes; send fewer candidates" in found["detail"]

    connection = served.connection()  # chunks, and no length told beforehand
    chunks = iter([b"x" * 400] * 5000)
    connection.request("POST", "/rank", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection = served.connection()  # as long as that, and within the limit
    chunks = iter([exactly[:300], exactly[300:]])
    connection.request("POST", "/rank", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 200
    assert [len(call) for call in served.selector.calls] == [1, 1]


def test_a_body_that_is_far_too_long_still_gets_its_answer_and_is_not_kept(serving: Serving) -> None:
    served = serving(bounds=Limits(bytes=1000))
    assert served.ask(b"x" * 12_000_000)[0] == 413


def test_a_body_that_comes_too_slowly_gets_408(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    connection = serving().connection()
    connection.putrequest("POST", "/rank")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b'{"context": ')
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert "did not come in within 0.2 seconds" in json.loads(answer.read())["detail"]


def test_turns_and_candidates_over_their_limit_get_422(serving: Serving) -> None:
    served = serving(bounds=Limits(turns=2, candidates=3))
    assert served.ask({"context": ["a"] * 2, "candidates": ["a", "b", "c"]})[0] == 200
    assert served.ask({"context": ["a"] * 3, "candidates": ["a"]})[0] == 422
    assert served.ask({"context": ["a"], "candidates": ["a"] * 4})[0] == 422
    assert served.ask(b"{")[0] == 400


def test_only_json_is_taken(serving: Serving) -> None:
    served = serving()
    assert served.ask(Content_Type="application/json; charset=utf-8")[0] == 200
    status, found, _ = served.ask(Content_Type="application/x-www-form-urlencoded")
    assert status == 415
    assert "curl --json" in found["detail"]


def test_other_paths_and_methods_are_refused(serving: Serving) -> None:
    served = serving()
    assert served.ask(None, "/rank", "GET")[0] == 405
    assert served.ask(None, "/rank", "GET")[2]["allow"] == "POST"
    assert served.ask(None, "/docs", "GET")[0] == 404
    assert served.ask(None, "/healthz", "GET")[:2] == (200, {"status": "ok"})


def test_the_key_guards_ranking_and_metrics_and_nothing_shows_it(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret")
    served = serving(key=Key.from_variable("THE_KEY"))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
        status, found, told = served.ask(**headers)
        assert status == 401
        assert told["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer KEY" in found["detail"]
        assert served.ask(None, "/metrics", "GET", **headers)[0] == 401
    right = {"Authorization": "Bearer s3cret"}
    assert served.ask(**right)[0] == 200
    assert served.ask({"context": ["Hi."], "candidates": ["break"]}, **right)[0] == 500
    assert served.ask(None, "/healthz", "GET")[0] == 200
    assert "s3cret" not in served.ask(None, "/metrics", "GET", **right)[1]
    assert "a text broke the model" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_wrong_key_is_told_before_the_body_is_read(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret")
    served = serving(key=Key.from_variable("THE_KEY"))
    connection = served.connection()
    connection.putrequest("POST", "/rank")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    assert connection.getresponse().status == 401


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("break", "a text broke the model"),
        ("nan", "the selector gave scores that are no numbers (2 of 2): its weights are damaged"),
    ],
)
def test_a_failing_model_is_told_without_its_words_and_the_next_request_is_served(
    serving: Serving, text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = serving()
    status, found, _ = served.ask({"context": ["Hi."], "candidates": [text, "good"]})
    assert (status, found["detail"]) == (500, "the selector failed on this request; its log says why")
    assert served.ask()[0] == 200
    [record] = caplog.records
    assert record.getMessage().startswith(f"a request could not be scored: {reason}")
    assert (record.exc_info is None) == (text == "nan")  # what nobody foresaw has its trace


def test_a_selector_whose_scores_are_no_numbers_is_not_served() -> None:
    class Broken(Scripted):
        def score(self, pairs: Sequence[Pair], *, precision: str = "float32", whole: bool = False) -> np.ndarray:
            return np.full(len(pairs), np.nan, dtype=np.float32)

    with pytest.raises(ModelError, match=r"scores that are no numbers \(2 of 2\)"):
        application(Broken())


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"context": ' + b"[" * 100_000, b'{"more": ' + b'{"a":' * 40_000])
def test_json_that_is_nested_too_deeply_is_refused(
    serving: Serving, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    served = serving()
    status, found, _ = served.ask(body)
    assert status in (400, 422)
    assert 'expected {"context": [turns, oldest first]' in found["detail"]
    assert served.ask()[0] == 200
    assert caplog.records == []


def test_requests_that_the_grace_cuts_off_are_answered_counted_and_leave_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    selector = Scripted()
    app = application(selector)
    selector.forget()
    selector.hold()
    taken, ready = bound("127.0.0.1", 0), threading.Event()
    server = made(app, grace=0.1, ready=ready.set)
    thread = threading.Thread(target=server.run, args=([taken],))
    thread.start()
    try:
        assert ready.wait(30)
        served = Served(selector, taken.getsockname()[1])
        with ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(served.ask) for _ in range(3)]
            selector.begun.acquire()
            while served.metric("pneg_waiting_candidates") < 6:
                pass
            server.should_exit = True
            found = [answer.result() for answer in answers]
    finally:
        selector.release()
        server.should_exit = True
        thread.join()
    assert [status for status, _, _ in found] == [503] * 3
    assert {answer["detail"] for _, answer, _ in found} == {
        "the server ends and had no time left for this request; ask again"
    }
    assert server.cut_off == 3
    assert caplog.records == []


@pytest.mark.parametrize(
    ("host", "open_"),
    [
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.7", True),
        ("fe80::1%eth0", True),
    ],
)
def test_only_a_loopback_address_is_out_of_reach(host: str, open_: bool) -> None:
    assert reachable(SimpleNamespace(getsockname=lambda: (host, 80))) == open_  # type: ignore[arg-type]


def test_a_hundred_clients_at_once_get_each_their_own_ranking_in_few_calls(serving: Serving) -> None:
    served = serving()
    served.selector.hold()

    def ask(number: int) -> list[tuple[str, float]]:
        texts = [f"{number}-" + "x" * (number * place % 17) for place in range(1, 6)]
        status, found, _ = served.ask({"context": [str(number)], "candidates": texts})
        assert status == 200
        return [(place["candidate"], place["score"]) for place in found["ranking"]]

    with ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(ask, number) for number in range(100)]
        while served.metric("pneg_waiting_candidates") < 400:
            pass
        served.selector.release()
        for number, answer in enumerate(answers):
            texts = {f"{number}-" + "x" * (number * place % 17) for place in range(1, 6)}
            found = answer.result()
            assert {text for text, _ in found} == texts
            assert [score for _, score in found] == sorted((len(text) - 1 for text, _ in found), reverse=True)
    assert len(served.selector.calls) <= 100 * 5 / 256 + 20
    assert max(map(len, served.selector.calls)) > 200


def test_a_full_queue_gets_503_and_when_to_come_again(serving: Serving) -> None:
    served = serving(waiting=4)
    served.selector.hold()
    with ThreadPoolExecutor(2) as pool:
        working = pool.submit(served.ask)
        served.selector.begun.acquire()
        queued = pool.submit(served.ask)
        while served.metric("pneg_waiting_candidates") < 3:
            pass
        status, found, headers = served.ask()
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert "try again in" in found["detail"]
        served.selector.release()
        assert working.result()[0] == queued.result()[0] == 200
    assert served.metric('pneg_requests_total{status="503"}') == 1


def test_a_client_that_went_away_costs_no_call(serving: Serving) -> None:
    served = serving()
    served.selector.hold()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(served.ask)
        served.selector.begun.acquire()
        leaving = _sent(served, {"context": ["leaving"], "candidates": ["a", "b"]})
        while served.metric("pneg_waiting_candidates") < 2:
            pass
        leaving.close()
        while served.metric("pneg_waiting_candidates") > 0:
            pass
        served.selector.release()
        assert working.result()[0] == 200
    assert served.ask()[0] == 200
    assert all(turns != ("leaving",) for call in served.selector.calls for turns, _ in call)
    assert served.metric('pneg_requests_total{status="499"}') == 1


def test_metrics_count_requests_calls_and_candidates(serving: Serving) -> None:
    served = serving()
    assert served.metric("pneg_model_calls_total") == 0
    served.ask()
    served.ask()
    served.ask(b"{")
    assert served.metric('pneg_requests_total{status="200"}') == 2
    assert served.metric('pneg_requests_total{status="400"}') == 1
    assert served.metric("pneg_model_calls_total") == 2
    assert served.metric("pneg_candidates_total") == 6
    assert served.metric('pneg_model_call_candidates_bucket{le="4.0"}') == 2
    assert served.metric('pneg_model_call_candidates_bucket{le="2.0"}') == 0
    assert served.metric("pneg_request_seconds_count") == 2


def _sent(served: Served, body: object) -> socket.socket:
    """A connection on which a request was sent, and nothing read."""
    data = json.dumps(body).encode()
    sent = socket.create_connection(("127.0.0.1", served.port))
    head = f"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    sent.sendall(head.encode() + data)
    return sent


def test_many_requests_use_one_connection(serving: Serving) -> None:
    connection: HTTPConnection = serving().connection()
    for _ in range(3):
        connection.request("POST", "/rank", json.dumps(ASK), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200
        assert len(json.loads(response.read())["ranking"]) == 3
        assert response.getheader("connection") is None
