"""`pneg fetch`: corpora and models into the cache."""

import json
from pathlib import Path

from running import Run


def test_the_starter_is_there_without_fetching(pneg: Run, home: Path) -> None:
    found = json.loads(pneg("fetch", "starter", "--json").out)
    assert set(found) == {"starter"}
    assert set(found["starter"]) == {"demonstrations", "test"}
    assert all(Path(file).is_file() for file in found["starter"].values())
    assert not home.exists()


def test_a_corpus_from_a_folder_can_be_read_by_name_afterwards(pneg: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test.json").write_text('{"context": ["x"], "positive_responses": ["y"]}\n')
    assert pneg("show", "dailydialog++:test").says == (
        "pneg: dailydialog++:test is not stored yet; run: pneg fetch dailydialog++ (licence: CC BY-NC-SA 4.0)"
    )
    ran = pneg("fetch", "starter", "dailydialog++", "--from", tmp_path / "mine")
    stored = home / "corpora" / "dailydialog++" / "test.json"
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[3:] == ["dailydialog++ (licence: CC BY-NC-SA 4.0)", f"  dailydialog++:test  {stored}"]
    assert json.loads(pneg("show", "dailydialog++:test", "--json").out)["dialogues"] == 1


def test_a_model_that_is_a_folder_is_given_as_it_is(pneg: Run, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert json.loads(pneg("fetch", "./model", "--json").out) == {"./model": "model"}


def test_words_that_do_not_go_together_exit_with_2(pneg: Run, tmp_path: Path) -> None:
    for words, says in (
        (["minilm-l6", "--from", "."], "pneg: minilm-l6 is not a corpus; --from takes corpora"),
        (["dailydialog", "--from", "nowhere"], "pneg: nowhere: there is no such folder"),
        (["dailydialog", "--from", "."], "pneg: .: none of dailydialog's files is there"),
    ):
        ran = pneg("fetch", *words)
        assert (ran.status, ran.out) == (2, "")
        assert ran.says.startswith(says)
