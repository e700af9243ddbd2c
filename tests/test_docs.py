"""What the guides work out follows from the figures that stand beside it."""

import re
from pathlib import Path

import pytest

from pneg import Dialogue, corpora, read, write
from pneg.attack.catalogue import RULES
from pneg.negatives.catalogue import CATALOGUE

SCALING = Path(__file__).parents[1] / "docs" / "scaling.md"
NEGATIVES = SCALING.with_name("negatives.md")
ATTACK = SCALING.with_name("attack.md")
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "years": 365.25 * 86_400}
ROUNDED = 0.05
"""Two digits, of which the first may be a 1."""


@pytest.fixture(scope="module")
def scaling() -> str:
    return SCALING.read_text(encoding="utf-8")


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_time_for_many_contexts_follows_from_the_measured_rates(scaling: str) -> None:
    units = "|".join(SECONDS)
    rows = re.findall(
        rf"^\|.*\| ([\d,.]+)(?: \([^|]*\))? \| ([\d,.]+) ({units}) \| ([\d,.]+) ({units}) \|$", scaling, re.M
    )
    assert len(rows) >= 3
    for rate, *told in rows:
        for contexts, value, unit in zip((1e6, 1e8), told[::2], told[1::2], strict=True):
            assert number(value) * SECONDS[unit] == pytest.approx(contexts / number(rate), rel=ROUNDED), (rate, unit)


def test_the_money_for_many_contexts_follows_from_the_tokens_of_one(scaling: str) -> None:
    [(read, written)] = re.findall(r"`\((\d+) p \+ (\d+) w\) / 10\^6`", scaling)
    [(price_in, price_out)] = re.findall(r"At ([\d.]+) and ([\d.]+), for example", scaling)
    # dollars a million tokens: so many for a million contexts
    dollars = number(read) * number(price_in) + number(written) * number(price_out)
    table = {
        name: (number(one), number(hundred))
        for name, one, hundred in re.findall(r"^\| (.*?) \| ([\d,]+) dollars \| ([\d,]+) dollars \|$", scaling, re.M)
    }
    assert table["at once"] == pytest.approx((dollars, 100 * dollars), rel=ROUNDED)
    assert table["`--batch`"] == pytest.approx((dollars / 2, 50 * dollars), rel=ROUNDED)


def test_the_bytes_for_many_contexts_follow_from_those_of_one(scaling: str) -> None:
    [(output, ledger)] = re.findall(r"\| bytes of output / of ledger \| (\d+) / (\d+) \|", scaling)
    said = " ".join(scaling.split())
    [(gigabytes, least, most)] = re.findall(
        r"10\^6 contexts are ([\d.]+) GB of output.* and ([\d.]+) to ([\d.]+) GB of ledger", said
    )
    assert number(gigabytes) == pytest.approx(number(output) / 1_000, rel=ROUNDED)
    assert number(least) <= round(number(ledger) / 1_000, 1) <= number(most)


def test_what_the_guide_to_the_sources_writes_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", NEGATIVES.read_text(encoding="utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    write("dialogues.jsonl", corpora.read("starter:test"))
    exec(code, {})
    assert {len(dialogue.negatives["bm25"]) for dialogue in read("bm25.jsonl")} == {5}


def test_the_guide_to_the_sources_names_them_all() -> None:
    told = re.findall(r"^\| `([a-z0-9-]+)` \|", NEGATIVES.read_text(encoding="utf-8"), re.M)
    assert {*told} == {*CATALOGUE, "prompted"}


def test_the_guide_to_the_rules_names_them_all() -> None:
    described, counted = (
        re.findall(r"^\| `([a-z-]+)` \|", part, re.M)
        for part in ATTACK.read_text(encoding="utf-8").split("## What they make")
    )
    assert described == counted == list(RULES)


def test_what_the_guide_to_the_rules_writes_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", ATTACK.read_text(encoding="utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    write("dialogues.jsonl", corpora.read("starter:test"))
    made: dict[str, list[Dialogue]] = {}
    exec(code, made)
    assert any(dialogue.negatives["copied-turn"] for dialogue in made["attacked"])
