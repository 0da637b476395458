"""Who may import whom, read from the source without running it."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Rule:
    """What a room may import beside the standard library and itself."""

    rooms: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()


def _rule(rooms: str = "", packages: str = "") -> Rule:
    return Rule(frozenset(rooms.split()), frozenset(packages.split()))


_DEVICE = "tensorrt tensorrt_rtx pycuda cuda onnxruntime onnxruntime_ep_nv_tensorrt_rtx openvino"
_ALL_ROOMS = (
    "edge_arm.runtime edge_arm.data edge_arm.model edge_arm.training "
    "edge_arm.quantization_aware edge_arm.export edge_arm.calibration"
)
_TORCH_STAGE = "numpy cv2 torch safetensors rich"

RULES = {
    "edge_arm": _rule(),
    "edge_arm.runtime": _rule(packages=f"numpy cv2 {_DEVICE}"),
    # No torch: the device measures on the same readers and the same synthetic faces.
    "edge_arm.data": _rule("edge_arm.runtime", "numpy cv2"),
    "edge_arm.model": _rule("edge_arm.runtime", _TORCH_STAGE),
    "edge_arm.training": _rule("edge_arm.runtime edge_arm.data edge_arm.model", _TORCH_STAGE),
    "edge_arm.quantization_aware": _rule(
        "edge_arm.runtime edge_arm.data edge_arm.model edge_arm.training",
        f"{_TORCH_STAGE} modelopt",
    ),
    "edge_arm.calibration": _rule(
        "edge_arm.runtime", "numpy cv2 onnx onnxruntime onnx_graphsurgeon modelopt"
    ),
    "edge_arm.export": _rule(
        "edge_arm.runtime", "numpy onnx onnxruntime onnx_graphsurgeon modelopt"
    ),
    "edge_arm.cli": _rule(
        _ALL_ROOMS,
        "typer rich numpy cv2 torch safetensors onnx onnxruntime modelopt tensorrt matplotlib",
    ),
}

# Files that may do more than their room. The exporter of the model is the one door from PyTorch.
EXTRA = {
    # `python -m edge_arm` is the command line by another name.
    "edge_arm.__main__": _rule("edge_arm.cli"),
    "edge_arm.export.onnx_from_checkpoint": _rule("edge_arm.model", "torch safetensors"),
}
EXTRA_BY_PREFIX = {
    "edge_arm.export.engine": _rule(packages="tensorrt"),
}

# One backend file each, so that nothing else can come to depend on the device's libraries.
ONE_FILE_IN_RUNTIME = frozenset(_DEVICE.split())

# What a command's module may import outside its functions: it keeps `edge-arm --help` quick.
CLI_MODULE_LEVEL = frozenset({"typer", "rich", "edge_arm", "edge_arm.cli", "edge_arm.runtime"})


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is the dotted name, `deep` tells that a function does it."""

    target: str
    line: int
    deep: bool


def _imports(source: str) -> list[Import]:
    """Every import statement, and import_module or __import__ of a literal name."""
    found = []

    def visit(node: ast.AST, deep: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            deep = True
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, deep) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found.extend(Import(f"{base}.{alias.name}", node.lineno, deep) for alias in node.names)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0] if node.args else None
            if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
                found.append(Import(str(first.value), node.lineno, deep))
        inside = deep or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), False)
    return found


def _room(dotted: str) -> str:
    """The longest room that holds a dotted name."""
    return max((room for room in RULES if dotted == room or dotted.startswith(room + ".")), key=len)


def _top(dotted: str) -> str:
    return dotted.split(".")[0]


def _violations(module: str, source: str) -> list[str]:
    """Each import of a module that its room's rule does not name, one sentence each."""
    room = _room(module)
    extra = [EXTRA.get(module, Rule())]
    extra += [rule for prefix, rule in EXTRA_BY_PREFIX.items() if module.startswith(prefix)]
    rooms = RULES[room].rooms.union(*(rule.rooms for rule in extra)) | {room}
    packages = RULES[room].packages.union(*(rule.packages for rule in extra))
    wrong = []
    for found in _imports(source):
        where = f"{module}, line {found.line}: imports {found.target!r}"
        top = _top(found.target)
        if module == "edge_arm":
            wrong.append(f"{where}; edge_arm/__init__.py imports nothing")
        elif found.target.startswith("."):
            wrong.append(f"{where}; write it from edge_arm")
        elif top == "edge_arm":
            target_room = _room(found.target)
            if target_room not in rooms and found.target != "edge_arm.__version__":
                wrong.append(f"{where}; {room} may import {sorted(rooms)}")
        elif top not in packages and top not in sys.stdlib_module_names:
            wrong.append(f"{where}; {room} may import the packages {sorted(packages)}")
        if room == "edge_arm.cli" and not found.deep and top not in sys.stdlib_module_names:
            unit = _room(found.target) if top == "edge_arm" else top
            if unit not in CLI_MODULE_LEVEL:
                wrong.append(f"{where}; a command imports it inside its function")
    return wrong


def test_every_module_imports_only_what_its_room_may(module_paths: dict[str, Path]) -> None:
    wrong = [
        line
        for module, path in module_paths.items()
        for line in _violations(module, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_each_device_library_is_imported_by_one_runtime_file(
    module_paths: dict[str, Path],
) -> None:
    importers: dict[str, set[str]] = {name: set() for name in ONE_FILE_IN_RUNTIME}
    for module, path in module_paths.items():
        if _room(module) == "edge_arm.runtime":
            for found in _imports(path.read_text(encoding="utf-8")):
                importers.get(_top(found.target), set()).add(module)
    shared = {name: sorted(modules) for name, modules in importers.items() if len(modules) > 1}
    assert not shared, f"leave one file each, the others call it: {shared}"


def test_every_room_of_the_rules_exists(module_paths: dict[str, Path]) -> None:
    assert set(RULES) <= set(module_paths)


def test_every_package_with_modules_has_an_init(module_paths: dict[str, Path]) -> None:
    missing = {str(path.parent) for path in module_paths.values()} - {
        str(path.parent) for path in module_paths.values() if path.name == "__init__.py"
    }
    assert not missing, f"a folder without __init__.py is no package for the wheel: {missing}"


@dataclass(frozen=True)
class Case:
    """A line of source, and the module that it stands in."""

    id: str
    module: str
    source: str


FORBIDDEN = (
    Case("torch in the runtime", "edge_arm.runtime.labels", "import torch.nn"),
    Case("rich in the runtime", "edge_arm.runtime.labels", "from rich import print"),
    Case("scipy in statistics", "edge_arm.runtime.statistics.x", "import scipy.stats"),
    Case("runtime to data", "edge_arm.runtime.x", "from edge_arm.data import index"),
    Case("runtime to data, by the root", "edge_arm.runtime.x", "from edge_arm import data"),
    Case("torch in data", "edge_arm.data.index", "def f():\n    import torch"),
    Case("data to model", "edge_arm.data.index", "import edge_arm.model.arm"),
    Case("torch in calibration", "edge_arm.calibration.x", "import torch"),
    Case("calibration to export", "edge_arm.calibration.x", "import edge_arm.export.x"),
    Case("export to calibration", "edge_arm.export.x", "from edge_arm import calibration"),
    Case("torch in another export file", "edge_arm.export.fp16", "import torch"),
    Case("model in another export file", "edge_arm.export.fp16", "import edge_arm.model"),
    Case("somebody to cli", "edge_arm.training.loop", "import edge_arm.cli.main"),
    Case("cli from a function", "edge_arm.data.x", "def f():\n    import edge_arm.cli"),
    Case("torch at the top of a command", "edge_arm.cli.train", "import torch"),
    Case("stage at the top of a command", "edge_arm.cli.train", "import edge_arm.training"),
    Case("anything in the root", "edge_arm", "import os"),
    Case("a relative import", "edge_arm.data.x", "from . import index"),
    Case("the second copy", "edge_arm.data.x", "import runtime.labels"),
    Case("a hidden import", "edge_arm.runtime.x", "importlib.import_module('torch')"),
    Case(
        "for type checkers only",
        "edge_arm.runtime.x",
        "if TYPE_CHECKING:\n    from edge_arm.data import index",
    ),
)


@pytest.mark.parametrize("case", FORBIDDEN, ids=lambda case: case.id)
def test_a_forbidden_import_is_found(case: Case) -> None:
    assert len(_violations(case.module, case.source)) == 1


ALLOWED = (
    Case("torch in the exporter", "edge_arm.export.onnx_from_checkpoint", "import torch"),
    Case("tensorrt in an engine file", "edge_arm.export.engine_x", "import tensorrt"),
    Case("torch in a command", "edge_arm.cli.train", "def run():\n    import torch"),
    Case("stage in a command", "edge_arm.cli.x", "def run():\n    import edge_arm.data"),
    Case("runtime in training", "edge_arm.training.x", "import edge_arm.runtime.labels"),
    Case(
        "the command line by python -m", "edge_arm.__main__", "from edge_arm.cli.main import main"
    ),
    Case("the version", "edge_arm.runtime.x", "from edge_arm import __version__"),
)


@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: case.id)
def test_an_allowed_import_is_not_reported(case: Case) -> None:
    assert _violations(case.module, case.source) == []
