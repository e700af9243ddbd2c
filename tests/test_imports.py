"""Who may import whom, and what is not imported until it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "torch", "transformers", "numpy", "aiohttp", "openai", "pyarrow", "xllamacpp",
    "huggingface_hub", "sklearn", "anyio", "tqdm", "fastapi", "uvicorn", "prometheus_client",
}  # fmt: skip


def test_imports_go_from_left_to_right_only() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import pneg",
        "import pneg.corpora",
        "from pneg.cli import main; main(['--help'])",
        "from pneg.cli import main; main(['negatives', 'prompted', '--help'])",
        "from pneg.cli import main; main(['serve', '--help'])",
    ],
)
def test_nothing_heavy_is_imported_for(code: str) -> None:
    code += "; import sys; print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert "pneg" in loaded
    assert loaded & HEAVY == set()


def test_serving_needs_no_torch_of_its_own() -> None:
    code = "import sys, pneg.web.serving.app, pneg.web.serving.server; print({'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
