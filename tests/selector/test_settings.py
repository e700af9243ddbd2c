"""`selector.json`: wrong types are named with their key and value; listed files are there and unchanged."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pneg.errors import ModelError
from pneg.selector import settings
from pneg.selector.settings import MARK, Settings

TRAINED: dict[str, Any] = {"max_length": 48, "history": 4, "about": {"recipe": {"seed": 1}}, "architecture": "cross"}
EXPORTED: dict[str, Any] = {**TRAINED, "kind": "onnx", "pad": 0, "types": True, "export": {"precision": "int8"}}


def written(folder: Path, values: object) -> Path:
    (folder / MARK).write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("values", [TRAINED, EXPORTED, {**TRAINED, "calibration": None, "of a later version": 1}])
def test_settings_of_any_version_are_read(values: dict[str, Any], tmp_path: Path) -> None:
    found = settings.read(written(tmp_path, values))
    assert (found.max_length, found.history, found.architecture) == (48, 4, "cross")
    assert found.exported == ("kind" in values)
    assert found.files == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": "4"}, 'history is "4": expected `int`, got `str`'),
        ({"history": 0}, "history is 0: expected `int` >= 1"),
        ({"history": None}, "history is null"),
        ({"history": [4]}, r"history is \[4\]: expected `int`, got `array`"),
        ({"history": 2.5}, "history is 2.5: expected `int`, got `float`"),
        ({"max_length": -1}, "max_length is -1: expected `int` >= 1"),
        ({"max_length": 10**9}, "max_length is 1000000000: expected `int` <= 1048576"),
        ({"max_length": 10**40}, "max_length is 1000"),
        ({"max_length": True}, "max_length is true: expected `int`, got `bool`"),
        ({"architecture": "both"}, "architecture is \"both\": invalid enum value 'both'"),
        ({"architecture": None}, "architecture is null"),
        ({"about": []}, r"about is \[\]: expected `object`, got `array`"),
        ({"about": {"recipe": "mine"}}, 'about.recipe is "mine": expected `object`, got `str`'),
        ({"calibration": {}}, "calibration is {}: object missing required field `temperature`"),
        ({"calibration": {"temperature": 0}}, "calibration.temperature is 0: expected `float` >= 0.001"),
        ({"calibration": {"temperature": "1"}}, 'calibration.temperature is "1": expected `float`, got `str`'),
        ({"calibration": {"temperature": 1e-320}}, "calibration.temperature is .*: expected `float` >= 0.001"),
        ({"calibration": 1}, "calibration is 1: expected `object"),
        ({"kind": "tflite"}, "kind is \"tflite\": invalid enum value 'tflite'"),
        ({"pad": -1}, "pad is -1: expected `int` >= 0"),
        ({"pad": None}, "pad is null"),
        ({"types": "yes"}, 'types is "yes": expected `bool'),
        ({"export": "int8"}, 'export is "int8": expected `object'),
        ({"files": ["a"]}, r'files is \["a"\]: expected `object`, got `array`'),
        (
            {"files": {"../a": {"bytes": 1, "sha256": "0" * 64}}},
            r"files names '\.\./a', expected names without a folder",
        ),
        ({"files": {"a": {"bytes": "1", "sha256": "0" * 64}}}, "expected `int`, got `str`"),
        ({"between_turns": 7}, "between_turns is 7: expected `str`, got `int`"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_its_file_its_key_and_what_was_expected(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=rf"{MARK} is broken: .*{message}.*; copy the folder again"):
        settings.read(written(tmp_path, {**EXPORTED, **changes}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "it is no JSON"),
        (b"", "it is no JSON"),
        (b'{"max_length": NaN}', "it is no JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"about": ' + b"[" * 100_000, "it is nested too deeply"),
        (b"[]", "it holds no object"),
        (b"{}", "it does not say max_length and history and about"),
        (b'{"kind": "onnx", "max_length": 9, "history": 1, "about": {}}', "it does not say pad and types and export"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_is_no_settings_at_all_is_refused_with_the_reason(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / MARK).write_bytes(content)
    with pytest.raises(ModelError, match=f"is broken: {message}"):
        settings.read(tmp_path)


def test_a_folder_in_the_place_of_the_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARK).mkdir()
    with pytest.raises(ModelError, match=r"selector\.json cannot be read: Is a directory"):
        settings.read(tmp_path)


def test_a_figure_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot hold a figure that is no number"):
        settings.write(tmp_path, Settings(max_length=48, history=4, about={"loss": math.nan}))
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_changes_nothing_else_in_the_settings(tmp_path: Path) -> None:
    values = {**TRAINED, "files": {"a": {"bytes": 1, "sha256": "0" * 64}}, "of a later version": [1]}
    settings.write_calibration(written(tmp_path, values), {"temperature": 2.5, "n": 3})
    assert json.loads((tmp_path / MARK).read_text()) == {**values, "calibration": {"temperature": 2.5, "n": 3}}


def test_files_that_are_listed_must_be_there_and_the_same(tmp_path: Path) -> None:
    for name in ("gone", "changed", "longer", "replaced", "kept"):
        (tmp_path / name).write_text("as written")
    names = ["gone", "changed", "longer", "replaced", "kept"]
    found = Settings(max_length=48, history=4, about={}, files=settings.written(tmp_path, names))
    settings.check_files(tmp_path, found)
    (tmp_path / "gone").unlink()
    (tmp_path / "changed").write_text("AS WRITTEN")
    (tmp_path / "longer").write_text("as written, and more")
    (tmp_path / "replaced").unlink()
    (tmp_path / "replaced").mkdir()
    with pytest.raises(ModelError) as caught:
        settings.check_files(tmp_path, found)
    message = str(caught.value)
    assert "gone is missing" in message
    assert "changed is not the file that was written with it" in message
    assert "longer has 20 bytes, 10 were written" in message
    assert "replaced is no file" in message
    assert "kept" not in message
