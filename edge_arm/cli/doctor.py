"""`edge-arm doctor`: what this machine is, what of edge-arm works on it, and what would help."""

from __future__ import annotations

import json as json_format
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_arm.runtime.doctor.look_over import Diagnosis

_WIDTH = 80


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look this machine over; name the one command for each thing that does not work.

    Needs the base install alone. Exit status 0 whatever is found: it is a report.

    Example: edge-arm doctor
    """
    from edge_arm.runtime.doctor.inventory import take_inventory
    from edge_arm.runtime.doctor.look_over import diagnosis_of, diagnosis_to_json

    diagnosis = diagnosis_of(take_inventory())
    if json:
        typer.echo(json_format.dumps(diagnosis_to_json(diagnosis), indent=2))
    else:
        typer.echo("\n".join(report_lines(diagnosis)))


def report_lines(diagnosis: Diagnosis) -> list[str]:
    """The report as text of 80 columns; commands alone are never broken, so they can be copied."""
    lines = ["This machine"]
    for fact in diagnosis.facts:
        lines += _row(f"  {fact.name}", fact.value, indent=23)
    if diagnosis.faults:
        lines += ["", "Wrong in any case"]
        for fault in diagnosis.faults:
            lines += textwrap.wrap(
                f"- {fault.what}", _WIDTH, initial_indent="  ", subsequent_indent="    "
            )
            lines += [f"    {fault.fix}"] if fault.fix else []
    lines += ["", "What works here"]
    for ability in diagnosis.abilities:
        mark = "yes" if ability.works else "no "
        lines += _row(f"  {mark}  {ability.name}", ability.because, indent=42)
    fixes: dict[str, list[str]] = {}
    for ability in diagnosis.abilities:
        if ability.fix:
            fixes.setdefault(ability.fix, []).append(ability.name)
    if fixes:
        lines += ["", "What to do for the rest (one step each; then run this again)"]
        for command, names in fixes.items():
            lines += textwrap.wrap(
                f"{'; '.join(names)}:", _WIDTH, initial_indent="  ", subsequent_indent="  "
            )
            lines.append(f"    {command}")
    return lines


def _row(head: str, text: str, *, indent: int) -> list[str]:
    """A name, and its text in a column of its own."""
    wrapped = textwrap.wrap(text, _WIDTH - indent, break_on_hyphens=False) or [""]
    first = f"{head:<{indent}}{wrapped[0]}".rstrip()
    return [first, *(" " * indent + line for line in wrapped[1:])]
