"""What a batch holds: hand-worked rows, and what must be true of any."""

from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from pneg.selector.packing import CONTEXT, PADDING, Packer
from pneg.selector.tokens import PairTokenizer

CONTEXTS = ["the soup was cold", "we waited for a train in Rome and then the soup was cold"]
RESPONSES = ["yes", "we waited for a train", "the soup"]
EVERY = np.array([(c, r) for c in range(2) for r in range(3)])


@pytest.fixture
def form(backbone: Path) -> PairTokenizer:
    return PairTokenizer(transformers.AutoTokenizer.from_pretrained(backbone, truncation_side="left"), max_length=24)


def test_a_row_is_what_the_backbones_own_tokenizer_makes_of_the_pair(form: PairTokenizer) -> None:
    contexts, responses = form.encode(CONTEXTS), form.encode(RESPONSES)
    packed = Packer(form, "cross").pack(contexts, responses, EVERY)
    assert packed.padding == 0.0
    assert sorted(packed.pairs) == list(range(6))
    for start, number in zip(packed.scored, packed.pairs, strict=True):
        context, response = EVERY[number]
        expected = form.tokenizer(CONTEXTS[context], RESPONSES[response], truncation=True, max_length=24)
        row = slice(start, start + len(expected["input_ids"]))
        assert packed.input_ids[row].tolist() == expected["input_ids"]
        assert packed.positions[row].tolist() == list(range(len(expected["input_ids"])))
        if "token_type_ids" in expected:
            assert packed.types[row].tolist() == expected["token_type_ids"]
    assert sum(block.rows * block.length for block in packed.blocks) == len(packed.input_ids)


def test_a_shared_row_is_the_context_and_behind_it_each_candidate(form: PairTokenizer) -> None:
    contexts, responses = form.encode(CONTEXTS), form.encode(RESPONSES)
    packed = Packer(form, "shared").pack(contexts, responses, EVERY[:3])
    [block] = packed.blocks
    assert (block.rows, block.scored) == (1, 3)
    before, middle, after = (part.tolist() for part in (form.before, form.middle, form.after))
    head = before + contexts[0].tolist() + middle
    expected, positions, segments = list(head), list(range(len(head))), [CONTEXT] * len(head)
    types = [0] * len(head)
    for number in range(3):
        text = responses[number].tolist()
        expected += before + text + after
        positions += [0] + [len(head) + place for place in range(len(text) + len(after))]
        segments += [number + 1] * (len(text) + 1 + len(after))
        types += [0] + [int(form.has_types)] * (len(text) + len(after))
    assert packed.input_ids.tolist() == expected
    assert packed.positions.tolist() == positions
    assert packed.segments.tolist() == segments
    assert packed.types.tolist() == types
    assert packed.pairs.tolist() == [0, 1, 2]
    assert packed.input_ids[packed.scored].tolist() == before * 3


def test_what_a_context_may_take_does_not_depend_on_its_candidates(form: PairTokenizer) -> None:
    contexts = form.encode([" ".join(["soup"] * 60)])
    responses = form.encode(["yes", " ".join(["train"] * 60)])
    packer = Packer(form, "shared")
    heads = []
    for number in range(2):
        packed = packer.pack(contexts, responses, np.array([(0, number)]))
        heads.append(packed.input_ids[packed.segments == CONTEXT].tolist())
        assert packed.positions.max() < packer.longest
    assert heads[0] == heads[1]


PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 29)), min_size=1, max_size=90, unique=True)


def _texts(form: PairTokenizer) -> tuple[list[str], list[str]]:
    words = "the soup was cold and we waited for a train in Rome".split()
    rng = np.random.default_rng(0)
    return tuple([" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(n)] for n in (8, 30))  # type: ignore[return-value]


@pytest.mark.parametrize("architecture", ["cross", "shared"])
@pytest.mark.parametrize("slack", [1.0, 0.5])
def test_every_pair_is_scored_once_and_its_size_is_known_before(
    form: PairTokenizer, architecture: str, slack: float
) -> None:
    contexts, responses = (form.encode(texts) for texts in _texts(form))
    packer = Packer(form, architecture, slack)  # type: ignore[arg-type]

    @settings(max_examples=25, deadline=None)
    @given(PAIRS)
    def check(chosen: list[tuple[int, int]]) -> None:
        numbers = np.array(chosen)
        packed = packer.pack(contexts, responses, numbers)
        assert sorted(packed.pairs[packed.pairs >= 0].tolist()) == list(range(len(numbers)))
        assert packed.pairs[packed.places].tolist() == list(range(len(numbers)))
        assert sum(block.rows * block.length for block in packed.blocks) == len(packed.input_ids)
        assert sum(block.rows * block.scored for block in packed.blocks) == len(packed.scored)
        assert ((packed.segments == PADDING).any()) <= (slack < 1)
        start = 0
        for block in packed.blocks:
            real = packed.segments[start : start + block.rows * block.length].reshape(block.rows, -1) != PADDING
            assert block.length == real.sum(1).max()
            assert real.sum(1).min() >= slack * block.length
            start += real.size
        assert (packed.input_ids[packed.segments == PADDING] == form.pad).all()
        sizes = packer.sizes(contexts.lengths[numbers[:, 0]], responses.lengths[numbers[:, 1]]).sum()
        shown = np.unique(numbers[:, 0])
        sizes += packer.context_size(contexts.lengths[shown]).sum()
        assert sizes == (packed.segments != PADDING).sum()
        batches = list(packer.batches(contexts, responses, numbers, 100))
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(numbers)))

    check()


@pytest.mark.parametrize("architecture", ["cross", "shared"])
def test_batches_have_about_the_tokens_asked_for_and_hold_what_belongs_together(
    form: PairTokenizer, architecture: str
) -> None:
    contexts, responses = (form.encode(texts) for texts in _texts(form))
    packer = Packer(form, architecture)  # type: ignore[arg-type]
    numbers = np.random.default_rng(1).permutation([(c, r) for c in range(8) for r in range(30)])
    sizes = packer.sizes(contexts.lengths[numbers[:, 0]], responses.lengths[numbers[:, 1]])
    once = packer.context_size(contexts.lengths)
    batches = list(packer.batches(contexts, responses, numbers, 200))
    assert all(sizes[batch].sum() < 200 + sizes.max() + once.max() for batch in batches)
    assert len(batches) == (sizes.sum() + once.sum()) // 200 + 1
    if architecture == "cross":
        assert (np.diff(sizes[np.concatenate(batches)]) <= 0).all()
    else:
        assert (np.diff(numbers[np.concatenate(batches), 0]) >= 0).all()


def test_little_of_a_batch_in_blocks_is_padding(form: PairTokenizer) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["soup", "train"], rng.integers(1, 20))) for _ in range(200)]
    contexts, responses = form.encode(texts[:16]), form.encode(texts)
    numbers = np.array([(c, r) for c in range(16) for r in rng.choice(200, 11)])
    packed = Packer(form, "cross", 0.85).pack(contexts, responses, numbers)
    assert 0 < packed.padding < 0.12
    assert len(packed.blocks) < 16
