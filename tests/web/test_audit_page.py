"""The page of an audit."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from pneg import Dialogue
from pneg.audit import Audit, audit
from pneg.web.audit import page

WORDS = "tea rain bus song book lamp cake road fish door star milk".split()
DIALOGUES = [
    Dialogue(
        str(n),
        (f"What about <i>number</i> {n}?",),
        (f"I like the {WORDS[n % 12]} {n}.",),
        {"written": tuple(f"Well, <b>I</b> like the {WORDS[(n + k) % 12]} {n}." for k in range(1, 6))},
    )
    for n in range(40)
]


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(DIALOGUES, reference=lambda pairs: np.array([len(response) for _, response in pairs]))


@pytest.fixture(scope="module")
def text(found: Audit) -> str:
    return page(found, "a & b.jsonl")


def test_the_page_has_the_verdict_and_the_figures(found: Audit, text: str) -> None:
    [written] = found.sources
    assert written.verdict in text
    assert '<span class="tag worse">given away</span>' in text
    assert "40 contexts, 200 negatives, 40 queries" in text
    assert "<code>well</code>" in text
    assert "200 of 200 negatives have a higher score" in text


def test_the_page_needs_nothing_else(text: str) -> None:
    assert re.findall(r"<(?:script|link|img)\b", text) == []
    assert re.findall(r"(?:src|href)=\"(?!#)", re.sub(r"<svg.*?</svg>", "", text, flags=re.S)) == []
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_texts_of_dialogues_are_never_markup(text: str) -> None:
    assert "<b>I</b>" not in text
    assert "&lt;b&gt;I&lt;/b&gt;" in text
    assert "a &amp; b.jsonl" in text


def test_plots_are_well_formed_and_take_the_pages_own_colour_of_text(found: Audit, text: str) -> None:
    plots = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(plots) == 3
    for plot in plots:
        assert ElementTree.fromstring(plot).tag.endswith("svg")
        assert "currentColor" in plot
    assert page(found, "a & b.jsonl") == text


def test_a_source_that_could_not_be_judged_has_a_page_too(found: Audit) -> None:
    bare = dataclasses.replace(found.sources[0], style=None, length=None, overlap=None, giveaways=(), suspects=())
    text = page(dataclasses.replace(found, sources=(bare,)), "x")
    assert len(re.findall(r"<svg", text)) == 2
    assert "None: no negative has a higher score" in text
