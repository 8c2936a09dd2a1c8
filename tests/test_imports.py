"""`import ragshap`, what hides its packages, and which package and module imports which."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import attribution
import rag
import ragshap
import retrievers

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "attribution": {"attribution"},
    "retrievers": {"retrievers"},
    "rag": {"rag", "retrievers", "attribution"},
    "eval": {"eval", "rag", "retrievers", "attribution"},
}


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, which comes before this checkout on its path."""
    path = f"import sys; sys.path[1:1] = [{str(ROOT)!r}]; "
    if arguments[0] == "-m":
        code = (
            f"import runpy; sys.argv = {list(arguments[1:])!r}; runpy.run_module(sys.argv[0], None, '__main__', True)"
        )
    else:
        code = arguments[0]
    return subprocess.run([sys.executable, "-c", path + code], cwd=cwd, capture_output=True, text=True)


def test_ragshap_has_the_public_names_of_the_three_packages():
    for package in (rag, retrievers, attribution):
        for name in package.__all__:
            assert getattr(ragshap, name) is getattr(package, name)
    assert sorted(ragshap.__all__) == sorted([*rag.__all__, *retrievers.__all__, *attribution.__all__])
    assert dir(ragshap) == sorted(ragshap.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Pipelin'"):
        ragshap.Pipelin  # noqa: B018
    with pytest.raises(ImportError):
        exec("from ragshap import Pipelin")


def test_importing_ragshap_loads_no_library():
    done = python("import ragshap; print({m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names)")
    assert done.returncode == 0, done.stderr
    assert not {"rag", "attribution", "retrievers", "numpy", "torch", "pydantic", "typer"} & set(
        re.findall(r"\w+", done.stdout)
    )


def test_ragshap_runs_as_a_module():
    done = python("-m", "ragshap", "search", "--help")
    assert done.returncode == 0, done.stderr
    assert "Example: ragshap search" in done.stdout


@pytest.mark.parametrize("form", ["rag.py", "rag/__init__.py"])
def test_a_folder_that_hides_rag_is_named(tmp_path, form):
    theirs = tmp_path / form
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("", encoding="utf-8")
    named = re.escape(str(tmp_path / "rag")) + r"(\.py)? hides ragshap's own package rag \("
    done = python("from ragshap import Pipeline", cwd=tmp_path)
    assert re.search(f"ImportError: {named}", done.stderr)
    done = python("-m", "ragshap", "--help", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(f"ragshap: {named}.* give it another name", done.stderr)


@pytest.mark.parametrize(
    ("form", "command"),
    [
        ("eval/__init__.py", "evaluate qa --help"),
        ("eval.py", "benchmark attribution --help"),
        ("retrievers.py", "search ferry --index nowhere"),
        ("attribution/__init__.py", "ask who? --index nowhere"),
    ],
)
def test_a_command_names_what_hides_a_package_and_so_does_the_doctor(tmp_path, form, command):
    theirs = tmp_path / form
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("raise SystemExit('this is not ours to run')", encoding="utf-8")
    place = theirs.parent if theirs.name == "__init__.py" else theirs
    for module in ("rag", "ragshap"):
        done = python("-m", module, *command.split(), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"ragshap: {place} hides ragshap's own package {place.stem} (" in done.stderr
        assert "Traceback" not in done.stderr
    lines = "print(*[(c.name, c.state, c.finding) for c in check_packages()], sep='\\n')"
    checks = f"from rag.doctor.environment import check_packages; {lines}"
    found = [line for line in python(checks, cwd=tmp_path).stdout.splitlines() if "hides" in line]
    assert len(found) == 1
    assert found[0].startswith(f"('{place.stem}', 'problem', '{place} hides ")


def test_a_folder_named_eval_does_not_concern_who_does_not_measure(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "__init__.py").touch()
    done = python("from ragshap import Passage; print(Passage.__name__)", cwd=tmp_path)
    assert done.stdout == "Passage\n", done.stderr
    assert python("-m", "ragshap", "search", "--help", cwd=tmp_path).returncode == 0


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST, *, functions: bool) -> Iterator[str]:
    """Modules that are imported, with what is taken from them as `module.name`; those for type checkers left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports within the packages are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from (name for part in node.orelse for name in imports(part, functions=functions))
        elif functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, functions=functions)


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_one_another_one_way(package):
    for name, tree in modules(package):
        wrong = {one for one in imports(tree, functions=True) if one.split(".")[0] in ALLOWED.keys() - ALLOWED[package]}
        assert not wrong, f"{name} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("package", ALLOWED)
def test_no_module_is_imported_while_it_imports(package):
    trees = dict(modules(package))
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        found = imports(tree, functions=False)
        named = {one if one in trees else one.rpartition(".")[0] for one in found}
        graph[name] = {one for one in named if one in trees} - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' <- '.join(error.args[1])}")
