"""Sentence embeddings, each computed once: kept on disk by model and text."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg import cache, models
from pneg.errors import ModelError, PnegError, needs

Vectors = npt.NDArray[np.float32]

CHUNK = 8192
"""Texts embedded, and kept, at a time."""
BATCH = 128
"""Texts of like length that go through the model at a time."""
ASKED = 500
"""Keys in a question to the database; SQLite has a limit."""


class Embeddings:
    """Unit vectors of texts from an encoder of `sentence-transformers`; a text seen before is not embedded again.

    They lie in an SQLite file of the cache folder for each encoder, told by the contents of its files, and
    precision. Several processes may use it at a time.

    Args:
        encoder: a name or folder, see `pneg.models.encoder_folder`.
        device: the best there is by default.
        precision: `float32`, or `bfloat16`, which is faster where the device has it and moves a similarity by less
            than .01; `auto` for what the device is fast at.

    Raises:
        ModelError: when the encoder cannot be found or loaded.
        PnegError: when the file in the cache folder is damaged, or cannot be written.
        MissingExtra: without `sentence-transformers`.
    """

    def __init__(self, encoder: str = "minilm-l6", device: str | None = None, precision: str = "auto") -> None:
        with needs("retrieval"):
            import sentence_transformers  # noqa: F401
            import torch
        from pneg.devices import best_device, best_precision

        self.folder = models.encoder_folder(encoder)
        self.device = device or best_device()
        self.precision = best_precision(torch.device(self.device)) if precision == "auto" else precision
        name = f"{_digest(self.folder)[:32]}-{self.precision}.sqlite"
        self.file = cache.folder() / "embeddings" / name
        self.computed = 0
        self._model: Any = None

    def of(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts, shape (texts, dimensions), each of length 1.

        What is computed is kept every `CHUNK` texts, so that a job that was stopped goes on from there.
        """
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in texts]
        places: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, place)
        found: Vectors | None = None
        with self._database() as database:
            for key, vector in _stored(database, places):
                if found is None:
                    found = np.empty((len(texts), len(vector)), np.float32)
                found[places[key]] = vector
                places[key] = ~places[key]  # negative: done
            missing = [place for place in places.values() if place >= 0]
            # of like length together, the longest first: what the memory must hold is known at once
            missing.sort(key=lambda place: -len(texts[place]))
            for start in range(0, len(missing), CHUNK):
                chunk = missing[start : start + CHUNK]
                vectors = self._embed([texts[place] for place in chunk])
                rows = ((keys[place], vector.tobytes()) for place, vector in zip(chunk, vectors, strict=True))
                with database:
                    database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                if found is None:
                    found = np.empty((len(texts), vectors.shape[1]), np.float32)
                found[chunk] = vectors
        if found is None:
            return np.empty((0, 0), np.float32)
        for place, key in enumerate(keys):
            first = places[key] if places[key] >= 0 else ~places[key]
            if first != place:
                found[place] = found[first]
        return found

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.file, timeout=600)) as database:
                database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
                yield database
        except sqlite3.OperationalError as error:
            remedy = "make room or change its permissions, and run the same command again"
            raise PnegError(f"{self.file}: {error}; {remedy}") from error
        except sqlite3.DatabaseError as error:
            raise PnegError(f"{self.file}: {error}; delete it, what it held is computed again") from error

    def _embed(self, texts: list[str]) -> Vectors:
        import torch

        if self._model is None:
            self._model = self._loaded()
        vectors = self._model.encode(texts, batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False)
        self.computed += len(texts)
        # in float32: a length of 1 in bfloat16 is one only to three digits
        unit: Vectors = torch.nn.functional.normalize(vectors.float(), dim=1).cpu().numpy()
        return unit

    def _loaded(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer

        settings: dict[str, Any] = {"dtype": getattr(torch, self.precision)}
        if self.device == "cpu" and self.precision == "bfloat16":
            # PyTorch's fused attention is the slower one there, by far for short texts
            settings["attn_implementation"] = "eager"
        try:
            with models.quiet():
                return SentenceTransformer(
                    str(self.folder), device=self.device, model_kwargs=settings, local_files_only=True
                )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{self.folder} cannot be loaded as an encoder: {str(error).splitlines()[0]}") from error


def _stored(database: sqlite3.Connection, keys: Iterable[bytes]) -> Iterator[tuple[bytes, Vectors]]:
    remaining = iter(list(keys))
    while asked := list(islice(remaining, ASKED)):
        marks = ",".join("?" * len(asked))
        for key, vector in database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", asked):
            yield key, np.frombuffer(vector, np.float32)


def _digest(folder: Path) -> str:
    """Of all an encoder's files, so that another model under the same name has vectors of its own."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as stream:
                found.update(
                    f"{file.relative_to(folder)}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\0".encode()
                )
    return found.hexdigest()
