"""What is asked and what is answered, as JSON; the same types are the OpenAPI description."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, UnsetType

from pneg.selector.ranking import softmax

Scores = npt.NDArray[np.float32]
PROBABILITY = "That it is the one that fits, of these candidates; only if the selector is calibrated."


class Question(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A context, and the candidates to rank for it."""

    context: Annotated[tuple[str, ...], Meta(min_length=1, description="Turns, oldest first.")]
    candidates: Annotated[tuple[str, ...], Meta(description="Responses, in any order.")]
    persona: Annotated[tuple[str, ...], Meta(description="Sentences about the one who responds.")] = ()


class Place(msgspec.Struct, frozen=True):
    """A candidate where it was ranked."""

    candidate: str
    score: Annotated[float, Meta(description="A higher score fits better; it does not depend on other candidates.")]
    index: Annotated[int, Meta(ge=0, description="Its place among the candidates as they were given, from 0.")]
    probability: Annotated[float, Meta(ge=0, le=1, description=PROBABILITY)] | UnsetType = UNSET


class Ranking(msgspec.Struct, frozen=True):
    """The candidates, best first; those of equal score keep their order."""

    ranking: list[Place]


class Health(msgspec.Struct, frozen=True):
    """That the server answers."""

    status: str


class Problem(msgspec.Struct, frozen=True):
    """Why there is no ranking, and what to do about it."""

    detail: str


_decode = msgspec.json.Decoder(Question).decode
encode = msgspec.json.Encoder().encode


def question(body: bytes) -> Question:
    """What is asked.

    Raises:
        ValidationError: of `msgspec`, when it is JSON of another shape.
        ValueError: when it is no JSON.
    """
    return _decode(body)


def ranking(candidates: Sequence[str], scores: Scores, temperature: float | None) -> bytes:
    """The answer.

    Args:
        candidates: as they were given.
        scores: of each, shape (candidates,).
        temperature: what a calibrated selector's scores are divided by before the softmax over the candidates.
    """
    order = np.argsort(-scores, kind="stable").tolist()
    plain = scores.tolist()
    if temperature is None:
        return encode(Ranking([Place(candidates[place], plain[place], place) for place in order]))
    sure = softmax(scores, temperature).tolist()
    return encode(Ranking([Place(candidates[place], plain[place], place, sure[place]) for place in order]))
