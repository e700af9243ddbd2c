"""Decoding, limits, ranking, probabilities, keys: without a server."""

import json
from pathlib import Path

import numpy as np
import pytest

from pneg.errors import DataError
from pneg.selector.ranking import softmax
from pneg.web.serving.key import Key
from pneg.web.serving.limits import Limits, Refusal, checked
from pneg.web.serving.messages import ranking

LIMITS = Limits(turns=2, candidates=3, bytes=1000)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "the body is no JSON"),
        (b'{"context"', 400, "the body is no JSON"),
        (b'{"context": ["\xff"], "candidates": []}', 400, "the body is no JSON"),
        (b'{"context": ["\\ud800"], "candidates": []}', 400, "the body is no JSON"),
        (b"[]", 422, "Expected `object`"),
        (b'{"context": "Hi.", "candidates": []}', 422, "got `str` - at `$.context`"),
        (b'{"context": [], "candidates": []}', 422, "length >= 1 - at `$.context`"),
        (b'{"context": ["Hi.", 1], "candidates": []}', 422, "at `$.context[1]`"),
        (b'{"context": ["Hi."]}', 422, "missing required field `candidates`"),
        (b'{"context": ["Hi."], "candidates": [], "k": 1}', 422, "unknown field `k`"),
        (b'{"context": ["a", "b", "c"], "candidates": []}', 422, "$.context has 3 turns, at most 2"),
        (b'{"context": ["a"], "candidates": [], "persona": ["a", "b", "c"]}', 422, "$.persona has 3 sentences, at"),
        (b'{"context": ["a"], "candidates": ["a", "b", "c", "d"]}', 422, "$.candidates has 4 texts, at most 3"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_a_remedy(body: bytes, status: int, told: str) -> None:
    with pytest.raises(Refusal) as refused:
        checked(body, LIMITS, history=4)
    assert refused.value.status == status
    assert told in refused.value.detail
    assert "; " in refused.value.detail


def test_what_keeps_the_limits_is_taken_as_it_is() -> None:
    asked = checked(b'{"candidates": ["\\u00e9", "", "b"], "context": ["a", "b"]}', LIMITS, history=4)
    assert (asked.context, asked.candidates) == (("a", "b"), ("é", "", "b"))


def test_the_best_is_first_and_candidates_of_equal_score_keep_their_order() -> None:
    scores = np.array([0.5, 2.0, 0.5, -1.0], dtype=np.float32)
    found = json.loads(ranking(["a", "b", "c", "d"], scores, None))["ranking"]
    assert [(place["candidate"], place["score"], place["index"]) for place in found] == [
        ("b", 2.0, 1),
        ("a", 0.5, 0),
        ("c", 0.5, 2),
        ("d", -1.0, 3),
    ]
    assert "probability" not in found[0]


def test_a_calibrated_selector_gives_probabilities() -> None:
    scores = np.array([0.0, 2 * np.log(3)], dtype=np.float32)  # at temperature 2 the odds are 1 to 3
    assert softmax(scores, 2.0) == pytest.approx([0.25, 0.75])
    assert softmax(np.array([1000.0, 0.0], dtype=np.float32), 1.0) == pytest.approx([1.0, 0.0])
    found = json.loads(ranking(["a", "b"], scores, 2.0))["ranking"]
    assert [place["probability"] for place in found] == pytest.approx([0.75, 0.25])
    assert json.loads(ranking([], np.zeros(0, dtype=np.float32), 2.0)) == {"ranking": []}


def test_a_key_opens_for_itself_alone_and_never_shows() -> None:
    key = Key._of("s3cret-ü\n", "here")
    assert key.opens("Bearer s3cret-ü".encode().decode("latin-1"))
    assert key.opens("bearer  s3cret-ü".encode().decode("latin-1"))
    for wrong in (None, "", "Bearer", "Bearer ", "Bearer s3cret", "Bearer s3cret-ü2", "Basic s3cret-ü", "s3cret-ü"):
        assert not key.opens(None if wrong is None else wrong.encode().decode("latin-1"))
    assert "s3cret" not in repr(key)
    assert "s3cret" not in repr([getattr(key, name) for name in key.__slots__])


def test_a_key_comes_from_a_variable_or_a_file_and_a_blank_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "k1")
    (tmp_path / "key").write_text(" k2\n")
    assert Key.from_variable("THE_KEY").opens("Bearer k1")
    assert Key.from_file(tmp_path / "key").opens("Bearer k2")
    (tmp_path / "key").write_text(" \n")
    with pytest.raises(DataError, match=r"the file .* holds no key"):
        Key.from_file(tmp_path / "key")
    with pytest.raises(DataError, match="the environment variable NO_KEY holds no key"):
        Key.from_variable("NO_KEY")
    with pytest.raises(DataError, match="the key cannot be read: No such file"):
        Key.from_file(tmp_path / "none")
