"""Length and overlap as cues: what is counted, and that their direction is chosen elsewhere."""

import numpy as np
import pytest

from pneg import Dialogue
from pneg.audit.cues import folds, length, lengths, overlap, overlaps_of
from pneg.audit.queries import Queries, Texts
from pneg.audit.words import content_stems


def queries_of(dialogues: list[Dialogue]) -> Queries:
    return Queries.of(dialogues, "human", Texts())


def dialogue(number: int, positive: str, negatives: tuple[str, ...], context: str = "") -> Dialogue:
    return Dialogue(str(number), (context or f"context {number}",), (positive,), {"human": negatives})


SHORT = [dialogue(n, "Yes.", ("No, I do not think so.", "That is a very long way.")) for n in range(10)]


def test_the_shortest_candidate_is_found_where_positives_are_short() -> None:
    queries = queries_of(SHORT)
    cue = length(queries, folds(queries.groups))
    assert (cue.name, cue.rule, cue.figures.recall_at_1) == ("length", "shortest", 1.0)


def test_the_longest_candidate_is_found_where_positives_are_long() -> None:
    queries = queries_of([dialogue(n, "No, I do not think so.", ("Yes.", "No.")) for n in range(10)])
    cue = length(queries, folds(queries.groups))
    assert (cue.rule, cue.figures.recall_at_1) == ("longest", 1.0)


def test_a_direction_that_holds_only_where_it_was_chosen_earns_nothing() -> None:
    """Two contexts that contradict each other: each is scored by what the other one teaches."""
    queries = queries_of([dialogue(0, "Yes.", ("A long one here.",)), dialogue(1, "A long one here.", ("Yes.",))])
    cue = length(queries, folds(queries.groups))
    assert (cue.rule, cue.figures.recall_at_1) == ("either", 0.0)


def test_overlap_is_shared_content_stems_over_all() -> None:
    context = "Did you like the concerts?"  # like, concert
    queries = queries_of([dialogue(0, "The concert was loud.", ("I liked concerts.", "Yes, we did."), context)])
    positives, negatives = overlaps_of(queries, [content_stems(text) for text in queries.texts])
    assert positives.tolist() == [[pytest.approx(1 / 3)]]  # concert of like, concert, loud
    assert negatives[0, 0] == 1.0
    assert negatives[0, 1] == 0.0


def test_the_candidate_with_the_least_overlap_is_found_where_negatives_echo_the_context() -> None:
    dialogues = [
        dialogue(
            n, "Yes, gladly.", ("Paris trains run late.", "The train to Paris is red."), f"A train to Paris {n}?"
        )
        for n in range(6)
    ]
    queries = queries_of(dialogues)
    found = overlaps_of(queries, [content_stems(text) for text in queries.texts])
    cue = overlap(queries, found, folds(queries.groups))
    assert (cue.rule, cue.figures.recall_at_1) == ("least", 1.0)


def test_only_the_first_five_negatives_count() -> None:
    queries = queries_of([dialogue(0, "Yes.", tuple(f"No {word}." for word in "abcdefg"))])
    assert queries.negatives.shape == (1, 5)
    assert queries.chance == pytest.approx(1 / 6)


def test_chance_is_averaged_over_queries_of_different_sizes() -> None:
    one = Dialogue("a", ("Hi.",), ("Yes.", "Sure."), {"human": ("No.",)})
    three = Dialogue("b", ("Ho.",), ("Yes.",), {"human": ("No.", "Never.", "Not I.")})
    assert queries_of([one, three]).chance == pytest.approx((0.5 + 0.5 + 0.25) / 3)


def test_equal_contexts_are_in_one_fold() -> None:
    dialogues = [dialogue(n, "Yes.", ("No.",), context=f"context {n // 2}") for n in range(20)]
    for test in folds(queries_of(dialogues).groups):
        contexts = [dialogues[place].context for place in test.tolist()]
        assert all(contexts.count(context) == 2 for context in contexts)


def test_one_context_has_no_folds() -> None:
    assert folds(np.array([0, 0, 0])) == []


def test_a_chinese_character_counts_as_a_word() -> None:
    assert lengths(["\u4f60\u597d\u5417\uff1f", "Hi there", "\u6211 like it", "!"]).tolist() == [3.0, 2.0, 3.0, 0.0]
    assert content_stems("\u4f60\u597d\u5417\uff1f") == {"\u4f60", "\u597d", "\u5417"}
