"""What an export is said to cost and to buy."""

from pathlib import Path

import numpy as np
import pytest

from pneg import Dialogue, Selector, corpora
from pneg.errors import DataError
from pneg.selector import export, measured
from pneg.selector.exported import ExportedSelector
from pneg.selector.measured import questions

STARTER = list(corpora.read("starter:test"))[:12]


def test_a_question_is_a_positive_and_the_five_hardest_negatives() -> None:
    negatives = {"random": ("r1", "r2", "r3"), "human": ("h1", "p1", "h2", "h3"), "bm25": ("b1",)}
    asked = [
        Dialogue("1", ("a", "b", "c"), ("p1", "p2"), negatives, persona=("i bake",)),
        Dialogue("2", ("a",), ("p1",), {"bm25": ("b1",)}),  # nothing to rank it against
        Dialogue("3", ("a",), (), {"random": ("r1", "r2")}),
    ]
    assert questions(asked, history=2) == [
        (("i bake", "b", "c"), ["p1", "h1", "h2", "h3", "r1", "r2"]),
        (("a",), ["r1", "r2"]),
    ]


def test_differences_are_those_of_the_last_export_to_the_selector(saved: Path, tmp_path: Path) -> None:
    selector = Selector.load(saved, device="cpu")
    pairs = [(turns, text) for turns, texts in questions(STARTER, selector.history) for text in texts]
    folders = {precision: tmp_path / precision for precision in ("float32", "int8")}
    for precision, folder in folders.items():
        export.write(selector, folder, precision, pairs)
    found = measured.measured(selector, folders, STARTER, sets=False)
    exact, coarse = selector.score(pairs), ExportedSelector.load(folders["int8"]).score(pairs)
    apart = np.abs(exact - coarse)
    assert found["score_difference"] == {
        "mean": pytest.approx(apart.mean(), rel=1e-3),
        "largest": pytest.approx(apart.max(), rel=1e-3),
    }
    firsts = [scores.reshape(-1, 6).argmax(1) for scores in (exact, coarse)]
    assert found["same_first"] == (firsts[0] == firsts[1]).mean()
    assert found["questions"] == len(STARTER)
    assert found["sets"] == {}
    assert list(found["pairs_per_second"]) == ["torch float32", "onnx float32", "onnx int8"]
    with pytest.raises(DataError, match="no dialogue has two candidates"):
        measured.measured(selector, folders, [Dialogue("1", ("a",), ("p",))], sets=False)


def test_a_speed_is_the_median_behind_a_round_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Slow:
        """Takes so many seconds, call by call."""

        def __init__(self, *seconds: float) -> None:
            self.seconds = iter(seconds)

        def score(self, pairs: object, *, whole: bool) -> None:
            nonlocal now
            assert whole
            now += next(self.seconds)

    monkeypatch.setattr(measured.time, "perf_counter", lambda: now)
    scorers = {"one": Slow(90, 2, 8, 4), "other": Slow(70, 1, 1, 9)}
    assert measured._rates(scorers, [(("a",), "b")] * 20) == {"one": 5.0, "other": 20.0}  # type: ignore[arg-type]
