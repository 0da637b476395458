"""`edge-arm data`: draw synthetic faces, and look at a data set before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_arm.cli.data_catalogue import catalogue_text
from edge_arm.cli.data_clip import clip

if TYPE_CHECKING:
    from edge_arm.data.describe import Description

data_app = typer.Typer(
    no_args_is_help=True,
    help=f"Draw synthetic faces, or look at a data set.\n\n{catalogue_text()}",
    short_help="Draw synthetic faces, or look at a data set.",
    rich_markup_mode=None,
)

data_app.command()(clip)

_SHOWN = 20


@data_app.command()
def synthesize(
    out: Annotated[Path, typer.Option(help="New folder for the set, in RAF-DB's layout.")],
    images: Annotated[int, typer.Option(help="Training and test images together.")] = 3000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
) -> None:
    """Draw a data set of synthetic faces, unbalanced like RAF-DB, for use without photographs.

    Example: edge-arm data synthesize --out data/synthetic --images 3000 --seed 0
    """
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.synthesize import SynthesisConfig
    from edge_arm.data.synthesize import synthesize as synthesize_set

    config = SynthesisConfig(num_images=images, seed=seed)
    done = 0
    with progress_bar("draw", images) as advance:

        def advance_to(total: int) -> None:
            nonlocal done
            advance(total - done)
            done = total

        synthesize_set(out, config, progress=advance_to)
    typer.echo(f"{images} synthetic faces, seed {seed}: {out}")


@data_app.command()
def describe(
    data: Annotated[str, typer.Option(help="Name of the set; 'edge-arm data --help' lists them.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the set; else EDGE_ARM_DATA or data/NAME.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
) -> None:
    """Decode every picture of a data set; show counts, sizes, and what is missing or broken.

    Exit status 1 if anything is missing or broken.

    Example: edge-arm data describe --data rafdb --root data/rafdb --json data.json
    """
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.describe import describe as describe_listing
    from edge_arm.data.describe import description_to_json
    from edge_arm.data.registry import list_faces, resolve_root
    from edge_arm.runtime.storage import write_json

    listing = list_faces(data, resolve_root(data, root))
    with progress_bar("decode", len(listing)) as advance:
        description = describe_listing(listing, progress=advance)
    if json is not None:
        write_json(json, description_to_json(description))
    _show(description)
    if description.problems:
        raise typer.Exit(1)


def _show(description: Description) -> None:
    from rich.console import Console
    from rich.table import Table

    typer.echo(f"{description.name}: {description.root}")
    table = Table()
    table.add_column("class")
    for part in description.splits:
        table.add_column(part.split.value, justify="right")
    for position, name in enumerate(description.labels.classes):
        table.add_row(name, *(str(part.counts[position]) for part in description.splits))
    table.add_section()
    table.add_row("all", *(str(sum(part.counts)) for part in description.splits))
    Console().print(table)

    sizes = [f"{size.width}x{size.height}: {size.count}" for size in description.sizes]
    _print_lines("face sizes (width x height: faces)", sizes)
    _print_lines("worth knowing", list(description.notes))
    _print_lines("missing or broken", list(description.problems))
    if not description.problems:
        typer.echo("nothing is missing or broken")


def _print_lines(title: str, lines: list[str]) -> None:
    if not lines:
        return
    typer.echo(f"{title}: {len(lines)}")
    for line in lines[:_SHOWN]:
        typer.echo(f"  {line}")
    if len(lines) > _SHOWN:
        typer.echo(f"  and {len(lines) - _SHOWN} more; --json FILE lists all")
