"""A selector that was exported: ONNX Runtime, a tokenizer and numpy; no torch."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.errors import DataError, ModelError, needs
from pneg.selector import ranking, settings
from pneg.selector.packing import CONTEXT, PADDING, TOGETHER, Architecture, Packed, Packer, rows_of
from pneg.selector.ranking import Pair, Scorer
from pneg.selector.tokens import PairTokenizer, Ragged, buckets

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
BATCH_TOKENS = 512
"""Tokens of a batch, so few that what goes between two layers can stay in a core's own cache."""
SLACK = 0.95
"""As of `buckets`: hardly anything is padding."""
FEWEST = 2
MASK, SCORED = "mask", "scored"
"""Inputs of a graph whose candidates share a context: which token sees which, and which tokens are scored."""
UNFUSED = ["SkipLayerNormFusion"]
"""ONNX Runtime's fused operator adds and normalises one number at a time, and is slower than the two apart."""


@dataclass(slots=True)
class ExportedSelector(Scorer):
    """Scores how well candidates fit a context, as the selector did that was exported.

    Each batch is computed on one core, and batches run side by side.

    Attributes:
        session: of ONNX Runtime, one thread.
        pairs: how pairs become tokens.
        history: turns of a context that are read, counted from the last.
        architecture: `cross` reads each pair for itself, `shared` a context once for all its candidates.
        about: what it was trained on.
        export: its precision, and what was measured when it was exported.
        calibration: what `pneg calibrate` found; None where it was not run.
        threads: batches computed side by side.
        source: the folder that it was loaded from, for messages.
    """

    session: Any
    pairs: PairTokenizer
    history: int
    architecture: Architecture = "cross"
    about: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    threads: int = field(default_factory=lambda: cores())
    source: str = ""

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None) -> "ExportedSelector":
        """A selector that `pneg export` wrote.

        Args:
            folder: the selector.
            threads: batches computed side by side; by default one a core.

        Raises:
            DataError: when `threads` is below 1.
            ModelError: when the folder holds none, or it is broken.
            MissingExtra: when onnxruntime or tokenizers are not installed.
        """
        if threads is not None and threads < 1:
            raise DataError(f"there are {threads} threads", "expected 1 or more, or None for one a core")
        found = settings.read(folder)
        if not found.exported:
            raise ModelError(
                f"{folder} holds a selector that was not exported; pneg export {folder} -o DIR does that"
            )
        settings.check_files(folder, found)
        selector = cls(
            open_session(Path(folder) / MODEL),
            _pairs(Path(folder), found),
            found.history,
            found.architecture,
            found.about,
            found.export or {},
            found.calibration,
            threads or cores(),
            str(folder),
        )
        settings.check_separator(folder, found, selector.pairs.between_turns)
        selector._check()
        return selector

    def _check(self) -> None:
        """Refuse a graph that is not one of these settings and this tokenizer.

        Raises:
            ModelError: when its inputs are other ones, or it does not know a token of the tokenizer.
        """
        vocabulary = self.pairs.inner.get_vocab(with_added_tokens=True).values()
        largest = max([*vocabulary, self.pairs.pad])
        words = Ragged(np.array([largest, self.pairs.pad], dtype=np.int32), np.array([0, 1, 2]))
        given = inputs(self.packer.pack(words, words, np.array([[0, 1]])), self.pairs.has_types)
        known = {entry.name for entry in self.session.get_inputs()}
        if known != given.keys():
            raise ModelError(
                f"{self.source} is broken: {MODEL} reads {', '.join(sorted(known))}, and a {self.architecture} "
                f"selector with these settings gives {', '.join(sorted(given))}; {settings.REMEDY}"
            )
        try:
            self.session.run(None, given)
        except runtime_errors() as error:
            raise ModelError(
                f"{self.source} is broken: {MODEL} cannot read the tokenizer's token {largest}, so one of them is of "
                f"another model; {settings.REMEDY}"
            ) from error

    @property
    def temperature(self) -> float | None:
        """What scores are divided by before they become probabilities; None where it was not calibrated."""
        return ranking.temperature_of(self.calibration)

    def score(
        self, pairs: Sequence[Pair], *, precision: str = "float32", whole: bool = False
    ) -> npt.NDArray[np.float32]:
        """Score pairs; a higher score fits better.

        Args:
            pairs: (turns, candidate) each.
            precision: not used; an exported selector has one of its own.
            whole: read the turns as they are, persona sentences before them, instead of the last `history`.

        Returns:
            Scores in the order of the pairs, shape (pairs,).

        Raises:
            ModelError: when the graph cannot be computed, or a score is no number.
        """
        if not pairs:
            return np.zeros(0, dtype=np.float32)
        contexts, responses, found = self.pairs.encode_pairs(pairs, None if whole else self.history)
        numbers = np.array(found, dtype=np.int64)
        scores = np.zeros(len(pairs), dtype=np.float32)

        def run(chosen: npt.NDArray[np.int64]) -> None:
            packed = self.packer.pack(contexts, responses, numbers[chosen])
            try:
                [values] = self.session.run(None, inputs(packed, self.pairs.has_types))
            except runtime_errors() as error:
                reason = str(error).splitlines()[0]
                raise ModelError(
                    f"{self.source}: {MODEL} cannot read {self.pairs.max_length} tokens or is broken: {reason}"
                ) from error
            asked = packed.pairs >= 0
            scores[chosen[packed.pairs[asked]]] = values[asked]

        batches = self._batches(contexts, responses, numbers)
        with ThreadPoolExecutor(self.threads) as pool:
            list((map if len(batches) == 1 else pool.map)(run, batches))
        return ranking.numbers(scores, self.source)

    def inputs(self, pairs: Sequence[Pair]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """What the graph is given to score pairs, batch by batch, read whole."""
        contexts, responses, found = self.pairs.encode_pairs(pairs, None)
        numbers = np.array(found, dtype=np.int64)
        for chosen in self._batches(contexts, responses, numbers):
            yield inputs(self.packer.pack(contexts, responses, numbers[chosen]), self.pairs.has_types)

    @property
    def packer(self) -> Packer:
        """What makes a batch, all in one block."""
        return Packer(self.pairs, self.architecture, 0.0)

    def _batches(
        self, contexts: Ragged, responses: Ragged, numbers: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.int64]]:
        """Numbers of pairs, those of like length together, or those of a context where they share it."""
        sizes = self.packer.sizes(contexts.lengths[numbers[:, 0]], responses.lengths[numbers[:, 1]])
        order, rows = np.arange(len(sizes)), np.arange(len(sizes) + 1)
        if self.architecture == "shared":
            order = np.argsort(numbers[:, 0], kind="stable")
            # the candidates of a single context are spread over all cores
            rows = rows_of(numbers[order, 0], min(TOGETHER, -(-len(order) // self.threads)))
            sizes = np.add.reduceat(sizes[order], rows[:-1])
            sizes += self.packer.context_size(contexts.lengths[numbers[order[rows[:-1]], 0]])
        tokens = max(1, min(BATCH_TOKENS, -(-int(sizes.sum()) // self.threads)))
        return [
            np.concatenate([order[rows[row] : rows[row + 1]] for row in bucket])
            for bucket in buckets(sizes, tokens, SLACK, FEWEST)
        ]


def inputs(packed: Packed, types: bool) -> dict[str, npt.NDArray[Any]]:
    """What the graph is given for a batch of one block.

    Args:
        packed: the batch.
        types: whether the backbone tells contexts from candidates by token types.
    """
    [block] = packed.blocks
    shape = (block.rows, block.length)
    segments = packed.segments.reshape(shape)
    found = {"input_ids": packed.input_ids.reshape(shape).astype(np.int64)}
    if types:
        found["token_type_ids"] = packed.types.reshape(shape).astype(np.int64)
    if packed.architecture == "cross":
        return found | {"attention_mask": (segments != PADDING).astype(np.int64)}
    looking, seen = segments[:, :, None], segments[:, None, :]
    return found | {
        "position_ids": packed.positions.reshape(shape).astype(np.int64),
        MASK: (seen == CONTEXT) | (looking == seen),
        SCORED: packed.scored.reshape(block.rows, block.scored),
    }


def open_session(model: Path) -> Any:
    """A session of ONNX Runtime that computes on the thread that calls it.

    Raises:
        ModelError: when the model is not there or broken.
    """
    with needs("onnx"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=UNFUSED
        )
    except runtime_errors() as error:
        raise ModelError(f"{model} is broken: {str(error).splitlines()[0]}; {settings.REMEDY}") from error


def runtime_errors() -> tuple[type[Exception], ...]:
    """Every error that ONNX Runtime raises; they have no base of their own but `Exception`."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*kinds, ValueError, RuntimeError)


def _pairs(folder: Path, found: settings.Settings) -> PairTokenizer:
    """How pairs become tokens, by the tokenizer in an export's folder."""
    with needs("onnx"):
        from tokenizers import Tokenizer
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # what tokenizers raises is a bare Exception
        raise ModelError(f"{folder} is broken: {TOKENIZER}: {error}; {settings.REMEDY}") from error
    try:
        return PairTokenizer.checked(tokenizer, found.max_length, pad=found.pad, types=found.types)
    except ModelError as error:
        raise ModelError(f"{folder} is broken: {error}; {settings.REMEDY}") from error


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
