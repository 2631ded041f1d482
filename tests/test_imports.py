"""Who may import whom, read from the sources: one way only, from the kernels up to what users see."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import minidl

PACKAGE = Path(minidl.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Each part of the package may import from its own level and from those above it in this list.
LEVELS = [
    {"kernels", "naming", "hyperparameters", "tables", "preprocessing"},
    {"devices"},
    {"random", "autograd"},
    {"tensors"},
    {"ops"},
    {"makers", "transforms", "targets"},
    {"activations", "initializers", "regularizers", "schedules"},
    {"losses", "layers", "optimizers"},
    {"metrics"},
    {"callbacks"},
    {"models", "saving"},  # a model and the file that it is kept in
    {"testing", "demo", "commands", "cli", "keras", "__init__", "__main__"},
]
FACE = LEVELS[-1]
USES_CUPY = {f"kernels/{name}.py" for name in ("cuda", "_cuda", "_cuda_blas", "_cuda_graph", "_cuda_lstm")}
CALLS_KERNELS = {"autograd", "devices", "ops", "optimizers", "random"}


def part_of(source: Path) -> str:
    """The part of the package that a file belongs to: `ops` for minidl/ops/linalg.py."""
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, as dotted names, and whether only inside a function; type checking aside."""
    yield from _imports(ast.parse(source.read_text("utf-8")).body, inside=False)


def _imports(nodes: Iterable[ast.AST], inside: bool) -> Iterator[tuple[str, bool]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the import from minidl, not from a dot"
            yield from ((f"{node.module}.{alias.name}", inside) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(node.orelse, inside)
        else:
            yield from _imports(ast.iter_child_nodes(node), inside or isinstance(node, (ast.FunctionDef, ast.Lambda)))


def parts_imported(source: Path) -> Iterator[tuple[str, str]]:
    """The parts of minidl that a file imports from, each with the name imported."""
    parts = set().union(*LEVELS)
    for name, _ in imports(source):
        first, *rest = name.split(".")
        if first == "minidl":
            yield (rest[0] if rest and rest[0] in parts else "__init__"), name


def level(part: str) -> int:
    return next(i for i, parts in enumerate(LEVELS) if part in parts)


def every(sources: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("source", sources, ids=lambda s: str(s.relative_to(PACKAGE)))


def test_every_part_has_its_place() -> None:
    assert {part_of(source) for source in SOURCES} <= set().union(*LEVELS)


@every(SOURCES)
def test_imports_go_one_way(source: Path) -> None:
    own = part_of(source)
    for part, name in parts_imported(source):
        assert level(part) <= level(own), f"{own} imports {name}"


@every([s for s in SOURCES if part_of(s) not in CALLS_KERNELS | FACE | {"kernels"}])
def test_only_the_engine_ops_optimizers_and_random_numbers_call_kernels(source: Path) -> None:
    used = {name for part, name in parts_imported(source) if part == "kernels"}
    assert {name for name in used if not name.startswith("minidl.kernels.validate.")} == set()


@every([s for s in SOURCES if part_of(s) == "kernels"])
def test_kernels_know_arrays_only(source: Path) -> None:
    own = {name for name, _ in imports(source) if name.startswith("minidl")}
    assert all(name.startswith("minidl.kernels") for name in own)
    assert ("minidl.kernels._cpu" in own) is (source.name == "cpu.py")


@every(SOURCES)
def test_libraries(source: Path) -> None:
    """NumPy everywhere, tqdm where progress is shown, CuPy in the functions of the cuda kernels, and no others."""
    place = source.relative_to(PACKAGE).as_posix()
    for name, inside in imports(source):
        library = name.split(".")[0]
        if library == "tqdm":
            assert place == "models/progress.py", f"{place} imports {name}"
        elif library == "cupy":
            assert place in USES_CUPY and inside, f"{place} imports {name}"
        else:
            assert library in {"numpy", "minidl", *sys.stdlib_module_names}, f"{place} imports {name}"


@every(SOURCES)
def test_no_global_random_state(source: Path) -> None:
    """Neither NumPy's nor Python's: what is random comes from a stream of its own."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "np.random"), f"line {node.lineno}"
    allowed = {"random.Random"}
    assert {name for name, _ in imports(source) if name.split(".")[0] == "random"} <= allowed


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    source = tmp_path / "m.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import minidl.models\nelse:\n    import minidl.ops\n"
        "class C:\n    def f(self):\n"
        "        from minidl import layers\n        from minidl.kernels.reference import exp\n"
        "try:\n    import cupy\nexcept ImportError:\n    pass\nimport minidl as md\n"
    )
    assert list(imports(source)) == [
        ("typing.TYPE_CHECKING", False), ("minidl.ops", False), ("minidl.layers", True),
        ("minidl.kernels.reference.exp", True), ("cupy", False), ("minidl", False),
    ]  # fmt: skip
    assert [part for part, _ in parts_imported(source)] == ["ops", "layers", "kernels", "__init__"]


def test_importing_minidl_imports_little() -> None:
    """Layers, models, losses, the GPU's kernels and tqdm come when they are first used, not with `import minidl`."""
    code = "import sys, numpy; before = set(sys.modules); import minidl; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    own = {name.split(".")[1] for name in loaded if name.startswith("minidl.")}
    assert own == {"autograd", "devices", "kernels", "makers", "naming", "ops", "random", "tensors", "transforms"}
    assert not any("cuda" in name for name in loaded)
    others = {name.split(".")[0] for name in loaded if not name.startswith("minidl")}
    assert len(others) <= 8 and not others & {"tqdm", "inspect", "difflib", "unittest", "json", "argparse", "importlib"}


def test_what_is_loaded_late_is_there_when_asked_for() -> None:
    code = """
import minidl as md
for name in dir(md):
    getattr(md, name)
assert md.Sequential is md.models.Sequential and md.gradcheck is md.testing.gradcheck
try:
    md.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
