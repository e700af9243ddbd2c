"""Wall time of `pneg --help`, beside Python alone, `import torch` and the command line of transformers."""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import common


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds, one of each in turn")
    options = parser.parse_args()
    python = sys.executable
    commands = {
        "pneg --help": [python, "-m", "pneg", "--help"],
        "pneg train --help": [python, "-m", "pneg", "train", "--help"],
        "limit: python -c pass": [python, "-c", "pass"],
        "python -c 'import torch'": [python, "-c", "import torch"],
    }
    transformers = shutil.which("transformers", path=str(Path(python).parent))
    if transformers:
        commands["transformers --help"] = [transformers, "--help"]
    for words in commands.values():
        _seconds(words)
    found = common.interleaved(
        {name: lambda _, words=words: _seconds(words) for name, words in commands.items()}, options.rounds
    )
    own = median(found["pneg --help"])
    rows = [["", "seconds", "lowest-highest", "times pneg --help"]]
    rows += [
        [name, f"{median(values):.3f}", common.spread(values), f"{median(values) / own:.1f}x"]
        for name, values in found.items()
    ]
    common.show(
        rows,
        f"Median of {options.rounds} interleaved runs of each behind an untimed one. The aim is under 0.3 s.",
        "click",
        "torch",
        "transformers",
    )


def _seconds(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
