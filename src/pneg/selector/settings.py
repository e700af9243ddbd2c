"""`selector.json`: what the folder of a selector says about itself, checked once for trained and exported ones."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pneg.errors import ModelError
from pneg.files import replacing

MARK = "selector.json"
"""The file that makes a folder a selector."""
EXPORTED = "onnx"
"""The kind that `selector.json` of an exported selector names."""
REMEDY = "copy the folder again, or make it again with pneg train or pneg export"
SHOWN = 40
"""Characters of a wrong value that a message repeats."""

Count = Annotated[int, Meta(ge=1, le=2**20)]
_AT = re.compile(r"(?P<reason>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)


class Written(msgspec.Struct, frozen=True):
    """A file as it was written: its bytes and their SHA-256."""

    bytes: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `selector.json` holds.

    Attributes:
        max_length: tokens of a pair, special ones included.
        history: turns of a context that are read, counted from the last.
        about: what the selector was trained on and how it scored.
        turns: how turns are joined, for a reader.
        between_turns: what stands between two turns.
        architecture: `cross` or `shared`.
        calibration: what `pneg calibrate` wrote; None where it was not run.
        kind: `onnx` for an exported selector, None for a trained one.
        pad: the number of the padding token, for an exported selector.
        types: whether the graph reads token types, for an exported selector.
        export: precision and figures of an exported selector.
        files: the files that were written with these settings; empty where an earlier version wrote the folder.
    """

    max_length: Count
    history: Count
    about: dict[str, Any]
    turns: str = ""
    between_turns: str = ""
    architecture: Literal["cross", "shared"] = "cross"
    calibration: dict[str, Any] | None = None
    kind: Literal["onnx"] | None = None
    pad: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    types: bool | None = None
    export: dict[str, Any] | None = None
    files: dict[str, Written] = {}

    @property
    def exported(self) -> bool:
        """Whether these are the settings of an exported selector."""
        return self.kind == EXPORTED


class _About(msgspec.Struct):
    recipe: dict[str, Any] = {}


class _Calibration(msgspec.Struct):
    temperature: Annotated[float, Meta(ge=1e-3, le=1e3)]


class _Inner(msgspec.Struct):
    """Types inside the objects that `Settings` keeps as they are."""

    about: _About
    calibration: _Calibration | None = None


def read(folder: str | Path) -> Settings:
    """The settings of the selector in a folder.

    Raises:
        ModelError: when `selector.json` is not there, cannot be read, or holds something of a wrong type.
    """
    mark = Path(folder) / MARK
    content = _content(folder)
    try:
        values = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{mark} is broken: it is no JSON: {error}; {REMEDY}") from error
    except RecursionError as error:
        raise ModelError(f"{mark} is broken: it is nested too deeply; {REMEDY}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{mark} is broken: it holds no object; {REMEDY}")
    needed = ["max_length", "history", "about"]
    if values.get("kind") == EXPORTED:
        needed += ["pad", "types", "export"]
    if missing := [name for name in needed if name not in values]:
        raise ModelError(f"{mark} is broken: it does not say {' and '.join(missing)}; {REMEDY}")
    if unset := [name for name in needed if values[name] is None]:
        raise ModelError(f"{mark} is broken: {unset[0]} is null; {REMEDY}")
    try:
        msgspec.convert(values, _Inner)
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise ModelError(f"{mark} is broken: {_described(error, values)}; {REMEDY}") from error
    for name in settings.files:
        if name in ("", ".", "..") or "\0" in name or Path(name).name != name:
            raise ModelError(f"{mark} is broken: files names {name!r}, expected names without a folder; {REMEDY}")
    return settings


def _content(folder: str | Path) -> bytes:
    try:
        return (Path(folder) / MARK).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"{folder} holds no selector ({MARK} is not there); pneg train makes one") from error
    except OSError as error:
        raise ModelError(f"{Path(folder) / MARK} cannot be read: {error.strerror}; {REMEDY}") from error


def _described(error: msgspec.ValidationError, values: Any) -> str:
    """A message that names the key, its value and what was expected."""
    match = _AT.fullmatch(str(error))
    if match is None:
        return str(error)
    path, reason = match["path"], match["reason"]
    value = values
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return f"{path}: {reason[:1].lower()}{reason[1:]}"
        value = value[name]
    shown = msgspec.json.encode(value).decode()
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
    return f"{path} is {shown}: {reason[:1].lower()}{reason[1:]}"


def write(folder: str | Path, settings: Settings) -> None:
    """Replace `selector.json` of a folder at once.

    Raises:
        ModelError: when the settings hold NaN or infinity.
    """
    values = msgspec.to_builtins(settings)
    _write(folder, {name: value for name, value in values.items() if value is not None or name == "calibration"})


def write_calibration(folder: str | Path, calibration: dict[str, Any]) -> None:
    """Put a calibration into `selector.json` of a folder; everything else there stays as it is.

    Raises:
        ModelError: when the folder holds no selector.
    """
    read(folder)
    _write(folder, {**msgspec.json.decode(_content(folder)), "calibration": calibration})


def _write(folder: str | Path, values: dict[str, Any]) -> None:
    try:
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ModelError(f"{Path(folder) / MARK} cannot hold a figure that is no number; train it again") from error
    with replacing(Path(folder) / MARK) as stream:
        # a path from the command line may hold bytes that are no text
        stream.write(f"{text}\n".encode(errors="replace"))


def written(folder: Path, names: Iterable[str]) -> dict[str, Written]:
    """The sizes and digests of files in a folder, by name in alphabetical order."""
    return {name: Written((folder / name).stat().st_size, _digest(folder / name)) for name in sorted(names)}


def check_files(folder: str | Path, settings: Settings) -> None:
    """Refuse a folder that lacks a file which was written with its settings, or holds another one in its place.

    Raises:
        ModelError: when a listed file is missing or differs.
    """
    faults = []
    for name, expected in settings.files.items():
        file = Path(folder) / name
        try:
            size = file.stat().st_size
            if not file.is_file():
                faults.append(f"{name} is no file")
            elif size != expected.bytes:
                faults.append(f"{name} has {size:,} bytes, {expected.bytes:,} were written")
            elif _digest(file) != expected.sha256:
                faults.append(f"{name} is not the file that was written with it")
        except FileNotFoundError:
            faults.append(f"{name} is missing")
        except OSError as error:
            faults.append(f"{name} cannot be read ({error.strerror})")
    if faults:
        raise ModelError(
            f"{folder} is broken: {', '.join(faults)}; {REMEDY} (if you changed a file on purpose, delete its entry "
            f"under files in {MARK})"
        )


def check_separator(folder: str | Path, settings: Settings, between_turns: str) -> None:
    """Refuse a tokenizer that separates texts by another token than the one the selector was written with.

    Raises:
        ModelError: when it does.
    """
    if settings.between_turns and settings.between_turns != between_turns:
        raise ModelError(
            f"{folder} is broken: its tokenizer separates texts by {between_turns!r}, {MARK} says "
            f"{settings.between_turns!r}; the tokenizer is of another model: {REMEDY}"
        )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
