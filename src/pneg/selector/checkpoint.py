"""The checkpoint of a training that is not done yet."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from pneg.dialogue import replacing
from pneg.errors import DataError, needs

with needs("selector"):
    import torch


class Checkpoint:
    """A folder `checkpoint` in the selector's folder, tied to the settings it was made with.

    Args:
        folder: of the selector.
        settings: what must be the same for a training to go on; plain values.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.home = folder / "checkpoint"
        self.settings = json.loads(json.dumps(settings))

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was saved last; None where there is none.

        Raises:
            DataError: when it was made with other settings or is broken.
        """
        if not (self.home / "state.pt").exists():
            return None
        try:
            found = json.loads((self.home / "settings.json").read_text(encoding="utf-8"))
            state: dict[str, Any] = torch.load(self.home / "state.pt", map_location=device, weights_only=True)
        except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(f"the checkpoint is broken: {reason}", "delete it", file=self.home) from error
        if found != self.settings:
            differing = [name for name in self.settings if found.get(name) != self.settings[name]]
            raise DataError(
                f"a training with another {' and '.join(differing)} was stopped here",
                "use the same, choose another folder, or delete it",
                file=self.home,
            )
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was saved before, at once."""
        self.home.mkdir(parents=True, exist_ok=True)
        with replacing(self.home / "settings.json") as stream:
            stream.write(json.dumps(self.settings).encode())
        with replacing(self.home / "state.pt") as stream:
            torch.save(dict(state), stream)

    def remove(self) -> None:
        """Delete it: the training is done."""
        shutil.rmtree(self.home, ignore_errors=True)
