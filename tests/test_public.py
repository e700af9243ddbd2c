"""What is public: a list that a test holds, and each of it documented."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import pneg

SOURCES = sorted(Path(pneg.__file__).parent.rglob("*.py"))


def test_the_public_list() -> None:
    assert sorted(pneg.__all__) == ["Dialogue", "Selector", "__version__", "read", "write"]


@pytest.mark.parametrize("name", ["Dialogue", "read", "write"])
def test_what_is_public_is_there_and_documented(name: str) -> None:
    assert len(inspect.getdoc(getattr(pneg, name)) or "") > 40


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pneg' has no attribute 'Dialog'"):
        pneg.Dialog  # noqa: B018


def test_type_checkers_of_users_see_the_types() -> None:
    assert (Path(pneg.__file__).parent / "py.typed").is_file(), "PEP 561"


def undocumented(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield f"{prefix}{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(Path(pneg.__file__).parent)))
def test_every_module_and_everything_public_in_it_has_a_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module"]
    assert missing + list(undocumented(tree.body, "")) == []
