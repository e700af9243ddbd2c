"""The guide to the audit: its commands run, and its figures are those that the command prints."""

import re
import shlex
from pathlib import Path

import pytest

from pneg.cli import main

GUIDE = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
DATA = Path(__file__).parents[2] / "shared" / "data" / "dailydialog++"

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def test_what_the_guide_prints_of_the_published_test_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the published corpus is not at {DATA}")
    [(command, printed)] = re.findall(r"```\n\$ pneg (audit test\.json[^\n]*)\n(.*?)\n```", GUIDE, re.S)
    monkeypatch.chdir(DATA)
    assert main(shlex.split(command)) == 0
    found = capsys.readouterr().out.rstrip()
    assert NUMBER.sub("#", found).split() == NUMBER.sub("#", printed).split()
    # sums of floating-point numbers differ between processors in the last digit that is printed
    assert numbers(found) == pytest.approx(numbers(printed), abs=0.0011, rel=0.02)


def test_the_options_of_the_guides_commands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--help"]) == 0
    shown = capsys.readouterr().out
    commands = " ".join(re.findall(r"^pneg audit .*$", GUIDE, re.M))
    named = set(re.findall(r" (-[-a-z]+)", commands))
    assert named >= {"--fit", "-o", "--selector", "--reference", "--false-negatives"}
    assert [option for option in sorted(named) if option not in shown] == []


def test_the_first_command_and_the_python_of_the_guide_find_no_shortcut(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\npneg audit starter:test\n" in GUIDE
    assert main(["audit", "starter:test", "--sets", "human"]) == 0
    assert "human: No shortcut was found" in capsys.readouterr().out
    [code] = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    exec(code, {})
    assert capsys.readouterr().out.startswith("No shortcut was found")
