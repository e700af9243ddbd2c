"""`pneg audit`: the table, the files it writes, and what it refuses."""

import json
from pathlib import Path

import pytest
from running import Run

from pneg import Dialogue, write

WORDS = "tea rain bus song book lamp cake road fish door star milk".split()


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """Negatives with a mark of their own."""
    dialogues = [
        Dialogue(
            str(n),
            (f"What about number {n}?",),
            (f"I like the {WORDS[n % 12]} {n}.",),
            {"written": tuple(f"Well, I like the {WORDS[(n + k) % 12]} {n}." for k in range(1, 6))},
        )
        for n in range(40)
    ]
    write(tmp_path / "marked.jsonl", dialogues)
    return tmp_path / "marked.jsonl"


@pytest.fixture
def selector(backbones: dict[str, Path], tmp_path: Path, one_thread: None) -> Path:
    """A selector whose head is random: what it says does not depend on much."""
    from pneg import Selector

    Selector.create(str(backbones["bert"]), seed=3, max_length=48).save(tmp_path / "selector", "# card")
    return tmp_path / "selector"


def test_the_table_has_a_row_and_a_verdict_for_each_source(pneg: Run, marked: Path) -> None:
    ran = pneg("audit", marked)
    assert ran.status == 0
    head, row = ran.out.splitlines()[:2]
    assert head.split()[:6] == ["contexts", "negatives", "chance", "style", "95%", "length"]
    assert row.split()[:7] == ["written", "40", "200", "0.167", "1.000", "1.000-1.000", "shortest"]
    assert "written: Style gives these negatives away: a linear model that never sees the context ranks" in ran.out
    assert "more often in negatives (share of negatives / positives): , (100% / 0%), well (100% / 0%)" in ran.out
    assert "note: every context is a single turn" in ran.out


def test_json_is_one_object_with_all_figures(pneg: Run, marked: Path) -> None:
    ran = pneg("audit", marked, "--json", "--limit", 35)
    assert ran.out.count("\n") == 1
    found = json.loads(ran.out)
    assert found["dialogues"] == 35
    assert found["sources"]["written"]["level"] == "given away"
    assert found["sources"]["written"]["style"]["r@1"] == 1.0


def test_a_selector_is_measured_three_ways_and_its_suspects_are_written(
    pneg: Run, marked: Path, selector: Path, tmp_path: Path
) -> None:
    ran = pneg("audit", marked, "--selector", selector, "--false-negatives", "suspects.jsonl", "-o", "report.html",
               "--json")  # fmt: skip
    found = json.loads(ran.out)
    written = found["sources"]["written"]
    assert set(written["selector"]) == {"shown", "hidden", "other"}
    assert found["false_negatives_file"] == "suspects.jsonl"
    lines = [json.loads(line) for line in (tmp_path / "suspects.jsonl").read_text().splitlines()]
    assert len(lines) == written["false_negatives"] > 0
    margins = [line["margin"] for line in lines]
    assert margins == sorted(margins, reverse=True)
    assert set(lines[0]) == {"id", "source", "margin", "context", "positive", "negative"}
    assert "With a selector" in (tmp_path / "report.html").read_text()


def test_shown_and_hidden_are_what_evaluate_prints(pneg: Run, marked: Path, selector: Path) -> None:
    audited = json.loads(pneg("audit", marked, "--selector", selector, "--json").out)["sources"]["written"][
        "selector"
    ]
    evaluated = json.loads(pneg("evaluate", selector, marked, "--sets", "written", "--json").out)["written"]
    assert audited["shown"]["r@1_alone"] == evaluated["r@1"]
    assert audited["hidden"]["r@1_alone"] == evaluated["hidden"]["r@1"]


def test_a_report_that_is_there_is_replaced_with_force_alone(pneg: Run, marked: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    ran = pneg("audit", marked, "-o", "report.html")
    assert ran.status == 2
    assert "--force" in ran.says
    assert (tmp_path / "report.html").read_text() == "mine"
    assert pneg("audit", marked, "-o", "report.html", "--force").status == 0
    assert "What gives these negatives away?" in (tmp_path / "report.html").read_text()


def test_false_negatives_need_scores(pneg: Run, marked: Path) -> None:
    ran = pneg("audit", marked, "--false-negatives", "suspects.jsonl")
    assert ran.status == 2
    assert ran.says.startswith("pneg: --false-negatives needs scores; give --selector DIR or --reference NAME")


def test_a_file_without_negatives_is_wrong_input(pneg: Run, tmp_path: Path) -> None:
    write(tmp_path / "bare.jsonl", [Dialogue("a", ("Hi.",), ("Hello.",))])
    ran = pneg("audit", "bare.jsonl")
    assert ran.status == 2
    assert ran.says == "pneg: no dialogue has negatives; pneg negatives SOURCE IN -o OUT adds them"


def test_bad_lines_are_set_aside_and_counted(pneg: Run, marked: Path, tmp_path: Path) -> None:
    marked.write_bytes(marked.read_bytes() + b"{broken\n")
    assert pneg("audit", marked).status == 2
    found = json.loads(pneg("audit", marked, "--skip-bad", "--json").out)
    assert (found["dialogues"], found["bad_lines"]) == (40, 1)


def test_a_source_that_is_not_there_is_wrong_input(pneg: Run, marked: Path) -> None:
    ran = pneg("audit", marked, "--sets", "human")
    assert ran.status == 2
    assert "no dialogue has negatives of the source 'human'; there are: written" in ran.says
