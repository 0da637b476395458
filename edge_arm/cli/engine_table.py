"""How an engine is shown, right after its build and whenever a bundle is inspected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from edge_arm.runtime.engine_record import EngineRecord
    from edge_arm.runtime.manifest import Bundle

SHOWN_NODES = 12


def print_engine(record: EngineRecord, plan_path: Path) -> None:
    """Print what a build made: why so, its layers, how it was accepted, where it is.

    Args:
        record: of the engine.
        plan_path: of its plan.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    for name, value in _facts(record, plan_path).items():
        console.print(f"{name:<11} {value}", soft_wrap=True)
    _print_layers(console, record.layers)
    _print_acceptance(console, record)
    if len(record.attempts) > 1:
        _print_attempts(console, record)


def engines_of(bundle: Bundle) -> dict[Path, EngineRecord]:
    """The engines of a bundle by the path of their plans, after each plan's hash was checked.

    Args:
        bundle: for any device.

    Raises:
        EngineError: if a record cannot be read, or a plan is not its record's.
    """
    from edge_arm.export.engine_from_bundle import plan_path_of
    from edge_arm.runtime.engine_choice import all_engines
    from edge_arm.runtime.tensorrt_engine import read_plan

    records = {plan_path_of(bundle, record): record for record in all_engines(bundle.path)}
    for path, record in records.items():
        read_plan(path, record)
    return records


def with_engines(manifest_json: str, records: dict[Path, EngineRecord]) -> str:
    """A manifest as JSON with the records of the engines in it, under "engines"."""
    import json

    from edge_arm.runtime.engine_record import engine_record_to_json

    engines = [
        {**engine_record_to_json(record), "plan": str(path)} for path, record in records.items()
    ]
    return json.dumps({**json.loads(manifest_json), "engines": engines}, indent=2)


def print_engines(bundle: Bundle, records: dict[Path, EngineRecord]) -> None:
    """Print a table of the engines of a bundle, and what is not as it was meant in each.

    Args:
        bundle: that they belong to.
        records: see `engines_of`.
    """
    from rich.console import Console
    from rich.table import Table

    from edge_arm.runtime.report.text import precision_name

    console = Console(highlight=False, markup=False)
    table = Table(title="engines", title_justify="left")
    for name in ("device", "TensorRT", "precision", "batch", "layers", "ms", "logit error, limit"):
        table.add_column(name, overflow="fold")
    for record in records.values():
        figures = record.acceptance
        table.add_row(
            _where(record),
            record.device.tensorrt,
            precision_name(record.precision),
            _batch(record),
            _shares(record.layers),
            f"{figures['latency_ms']:.3g}",
            f"{figures['logit_error']:.2g}, {figures['logit_error_limit']:.2g}",
        )
    console.print(table)
    current = {item.sha256 for item in bundle.manifest.artifacts}
    for path, record in records.items():
        name = f"{path.parent.name}/{path.name}"
        _print_not_as_meant(console, name, record.layers)
        if record.onnx_sha256 not in current:
            console.print(
                f"{name} was built from a model that the bundle no longer has: build it again",
                soft_wrap=True,
            )


def _facts(record: EngineRecord, plan_path: Path) -> dict[str, str]:
    return {
        "engine": f"{record.precision.value} for {_where(record)}, "
        f"TensorRT {record.device.tensorrt}",
        "built from": record.variant_reason,
        "flags": ", ".join(_flag(name) for name in record.builder_flags) or "none",
        "batch": _batch(record),
        "workspace": "TensorRT's own limit"
        if record.workspace_bytes is None
        else f"at most {record.workspace_bytes >> 20} MiB",
        "latency": f"{record.acceptance['latency_ms']:.3f} ms for a batch of {record.batch.opt}",
        "memory": f"{record.device_memory_bytes / 1e6:.1f} MB to run, "
        f"{record.plan_bytes / 1e6:.1f} MB of plan",
        "path": str(plan_path),
    }


def _where(record: EngineRecord) -> str:
    gpu = record.device.gpu
    return gpu if record.dla_core is None else f"DLA {record.dla_core} of {gpu}"


def _flag(name: str) -> str:
    return f"{name.removeprefix('-')} off" if name.startswith("-") else name


def _batch(record: EngineRecord) -> str:
    batch = record.batch
    if batch.min == batch.max:
        return str(batch.opt)
    return f"{batch.min} to {batch.max}, best {batch.opt}"


def _shares(layers: dict[str, Any]) -> str:
    return ", ".join(f"{share:.0%} {_precision(name)}" for name, share in layers["shares"].items())


def _precision(name: str) -> str:
    # A DLA runs its layers as one, of which TensorRT tells no type.
    return "not told" if name == "unknown" else name


def _print_layers(console: Console, layers: dict[str, Any]) -> None:
    from rich.table import Table

    if not layers["detailed"]:
        console.print("TensorRT tells only the names of this engine's layers, not their types")
        return
    table = Table()
    for name in ("layers run in", "number", "share"):
        table.add_column(name, justify="left" if name == "layers run in" else "right")
    for name, share in layers["shares"].items():
        table.add_row(_precision(name), str(len(layers["names"][name])), f"{share:.0%}")
    console.print(table)
    console.print(f"and {layers['num_reformats']} that only change a layout or type")
    _print_not_as_meant(console, "this engine", layers)


def _print_not_as_meant(console: Console, where: str, layers: dict[str, Any]) -> None:
    reasons: dict[str, list[str]] = {}
    for node, reason in layers["not_as_meant"].items():
        reasons.setdefault(reason, []).append(node)
    for reason, nodes in reasons.items():
        console.print(
            f"not in the precision asked for, {where}: {_listed(nodes)} ({reason})", soft_wrap=True
        )
    if layers["dla_fallback"]:
        console.print(
            f"on the GPU, because the DLA cannot, {where}: {_listed(layers['dla_fallback'])}",
            soft_wrap=True,
        )


def _print_acceptance(console: Console, record: EngineRecord) -> None:
    figures = record.acceptance
    console.print(
        f"accepted on {figures['num_faces']:.0f} golden faces: logits off by at most "
        f"{figures['logit_error']:.2g} (limit {figures['logit_error_limit']:.2g}), by "
        f"{max(figures['batch_error'], figures.get('company_error', 0.0)):.2g} between batches "
        f"(limit {figures['batch_error_limit']:.2g}), "
        f"same label on {figures['agreement']:.1%} of the {figures['num_decided_faces']:.0f} that "
        f"are no ties (limit {figures['agreement_limit']:.0%})",
        soft_wrap=True,
    )


def _print_attempts(console: Console, record: EngineRecord) -> None:
    for number, attempt in enumerate(record.attempts, start=1):
        kept = ", kept" if attempt["kept"] else ""
        outcome = (
            f"{attempt['latency_ms']:.3f} ms{kept}"
            if attempt["accepted"]
            else f"rejected: {'; '.join(attempt['complaints'])}"
        )
        console.print(f"build {number}: {outcome}", soft_wrap=True)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NODES} more" if len(names) > SHOWN_NODES else ""
    return ", ".join(names[:SHOWN_NODES]) + more
