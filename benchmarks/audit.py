"""Seconds that the audit of a file with random and BM25 negatives takes, without a selector, and two of its parts.

The peer is the probe as one would write it with scikit-learn: features fitted anew for each fold, on all responses.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import common
from pneg import corpora
from pneg.audit import audit, cues, probe
from pneg.audit.diversity import diversity
from pneg.audit.queries import Queries, Texts
from pneg.audit.words import content_stems
from pneg.dialogue import Dialogue
from pneg.negatives import BM25, Random

COUNT = 5
SOURCES = ("random", "bm25")


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=7641, rounds=1)
    parser.add_argument("--peer", action="store_true", help="measure the plain probe, too; it takes some minutes")
    options = parser.parse_args()
    dialogues = _with_negatives(common.dialogues(options.data, "data_positives.json")[: options.limit])
    contenders: dict[str, Callable[[int], float]] = {
        "audit": lambda _: _seconds(lambda: audit(dialogues, examples=corpora.read("starter:demonstrations"))),
        "its style probe": lambda _: _seconds(lambda: _probe(dialogues)),
        "its diversity": lambda _: _seconds(lambda: _diversity(dialogues)),
    }
    if options.peer:
        contenders["plain probe"] = lambda _: _seconds(lambda: _plain(dialogues))
    found = common.interleaved(contenders, options.rounds)
    rows = [["", "seconds", "lowest-highest", "contexts/s"]]
    for name, seconds in found.items():
        middle = median(seconds)
        rows.append([name, f"{middle:.1f}", common.spread(seconds), f"{len(dialogues) / middle:,.0f}"])
    common.show(
        rows,
        f"{len(dialogues)} contexts with {' and '.join(SOURCES)} negatives, {COUNT} each, median of {options.rounds} "
        "interleaved rounds; making the negatives is not counted.",
        "scikit-learn", "scipy", "sacrebleu", "datasketch", "numpy",
    )  # fmt: skip


def _with_negatives(dialogues: list[Dialogue]) -> list[Dialogue]:
    for source in (Random(dialogues, seed=0), BM25(dialogues)):
        proposed = source.propose(dialogues, COUNT)
        dialogues = [
            replace(dialogue, negatives={**dialogue.negatives, source.name: responses})
            for dialogue, responses in zip(dialogues, proposed, strict=True)
        ]
    return dialogues


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _queries(dialogues: list[Dialogue]) -> tuple[list[Queries], Texts]:
    texts = Texts()
    return [Queries.of(dialogues, name, texts) for name in SOURCES], texts


def _probe(dialogues: list[Dialogue]) -> None:
    every, texts = _queries(dialogues)
    features = probe.Features(texts.all).of(texts.all)
    for queries in every:
        probe.style(queries, features, cues.folds(queries.groups))


def _diversity(dialogues: list[Dialogue]) -> None:
    every, texts = _queries(dialogues)
    for queries in every:
        diversity(queries.negative_texts())
        cues.overlaps_of(queries, [content_stems(text) for text in texts.all])


def _plain(dialogues: list[Dialogue]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline, make_union

    for name in SOURCES:
        rows = [
            (text, fits, number)
            for number, dialogue in enumerate(dialogues)
            for texts, fits in ((dialogue.positives, True), (dialogue.negatives[name], False))
            for text in texts
        ]
        texts, fits, groups = zip(*rows, strict=True)
        model = make_pipeline(
            make_union(
                TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
                TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
            ),
            LogisticRegression(C=10, solver="liblinear", class_weight="balanced"),
        )
        cross_val_predict(model, texts, fits, groups=groups, cv=GroupKFold(5), method="decision_function")


if __name__ == "__main__":
    main()
