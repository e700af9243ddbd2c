from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from pneg.selector import tokens
from pneg.selector.packing import Packer
from pneg.selector.tokens import PairTokenizer, buckets

WORDS = st.lists(
    st.sampled_from("the soup was cold and we waited for a train in Rome".split()), min_size=1, max_size=25
).map(" ".join)


def test_pairs_are_what_the_backbones_own_tokenizer_makes_of_them(backbone: Path) -> None:
    own = transformers.AutoTokenizer.from_pretrained(backbone, truncation_side="left")
    pairs = PairTokenizer(transformers.AutoTokenizer.from_pretrained(backbone, truncation_side="left"), max_length=24)

    @given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
    def check(turns: list[str], response: str) -> None:
        context = pairs.join(turns)
        expected = own(context, response, truncation=True, max_length=24)
        packed = Packer(pairs, "cross").pack(pairs.encode([context]), pairs.encode([response]), np.array([[0, 0]]))
        assert packed.input_ids.tolist() == expected["input_ids"]
        assert packed.types.tolist() == expected.get("token_type_ids", [0] * len(packed.types))

    check()


def test_more_texts_than_are_given_to_the_tokenizer_at_a_time(
    backbones: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = PairTokenizer(transformers.AutoTokenizer.from_pretrained(backbones["bert"]), max_length=24)
    texts = ["the soup", "was cold", "and", "we waited for a train", "in Rome"]
    alone = [pairs.encode([text])[0].tolist() for text in texts]
    monkeypatch.setattr(tokens, "CHUNK", 2)
    together = pairs.encode(texts)
    assert [together[number].tolist() for number in range(len(together))] == alone


def test_token_types_are_told_only_where_they_tell_something(backbones: dict[str, Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbones["roberta"])
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    assert not PairTokenizer(tokenizer, max_length=24).has_types


def test_turns_are_joined_by_one_separator_token(backbone: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbone)
    pairs = PairTokenizer(tokenizer, max_length=64)
    [joined] = pairs.encode([pairs.join(["the soup", "was cold", "today"])])
    assert joined.tolist().count(tokenizer.sep_token_id) == 2


@given(st.lists(st.integers(1, 128), min_size=1, max_size=300), st.integers(128, 4096))
def test_buckets_hold_every_pair_once_and_few_tokens(lengths: list[int], tokens: int) -> None:
    found = list(buckets(lengths, tokens))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    for bucket in found:
        assert len(bucket) * max(lengths[n] for n in bucket) <= tokens


def test_a_bucket_ends_where_lengths_fall_but_not_at_once() -> None:
    lengths = [40, 100, 50, 90, 45]
    assert [found.tolist() for found in buckets(lengths, 1000, slack=0.85, fewest=3)] == [[1, 3, 2], [4, 0]]
    assert [found.tolist() for found in buckets(lengths, 1000, slack=0.85, fewest=1)] == [[1, 3], [2, 4], [0]]
    assert [found.tolist() for found in buckets(lengths, 100, slack=0.85, fewest=1)] == [[1], [3], [2, 4], [0]]


def test_little_of_a_bucket_is_padding() -> None:
    lengths = np.random.default_rng(0).integers(10, 100, size=176)
    padded = sum(len(bucket) * lengths[bucket].max() for bucket in buckets(lengths, 4096))
    assert padded <= 1.12 * lengths.sum()
