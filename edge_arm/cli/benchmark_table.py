"""A benchmark as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from edge_arm.runtime.benchmark.latency_stats import LatencyStats
    from edge_arm.runtime.benchmark.ratios import SpeedRatio
    from edge_arm.runtime.benchmark.result import Benchmark

_NOTHING = "-"
_MIB = 1 << 20


def print_benchmark(result: Benchmark, left_out: Sequence[str], written: Sequence[Path]) -> None:
    """Print what was found, what was left out, and where the rest is.

    Args:
        result: of the run.
        left_out: models that were not timed and why, a sentence each.
        written: files that hold the result.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 140)
    for line in _machine_lines(result):
        console.print(line, soft_wrap=True)
    _print_table(console, _latencies(result))
    _print_table(console, _paced(result))
    _print_table(console, _stages(result))
    if result.picture_stages:
        told = [f"{name} {ms_text(one.p50_ms)}" for name, one in result.picture_stages.items()]
        console.print(f"before the model: {', '.join(told)}", soft_wrap=True)
    _print_table(console, _alone(result))
    _print_table(console, _energies(result))
    console.print()
    for line in (*result.notes, *left_out, _reading(result)):
        console.print(line, soft_wrap=True)
    console.print(f"took {result.elapsed_s:.0f} s")
    if written:
        console.print(f"result: {', '.join(map(str, written))}", soft_wrap=True)


def _print_table(console: Console, table: Table | None) -> None:
    if table is not None:
        console.print()
        console.print(table)


def ms_text(value: float | None) -> str:
    """Milliseconds to three digits; a dash for a percentile that too few calls give."""
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def _machine_lines(result: Benchmark) -> list[str]:
    from edge_arm.runtime.benchmark.machine_state import UNKNOWN, state_facts

    machine = result.machine
    place = machine.board or f"{machine.system}, {result.cpu}"
    jetpack = f", JetPack {machine.jetpack}" if machine.jetpack else ""
    threads = {model.spec.place.threads for model in result.models if model.spec.place.on_cpu}
    models = f", {next(iter(threads))} threads for a model" if threads else ""
    state = {name: text for name, text in state_facts(result.after).items() if text != UNKNOWN}
    told = "; ".join(f"{name} {text}" for name, text in state.items())
    load = result.load_of_others
    others = "not told by the system" if load is None else f"{load:.2f} cores"
    return [
        f"{place}{jetpack}, {result.processors} processors{models}",
        f"state: {told or 'not told by the system'}; load of others: {others}",
    ]


def _table(title: str, first: Sequence[str], figures: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in first:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _latencies(result: Benchmark) -> Table:
    table = _table(
        "as fast as it goes, in turns; ms for a call",
        ("",),
        ("batch", "calls", "p50", "p90", "p99", "p99.9", "mean", "faces/s", "times base", "95 %"),
    )
    for number in range(len(result.models[0].batches)):
        for model in result.models:
            batch = model.batches[number]
            table.add_row(
                model.spec.name,
                str(batch.batch_size),
                f"{batch.latency.count:,}",
                *_percentiles(batch.latency),
                ms_text(batch.latency.mean_ms),
                f"{batch.faces_per_s:,.0f}",
                "1" if batch.ratio is None else f"{batch.ratio.ratio:.2f}",
                _interval(batch.ratio),
            )
    return table


def _paced(result: Benchmark) -> Table | None:
    rows = [(model, model.paced) for model in result.models if model.paced is not None]
    if not rows:
        return None
    table = _table(
        f"at {rows[0][1].frames_per_s:g} frames/s, one face each; ms from when a frame was due",
        ("",),
        ("frames", "p50", "p90", "p99", "p99.9", "max", "missed", "busy"),
    )
    for model, paced in rows:
        late = "" if paced.keeps_up else ", does not keep up"
        table.add_row(
            model.spec.name,
            f"{paced.latency.count:,}",
            *_percentiles(paced.latency),
            ms_text(paced.latency.max_ms),
            f"{paced.missed:,}{late}",
            f"{100 * paced.busy:.0f} %",
        )
    return table


def _stages(result: Benchmark) -> Table:
    table = _table(
        "steps of one face, each by itself; median ms",
        ("",),
        ("copy in", "compute", "copy out", "probabilities"),
    )
    for model in result.models:
        names = ("copy in", "compute", "copy out", "probabilities")
        found = [model.stages.get(name) for name in names]
        table.add_row(
            model.spec.name, *(_NOTHING if one is None else ms_text(one.p50_ms) for one in found)
        )
    return table


def _alone(result: Benchmark) -> Table | None:
    rows = [(model, model.alone) for model in result.models if model.alone is not None]
    if not rows:
        return None
    starts = rows[0][1].cold.starts
    sizes = list(rows[0][1].memory)
    table = _table(
        f"alone in a process, median of {starts} start{'' if starts == 1 else 's'} with files in "
        "memory; ms",
        ("",),
        (
            "Python",
            "imports",
            "bundle",
            "load",
            "first answer",
            "total",
            *(f"MiB, batch {size}" for size in sizes),
            "most MiB",
            *(["GPU MiB"] if any(alone.gpu_bytes is not None for _, alone in rows) else []),
        ),
    )
    for model, alone in rows:
        cold = alone.cold
        parts = (
            cold.interpreter_s,
            cold.imports_s,
            cold.bundle_s,
            cold.load_s,
            cold.first_answer_s,
            cold.total_s,
        )
        known = [memory for memory in alone.memory.values() if memory is not None]
        cells = [
            *(f"{1e3 * part:,.0f}" for part in parts),
            *(_mib(None if item is None else item.now_bytes) for item in alone.memory.values()),
            _mib(max((item.most_bytes for item in known), default=None)),
        ]
        if len(cells) + 1 < len(table.columns):
            cells.append(_mib(alone.gpu_bytes))
        table.add_row(model.spec.name, *cells)
    return table


def _energies(result: Benchmark) -> Table | None:
    rows = [(model, model.energy) for model in result.models if model.energy is not None]
    if not rows:
        return None
    largest = rows[0][0].batches[-1].batch_size
    table = _table(
        f"energy beyond the idle machine at batch {largest}, {rows[0][1].source}",
        ("",),
        ("mJ per face", "95 %", "W busy", "W idle"),
    )
    for model, energy in rows:
        table.add_row(
            model.spec.name,
            f"{energy.mj_per_face:.3g}",
            f"{energy.low_mj:.3g} to {energy.high_mj:.3g}",
            f"{energy.busy_w:.2f}",
            f"{energy.idle_w:.2f}",
        )
    return table


def _percentiles(stats: LatencyStats) -> Iterable[str]:
    return map(ms_text, (stats.p50_ms, stats.p90_ms, stats.p99_ms, stats.p999_ms))


def _interval(ratio: SpeedRatio | None) -> str:
    if ratio is None:
        return ""
    if ratio.low is None or ratio.high is None:
        return _NOTHING
    return f"{ratio.low:.2f} to {ratio.high:.2f}"


def _mib(value: int | None) -> str:
    return _NOTHING if value is None else f"{value / _MIB:,.0f}"


def _reading(result: Benchmark) -> str:
    """How to read the figures."""
    no_copies = any("copy in" not in model.stages for model in result.models)
    copies = " On a CPU there is no copy to a device, so it has no figure." if no_copies else ""
    return (
        f"Base: {result.base}. A percentile is a call that happened; '-' where too few calls give "
        f"one (p99 takes 100, p99.9 1,000: give more --seconds).{copies}"
    )
