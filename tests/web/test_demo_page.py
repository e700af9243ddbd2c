"""The demo's page, made from figures set by hand."""

import xml.etree.ElementTree as ElementTree

from pneg.web.demo import page, verdict


def score(value: float) -> dict:
    hidden = {"r@1": 0.25, "mrr": 0.4}
    return {"r@1": value, "mrr": 0.5, "n": 300, "candidates": 6, "ci95": [value - 0.1, value + 0.1], "hidden": hidden}


def query(better: bool) -> dict:
    places = [
        {"candidate": "Yes & no", "score": 1.5, "index": 0},
        {"candidate": "<b>bold</b>", "score": -0.5, "index": 1},
    ]
    return {
        "context": ["Is it <i>ready</i>?"], "positive": "Yes & no", "random": places, "prompted": places,
        "better": better, "better_in_all": 9, "worse_in_all": 4,
    }  # fmt: skip


RESULT = {
    "sizes": {"contexts": 250, "seed": 0},
    "scores": {
        "random": {"random": score(0.512), "human": score(0.211)},
        "prompted": {"random": score(0.498), "human": score(0.387)},
    },
    "written": {"requests": 300, "contexts": 250, "regenerated": 40, "counts": {"numbering": 12}},
    "examples": [{"context": ["Hello"], "positives": ["Hi"], "negatives": {"prompted": ["<script>1</script>"]}}],
    "rankings": [query(True), query(False)],
    "seconds": {"writing negatives": 201.4, "ranking": 12.0},
}


def test_every_figure_is_on_the_page_as_it_was_measured() -> None:
    text = page(RESULT)
    for figure in ("0.512", "0.211", "0.498", "0.387", "0.25", "300 requests for 250", "numbering 12", "201 s"):
        assert figure in text
    assert "first in 9 dialogues" in " ".join(text.split())
    assert "lost it in 4" in " ".join(text.split())


def test_the_verdict_follows_the_intervals() -> None:
    assert "0.211 with random negatives and 0.387" in verdict(RESULT["scores"])
    assert "overlap, so take neither for better" in verdict(RESULT["scores"])  # .111 to .311 and .287 to .487
    better = {**RESULT["scores"], "prompted": {"random": score(0.5), "human": score(0.6)}}
    assert "do not overlap" in verdict(better)


def test_texts_of_dialogues_are_never_markup() -> None:
    text = page(RESULT)
    assert "<script>" not in text
    assert "&lt;script&gt;1&lt;/script&gt;" in text
    assert "Is it &lt;i&gt;ready&lt;/i&gt;?" in text


def test_the_plot_is_well_formed_and_the_same_each_time() -> None:
    text = page(RESULT)
    drawn = text[text.index("<svg") : text.index("</svg>") + 6]
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert page(RESULT) == text


def test_selectors_that_agree_everywhere_are_said_to() -> None:
    assert "both selectors put the same responses first" in page({**RESULT, "rankings": []})
