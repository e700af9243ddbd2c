"""The response-only probe: what it sees, and what it must not learn."""

from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.audit.cues import Cue, folds, length, overlap, overlaps_of
from pneg.audit.giveaways import giveaways
from pneg.audit.probe import Features, style, style_fitted_to
from pneg.audit.queries import Queries, Texts
from pneg.audit.words import content_stems

WORDS = "tea rain bus song book lamp cake road fish door star milk".split()


def marked(count: int = 40) -> list[Dialogue]:
    """Negatives begin with a word that positives never have."""
    return [
        Dialogue(
            str(n),
            (f"What about number {n}?",),
            (f"I like the {WORDS[n % 12]} {n}.",),
            {"human": tuple(f"Well, I like the {WORDS[(n + k) % 12]} {n}." for k in range(1, 4))},
        )
        for n in range(count)
    ]


def probe(dialogues: list[Dialogue], source: str = "human") -> Cue | None:
    queries = Queries.of(dialogues, source, Texts())
    return style(queries, Features(queries.texts).of(queries.texts), folds(queries.groups))


def test_a_word_that_only_negatives_have_gives_them_away() -> None:
    figures = probe(marked()).figures
    assert figures.recall_at_1 == 1.0
    assert figures.auc == 1.0


def test_the_words_that_tell_are_named_with_their_shares() -> None:
    [well, *_] = giveaways(Queries.of(marked(), "human", Texts()))
    assert (well.word, well.negatives, well.positives) in ((",", 1.0, 0.0), ("well", 1.0, 0.0))


def test_no_word_tells_where_both_sides_are_worded_alike() -> None:
    assert giveaways(Queries.of(list(corpora.read("starter:test")), "random", Texts())) == ()


def test_a_response_that_was_seen_as_another_dialogues_positive_earns_nothing() -> None:
    """Negatives drawn from other dialogues: a probe that remembers texts would be far below chance."""
    dialogues = list(corpora.read("starter:test"))
    low, high = probe(dialogues, "random").figures.interval
    assert low < 1 / 6 < high


def test_texts_that_are_all_in_the_tested_fold_leave_nothing_to_learn() -> None:
    dialogues = [Dialogue(str(n), (f"context {n}",), ("Yes.",), {"human": ("No.",)}) for n in range(10)]
    assert probe(dialogues) is None


def test_a_probe_fitted_to_another_file_finds_the_same_mark() -> None:
    fit = Queries.of(marked(30), "human", Texts())
    test = Queries.of(marked()[30:], "human", Texts())
    assert style_fitted_to(fit, test).figures.recall_at_1 == 1.0


@pytest.fixture(scope="module")
def published(shared_data: Path) -> tuple[Queries, Queries]:
    """DailyDialog++'s human negatives: the development set, and the test set."""
    folder = shared_data / "dailydialog++"
    dev, test = (Queries.of(corpora.read(folder / f"{name}.json"), "human", Texts()) for name in ("dev", "test"))
    return dev, test


def test_the_published_test_is_answered_by_length_and_by_overlap(published: tuple[Queries, Queries]) -> None:
    _, test = published
    tests = folds(test.groups)
    short = length(test, tests)
    assert (short.rule, short.figures.recall_at_1) == ("shortest", pytest.approx(0.60, abs=0.01))
    least = overlap(test, overlaps_of(test, [content_stems(text) for text in test.texts]), tests)
    assert (least.rule, least.figures.recall_at_1) == ("least", pytest.approx(0.49, abs=0.01))


def test_the_published_test_is_answered_by_a_probe_fitted_to_the_development_set(
    published: tuple[Queries, Queries],
) -> None:
    assert style_fitted_to(*published).figures.recall_at_1 > 0.758
