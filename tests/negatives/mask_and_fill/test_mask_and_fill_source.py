"""`mask-and-fill` end to end: a tiny model is fitted, then responses are written, refused, chosen and filled up."""

from pathlib import Path
from typing import Any

import pytest

from pneg import Dialogue, corpora
from pneg.dialogue import normalised
from pneg.lm.base import Completion
from pneg.lm.causal import Causal
from pneg.lm.finetune import Fit, Step
from pneg.lm.sampling import Asked, Drawing
from pneg.negatives import MaskAndFill
from pneg.negatives.mask_and_fill import source as module
from pneg.negatives.mask_and_fill.infill import END
from pneg.negatives.written import Device
from pneg.negatives.wrong_context import script

POOL = [Dialogue(d.id, d.context, d.positives) for d in list(corpora.read("starter:test"))[:12]]
CPU = Device("cpu", "float32")
NOUNS = "lamp river pigeon violin carpet engine turnip wizard planet anchor button camel".split()


def scripted(monkeypatch: pytest.MonkeyPatch, written: Any, unlikely: str = "\0") -> list[Asked]:
    """Let the models say what is written here for a prompt and a seed; gives what they were asked."""
    asked: list[Asked] = []

    def fill(_: object, some: list[Asked], __: int) -> list[tuple[Completion, ...]]:
        asked.extend(some)
        return [tuple(written(each, seed) for seed in each.seeds) for each in some]

    monkeypatch.setattr(module, "_written", fill)
    monkeypatch.setattr(
        module, "_log_probabilities", lambda _, texts: [-9e9 if unlikely in text else -0.1 for text in texts]
    )
    monkeypatch.setattr(module.Writer, "lm", None)
    monkeypatch.setattr(module.MaskAndFill, "plain", None)
    monkeypatch.setattr(module.MaskAndFill, "thresholds", module.thresholds.PUBLISHED)
    return asked


def three_nouns(each: Asked, seed: int) -> Completion:
    """Fills every blank with words that hang on the seed."""
    fill = " ".join(NOUNS[(seed >> shift) % 12] + str(seed >> 8 * shift & 255) for shift in (1, 2, 3))
    return Completion(END.join([f" {fill}"] * each.ends))


def test_what_is_proposed_does_not_depend_on_the_contexts_beside_and_holds_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted(monkeypatch, three_nouns)

    def proposed(ahead: int, seed: int = 0) -> list[tuple[str, ...]]:
        monkeypatch.setattr(Device, "ahead", ahead)
        return list(MaskAndFill(POOL, "tiny", device=CPU, seed=seed).propose(POOL, 5))

    found = proposed(256)
    assert found == proposed(1) == proposed(5) != proposed(5, seed=1)
    for dialogue, responses in zip(POOL, found, strict=True):
        compared = [normalised(text) for text in responses]
        assert len(set(compared)) == 5
        assert not set(compared) & {normalised(text) for text in dialogue.positives}


def test_a_job_taken_up_again_proposes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, three_nouns)
    whole = list(MaskAndFill(POOL, "tiny", device=CPU).propose(POOL, 3))
    assert list(MaskAndFill(POOL, "tiny", device=CPU, first=7).propose(POOL[7:], 3)) == whole[7:]


def test_filling_stops_once_the_choice_cannot_change(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scripted(monkeypatch, three_nouns)
    lazy = list(MaskAndFill(POOL[:3], "tiny", device=CPU).propose(POOL[:3], 2))
    some = len(asked)
    monkeypatch.setattr(module, "WAVE", 32)
    asked.clear()
    assert list(MaskAndFill(POOL[:3], "tiny", device=CPU).propose(POOL[:3], 2)) == lazy
    assert some < len(asked) <= 3 * 32


def test_versions_with_few_blanks_are_filled_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scripted(monkeypatch, lambda *_: Completion(""))
    list(MaskAndFill(POOL, "tiny", device=CPU).propose(POOL[:1], 5))
    blanks = [each.ends for each in asked]
    assert len(blanks) == 32
    assert blanks == sorted(blanks)
    assert len(set(blanks)) > 1


def test_what_is_refused_is_counted_and_random_responses_fill_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        Completion(" unfinished", cut=True),
        Completion(""),
        Completion(" and"),
        Completion(" turnip wizard planet"),
        Completion(" turnip wizard PLANET."),
        Completion(" unlikely turnip wizard planet"),
    ]
    dialogue = Dialogue("a", ("Hello.",), ("Walk the dog.",))
    scripted(monkeypatch, lambda each, seed: answers[each.seeds.index(seed)], unlikely="unlikely")
    source = MaskAndFill([dialogue, *POOL], "tiny", versions=1, samples=6, device=CPU)
    monkeypatch.setattr(module.masking, "versions", lambda text, *_, **__: [((0, len(text)),)])
    monkeypatch.setattr(module, "utterances", lambda *_: ["Walk the dog."])
    [responses] = source.propose([dialogue], 3)
    assert responses[0] == "turnip wizard planet"
    assert set(responses[1:]) <= {text for other in POOL for text in other.positives}
    assert source.counts == {
        "unfinished fill": 2, "too few new content words": 1, "duplicate": 1, "unlikely text": 1,
        "filled up with random": 2,
    }  # fmt: skip


def test_it_is_fitted_once_and_then_proposes(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path))
    steps: list[Step] = []
    fitting = Fit(examples=120, learning_rate=5e-3, epochs=2, batch=8)

    def made() -> MaskAndFill:
        return MaskAndFill(POOL, str(llama), versions=4, samples=2, fitting=fitting, device=CPU, report=steps.append)

    first = list(made().propose(POOL[:4], 5))
    losses = [step.held_out for step in steps if step.held_out is not None]
    assert min(losses) < losses[0] - 0.5
    number = len(steps)
    again = made()
    assert list(again.propose(POOL[:4], 5)) == first
    assert len(steps) == number, "the fitted model came from the cache"
    for dialogue, responses in zip(POOL, first, strict=False):
        assert len({normalised(text) for text in responses} - {normalised(text) for text in dialogue.positives}) == 5
    assert "too few" not in again.counts
    assert again.counts["filled up with random"] <= 20


def test_fills_are_drawn_and_a_model_is_fitted_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneg.lm.sampling.sample", lambda lm, asked, how: how)
    drawing = Drawing(END, temperature=1.0, top_p=0.95, min_tokens=1, max_tokens=64, rows=7)
    assert module._written(None, [], 7) == drawing
    source = MaskAndFill(POOL, "tiny", device=Device("cuda", "bfloat16"))
    fit = source.writer.job.fit
    assert (fit.learning_rate, fit.max_length, fit.epochs) == (5e-5, 256, 1)
    assert (source.training_versions, source.versions, source.samples, source.kept) == (16, 32, 5, 20)


def test_what_its_model_learns_from_tells_the_model() -> None:
    def name(pool: list[Dialogue] = POOL, **arguments: Any) -> str:
        return MaskAndFill(pool, "tiny", device=CPU, **arguments).writer.job.name

    assert len({name(), name(POOL[1:]), name(training_versions=8), name(learning_rate=1e-3), name(examples=9)}) == 5
    assert name() == name(seed=1, samples=2, versions=4, scorer="other")


def test_the_scorer_is_the_model_before_its_fit_and_only_gpt2_takes_the_published_thresholds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.causal, "load", lambda name, *_: Causal(None, None, name))
    monkeypatch.setattr(module, "_log_probabilities", lambda _, texts: [-len(text) for text in texts])
    assert MaskAndFill(POOL, "tiny", device=CPU).plain.name == "tiny"
    assert MaskAndFill(POOL, "tiny", device=CPU, scorer="gpt2").thresholds == module.thresholds.PUBLISHED
    derived = MaskAndFill(POOL, "gpt2", device=CPU, scorer="other").thresholds
    assert derived.character == pytest.approx(-1), "each text has -1 a character"


def test_each_utterance_is_masked_four_times_at_most_and_thirty_two_of_all_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masked: list[tuple[Any, ...]] = []
    versions = module.masking.versions

    def recorded(text: str, level: Any, generator: Any, most: int, pure: bool = True) -> Any:
        masked.append((level, most, pure))
        return versions(text, level, generator, most, pure)

    monkeypatch.setattr(module.masking, "versions", recorded)
    retrieved = [f"Nobody told me that boat number{n} had left the old harbour." for n in range(40)]
    tasks = MaskAndFill(POOL, "tiny", device=CPU)._tasks(Dialogue("a", ("Hello.",), ("Walk the dog.",)), 0, retrieved)
    assert masked == [(module.masking.GENERATION, 4, False)] * 20
    assert (len(tasks), {len(task.asked.seeds) for task in tasks}) == (32, {5})
    assert len({task.response for task in tasks}) > 8, "shuffled: more than what the first eight make"


def test_sixteen_dialogues_in_a_row_draw_the_same_wrong_contexts() -> None:
    source = MaskAndFill(POOL, "tiny", device=CPU)
    retrieved = [f"Nobody told me that boat number{n} had left the old harbour." for n in range(40)]

    def contexts(dialogue: Dialogue, position: int) -> list[str]:
        return [task.asked.prompt[0].text for task in source._tasks(dialogue, position, retrieved)]

    stranger = Dialogue("a", ("Hello.",), ("Walk the dog.",))
    assert contexts(stranger, 0) == contexts(stranger, 15) != contexts(stranger, 16)
    assert script(POOL[0].context, 4) not in contexts(POOL[0], 0)


def test_only_responses_of_more_than_seven_words_are_retrieved() -> None:
    pool = [Dialogue("a", ("x",), ("We rowed our boats over the lake today.", "A boat on the lake.")), *POOL[:1]]
    found = list(MaskAndFill(pool, "tiny", device=CPU).retriever.responses)
    assert found[0] == "We rowed our boats over the lake today." and "A boat on the lake." not in found


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "unfinished fill"),
        ("Wizard planet anchor button. B: Camel.", "speaker's tag"),
        ("violin carpet engine turnip.", "copy of a positive"),
        ("violin wizard planet", "too few new content words"),
        ("lamp wizard planet", "too few new content words"),
        ("wizard planet camel", None),
        ("lamp wizard planet camel", None),
    ],
)
def test_three_content_words_are_new_to_every_positive_and_turn(response: str | None, reason: str | None) -> None:
    dialogue = Dialogue("a", ("A lamp by the river.",), ("Violin carpet engine turnip",))
    work = module._Work(dialogue, 0, [], module.Refusals.of(dialogue))
    assert MaskAndFill(POOL, "tiny", device=CPU)._fault(work, response) == reason


def test_what_is_filled_up_is_not_what_was_chosen_and_no_more_than_is_kept_is_chosen() -> None:
    pool = [Dialogue("p", ("x",), ("TURNIP wizard planet", "Another one."))]
    dialogue = Dialogue("a", ("Hello.",), ("Walk the dog.",))
    work = module._Work(dialogue, 0, [], module.Refusals.of(dialogue), ["turnip wizard planet.", "lamp river violin"])
    source = MaskAndFill(pool, "tiny", device=CPU, kept=1)
    assert source._chosen(work, 2) == ("turnip wizard planet.", "Another one.")
    assert source.counts["filled up with random"] == 1
    assert source._chosen(work, 3) == ("turnip wizard planet.", "Another one.")
    assert source.counts["too few"] == 1
