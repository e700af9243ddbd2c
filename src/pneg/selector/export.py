"""A folder that ranks without torch: an ONNX graph, a tokenizer, settings and a card."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneg.errors import DataError, ModelError
from pneg.selector import settings
from pneg.selector.card import exported_card
from pneg.selector.exported import MODEL, TOKENIZER, ExportedSelector
from pneg.selector.graph import write_graph
from pneg.selector.int8 import quantise
from pneg.selector.model import Selector
from pneg.selector.ranking import Pair


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends well, and vanishes when it does not.

    Raises:
        DataError: when `folder` holds anything but an exported selector.
    """
    check_folder(folder)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        check_folder(folder)
        if folder.exists():
            os.replace(folder, Path(scratch) / "before")
        os.replace(made, folder)


def check_folder(folder: Path) -> None:
    """Refuse a folder that an exported selector must not take the place of.

    Raises:
        DataError: when it holds anything but an exported selector.
    """
    if not folder.exists():
        return
    expected = "choose another folder, or delete it"
    if not folder.is_dir():
        raise DataError("it is a file", expected, file=folder)
    if not any(folder.iterdir()):
        return
    try:
        found = settings.read(folder)
    except ModelError:
        raise DataError("it holds something else", expected, file=folder) from None
    if not found.exported:
        raise DataError("it holds a selector that is no export", expected, file=folder)


def write(selector: Selector, folder: Path, precision: str, examples: Sequence[Pair]) -> None:
    """Write an exported selector without its figures.

    Args:
        selector: the one to export.
        folder: where; made if it is not there.
        precision: `float32`, or `int8` for weights and, at each matrix product, activations of 8 bits.
        examples: (what is read of a context, candidate) each, that the ranges of 8-bit activations are taken from.

    Raises:
        ModelError: when the model cannot be written as a graph.
    """
    folder.mkdir(exist_ok=True)
    write_graph(selector, folder / MODEL)
    selector.pairs.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    describe(selector, folder, {"precision": precision})
    if precision == "int8":
        quantise(folder / MODEL, ExportedSelector.load(folder).inputs(examples))
        describe(selector, folder, {"precision": precision})


def describe(selector: Selector, folder: Path, export: Mapping[str, Any]) -> None:
    """Write what belongs to an exported selector besides its graph: settings and model card.

    Args:
        selector: the one that was exported.
        folder: of the export.
        export: its precision and figures.
    """
    found = settings.Settings(
        kind="onnx",
        between_turns=selector.pairs.between_turns,
        history=selector.history,
        max_length=selector.pairs.max_length,
        pad=selector.pairs.pad,
        types=selector.pairs.has_types,
        architecture=selector.architecture,
        about=selector.about,
        calibration=selector.calibration,
        export=dict(export),
        files=settings.written(folder, (MODEL, TOKENIZER)),
    )
    settings.write(folder, found)
    (folder / "README.md").write_text(exported_card(found), encoding="utf-8", errors="replace")
