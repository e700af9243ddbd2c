"""Sampling: from the right tokens, stopping each row by itself, the same whatever shares its batch."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pneg.lm import causal, sampling
from pneg.lm.causal import Part
from pneg.lm.likelihood import log_probabilities
from pneg.lm.sampling import Asked, Drawing, draw, sample

PROMPTS = ("Hi.", "A: How are you today?\nB:", "One two three four five six seven.", "x", "A: Well, I think so.\nB:")


@pytest.fixture(scope="module")
def lm(llama: Path) -> causal.Causal:
    found = causal.load(llama, "cpu", "float32", fixed=False)
    causal.add_tokens(found, {"<|blank|>": " a", "<|end|>": "."})
    table = found.model.get_input_embeddings().weight.data
    table *= 15  # a random model is uniform otherwise
    return found


def test_tokens_come_from_the_likeliest_that_hold_top_p_in_their_proportion() -> None:
    probabilities = torch.tensor([[0.05, 0.5, 0.0, 0.15, 0.3]])
    numbers = torch.rand((20_000, 8), generator=torch.Generator().manual_seed(0))
    found = Counter(draw(probabilities.expand(20_000, -1), numbers, 0.9).tolist())
    assert set(found) == {1, 4, 3}, "0.5 + 0.3 + 0.15 is the first sum of 0.9 or more"
    for token, share in ((1, 0.5 / 0.95), (4, 0.3 / 0.95), (3, 0.15 / 0.95)):
        assert found[token] / 20_000 == pytest.approx(share, abs=0.015)
    assert set(draw(probabilities.expand(20_000, -1), numbers, 0.5).tolist()) == {1}


def test_a_token_of_probability_nought_is_not_drawn_and_the_likeliest_stands_in() -> None:
    probabilities = torch.tensor([[0.0, 0.4, 0.6, 0.0]])
    assert draw(probabilities, torch.tensor([[0.0]]), 1.0).tolist() == [1]
    assert draw(probabilities, torch.tensor([[0.999999]]), 1.0).tolist() == [2]
    assert draw(probabilities, torch.tensor([[0.1, 0.2]]), 0.5).tolist() == [2], "both tries fell on the other"


@settings(max_examples=6, deadline=None)
@given(
    chosen=st.lists(
        st.tuples(st.sampled_from(PROMPTS), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=6
    ),
    rows=st.integers(1, 9),
)
def test_a_text_depends_on_its_prompt_and_seed_alone(
    lm: causal.Causal, chosen: list[tuple[str, int, int]], rows: int
) -> None:
    asked = [Asked((Part(text),), tuple(range(seed, seed + number))) for text, seed, number in chosen]
    how = Drawing("<|end|>", top_p=0.95, max_tokens=8, rows=rows)
    together = sample(lm, asked, how)
    assert [len(found) for found in together] == [number for _, _, number in chosen]
    for each, found in zip(asked, together, strict=True):
        for seed, completion in zip(each.seeds, found, strict=True):
            [[alone]] = sample(lm, [Asked(each.prompt, (seed,))], how)
            assert alone == completion


ALIKE = "A: The train to the sea leaves at nine, and the tickets are on the table beside the keys.\nB: "


def test_what_prompts_begin_with_is_read_once_and_changes_no_text(
    lm: causal.Causal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        Asked((Part(ALIKE), Part(rest)), (3, 4)) for rest in ("Oh.", "I lost mine, where is it?", "Well?", "Oh.")
    ]
    how = Drawing("<|end|>", top_p=0.95, max_tokens=8, rows=8)
    alone = [sample(lm, [each], how)[0] for each in asked]
    read: list[int] = []
    forward = sampling._Table._forward

    def counted(self: Any, rows: slice, tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.append(tokens.numel() if tokens.shape[1] > 1 else 0)
        return forward(self, rows, tokens, *rest)

    monkeypatch.setattr(sampling._Table, "_forward", counted)
    assert sample(lm, asked, how) == alone
    long = len(lm.tokenizer(ALIKE)["input_ids"])
    assert long > 20
    assert long < sum(read) < 2 * long + 12, "once, then what is left of each, padded"


@pytest.fixture
def talks_little(lm: causal.Causal) -> Iterator[causal.Causal]:
    """The same model with the end token as likely as some others."""

    def likelier(_: object, __: object, output: Any) -> Any:
        output.logits[..., lm.number("<|end|>")] = output.logits.amax(-1)
        return output

    hook = lm.model.register_forward_hook(likelier)
    yield lm
    hook.remove()


def test_a_row_stops_behind_its_last_end_token_and_no_other_added_token_is_written(
    talks_little: causal.Causal,
) -> None:
    asked = [Asked((Part(text),), tuple(range(8)), ends=1 + n % 2) for n, text in enumerate(PROMPTS)]
    found = sample(talks_little, asked, Drawing("<|end|>", temperature=10.0, max_tokens=40))
    for each, completions in zip(asked, found, strict=True):
        for completion in completions:
            ends = completion.text.count("<|end|>")
            assert ends < each.ends if completion.cut else ends == each.ends - 1
            assert "<|blank|>" not in completion.text and "<|endoftext|>" not in completion.text
            assert (completion.completion_tokens == 40) if completion.cut else (completion.completion_tokens <= 40)
    assert {completion.cut for completions in found for completion in completions} == {False, True}


def test_no_line_break_is_written(lm: causal.Causal) -> None:
    assert [lm.tokenizer.decode([number]).count("\n") for number in lm.line_breaks()].count(0) == 0
    assert lm.line_breaks()
    asked = [Asked((Part("Hi."),), tuple(range(300)))]
    [completions] = sample(lm, asked, Drawing("<|end|>", temperature=1e4, max_tokens=20))
    assert not any("\n" in completion.text for completion in completions)
    assert len("".join(completion.text for completion in completions)) > 5000, "of all other tokens"


def test_no_end_comes_before_the_fewest_tokens_and_none_after_the_most(talks_little: causal.Causal) -> None:
    how = Drawing("<|end|>", min_tokens=5, max_tokens=9)
    [completions] = sample(talks_little, [Asked((Part("Hi."),), tuple(range(60)))], how)
    lengths = {completion.completion_tokens for completion in completions if not completion.cut}
    assert min(lengths) == 6 and max(lengths) <= 9
    how = Drawing("<|end|>", min_tokens=1, max_tokens=40)
    [completions] = sample(talks_little, [Asked((Part("Hi."),), tuple(range(60)), ends=3)], how)
    pieces = [completion.text.split("<|end|>") for completion in completions if not completion.cut]
    assert pieces and all(len(each) == 3 and all(each) for each in pieces), "none of the three is empty"


def test_it_draws_what_the_model_says(lm: causal.Causal) -> None:
    """The first token against the probabilities of a plain forward pass."""
    tokens = lm.tokenizer("A: Well", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = lm.model(input_ids=tokens).logits[0, -1].float().clone()
    logits[[0, lm.number("<|blank|>")]] = -torch.inf
    probabilities = torch.softmax(logits, -1)
    likeliest = int(probabilities.argmax())
    [completions] = sample(lm, [Asked((Part("A: Well"),), tuple(range(2000)))], Drawing("<|end|>", max_tokens=1))
    share = np.mean([completion.text == lm.tokenizer.decode([likeliest]) for completion in completions])
    assert share == pytest.approx(float(probabilities[likeliest]), abs=0.04)


def test_log_probabilities_are_those_of_one_text_at_a_time(lm: causal.Causal) -> None:
    texts = [*PROMPTS, *PROMPTS[:2]]
    for text, found in zip(texts, log_probabilities(lm, texts), strict=True):
        tokens = torch.tensor([[0, *lm.tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.inference_mode():
            # the mean over the tokens behind the first, negative
            loss = lm.model(input_ids=tokens, labels=tokens).loss
        assert found == pytest.approx(-float(loss) * (tokens.shape[1] - 1), rel=1e-4)
