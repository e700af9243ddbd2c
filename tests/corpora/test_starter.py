"""The starter corpus: its form, and that style alone does not give its positives away."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from pneg import Dialogue, corpora
from pneg.dialogue import normalised
from pneg.errors import DataError, MissingExtra, ModelError

SPLITS = {"starter:demonstrations": 300, "starter:test": 100}
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
    assert len({dialogue.id for dialogue in found}) == 400
    for dialogue in found:
        apart = (dialogue.positives, dialogue.negatives["human"], dialogue.negatives.get("random", ()))
        responses = [text for texts in apart for text in texts]
        assert len({normalised(text) for text in responses}) == len(responses), dialogue.id


def test_random_negatives_are_positives_of_other_dialogues_of_the_test() -> None:
    found = list(corpora.read("starter:test"))
    for dialogue in found:
        others = {text for other in found if other.id != dialogue.id for text in other.positives}
        assert set(dialogue.negatives["random"]) <= others, dialogue.id


@pytest.mark.parametrize("name", SPLITS)
def test_positives_and_negatives_are_of_equal_length_within_5_percent(name: str) -> None:
    found = list(corpora.read(name))
    positives = mean(len(text.split()) for dialogue in found for text in dialogue.positives)
    negatives = mean(len(text.split()) for dialogue in found for text in dialogue.negatives["human"])
    assert 0.95 < positives / negatives < 1.05


def test_a_split_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(DataError, match="expected starter:demonstrations or starter:test"):
        corpora.read("starter:train")


def responses(dialogues: list[Dialogue]) -> tuple[Any, Any, Any]:
    """Every response, whether it fits, and the number of its dialogue."""
    import numpy as np

    rows = [
        (text, fits, number)
        for number, dialogue in enumerate(dialogues)
        for texts, fits in ((dialogue.positives, True), (dialogue.negatives["human"][:5], False))
        for text in texts
    ]
    texts, fits, of = (np.array(column) for column in zip(*rows, strict=True))
    return texts, fits, of


def first_of_six(scores: Any, fits: Any, of: Any) -> float:
    """R@1 of each positive against the five negatives of its dialogue: 1 in 6 by chance. A tie counts its share."""
    import numpy as np

    won = []
    for number in np.unique(of):
        negatives = scores[(of == number) & ~fits]
        for score in scores[(of == number) & fits]:
            won.append(0.0 if (negatives > score).any() else 1 / (1 + np.sum(negatives == score)))
    return float(np.mean(won))


def linear_probe(texts: Any, fits: Any, of: Any) -> Any:
    """Scores of a linear model of words and letters that never saw the dialogue it scores, nor any context."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORDS),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        ),
        LogisticRegression(C=10, solver="liblinear", class_weight="balanced"),
    )
    return cross_fitted(model, texts, fits, of)


def encoder_probe(texts: Any, fits: Any, of: Any) -> Any:
    """The same with the embeddings of an encoder in place of words: it sees what a response is about."""
    from sklearn.linear_model import LogisticRegression

    from pneg.negatives.embeddings import Embeddings

    try:
        embeddings = Embeddings("minilm-l6", device="cpu", precision="float32")
    except (ModelError, MissingExtra) as error:
        pytest.skip(f"the encoder cannot be had here: {error}")
    model = LogisticRegression(max_iter=2000, class_weight="balanced")
    return cross_fitted(model, embeddings.of(list(texts)), fits, of)


def cross_fitted(model: Any, features: Any, fits: Any, of: Any) -> Any:
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return cross_val_predict(model, features, fits, groups=of, cv=GroupKFold(5), method="decision_function")


def style_alone(
    dialogues: list[Dialogue], probe: Callable[[Any, Any, Any], Any] = linear_probe
) -> tuple[float, float]:
    """R@1 and AUC of a probe that sees responses alone; by chance they are 1 in 6 and one half."""
    from sklearn.metrics import roc_auc_score

    texts, fits, of = responses(dialogues)
    scores = probe(texts, fits, of)
    return first_of_six(scores, fits, of), float(roc_auc_score(fits, scores))


@pytest.mark.parametrize("split", ["starter:demonstrations", "starter:test", "both"])
def test_style_alone_does_not_tell_a_positive_from_a_negative(split: str) -> None:
    recall, auc = style_alone(starter() if split == "both" else list(corpora.read(split)))
    assert recall < 0.30
    assert abs(auc - 0.5) < 0.12


def test_the_embedding_of_a_demonstration_alone_does_not_tell_its_positives_from_its_negatives() -> None:
    recall, auc = style_alone(list(corpora.read("starter:demonstrations")), encoder_probe)
    assert recall < 0.30
    assert abs(auc - 0.5) < 0.13


def test_style_alone_would_be_seen_where_it_does(shared_data: Path) -> None:
    published = list(corpora.read(shared_data / "dailydialog++" / "test.json"))[:120]
    assert style_alone(published)[0] > 0.6


def test_an_embedding_alone_would_be_seen_where_it_does() -> None:
    told = [
        replace(d, positives=tuple(f"I am happy to help, and {text}" for text in d.positives))
        for d in corpora.read("starter:test")
    ]
    assert style_alone(told, encoder_probe)[0] > 0.6


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w']+", text.lower()))


def test_neither_length_nor_the_words_of_the_context_tell_a_positive_from_a_negative() -> None:
    import numpy as np

    dialogues = list(corpora.read("starter:demonstrations"))
    texts, fits, of = responses(dialogues)
    length = np.array([len(text.split()) for text in texts])
    contexts = [words(" ".join(dialogue.context)) for dialogue in dialogues]
    shared = [len(words(text) & contexts[number]) / len(words(text)) for text, number in zip(texts, of, strict=True)]
    for shortcut in (length, -length, np.array(shared), -np.array(shared)):
        assert first_of_six(shortcut, fits, of) < 0.26


NEAR = 0.45
"""Cosine of two dialogues from which one is a variant of the other.

The nearest two of the 400, by context or by responses, lie at .32; the planted variants below at .72 or more.
"""


def nearness(dialogues: list[Dialogue]) -> Any:
    """Cosine by content words of every two dialogues: the greater of that of contexts and that of all responses."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    parts = (
        [" ".join(dialogue.context) for dialogue in dialogues],
        [" ".join((*dialogue.positives, *dialogue.negatives["human"])) for dialogue in dialogues],
    )
    vectors = [TfidfVectorizer(stop_words="english", sublinear_tf=True).fit_transform(part) for part in parts]
    return np.triu(np.maximum(*((matrix @ matrix.T).toarray() for matrix in vectors)), 1)


def test_no_dialogue_is_a_variant_of_another() -> None:
    dialogues = starter()
    near = [(dialogues[a].id, dialogues[b].id) for a, b in zip(*(nearness(dialogues) > NEAR).nonzero(), strict=True)]
    assert not near


VARIANTS = {
    "starter-demonstration-006": (
        "Our gate has moved from A2 to D14, and boarding begins in ten minutes.",
        "That's in the other terminal! I only just sat down with my hot noodles.",
        "Bring the noodles along, we'll catch the shuttle if we hurry.",
        "The lid won't fit. You've got our boarding passes, haven't you?",
    ),
    "starter-demonstration-022": (
        "Why's the vending machine flashing at us?",
        "It always does after midnight. Press the button for a cold drink twice.",
        "I pressed it five times, and it swallowed three euros.",
        "Then hit it hard on the right, like all the night nurses.",
    ),
    "starter-test-058": (
        "I dropped my new phone in the sink last night.",
        "Oh no! Have you put it in a bowl of rice?",
        "Yes, it's been in the rice for ten hours, and the screen is black.",
    ),
}
"""Contexts told again with other numbers, places and turns of phrase."""


@pytest.mark.parametrize(("source", "context"), VARIANTS.items())
def test_a_variant_would_be_seen(source: str, context: tuple[str, ...]) -> None:
    dialogues = starter()
    place = [dialogue.id for dialogue in dialogues].index(source)
    other = dialogues[place - 1]
    planted = Dialogue("planted", context, other.positives, other.negatives)
    found = nearness([*(d for d in dialogues if d is not other), planted])[:, -1]
    kept = [d.id for d in dialogues if d is not other]
    assert [kept[number] for number in (found > NEAR).nonzero()[0]] == [source]


def test_the_same_responses_under_another_context_would_be_seen() -> None:
    dialogues = starter()
    planted = replace(dialogues[40], id="planted", context=("Is it far?", "Ten minutes on foot."))
    assert nearness([*dialogues, planted])[40, -1] > 0.99


def test_no_response_is_written_for_two_dialogues() -> None:
    where: dict[str, list[str]] = {}
    for dialogue in starter():
        for text in (*dialogue.positives, *dialogue.negatives["human"]):
            where.setdefault(normalised(text), []).append(dialogue.id)
    assert {text: ids for text, ids in where.items() if len(ids) > 1} == {}
