"""Fitting a causal model: what is learned, the loss falls, the best is kept, the cache knows it again."""

import math
from pathlib import Path

import pytest

from pneg.errors import DataError
from pneg.lm import causal
from pneg.lm.causal import Part
from pneg.lm.finetune import Example, Fit, Job, Step, chosen, fit

EXAMPLES = [
    Example((Part(f"A: turn {n}\nB:", shortened=True), Part("<|go|>")), f" answer {n % 3}<|end|>") for n in range(60)
]
TOKENS = {"<|go|>": " go", "<|end|>": "\n"}


@pytest.fixture
def lm(llama: Path) -> causal.Causal:
    found = causal.load(llama, "cpu", "float32", fixed=False)
    causal.add_tokens(found, TOKENS)
    return found


def test_an_added_token_begins_as_the_mean_of_its_words(lm: causal.Causal) -> None:
    table = lm.model.get_input_embeddings().weight.detach()
    words = lm.tokenizer(" go", add_special_tokens=False)["input_ids"]
    assert lm.tokenizer.tokenize("x<|go|>y")[1] == "<|go|>"
    assert table[lm.number("<|go|>")].tolist() == pytest.approx(table[words].mean(0).tolist())


def test_the_part_that_may_be_shortened_loses_its_oldest_tokens(lm: causal.Causal) -> None:
    prompt = (Part("one two three four", learned=False, shortened=True), Part("<|go|>"))
    [(whole, learned)] = lm.encode([prompt], 100)
    [(short, _)] = lm.encode([prompt], 3)
    assert learned == [False] * (len(whole) - 1) + [True]
    assert short == whole[-3:]


def test_the_loss_of_a_few_steps_falls_and_is_that_of_all_learned_tokens(lm: causal.Causal) -> None:
    steps: list[Step] = []
    losses = fit(lm, EXAMPLES, Fit(learning_rate=1e-2, epochs=4, batch=8, held_out=6), "float32", steps.append)
    assert losses[0] == pytest.approx(math.log(len(lm.tokenizer)), rel=0.1), "an untrained model knows nothing"
    assert min(losses) < losses[0] / 3
    assert [step.number for step in steps] == list(range(29)) and steps[-1].of == 28
    assert [step.held_out for step in steps if step.held_out is not None] == losses
    assert steps[1].loss == pytest.approx(2 * losses[0], rel=0.15), "the answers' mean and the others'"


def test_the_weights_with_the_lowest_loss_are_kept(lm: causal.Causal, monkeypatch: pytest.MonkeyPatch) -> None:
    from pneg.lm import finetune

    measured = iter([1.0, 5.0, 2.0, 3.0, 4.0, 6.0])
    seen = []

    def held_out(of: causal.Causal, *_: object) -> float:
        seen.append(of.model.get_input_embeddings().weight.detach().clone())
        return next(measured)

    monkeypatch.setattr(finetune, "_held_out", held_out)
    fit(lm, EXAMPLES, Fit(learning_rate=1e-2, batch=4, held_out=6), "float32", lambda _: None)
    assert len(seen) == 6, "before the first step, which does not count, and at five checks"
    assert lm.model.get_input_embeddings().weight.equal(seen[2])
    assert not seen[2].equal(seen[-1])


def test_what_is_not_learned_takes_no_part_in_the_loss(lm: causal.Causal) -> None:
    from pneg.lm.finetune import _losses, _rows

    told = [Example((Part("one two", learned=False), Part("<|go|>", learned=False)), " three<|end|>")]
    answer, other = _losses(lm, _rows(lm, told, 64))
    assert other.item() == 0.0 < answer.item()


def test_every_example_is_as_likely_to_be_chosen() -> None:
    seen = [0] * 10
    for seed in range(2000):
        for example in chosen(EXAMPLES[:10], Fit(examples=3, seed=seed)):
            seen[EXAMPLES.index(example)] += 1
    assert sum((n - 600) ** 2 / 600 for n in seen) < 27.88, "chi-squared, 9 degrees of freedom, one in a thousand"
    assert len(chosen(EXAMPLES, Fit(examples=0))) == 60


def test_a_model_is_fitted_once_for_the_same_data_and_settings(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path))
    asked: list[str] = []

    def job(data: str, rate: float = 1e-3) -> Job:
        def examples() -> list[Example]:
            asked.append(data)
            return EXAMPLES[:12]

        return Job("trial", str(llama), TOKENS, Fit(learning_rate=rate, batch=4), data, examples)

    folder = job("a").folder("cpu")
    assert job("a").folder("cpu") == folder and asked == ["a"]
    assert (
        causal.load(folder, "cpu", "float32").number("<|end|>")
        == len(causal.load(llama, "cpu", "float32").tokenizer) + 1
    )
    assert len({job("a").name, job("b").name, job("a", 1e-4).name}) == 3
    job("a").folder("cpu", again=True)
    assert asked == ["a", "a"]


def test_too_few_examples_are_refused(lm: causal.Causal) -> None:
    with pytest.raises(DataError, match="1 examples to fit a model to; expected two at least"):
        fit(lm, EXAMPLES[:1], Fit(), "float32", lambda _: None)
