"""The rules by name, in the order in which they are applied; each is imported when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from pneg.attack.rule import Material, Rule


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule as it is listed.

    Attributes:
        module: the file in this folder that makes it.
        about: what its negatives are.
        model: whether it needs an encoder.
        english: whether it rewrites English, and so leaves other languages out.
    """

    module: str
    about: str
    model: bool = False
    english: bool = False


RULES: Mapping[str, Listed] = {
    "retrieved": Listed("retrieved", "human responses that BM25 ranks first for the context"),
    "retrieved-dense": Listed(
        "retrieved_dense", "human responses whose embedding is nearest to the context", model=True
    ),
    "same-dialogue": Listed("same_dialogue", "turns said later or long before in the same dialogue"),
    "copied-turn": Listed("copied_turn", "turns of the context, word for word"),
    "repeated-turn": Listed(
        "repeated_turn", "what the one who responds said before, slightly reworded", english=True
    ),
    "negated": Listed("negated", "positives whose polarity is flipped where that makes them wrong", english=True),
    "swapped-entity": Listed("swapped_entity", "responses with another name, number or day", english=True),
    "wrong-speaker": Listed("wrong_speaker", "responses with first and second person swapped", english=True),
    "other-topic-same-words": Listed("other_topic_same_words", "human responses with rare words of the context"),
}


def make(name: str, material: Material) -> Rule:
    """The rule of this name.

    Args:
        name: one of `RULES`.
        material: what it is made of.

    Raises:
        KeyError: when there is no such rule.
        MissingExtra: when what it needs is not installed.
        ModelError: when its encoder cannot be found or loaded.
    """
    made = import_module(f"pneg.attack.{RULES[name].module}").rule(material)
    assert isinstance(made, Rule)
    return made
