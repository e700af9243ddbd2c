"""The whole job, small: two selectors that differ only in their negatives, on embedded defaults."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pneg import corpora, models
from pneg import dialogue as records
from pneg.devices import best_precision
from pneg.dialogue import Dialogue
from pneg.files import replacing
from pneg.jobs import claim
from pneg.jobs.journal import Journal
from pneg.lm import Transformers
from pneg.negatives import Prompted
from pneg.negatives.base import Adding
from pneg.selector.evaluation import evaluate
from pneg.selector.model import Selector
from pneg.selector.recipe import Recipe, Step
from pneg.selector.training import train

SETS = ("random", "human")
SOURCES = ("random", "prompted")
SHOWN = 3
"""Examples of each kind that the result holds."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the demo is made of; changed sizes need another folder.

    Attributes:
        contexts: of chitchat, to write negatives for and to train on.
        demonstration_sets: few, so that prompts begin alike and the model reads them once.
        epochs: of training.
        batch: contexts a step; small, for more steps in the same time.
        learning_rate: higher than the paper's, as there is so little to train on.
        max_length: tokens of a pair.
        seed: of everything random.
    """

    contexts: int = 150
    demonstration_sets: int = 2
    epochs: int = 3
    batch: int = 4
    learning_rate: float = 1e-4
    max_length: int = 96
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how far the demo is.

    Attributes:
        say: gets a line when a part begins.
        bar: wraps dialogues while negatives are written, with their number.
        step: gets each step of a training.
    """

    say: Callable[[str], None]
    bar: Callable[[Iterable[Dialogue], int], Iterable[Dialogue]]
    step: Callable[[Step], None]


def run(folder: Path, sizes: Sizes, watch: Watch) -> dict[str, Any]:
    """Do the job and return its result, which `result.json` in the folder holds too.

    Each part that is done already in the folder is taken as it is.

    Args:
        folder: for the dialogues, the selectors and the result.
        sizes: how much of everything.
        watch: who is told.

    Raises:
        DataError: when the folder is of a demo of other sizes, or of something else, or another demo is writing it.
    """
    job = claim.Job("demo", asdict(sizes))
    with claim.Folder(folder, job, lambda _: True, _of_version_0_1).held():
        return _run(folder, sizes, job, watch)


def _of_version_0_1(folder: Path) -> bytes | None:
    """The mark of a demo's folder, as it was before marks named a job."""
    settings = folder / "settings.json"
    return b'{"settings": %b}\n' % settings.read_bytes() if settings.is_file() else None


def _run(folder: Path, sizes: Sizes, job: claim.Job, watch: Watch) -> dict[str, Any]:
    done = folder / "result.json"
    if done.exists():
        watch.say(f"Everything is there already, made in an earlier run; delete {folder} to do it again")
        earlier: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return earlier
    started = time.monotonic()
    watch.say("Fetching the language model (99 MB), the encoder (91 MB) and the chitchat corpus (40 MB), once")
    models.causal_folder("smollm2-135m")
    models.local_folder("minilm-l6")
    contexts = list(islice(corpora.read("chitchat"), sizes.contexts))
    fetched = time.monotonic()
    written = _write_negatives(folder, contexts, sizes, job, watch)
    generated = time.monotonic()
    selectors = {source: _train(folder, source, sizes, watch) for source in SOURCES}
    trained = time.monotonic()
    watch.say("Ranking the starter corpus's 100 test dialogues")
    tests = list(corpora.read("starter:test"))
    scores = {
        source: {
            name: score.as_json()
            for name, score in evaluate(selector, tests, SETS, precision=best_precision(selector.device)).items()
        }
        for source, selector in selectors.items()
    }
    dialogues = list(records.read(folder / "negatives.jsonl"))
    result = {
        "sizes": asdict(sizes),
        "scores": scores,
        "written": written,
        "examples": [asdict(dialogue) for dialogue in dialogues[:SHOWN]],
        "rankings": _changed_rankings(selectors, tests),
        "seconds": {
            "fetching": round(fetched - started, 1),
            "writing negatives": round(generated - fetched, 1),
            "training two selectors": round(trained - generated, 1),
            "ranking": round(time.monotonic() - trained, 1),
        },
    }
    with replacing(done) as stream:
        stream.write(json.dumps(result, indent=1, ensure_ascii=False).encode())
    return result


def _write_negatives(
    folder: Path, contexts: list[Dialogue], sizes: Sizes, job: claim.Job, watch: Watch
) -> dict[str, Any]:
    out, tally = folder / "negatives.jsonl", folder / "written.json"
    if not out.exists():
        watch.say(f"Writing adversarial negatives for {sizes.contexts} conversations with a small language model")
        source = Prompted(
            Transformers(),
            corpora.read("starter:demonstrations"),
            demonstration_sets=sizes.demonstration_sets,
            seed=sizes.seed,
        )
        journal = Journal(out, job.part("negatives"))
        for _ in watch.bar(journal.run(contexts, Adding(source)), len(contexts)):
            pass
        with replacing(tally) as stream:
            stream.write(json.dumps({**asdict(source.tally), "counts": dict(source.counts)}).encode())
    return json.loads(tally.read_text(encoding="utf-8")) if tally.exists() else {}


def _train(folder: Path, source: str, sizes: Sizes, watch: Watch) -> Selector:
    home = folder / f"selector-{source}"
    if not (home / "selector.json").exists():
        watch.say(f"Training a selector on {'random' if source == 'random' else 'random and written'} negatives")
        recipe = Recipe(
            adversarial=(source,),
            epochs=sizes.epochs,
            batch=sizes.batch,
            learning_rate=sizes.learning_rate,
            max_length=sizes.max_length,
            seed=sizes.seed,
        )
        return train(records.read(folder / "negatives.jsonl"), recipe, home, report=watch.step)
    return Selector.load(home)


def _changed_rankings(selectors: dict[str, Selector], tests: list[Dialogue]) -> list[dict[str, Any]]:
    """Queries where exactly one of the selectors puts the positive first, in the proportion they occur."""
    before, after = (selectors[source] for source in SOURCES)
    better: list[dict[str, Any]] = []
    worse: list[dict[str, Any]] = []
    for dialogue in tests:
        candidates = [dialogue.positives[0], *dialogue.negatives["human"]]
        ranked = [
            selector.rank(dialogue.context, candidates, precision=best_precision(selector.device))
            for selector in (before, after)
        ]
        first = [ranking[0].index == 0 for ranking in ranked]
        found = {
            "context": dialogue.context,
            "positive": dialogue.positives[0],
            **{source: [asdict(place) for place in ranking] for source, ranking in zip(SOURCES, ranked, strict=True)},
        }
        if first[0] != first[1]:
            (better if first[1] else worse).append(found)
    share = round(2 * SHOWN * len(better) / max(1, len(better) + len(worse)))
    shown = [{**query, "better": True} for query in better[:share]]
    shown += [{**query, "better": False} for query in worse[: 2 * SHOWN - share]]
    return [{**query, "better_in_all": len(better), "worse_in_all": len(worse)} for query in shown]
