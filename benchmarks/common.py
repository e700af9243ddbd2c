"""What the benchmarks share: the data, interleaved rounds, the machine's own limit, the table."""

import argparse
import os
import platform
import random
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TypeVar

from pneg import corpora
from pneg.cli.options import table as aligned
from pneg.dialogue import Dialogue

T = TypeVar("T")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "dailydialog++"
STARTER = "starter:test"


def arguments(about: str, limit: int, rounds: int) -> argparse.ArgumentParser:
    """The options of every benchmark that measures a speed."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--limit", type=int, default=limit, help="contexts a round (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="rounds, one of each in turn (default: %(default)s)"
    )
    parser.add_argument("--data", metavar="FILE", help="dialogues, in any form that pneg reads")
    return parser


def dialogues(file: str | None, default: str, fallback: str = STARTER) -> list[Dialogue]:
    """The dialogues of `file`, else of a file of DailyDialog++, else of the corpus that is shipped."""
    source = file or str(DATA / default)
    if file is None and not Path(source).exists():
        print(f"note: {source} is not there; {fallback} was taken instead")
        source = fallback
    return list(corpora.read(source))


def sample(items: list[T], count: int) -> list[T]:
    """As many of them, drawn with a fixed seed."""
    if not items:
        sys.exit("no dialogue there has the positives and negatives that this benchmark needs")
    if count > len(items):
        print(f"note: only {len(items)} of {count} contexts are there")
    return random.Random(0).sample(items, min(count, len(items)))


def quiet() -> None:
    """No bars and no reports of fresh heads from transformers."""
    os.environ["TQDM_DISABLE"] = "1"
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def interleaved(contenders: Mapping[str, Callable[[int], T]], rounds: int) -> dict[str, list[T]]:
    """What each contender returns for the number of the round: A B A B ..."""
    found: dict[str, list[T]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            found[name].append(run(number))
            print(f"round {number + 1}: {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return found


def matmul_rate(precision: str, device: str = "cpu") -> float:
    """Floating-point operations a second of PyTorch's matrix product, the best of three shapes."""
    import torch

    def rate(rows: int, inner: int, columns: int) -> float:
        left = torch.randn(rows, inner, device=device).to(getattr(torch, precision))
        right = torch.randn(inner, columns, device=device).to(left.dtype)
        return 2 * rows * inner * columns / _seconds(lambda: left @ right, device)

    large = 2048 if device == "cpu" else 8192
    return max(rate(4096, 384, 1536), rate(4096, 1536, 384), rate(large, large, large))


def memory_rate(device: str) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    source = torch.empty(2**28 if device == "cpu" else 2**31, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / _seconds(lambda: target.copy_(source), device)


def _seconds(work: Callable[[], object], device: str) -> float:
    """Of a call, the median of ten behind an untimed one."""
    import torch

    found = []
    for _ in range(11):
        started = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return median(found[1:])


def precisions() -> tuple[str, ...]:
    """What the processor is measured in: bfloat16 only where it is no hundred times slower."""
    import torch

    from pneg.devices import best_precision

    return tuple(dict.fromkeys(("float32", best_precision(torch.device("cpu")))))


def limits() -> dict[str, Callable[[int], float]]:
    """Contenders that measure the machine's own limit in each round."""
    return {
        f"limit: {precision} matmul": lambda _, precision=precision: matmul_rate(precision)
        for precision in precisions()
    }


def spread(values: list[float]) -> str:
    """The lowest and the highest of what was measured."""
    return f"{min(values):,.2f}-{max(values):,.2f}"


def show(rows: list[list[str]], what: str, *packages: str) -> None:
    """Print the table and, below it, what was measured on what."""
    print(aligned(rows))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"\n{textwrap.fill(what, 110)}")
    print(f"On {_machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.")


def _machine() -> str:
    if "torch" in sys.modules and (cuda := sys.modules["torch"].cuda).is_available():
        return f"{cuda.get_device_name()}, {_processor()}"
    return _processor()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
