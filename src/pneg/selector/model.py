"""The selector: an encoder that scores (context, candidate) pairs."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg import models
from pneg.devices import best_device, to_device
from pneg.errors import ModelError, needs
from pneg.selector import ranking, settings
from pneg.selector.packing import Architecture, Packed, Packer
from pneg.selector.ranking import Scorer
from pneg.selector.tokens import PairTokenizer

with needs("selector"):
    import torch

    from pneg.selector import encoder, loading

SCORING_TOKENS, GPU_SCORING_TOKENS = 4096, 32768
"""Tokens in a batch when nothing is kept for a backward pass, about; a GPU needs more to be busy."""
SLACK, WHOLE_SLACK = 0.6, 0.85
"""Of rows in a block, see `Packer`, where fewer and larger ones pay: for attention alone, which is then all that sees
padding, and for the whole model."""


@dataclass(slots=True)
class Selector(Scorer):
    """Scores how well candidates fit a context.

    Attributes:
        model: a sequence classifier of `transformers` with one label.
        pairs: how pairs become tokens.
        history: turns of a context that are read, counted from the last.
        architecture: `cross` reads each pair for itself, `shared` a context once for all its candidates.
        about: what it was trained on and how it scored, as in `selector.json`.
        calibration: what `pneg calibrate` found; None where it was not run.
        source: the folder or name that it was made from, for messages.
    """

    model: Any
    pairs: PairTokenizer
    history: int = 4
    architecture: Architecture = "cross"
    about: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    source: str = ""

    @classmethod
    def create(
        cls,
        backbone: str,
        *,
        seed: int = 0,
        max_length: int = 128,
        history: int = 4,
        architecture: Architecture = "cross",
        device: str | None = None,
    ) -> "Selector":
        """A selector with a fresh head on a pre-trained encoder.

        Args:
            backbone: a folder, a hub name such as `bert-base-uncased`, or a name in `pneg.models.MIRRORED`.
            seed: of the head.
            max_length: tokens of a pair.
            history: turns that are read.
            architecture: `cross` or `shared`.
            device: by default the best there is.

        Raises:
            ModelError: when the backbone cannot be found, is no encoder for pairs, or cannot do what is asked.
        """
        torch.manual_seed(seed)
        model, tokenizer = loading.encoder(models.local_folder(backbone), fresh_head=True)
        pairs = _pairs(backbone, tokenizer, max_length)
        selector = cls(model, pairs, history, architecture, source=backbone)
        selector._check()
        model.to(device or best_device()).eval()
        return selector

    def _check(self) -> None:
        backbone = self.source
        if self.history < 1:
            raise ModelError(f"a selector that reads {self.history} turns reads no context; take 1 or more")
        if self.architecture == "shared" and not encoder.known(self.model):
            families = ", ".join(encoder.FAMILIES)
            raise ModelError(
                f"{backbone} is a {self.model.config.model_type}: the shared architecture is there for {families}; "
                "take one of these, or the architecture cross"
            )
        room = encoder.most_tokens(self.model)
        longest = self.packer.longest
        if longest > room:
            raise ModelError(
                f"{backbone} reads {room} tokens at most, and pairs may have {longest}; lower the maximum length"
            )

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "Selector":
        """A selector that `save` wrote.

        Raises:
            ModelError: when the folder holds none, or not all of it.
        """
        found = settings.read(folder)
        if found.exported:
            raise ModelError(
                f"{folder} holds an exported selector, and one that pneg train wrote is needed; "
                "pneg.selector.ranking.load loads either kind"
            )
        settings.check_files(folder, found)
        model, tokenizer = loading.encoder(Path(folder), fresh_head=False)
        pairs = _pairs(folder, tokenizer, found.max_length)
        settings.check_separator(folder, found, pairs.between_turns)
        selector = cls(
            model, pairs, found.history, found.architecture, found.about, found.calibration, source=str(folder)
        )
        selector._check()
        model.to(device or best_device()).eval()
        return selector

    def save(self, folder: str | Path, card: str = "") -> None:
        """Write the selector so that it loads here, in `transformers` and in `sentence_transformers`.

        Args:
            folder: made if it is not there.
            card: the model card.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.pairs.tokenizer.model_max_length = self.pairs.max_length
        self.model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as scratch, models.quiet():
            self.model.save_pretrained(scratch)
            self.pairs.tokenizer.save_pretrained(scratch)
            names = sorted(file.name for file in Path(scratch).iterdir())
            for name in names:
                os.replace(Path(scratch) / name, folder / name)
        if card:
            (folder / "README.md").write_text(card, encoding="utf-8", errors="replace")
        settings.write(
            folder,
            settings.Settings(
                turns=f"persona sentences and the last {self.history} turns, joined by {self.pairs.between_turns!r}",
                between_turns=self.pairs.between_turns,
                history=self.history,
                max_length=self.pairs.max_length,
                architecture=self.architecture,
                about=self.about,
                calibration=self.calibration,
                files=settings.written(folder, names),
            ),
        )

    @property
    def temperature(self) -> float | None:
        """What scores are divided by before they become probabilities; None where it was not calibrated."""
        return ranking.temperature_of(self.calibration)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(next(iter(self.model.parameters())).device)

    def score(
        self, pairs: Sequence[tuple[Sequence[str], str]], *, precision: str = "float32", whole: bool = False
    ) -> npt.NDArray[np.float32]:
        """Score pairs, each distinct one once; a higher score fits better.

        Args:
            pairs: (turns, candidate) each.
            precision: `float32`, or `bfloat16`, which is faster where the device has it and a little coarser.
            whole: read the turns as they are, persona sentences before them, instead of the last `history`.

        Returns:
            Scores in the order of the pairs, shape (pairs,).

        Raises:
            ModelError: when a score is no number.
        """
        if not pairs:
            return np.zeros(0, dtype=np.float32)
        contexts, responses, numbers = self.pairs.encode_pairs(pairs, None if whole else self.history)
        distinct, again = np.unique(np.array(numbers, dtype=np.int64), axis=0, return_inverse=True)
        scores = np.zeros(len(distinct), dtype=np.float32)
        tokens = SCORING_TOKENS if self.device.type == "cpu" else GPU_SCORING_TOKENS
        with torch.inference_mode(), computing(self.device, precision):
            batches = list(self.packer.batches(contexts, responses, distinct, tokens))
            found = [self.scores(self.packer.pack(contexts, responses, distinct[chosen])) for chosen in batches]
        for chosen, values in zip(batches, found, strict=True):  # a GPU has computed while batches were made
            scores[chosen] = values.float().cpu().numpy()
        return ranking.numbers(scores, self.source)[again]

    @property
    def packer(self) -> Packer:
        """What makes batches for this selector, on the device it is on."""
        if not encoder.known(self.model):
            return Packer(self.pairs, self.architecture, WHOLE_SLACK)
        return Packer(self.pairs, self.architecture, 1.0 if self.device.type == "cpu" else SLACK)

    def scores(self, packed: Packed) -> torch.Tensor:
        """The model's output for a batch, shape (pairs,), in the order in which the pairs were packed."""
        return encoder.forward(self.model, packed)[to_device(packed.places, self.device)]


def computing(device: torch.device, precision: str) -> torch.autocast:
    """The context in which forward passes run in `precision`, `float32` or `bfloat16`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _pairs(source: str | Path, tokenizer: Any, max_length: int) -> PairTokenizer:
    try:
        return PairTokenizer.checked(tokenizer, max_length)
    except ModelError as error:
        raise ModelError(
            f"{source} cannot be used: {error}; copy the folder again, or take another encoder"
        ) from error
