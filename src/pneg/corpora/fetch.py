"""Corpora by name: fetched from their public homes, or taken from a folder, into the cache."""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pneg import cache
from pneg.errors import DataError, ModelError


@dataclass(frozen=True, slots=True)
class Corpus:
    """Where a corpus comes from.

    Attributes:
        licence: as its authors state it.
        splits: the file of each split, by split; names that are there instead stand behind.
        default: the split meant by the bare name.
        download: fills a folder with the files from the public home.
        downloaded: the files that come from there.
    """

    licence: str
    splits: Mapping[str, tuple[str, ...]]
    default: str
    download: Callable[[Path], None]
    downloaded: tuple[str, ...]


def _dailydialog_pp(into: Path) -> None:
    home = "https://iitmnlp.github.io/DailyDialog-plusplus/dataset"
    for name in ("train.json", "dev.json", "test.json"):
        cache.download(f"{home}/{name}", into / name)


def _dailydialog(into: Path) -> None:
    packed = into / "packed.zip"
    cache.download("http://yanran.li/files/ijcnlp_dailydialog.zip", packed)
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            if Path(name).name in ("train.zip", "validation.zip", "test.zip"):
                (into / Path(name).name).write_bytes(archive.read(name))
    packed.unlink()


def _personachat(into: Path) -> None:
    packed = into / "packed.tgz"
    cache.download("http://parl.ai/downloads/convai2/convai2_fix_723.tgz", packed)
    cache.verify(packed, "d0ae89defe2fd0b0a4221eaa642a457d7d40cef475f54798119c7f3b8dd9361d")
    with tarfile.open(packed) as archive:
        archive.extractall(into, filter="data")
    packed.unlink()


def _chitchat(into: Path) -> None:
    with cache.scratch(into) as unpacked:
        cache.from_package_index("chitchat-dataset==0.9.0", unpacked)
        os.replace(unpacked / "chitchat_dataset" / "dataset.json", into / "dataset.json")
    cache.verify(into / "dataset.json", "d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a")


CORPORA: Mapping[str, Corpus] = {
    "dailydialog++": Corpus(
        "CC BY-NC-SA 4.0",
        {
            "train": ("train.json",),
            "dev": ("dev.json",),
            "test": ("test.json",),
            "positives": ("data_positives.json",),
        },
        "train",
        _dailydialog_pp,
        ("train.json", "dev.json", "test.json"),
    ),
    "dailydialog": Corpus(
        "CC BY-NC-SA 4.0",
        {
            "train": ("train.zip",),
            "validation": ("validation.zip",),
            "test": ("test.zip",),
            "augmentation": ("train_no_ddpp_devtest.txt",),
        },
        "train",
        _dailydialog,
        ("train.zip", "validation.zip", "test.zip"),
    ),
    "personachat": Corpus(
        "none stated",
        {
            "train": ("train_self_original.txt", "train_1000.jsonl"),
            "valid": ("valid_self_original.txt", "valid.jsonl"),
            "test": ("test.jsonl",),
        },
        "train",
        _personachat,
        ("train_self_original.txt", "valid_self_original.txt"),
    ),
    "chitchat": Corpus("MIT", {"all": ("dataset.json",)}, "all", _chitchat, ("dataset.json",)),
}


def fetch(name: str, folder: Path | None = None) -> dict[str, Path]:
    """Store the corpus `name` in the cache, once, and return the file of each split that is there.

    Args:
        name: one of `CORPORA`.
        folder: take the files from here, or from the folder of the corpus's name in it, instead of from the
            public home; what is stored already is replaced file by file.

    Raises:
        DataError: when the name is unknown or the folder holds none of the files.
        ModelError: when the public home cannot be reached.
    """
    corpus = _corpus(name)
    home = cache.folder() / "corpora" / name
    with cache.locked(home):
        if folder is not None:
            _copy(name, corpus, folder, home)
        elif not all((home / file).is_file() for file in corpus.downloaded):
            _download(name, corpus, home)
    return {split: file for split in corpus.splits if (file := _stored(name, split)) is not None}


def stored_file(name: str, split: str = "") -> Path:
    """The stored file of a split; `chitchat` is fetched by itself, the others have licences to be read first.

    Raises:
        DataError: when there is no such split or it was not fetched.
    """
    corpus = _corpus(name)
    split = split or corpus.default
    if split not in corpus.splits:
        raise DataError(f"{name} has no split {split!r}", f"expected one of {', '.join(corpus.splits)}")
    if name == "chitchat":
        fetch(name)
    found = _stored(name, split)
    if found is None:
        raise DataError(f"{name}:{split} is not stored yet", f"run: pneg fetch {name} (licence: {corpus.licence})")
    return found


def _corpus(name: str) -> Corpus:
    if name not in CORPORA:
        raise DataError(f"there is no corpus {name!r}", f"expected one of {', '.join(CORPORA)}")
    return CORPORA[name]


def _stored(name: str, split: str) -> Path | None:
    home = cache.folder() / "corpora" / name
    return next((home / file for file in CORPORA[name].splits[split] if (home / file).is_file()), None)


def _download(name: str, corpus: Corpus, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    with cache.scratch(home) as made:
        try:
            corpus.download(made)
        except ModelError as error:
            raise ModelError(f"{error}; pneg fetch {name} --from DIR takes it from a folder of yours") from error
        except (zipfile.BadZipFile, tarfile.TarError) as error:
            raise ModelError(f"the home of {name} sent something that is no archive: {error}") from error
        for file in made.iterdir():
            os.replace(file, home / file.name)


def _copy(name: str, corpus: Corpus, folder: Path, home: Path) -> None:
    if not folder.is_dir():
        raise DataError("there is no such folder", "check the path behind --from", file=folder)
    source = folder / name if (folder / name).is_dir() else folder
    files = [file for names in corpus.splits.values() for file in names]
    found = [source / file for file in files if (source / file).is_file()]
    if not found:
        raise DataError(f"none of {name}'s files is there", f"expected {', '.join(files)}", file=source)
    home.mkdir(parents=True, exist_ok=True)
    with cache.scratch(home) as unfinished:
        for file in found:
            shutil.copyfile(file, unfinished / file.name)
            os.replace(unfinished / file.name, home / file.name)
