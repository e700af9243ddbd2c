"""`key-sem`: what its model reads, keywords drawn and replaced, and a tiny model fitted and used."""

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from pneg import Dialogue, corpora
from pneg.dialogue import normalised
from pneg.lm.base import Completion
from pneg.lm.finetune import Fit, Step
from pneg.lm.sampling import Asked, Drawing
from pneg.negatives import KeySem
from pneg.negatives.key_sem import source as module
from pneg.negatives.key_sem.near_words import NearWords
from pneg.negatives.written import Device

POOL = [Dialogue(d.id, d.context, d.positives) for d in list(corpora.read("starter:test"))[:12]]
CPU = Device("cpu", "float32")
ANGLES = np.radians([0.0, 10, 120, 180])
NEAR = NearWords(["boat", "ship", "bush", "tree"], np.stack((np.cos(ANGLES), np.sin(ANGLES)), 1).astype("f4"))


def test_keywords_come_first_then_the_turns_and_these_are_not_learned() -> None:
    parts = module.prompt(["old boat", "lake"], ("1", "2", "3", "4", "5"), last=3)
    assert "".join(part.text for part in parts) == "<|keywords|> old boat, lake<|respond|>A: 3\nB: 4\nA: 5\nB:"
    assert [(part.learned, part.shortened) for part in parts] == [(False, False), (True, False), (False, True)]


def test_a_positive_is_learned_from_its_own_keyphrases_in_its_own_context() -> None:
    dialogue = Dialogue("a", ("Where?",), ("On the old  lake, with Tom.",))
    [example] = module.examples([dialogue], lambda text, most: text.lower().split()[-2:])
    assert "".join(part.text for part in example.prompt) == "<|keywords|> with, tom.<|respond|>A: Where?\nB:"
    assert example.answer == " On the old lake, with Tom.<|said|>"


def test_two_or_three_keywords_are_drawn_and_three_in_ten_replaced() -> None:
    seen: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    generator = Random(0)
    for _ in range(4000):
        drawn = module.draw_keywords(["boat", "unknown", "one", "two"], NEAR, generator)
        sizes[len(drawn)] += 1
        seen.update(drawn)
    assert set(sizes) == {2, 3} and sizes[2] / 4000 == pytest.approx(0.5, abs=0.03)
    replaced = sum(seen[word] for word in ("ship", "bush", "tree"))
    assert replaced / (replaced + seen["boat"]) == pytest.approx(0.3, abs=0.03)
    assert seen["unknown"] / 4000 == pytest.approx(2.5 / 4, abs=0.03), "no near word, so never replaced"


def test_a_context_of_few_keywords_gives_what_it_has() -> None:
    assert module.draw_keywords(["one"], NEAR, Random(0)) == ["one"]
    assert module.draw_keywords([], NEAR, Random(0)) == []


def scripted(monkeypatch: pytest.MonkeyPatch, texts: list[str] | None = None) -> list[Asked]:
    asked: list[Asked] = []

    def write(_: object, some: list[Asked], __: int) -> list[tuple[Completion, ...]]:
        found = []
        for each in some:
            text = texts[len(asked) % len(texts)] if texts else f"answer {each.seeds[0] % 9}"
            asked.append(each)
            found.append((Completion(text),))
        return found

    monkeypatch.setattr(module, "_written", write)
    monkeypatch.setattr(module.KeySem, "near", NEAR)
    monkeypatch.setattr(module.Writer, "lm", None)
    return asked


def test_what_is_proposed_does_not_depend_on_the_contexts_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)

    def proposed(ahead: int, seed: int = 0) -> list[tuple[str, ...]]:
        monkeypatch.setattr(Device, "ahead", ahead)
        return list(KeySem(POOL, "tiny", device=CPU, seed=seed).propose(POOL, 4))

    whole = proposed(256)
    assert whole == proposed(1) == proposed(5) != proposed(5, seed=1)
    assert list(KeySem(POOL, "tiny", device=CPU, first=7).propose(POOL[7:], 4)) == whole[7:]
    assert all(len({normalised(text) for text in responses}) == 4 for responses in whole)


def test_what_is_missing_is_written_again_and_then_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scripted(monkeypatch, [" Good  one. ", "", "good one", "Mine! A: Yours."])
    source = KeySem([Dialogue("a", ("The lake?",), ("mine",)), *POOL], "tiny", attempts=2, device=CPU)
    [responses] = source.propose([Dialogue("a", ("The lake?",), ("mine",))], 4)
    assert responses == ("Good one.",)
    # written: all four texts, then three more from the first on
    assert source.counts == {"empty": 2, "duplicate": 3, "speaker's tag": 1, "too few": 3}
    assert len(asked) == 4 + 3
    assert all("lake" in each.prompt[1].text for each in asked if "<|keywords|>" in each.prompt[0].text)
    assert all("The lake?" not in each.prompt[2].text for each in asked)


def test_it_is_fitted_once_and_then_proposes(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path))
    steps: list[Step] = []

    def made() -> KeySem:
        fitting = Fit(learning_rate=5e-3, epochs=10, batch=4)
        return KeySem(POOL, str(llama), fitting=fitting, device=CPU, report=steps.append)

    first = list(made().propose(POOL[:4], 5))
    losses = [step.held_out for step in steps if step.held_out is not None]
    assert min(losses) < losses[0] - 0.3
    number = len(steps)
    assert list(made().propose(POOL[:4], 5)) == first
    assert len(steps) == number, "the fitted model came from the cache"
    assert [len(responses) for responses in first] == [5] * 4


def test_replies_are_drawn_and_a_model_is_fitted_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneg.lm.sampling.sample", lambda lm, asked, how: how)
    drawing = Drawing(module.END, temperature=0.9, top_p=0.9, min_tokens=5, max_tokens=40, rows=7)
    assert module._written(None, [], 7) == drawing
    fit = KeySem(POOL, "tiny", device=Device("cuda", "bfloat16")).writer.job.fit
    assert (fit.learning_rate, fit.epochs) == (6.25e-5, 3)
    assert KeySem(POOL, "tiny", device=CPU).writer.job.fit.epochs == 1
    assert KeySem(POOL, "tiny").attempts == 5


def test_what_its_model_learns_from_tells_the_model() -> None:
    def name(pool: list[Dialogue] = POOL, **arguments: object) -> str:
        return KeySem(pool, "tiny", device=CPU, **arguments).writer.job.name

    assert len({name(), name(POOL[1:]), name(keyphrases="yake"), name(epochs=2), name(examples=9)}) == 5
    assert name() == name(seed=1, attempts=2)


def test_four_turns_and_ten_phrases_are_learned_from_three_and_twenty_written_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = scripted(monkeypatch)
    texts: list[tuple[str, int]] = []

    def extract(text: str, most: int) -> list[str]:
        texts.append((text, most))
        return ["lake"]

    turns = ("1", "2", "3", "4", "5")
    [example] = module.examples([Dialogue("a", turns, ("Yes.",))], extract)
    assert example.prompt[2].text == "A: 2\nB: 3\nA: 4\nB: 5\nA:"
    source = KeySem([Dialogue("b", turns, ("x",))], "tiny", device=CPU)
    source.extract = extract
    list(source.propose([Dialogue("a", ("Where?", "There."), ("Yes.",))], 1))
    assert asked[0].prompt[2].text == "A: 3\nB: 4\nA: 5\nB:"
    assert texts == [("Yes.", 10), ("Where?\nThere.", 20)]
