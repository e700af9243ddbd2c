"""The starter corpus: its form, and that style alone does not give its positives away."""

from pathlib import Path
from statistics import mean

import pytest

from pneg import Dialogue, corpora
from pneg.dialogue import normalised
from pneg.errors import DataError

SPLITS = {"starter:demonstrations": 20, "starter:test": 100}
WORDS = r"[\w']+|[?!.,]"


def starter() -> list[Dialogue]:
    return [dialogue for name in SPLITS for dialogue in corpora.read(name)]


@pytest.mark.parametrize(("name", "count"), SPLITS.items())
def test_a_split_has_its_dialogues_with_three_positives_and_five_human_negatives(name: str, count: int) -> None:
    found = list(corpora.read(name))
    assert len(found) == count
    assert {len(dialogue.positives) for dialogue in found} == {3}
    assert {len(dialogue.negatives["human"]) for dialogue in found} == {5}
    assert {len(dialogue.context) for dialogue in found} == {2, 3, 4, 5}
    random = {len(dialogue.negatives.get("random", ())) for dialogue in found}
    assert random == ({5} if name == "starter:test" else {0})


def test_ids_are_unique_and_no_response_is_written_twice_for_a_dialogue() -> None:
    found = starter()
    assert len({dialogue.id for dialogue in found}) == 120
    for dialogue in found:
        apart = (dialogue.positives, dialogue.negatives["human"], dialogue.negatives.get("random", ()))
        responses = [text for texts in apart for text in texts]
        assert len({normalised(text) for text in responses}) == len(responses), dialogue.id


def test_random_negatives_are_positives_of_other_dialogues_of_the_test() -> None:
    found = list(corpora.read("starter:test"))
    for dialogue in found:
        others = {text for other in found if other.id != dialogue.id for text in other.positives}
        assert set(dialogue.negatives["random"]) <= others, dialogue.id


def test_positives_and_negatives_are_of_equal_length_within_15_percent() -> None:
    found = starter()
    positives = mean(len(text.split()) for dialogue in found for text in dialogue.positives)
    negatives = mean(len(text.split()) for dialogue in found for text in dialogue.negatives["human"])
    assert 0.85 < positives / negatives < 1.15


def test_a_split_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(DataError, match="expected starter:demonstrations or starter:test"):
        corpora.read("starter:train")


def style_alone(dialogues: list[Dialogue]) -> float:
    """R@1 of a linear model that never sees a context; it is tested on dialogues that it was not trained on.

    A tie counts as lost. By chance it is 1 in 6, as there are five negatives.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline, make_union
    from threadpoolctl import threadpool_limits

    rows = [
        (text, fits, number)
        for number, dialogue in enumerate(dialogues)
        for texts, fits in ((dialogue.positives, True), (dialogue.negatives["human"][:5], False))
        for text in texts
    ]
    texts, fits, of = (np.array(column) for column in zip(*rows, strict=True))
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORDS),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        ),
        LogisticRegression(C=10, solver="liblinear", class_weight="balanced"),
    )
    with threadpool_limits(1):
        scores = cross_val_predict(model, texts, fits, groups=of, cv=GroupKFold(5), method="decision_function")
    best = np.array([scores[(of == number) & ~fits].max() for number in range(len(dialogues))])
    return float(np.mean(scores[fits] > best[of[fits]]))


def test_style_alone_does_not_tell_a_positive_from_a_negative() -> None:
    assert style_alone(starter()) < 0.35


def test_style_alone_would_be_seen_where_it_does(shared_data: Path) -> None:
    published = list(corpora.read(shared_data / "dailydialog++" / "test.json"))[:120]
    assert style_alone(published) > 0.6
