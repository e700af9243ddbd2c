"""What a training leaves in the selector's folder until it is done, and how the selector comes to stand there."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, cast

from pneg.errors import DataError, PnegError, needs
from pneg.files import replacing
from pneg.jobs import claim
from pneg.jobs.claim import Folder, Job
from pneg.selector.settings import MARK

with needs("selector"):
    import torch
    from safetensors import SafetensorError

FOLDER, STATE, MOVING, MADE = "checkpoint", "state.pt", "moving.json", "selector"
EARLIER = "settings.json"
"""The mark of a checkpoint as version 0.1.0 wrote it."""
PARTS = {
    "done": int, "model": dict, "optimiser": dict, "schedule": dict, "best": dict, "validation_losses": list,
    "spreads": list, "collapsed": bool,
}  # fmt: skip
"""What a state holds."""


class Checkpoint:
    """A folder `checkpoint` in the selector's folder, which belongs to one training.

    Args:
        folder: of the selector.
        job: what must be the same for a training to go on.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, self.home = folder, folder / FOLDER
        self._claimed = Folder(
            self.home, job, {STATE, EARLIER, MOVING, MADE}.__contains__, _of_version_0_1, _has_state
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this training until the block ends.

        Raises:
            DataError: when another training holds it or was stopped in it, or it holds something else.
        """
        check_folder(self.folder)
        fresh = not self.folder.exists()
        try:
            with self._claimed.held():
                try:
                    yield
                finally:
                    if not _has_state(self.home):
                        self._claimed.remove()
        finally:
            if fresh:
                with suppress(OSError):  # something is in it
                    self.folder.rmdir()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was saved last; None where there is none.

        Raises:
            DataError: when it is broken.
        """
        if not _has_state(self.home):
            return None
        try:
            state = torch.load(self.home / STATE, map_location=device, weights_only=True)
        except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
            raise broken(self.folder) from error
        if not (isinstance(state, dict) and all(isinstance(state.get(name), kind) for name, kind in PARTS.items())):
            raise broken(self.folder)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was saved before, at once.

        Raises:
            PnegError: when it cannot be written; what was saved before is kept.
        """
        with self._explained("the checkpoint"), replacing(self.home / STATE) as stream:
            watched = _Watched(stream)
            try:
                torch.save(dict(state), cast(IO[bytes], watched))
            except RuntimeError:
                if watched.error is not None:  # torch says nothing of the disk
                    raise watched.error from None
                raise

    def finish(self, save: Callable[[Path], None]) -> None:
        """Put the finished selector in its folder, what makes it one last, and remove the checkpoint.

        Args:
            save: writes the selector to a folder.

        Raises:
            DataError: when somebody has put a file of that name there.
            PnegError: when it cannot be written; the checkpoint is kept.
        """
        made = self.home / MADE
        try:
            with self._explained("the selector"):
                save(made)
                names = sorted((path.name for path in made.iterdir()), key=lambda name: name == MARK)
                if strange := [
                    name for name in names if (self.folder / name).exists() and name not in moved(self.home)
                ]:
                    raise DataError(
                        f"{', '.join(strange)} was put there while the selector was trained",
                        "move it away and give the same command to go on",
                        file=self.folder,
                    )
                with replacing(self.home / MOVING) as stream:
                    stream.write(json.dumps(names).encode())
        except BaseException:
            for path in made.glob("*"):
                path.unlink()
            raise
        for name in names:
            os.replace(made / name, self.folder / name)
        made.rmdir()
        self._claimed.remove()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Say in one line what could not be written, and what there is to go on from."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            kept = "the last checkpoint is kept" if _has_state(self.home) else "nothing was kept yet"
            raise PnegError(
                f"{self.home}: {what} cannot be written: {reason}; {kept}: make room and give the same command "
                "to go on"
            ) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder that a selector cannot be trained in.

    Raises:
        DataError: when it holds anything but the checkpoint of a training.
    """
    if folder.is_file():
        raise DataError("it is a file", "a selector is a folder: choose another name", file=folder)
    if (folder / MARK).exists():
        raise DataError("it holds a finished selector", "choose another folder, or delete it", file=folder)
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if others := [name for name in names if name not in (FOLDER, *moved(folder / FOLDER))]:
        raise DataError(f"it holds something else: {claim.listed(others)}", "choose another folder", file=folder)


def moved(home: Path) -> list[str]:
    """The files of a finished selector that a training was about to put beside its checkpoint."""
    try:
        names = json.loads((home / MOVING).read_bytes())
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def broken(folder: Path) -> DataError:
    """The error for a checkpoint that cannot be gone on from."""
    return DataError(
        "the checkpoint is damaged, or is none that pneg wrote",
        "delete it to train from the start",
        file=folder / FOLDER,
    )


def _has_state(home: Path) -> bool:
    return (home / STATE).exists()


def _of_version_0_1(home: Path) -> bytes | None:
    file = home / EARLIER
    if not file.is_file():
        return None
    try:
        settings = json.loads(file.read_bytes())
        return json.dumps({"settings": settings["recipe"], "input": settings["data"]}).encode()
    except (ValueError, TypeError, KeyError):
        return b""


class _Watched:
    """A stream that remembers why nothing more could be written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write as the stream does."""
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Flush as the stream does."""
        self._stream.flush()
