"""What an export costs and buys: accuracy, scores and speed beside the selector it was made from."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.selector.candidates import EACH
from pneg.selector.evaluation import evaluate
from pneg.selector.exported import ExportedSelector
from pneg.selector.model import Selector
from pneg.selector.ranking import Scorer, turns_read

SETS = ("random", "human")
TIMED = 60
"""Questions that are scored to measure a speed."""
ROUNDS = 3


def measured(
    selector: Selector, exported: Mapping[str, Path], dialogues: Sequence[Dialogue], *, sets: bool
) -> dict[str, Any]:
    """Compare exports with the selector, all in one run.

    Args:
        selector: on the processor.
        exported: folders by precision; differences are those of the last.
        dialogues: to rank.
        sets: whether R@1 and MRR are wanted, on those of `SETS` that the dialogues have.

    Raises:
        DataError: when no dialogue has two candidates.
    """
    scorers: dict[str, Scorer] = {"torch float32": selector}
    scorers |= {f"onnx {name}": ExportedSelector.load(folder) for name, folder in exported.items()}
    asked = questions(dialogues, selector.history)
    if not asked:
        raise DataError("no dialogue has two candidates", "there is nothing to compare scores on")
    last = next(reversed(scorers.values()))
    pairs = [(turns, text) for turns, texts in asked for text in texts]
    ends = np.cumsum([len(texts) for _, texts in asked])[:-1]
    exact, coarse = selector.score(pairs, whole=True), last.score(pairs, whole=True)
    same = [a.argmax() == b.argmax() for a, b in zip(np.split(exact, ends), np.split(coarse, ends), strict=True)]
    names = [name for name in SETS if sets and any(item.negatives.get(name) and item.positives for item in dialogues)]
    scores = {kind: evaluate(scorer, dialogues, names) for kind, scorer in scorers.items()} if names else {}
    return {
        "questions": len(asked),
        "score_difference": {
            "mean": float(np.abs(exact - coarse).mean()),
            "largest": float(np.abs(exact - coarse).max()),
        },
        "same_first": float(np.mean(same)),
        "sets": {name: {kind: found[name].as_json() for kind, found in scores.items()} for name in names},
        "pairs_per_second": _rates(scorers, pairs[: TIMED * (1 + EACH)]),
    }


def questions(dialogues: Iterable[Dialogue], history: int) -> list[tuple[tuple[str, ...], list[str]]]:
    """What is read of each context, with a positive and its five hardest negatives, where there are two of them."""
    found = []
    for dialogue in dialogues:
        negatives = [text for name in reversed(SETS) for text in dialogue.negatives.get(name, ())]
        texts = list(dict.fromkeys([*dialogue.positives[:1], *negatives]))[: 1 + EACH]
        if len(texts) > 1:
            found.append((turns_read(dialogue.context, dialogue.persona, history), texts))
    return found


def _rates(scorers: Mapping[str, Scorer], pairs: Sequence[tuple[tuple[str, ...], str]]) -> dict[str, float]:
    """Pairs a second of each, the median of rounds in turn behind an untimed one."""
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for number in range(1 + ROUNDS):
        for name, scorer in scorers.items():
            started = time.perf_counter()
            scorer.score(pairs, whole=True)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: round(len(pairs) / median(found), 1) for name, found in seconds.items()}
