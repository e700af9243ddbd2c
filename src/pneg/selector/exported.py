"""A selector that was exported: ONNX Runtime, a tokenizer and numpy; no torch."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.errors import ModelError, needs
from pneg.selector import ranking
from pneg.selector.ranking import Pair, Ranked
from pneg.selector.tokens import PairTokenizer, Ragged, buckets

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
BATCH_TOKENS = 512
"""Tokens of a batch, so few that what goes between two layers can stay in a core's own cache."""
SLACK = 0.95
"""As of `buckets`: hardly anything is padding."""
FEWEST = 2
UNFUSED = ["SkipLayerNormFusion"]
"""ONNX Runtime's fused operator adds and normalises one number at a time, and is slower than the two apart."""


@dataclass(slots=True)
class ExportedSelector:
    """Scores how well candidates fit a context, as the selector did that was exported.

    Each batch is computed on one core, and batches run side by side.

    Attributes:
        session: of ONNX Runtime, one thread.
        pairs: how pairs become tokens.
        history: turns of a context that are read, counted from the last.
        about: what it was trained on.
        export: its precision, and what was measured when it was exported.
        calibration: what `pneg calibrate` found; None where it was not run.
    """

    session: Any
    pairs: PairTokenizer
    history: int
    about: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    threads: int = field(default_factory=lambda: cores())

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None) -> "ExportedSelector":
        """A selector that `pneg export` wrote.

        Args:
            folder: the selector.
            threads: batches computed side by side; by default one a core.

        Raises:
            ModelError: when the folder holds none, or it is broken.
            MissingExtra: when onnxruntime or tokenizers are not installed.
        """
        found = ranking.settings(folder)
        if not ranking.is_exported(found):
            raise ModelError(
                f"{folder} holds a selector that was not exported; pneg export {folder} -o DIR does that"
            )
        with needs("onnx"):
            from tokenizers import Tokenizer
        try:
            tokenizer = Tokenizer.from_str((Path(folder) / TOKENIZER).read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"{folder} is broken: {TOKENIZER}: {error.strerror}") from error
        return cls(
            open_session(Path(folder) / MODEL),
            PairTokenizer(tokenizer, found["max_length"], pad=found["pad"], types=found["types"]),
            found["history"],
            found["about"],
            found["export"],
            found.get("calibration"),
            threads or cores(),
        )

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
        """
        if not pairs:
            return np.zeros(0, dtype=np.float32)
        contexts, responses, numbers = self.pairs.encode_pairs(pairs, None if whole else self.history)
        of_context, of_response = np.array(numbers).T
        first, second = self.pairs.kept(contexts.lengths[of_context], responses.lengths[of_response])
        lengths = first + second + self.pairs.specials
        tokens = max(1, min(BATCH_TOKENS, -(-int(lengths.sum()) // self.threads)))
        chosen = list(buckets(lengths, tokens, SLACK, FEWEST))
        scores = np.zeros(len(pairs), dtype=np.float32)
        run = partial(self._run, contexts, responses, numbers)
        with ThreadPoolExecutor(self.threads) as pool:
            found = list((map if len(chosen) == 1 else pool.map)(run, chosen))
        for bucket, values in zip(chosen, found, strict=True):
            scores[bucket] = values
        return scores

    def _run(
        self, contexts: Ragged, responses: Ragged, numbers: list[tuple[int, int]], bucket: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        batch = self.pairs.batch([(contexts[numbers[n][0]], responses[numbers[n][1]]) for n in bucket.tolist()])
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if batch.token_type_ids is not None:
            inputs["token_type_ids"] = batch.token_type_ids
        [scores] = self.session.run(None, {name: array.astype(np.int64) for name, array in inputs.items()})
        return np.asarray(scores, dtype=np.float32)

    def rank(
        self,
        context: Sequence[str],
        candidates: Sequence[str],
        *,
        persona: Sequence[str] = (),
        precision: str = "float32",
    ) -> list[Ranked]:
        """Candidates for a context, best first; candidates of equal score keep their order.

        Args:
            context: turns, oldest first, of which the last `history` are read.
            candidates: any number of responses.
            persona: sentences about the one who responds, read before the turns.
            precision: not used, as in `score`.

        Raises:
            DataError: when the context is empty, or one string is given for a list.
        """
        question = ranking.Question.of(context, candidates, persona)
        return ranking.rank_all(self, [question], precision=precision)[0]


def open_session(model: Path) -> Any:
    """A session of ONNX Runtime that computes on the thread that calls it.

    Raises:
        ModelError: when the model is not there or broken.
    """
    with needs("onnx"):
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=UNFUSED
        )
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        raise ModelError(f"{model} is broken: {str(error).splitlines()[0]}") from error


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
