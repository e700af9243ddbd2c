from collections import Counter

import pytest

from pneg import Dialogue
from pneg.dialogue import normalised
from pneg.errors import DataError
from pneg.selector.candidates import Candidates


def dialogue(n: int, **negatives: tuple[str, ...]) -> Dialogue:
    return Dialogue(str(n), (f"c{n}a", f"c{n}b"), (f"p{n}", f"q{n}"), negatives)


PLAIN = [dialogue(n) for n in range(30)]


def texts(candidates: Candidates, group: int, seed: int = 0, epoch: int = 0) -> list[str]:
    return [candidates.responses[number] for number in candidates.draw(group, seed, epoch)]


def test_a_group_is_one_positive_five_random_and_five_adversarial() -> None:
    adversarial = tuple(f"a{m}" for m in range(5))
    candidates = Candidates.of([dialogue(99, human=adversarial), *PLAIN], ("human",), 4)
    drawn = texts(candidates, 0)
    assert len(drawn) == 11
    assert drawn[0] in ("p99", "q99")
    assert sorted(drawn[6:]) == sorted(adversarial)
    assert all(text[0] in "pq" and text[1:] != "99" for text in drawn[1:6])
    assert len(set(drawn)) == 11


def test_the_random_source_means_ten_random_negatives() -> None:
    candidates = Candidates.of(PLAIN, ("random",), 4)
    drawn = texts(candidates, 4)
    assert len(set(drawn)) == 11
    assert candidates.short == 0
    assert not {"p4", "q4"} & set(drawn[1:])


def test_the_files_own_random_negatives_come_first() -> None:
    own = tuple(f"r{m}" for m in range(5))
    candidates = Candidates.of([dialogue(99, random=own), *PLAIN], ("random",), 4)
    drawn = texts(candidates, 0)
    assert set(own) <= set(drawn[1:])
    assert sum(text[0] in "pq" for text in drawn[1:]) == 5


def test_no_text_is_twice_among_the_candidates_of_a_context() -> None:
    shared = dialogue(
        99, random=("r1", "both", "R1", "r2", "p99"), human=("both", "h1", "h1", "H1.", "h1 ", "h2", "h3")
    )
    candidates = Candidates.of([shared, *PLAIN], ("human",), 4)
    for epoch in range(20):
        drawn = texts(candidates, 0, epoch=epoch)
        assert len({normalised(text) for text in drawn}) == len(drawn) == 11
        assert sorted(drawn[7:]) == ["both", "h1", "h2", "h3"]
        assert {"r1", "r2"} <= set(drawn[1:7])
    assert candidates.short == 1 + 5 * 30


def test_missing_adversarial_negatives_are_counted_and_drawn_at_random() -> None:
    candidates = Candidates.of([dialogue(99, prompted=("a", "b")), *PLAIN], ("prompted",), 4)
    assert candidates.short == 3 + 5 * 30
    assert {"a", "b"} <= set(texts(candidates, 0))
    assert len(set(texts(candidates, 0))) == 11


def test_five_of_two_sources_are_drawn_anew_each_epoch() -> None:
    rich = dialogue(99, human=tuple(f"h{m}" for m in range(5)), bm25=tuple(f"b{m}" for m in range(5)))
    candidates = Candidates.of([rich, *PLAIN], ("human", "bm25"), 4)
    seen: Counter[str] = Counter()
    for epoch in range(50):
        drawn = texts(candidates, 0, epoch=epoch)
        assert sum(text[0] in "hb" for text in drawn) == 5
        seen.update(text for text in drawn if text[0] in "hb")
    assert len(seen) == 10


def test_the_positive_is_drawn_anew_each_epoch_and_the_same_for_the_same_seed() -> None:
    candidates = Candidates.of(PLAIN, ("random",), 4)
    assert {texts(candidates, 0, epoch=epoch)[0] for epoch in range(20)} == {"p0", "q0"}
    assert texts(candidates, 0, seed=5, epoch=3) == texts(candidates, 0, seed=5, epoch=3)
    assert texts(candidates, 0, seed=5, epoch=3) != texts(candidates, 0, seed=6, epoch=3)


def test_a_negative_that_is_a_positive_in_other_letters_is_left_out() -> None:
    candidates = Candidates.of([dialogue(99, human=("P99!", "a", "b", "c", "d")), *PLAIN], ("human",), 4)
    assert "P99!" not in texts(candidates, 0)
    assert candidates.short == 1 + 5 * 30


def test_only_the_last_turns_are_read_and_the_persona_stands_before_them() -> None:
    long = Dialogue("1", tuple(f"turn {n}" for n in range(9)), ("yes",), persona=("i like soup.",))
    candidates = Candidates.of([long, *PLAIN], ("random",), 4)
    assert candidates.groups[0].context == ("i like soup.", "turn 5", "turn 6", "turn 7", "turn 8")


@pytest.mark.parametrize(
    ("dialogues", "source", "message"),
    [
        ([dialogue(1, human=("a",)), *PLAIN], "prompted", r"source 'prompted'; there are: human"),
        ([Dialogue("x7", ("c",), ()), *PLAIN], "random", r"x7 has no positive"),
        ([], "random", r"no dialogues to train on"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(dialogues: list[Dialogue], source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Candidates.of(dialogues, (source,), 4)


def test_too_few_responses_for_ten_different_negatives_are_an_error_not_a_repeat() -> None:
    candidates = Candidates.of(PLAIN[:3], ("random",), 4)
    assert len(set(texts(Candidates.of(PLAIN[:3], ("random",), 4, others=PLAIN[3:6]), 0))) == 11
    with pytest.raises(DataError, match="only 4 different negatives"):
        candidates.draw(0, 0, 0)


def test_the_files_own_random_negatives_are_never_a_positive() -> None:
    own = ("P99!", "r1", "r2", "r3", "r4")
    candidates = Candidates.of([dialogue(99, random=own), *PLAIN], ("random",), 4)
    assert all("P99!" not in texts(candidates, 0, epoch=epoch) for epoch in range(20))


def test_of_many_random_negatives_of_the_file_five_are_drawn_anew_each_epoch() -> None:
    own = tuple(f"r{m}" for m in range(12))
    candidates = Candidates.of([dialogue(99, human=("a", "b", "c", "d", "e"), random=own), *PLAIN], ("human",), 4)
    drawn = [texts(candidates, 0, epoch=epoch)[1:6] for epoch in range(40)]
    assert all(set(five) <= set(own) for five in drawn)
    assert {text for five in drawn for text in five} == set(own)


def test_what_is_drawn_at_random_repeats_no_other_negative() -> None:
    """Of twelve responses of others five are adversarial here, so five of the other seven are drawn."""
    others = [dialogue(n) for n in range(6)]
    adversarial = ("p0", "q0", "p1", "q1", "p2")
    candidates = Candidates.of([dialogue(99, human=adversarial), *others], ("human",), 4)
    own = Candidates.of([dialogue(99, random=adversarial), *others], ("random",), 4)
    for epoch in range(40):
        assert len(set(texts(candidates, 0, epoch=epoch))) == 11
        assert len(set(texts(own, 0, epoch=epoch))) == 11


RICH = dialogue(99, human=tuple(f"h{m}" for m in range(5)), bm25=tuple(f"b{m}" for m in range(5)))


def test_counts_by_source_take_the_place_of_five_and_five() -> None:
    counts = {"random": 3, "bm25": 4, "human": 1}
    candidates = Candidates.of([RICH, *PLAIN], ("prompted",), 4, counts=counts)
    assert candidates.composition.size == 9
    for epoch in range(20):
        drawn = texts(candidates, 0, epoch=epoch)
        assert Counter(text[0] for text in drawn[4:]) == {"b": 4, "h": 1}
        assert all(text[0] in "pq" for text in drawn[:4])
        assert len(set(drawn)) == 9
    assert candidates.short == 5 * 30


def test_what_a_source_lacks_is_filled_up_with_random_ones_and_counted() -> None:
    candidates = Candidates.of([dialogue(99, bm25=("b1",)), *PLAIN[:20]], (), 4, counts={"bm25": 3})
    drawn = texts(candidates, 0)
    assert len(drawn) == len(set(drawn)) == 4
    assert drawn[3] == "b1"
    assert candidates.short == 2 + 3 * 20


def test_a_source_with_a_count_must_be_in_the_data() -> None:
    with pytest.raises(DataError, match=r"source 'same-dialogue'; there are: bm25, human"):
        Candidates.of([RICH, *PLAIN], (), 4, counts={"same-dialogue": 2})


def test_a_contrasted_response_meets_contexts_that_it_is_no_positive_of() -> None:
    twins = [Dialogue(str(n), (f"c{n % 14}",), ("yes",) if n < 20 else (f"p{n}",)) for n in range(40)]
    candidates = Candidates.of(twins, ("random",), 4)
    response = candidates.responses.index("p21")
    seen = set()
    for epoch in range(30):
        own, *others = candidates.contrasted(21, response, 0, epoch)
        assert own == 21
        assert len({candidates.groups[number].context for number in (own, *others)}) == 11
        seen.update(others)
    assert len(seen) > 20
    assert candidates.contrasted(21, response, 0, 1) == candidates.contrasted(21, response, 0, 1)
    yes = candidates.responses.index("yes")
    assert all(number >= 20 for number in candidates.contrasted(0, yes, 0, 0)[1:])


def test_too_few_contexts_to_contrast_with_are_an_error() -> None:
    candidates = Candidates.of(PLAIN[:6], ("random",), 4)
    with pytest.raises(DataError, match="only 5 other contexts"):
        candidates.contrasted(0, candidates.groups[0].positives[0], 0, 0)
