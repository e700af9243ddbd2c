"""Trainings whose negatives come from several sources, and whose responses are contrasted in several contexts."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.errors import DataError
from pneg.selector.recipe import Recipe, Step
from pneg.selector.training import train

pytestmark = pytest.mark.usefixtures("one_thread")
STARTER = list(corpora.read("starter:test"))


def recipe(backbone: Path, **changes: object) -> Recipe:
    plain = Recipe(backbone=str(backbone), epochs=2, batch=8, learning_rate=1e-3, held_out=0.2, max_length=64)
    return replace(plain, **changes)


def test_a_training_on_counts_by_source_says_so(backbones: dict[str, Path], tmp_path: Path) -> None:
    chosen = recipe(backbones["bert"], negatives={"human": 2, "random": 4}, contrast=0.5)
    selector = train(STARTER[:30], chosen, tmp_path / "s", device="cpu")
    assert selector.about["recipe"]["negatives"] == {"human": 2, "random": 4}
    assert selector.about["contexts"] == 24
    card = (tmp_path / "s" / "README.md").read_text(encoding="utf-8")
    assert "1 positive and 6 negatives each" in card
    assert "4 random, 2 human" in card
    assert "50% of the contexts also competes in its own context" in card


def test_contrasted_groups_are_trained_on_and_left_out_of_the_validation_loss(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    steps: dict[float, list[Step]] = {0.0: [], 1.0: []}
    for contrast, told in steps.items():
        # a rate of next to nothing, so that both validate the same weights
        chosen = recipe(backbones["bert"], adversarial=("human",), contrast=contrast, epochs=1, learning_rate=1e-12)
        train(STARTER[:30], chosen, tmp_path / f"s{contrast}", device="cpu", report=told.append)
    plain, contrasted = steps.values()
    assert plain[-1].validation == pytest.approx(contrasted[-1].validation, abs=1e-6)
    assert plain[0].loss != pytest.approx(contrasted[0].loss, abs=1e-4)


def test_contrast_teaches_what_the_response_alone_cannot(tmp_path: Path) -> None:
    """Each response is the positive of one context and a negative of none, so only contrast tells contexts apart."""
    animals = ["dog", "cat", "horse", "bird", "fish", "mouse", "cow", "duck", "goat", "fox", "bear", "wolf"]
    made = [
        Dialogue(str(n), (f"the {animals[n % 12]} was here on day {n}",), (f"yes the {animals[n % 12]}",),
                 {"fixed": tuple(f"it is {m} o'clock" for m in range(n % 3, n % 3 + 4))})
        for n in range(48)
    ]  # fmt: skip
    chosen = Recipe(negatives={"fixed": 4}, epochs=2, learning_rate=3e-4, batch=4, held_out=0.0, max_length=32)
    gaps = {}
    for contrast in (0.0, 1.0):
        selector = train(made, replace(chosen, contrast=contrast), tmp_path / f"s{contrast}", device="cpu")
        own, other = selector.score([(made[0].context, "yes the dog"), (made[1].context, "yes the dog")])
        gaps[contrast] = own - other
    assert gaps[1.0] > gaps[0.0] + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrast": 1.5}, "contrasted contexts is 1.5"),
        ({"negatives": {"human": 0}}, "0 negatives of human"),
        ({"negatives": {"human": 2}, "weights": {"prompted": 0.5}}, "'prompted', which takes no part"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(
    changes: dict[str, object], message: str, backbones: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        train(STARTER[:30], recipe(backbones["bert"], **changes), tmp_path / "s")
