"""`edge-arm bundle`: a bundle as one file to copy, and its hashes."""

from __future__ import annotations

import json as json_format
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from edge_arm.cli.watching_run import terminated_like_interrupted

if TYPE_CHECKING:
    from edge_arm.runtime.bundle_archive import ArchiveContent

bundle_app = typer.Typer(
    no_args_is_help=True,
    help="Make one file of a bundle for copying it to a device, and check its hashes.",
    rich_markup_mode=None,
)

_PIPE = Path("-")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a sentence.")]
Sha256Option = Annotated[
    str | None,
    typer.Option(metavar="HEX", help="That 'pack' printed; another archive is refused."),
]


@bundle_app.command()
def pack(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")] = Path("build/bundle"),
    out: Annotated[
        Path | None, typer.Option(help="The archive, or - for a pipe; else BUNDLE.edgearm.tar.")
    ] = None,
    engines: Annotated[
        bool,
        typer.Option(
            "--engines", help="Take engines along; only a device of the same kind runs them."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write a bundle as one archive, after every hash in it was checked.

    It is a plain tar: 'tar xf' and 'sha256sum -c SHA256SUMS' take it apart without edge-arm. The
    same bundle always gives the same bytes.

    Example: edge-arm bundle pack build/bundle --out fer.edgearm.tar
    """
    from edge_arm.runtime.bundle_archive import pack_bundle
    from edge_arm.runtime.storage import require_result_places, written_atomically

    if out == _PIPE:
        _require_pipe(sys.stdout.isatty(), "--out fer.edgearm.tar")
        _say(_packed_into_pipe(bundle, engines=engines), "packed", json=json, err=True)
        return
    path = out or _beside(bundle)
    require_result_places([path])
    _require_outside(path, bundle)
    with (
        terminated_like_interrupted(),
        written_atomically(path) as temporary,
        temporary.open("wb") as file,
    ):
        content = pack_bundle(bundle, file, engines=engines)
    _say(content, str(path), json=json)


@bundle_app.command()
def unpack(
    archive: Annotated[Path, typer.Argument(help="The archive, or - for a pipe.")],
    out: Annotated[Path, typer.Option(help="New folder of the bundle.")] = Path("build/bundle"),
    sha256: Sha256Option = None,
    json: JsonOption = False,
) -> None:
    """Make a bundle from an archive; unless every file is there and right, nothing is left.

    Example: ssh jetson edge-arm bundle unpack - --out build/bundle < fer.edgearm.tar
    """
    from edge_arm.runtime.bundle_archive_reading import unpack_archive

    with terminated_like_interrupted(), _opened(archive) as stream:
        content = unpack_archive(stream, out, sha256=sha256)
    _say(content, str(out), json=json)


@bundle_app.command()
def verify(
    bundle: Annotated[
        Path, typer.Argument(help="Folder of a bundle, an archive, or - for a pipe.")
    ] = Path("build/bundle"),
    sha256: Sha256Option = None,
    json: JsonOption = False,
) -> None:
    """Compare every file of a bundle or of an archive with its hash; write nothing.

    Example: edge-arm bundle verify fer.edgearm.tar
    """
    from edge_arm.runtime.bundle_archive import verified_sums
    from edge_arm.runtime.bundle_archive_reading import verify_archive
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.manifest import open_bundle

    # Not only a plain file: `<(ssh ...)` of a shell is a pipe with a name.
    if bundle == _PIPE or (bundle.exists() and not bundle.is_dir()):
        with _opened(bundle) as stream:
            _say(verify_archive(stream, sha256=sha256), str(bundle), json=json)
        return
    if sha256 is not None:
        raise UsageError(
            f"got --sha256 for the folder {str(bundle)!r}, expected an archive, which has one hash "
            "as a whole; leave it out"
        )
    sums = verified_sums(open_bundle(bundle))
    if json:
        typer.echo(json_format.dumps({"files": sums}, indent=2))
    else:
        typer.echo(f"{bundle}: {len(sums)} files, all with the SHA-256 that the manifest names")


def _beside(bundle: Path) -> Path:
    """Where the archive goes if nothing is said; the bundle may be the present folder."""
    named = bundle if bundle.name not in ("", "..") else bundle.resolve()
    return named.parent / f"{named.name or 'bundle'}.edgearm.tar"


def _require_outside(archive: Path, bundle: Path) -> None:
    from edge_arm.runtime.errors import UsageError

    # There it could take the place of a model, or of the manifest.
    if archive.resolve().is_relative_to(bundle.resolve()):
        raise UsageError(
            f"got {str(archive)!r} for the archive, which is inside the bundle {str(bundle)!r}, "
            "expected a place outside; name one with --out"
        )


def _packed_into_pipe(bundle: Path, *, engines: bool) -> ArchiveContent:
    from edge_arm.runtime.bundle_archive import pack_bundle
    from edge_arm.runtime.errors import StorageError

    try:
        content = pack_bundle(bundle, sys.stdout.buffer, engines=engines)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        # Elsewhere a reader such as head may have had enough; half an archive is no use to anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StorageError(
            "the pipe was closed before the archive was through, expected a reader that takes all "
            "of it; look at what the other program said, then run the command again"
        ) from error
    return content


def _opened(archive: Path) -> AbstractContextManager[BinaryIO]:
    from edge_arm.runtime.errors import BundleError

    if archive == _PIPE:
        _require_pipe(sys.stdin.isatty(), "FILE")
        return nullcontext(sys.stdin.buffer)
    try:
        return archive.open("rb")
    except OSError as error:
        raise BundleError(
            f"cannot read {str(archive)!r} ({error.strerror}), expected an archive made by "
            "'edge-arm bundle pack'; pack one, or name another"
        ) from error


def _require_pipe(is_terminal: bool, instead: str) -> None:
    from edge_arm.runtime.errors import UsageError

    if is_terminal:
        raise UsageError(
            f"got - and a terminal, expected a pipe or a file for the archive; use {instead}"
        )


def _say(content: ArchiveContent, name: str, *, json: bool, err: bool = False) -> None:
    from edge_arm.runtime.report.text import size_text

    if json:
        value = {
            "sha256": content.sha256,
            "size_bytes": content.size_bytes,
            "files": content.files,
        }
        typer.echo(json_format.dumps(value, indent=2), err=err)
        return
    typer.echo(
        f"{name}: {len(content.files)} files, all with the right SHA-256; the archive has "
        f"{size_text(content.size_bytes)} and the SHA-256\n{content.sha256}",
        err=err,
    )
