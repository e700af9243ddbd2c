"""Embeddings: those of sentence-transformers, each text once, kept on disk by model and text."""

from pathlib import Path

import numpy as np
import pytest

from pneg.errors import ModelError, PnegError
from pneg.negatives import embeddings as module
from pneg.negatives.embeddings import Embeddings

sentence_transformers = pytest.importorskip("sentence_transformers")
TEXTS = ["Are you going to the lake?", "No.", "It is far too cold to swim in it, is it not?", "No.", "Yes!"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_they_are_the_peers_in_order_and_each_distinct_text_is_embedded_once(backbones: dict[str, Path]) -> None:
    embeddings = Embeddings(str(backbones["bert"]), "cpu", "float32")
    peer = sentence_transformers.SentenceTransformer(str(backbones["bert"]), device="cpu")
    found = embeddings.of(TEXTS)
    assert found == pytest.approx(peer.encode(TEXTS, normalize_embeddings=True), abs=1e-5)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(5))
    assert embeddings.computed == 4


def test_what_was_embedded_is_taken_from_the_disk(
    backbones: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(module, "ASKED", 2)
    first = Embeddings(str(backbones["bert"]), "cpu", "float32").of(TEXTS)
    again = Embeddings(str(backbones["bert"]), "cpu", "float32")
    assert np.array_equal(again.of(TEXTS[::-1]), first[::-1])
    assert again.computed == 0
    assert again.of(["New.", *TEXTS])[1:].tolist() == first.tolist()
    assert again.computed == 1


def test_another_model_and_another_precision_have_their_own(backbones: dict[str, Path]) -> None:
    for encoder, precision in (("bert", "float32"), ("mpnet", "float32"), ("bert", "bfloat16")):
        embeddings = Embeddings(str(backbones[encoder]), "cpu", precision)
        embeddings.of(TEXTS)
        assert embeddings.computed == 4


def test_what_was_embedded_before_a_job_was_stopped_is_kept(
    backbones: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)
    stopped = Embeddings(str(backbones["bert"]), "cpu", "float32")
    embed, asked = stopped._embed, []

    def until_the_third(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return embed(texts)

    monkeypatch.setattr(stopped, "_embed", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        stopped.of(TEXTS)
    again = Embeddings(str(backbones["bert"]), "cpu", "float32")
    again.of(TEXTS)
    assert again.computed == 2


def test_no_texts_have_no_vectors(backbones: dict[str, Path]) -> None:
    assert len(Embeddings(str(backbones["bert"]), "cpu", "float32").of([])) == 0


def test_a_folder_that_holds_no_encoder_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelError, match=r"none cannot be loaded as an encoder: [^\n]+$"):
        Embeddings(str(tmp_path / "none"), "cpu", "float32").of(TEXTS)


def test_a_damaged_file_and_one_that_cannot_be_opened_are_named(backbones: dict[str, Path]) -> None:
    embeddings = Embeddings(str(backbones["bert"]), "cpu", "float32")
    embeddings.file.parent.mkdir(parents=True)
    embeddings.file.write_text("no database, whatever its name says")
    with pytest.raises(PnegError, match=f"{embeddings.file}: file is not a database; delete it"):
        embeddings.of(TEXTS)
    embeddings.file.unlink()
    embeddings.file.mkdir()
    with pytest.raises(PnegError, match=f"{embeddings.file}: unable to open database file; make room or change"):
        embeddings.of(TEXTS)
