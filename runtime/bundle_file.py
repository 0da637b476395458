"""One more file in a bundle: put there so that the bundle is whole at any time, and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import MANIFEST_NAME, Bundle, open_bundle, write_manifest
from edge_arm.runtime.storage import sha256_of_file


def bundle_with_file(bundle: Bundle, name: str, write: Callable[[Path], None]) -> Bundle:
    """Write a file into a bundle and list it in the manifest.

    The manifest is read again first, because another command may have added to it since.

    Args:
        bundle: that gets the file.
        name: of the file in the bundle; a file of that name is replaced.
        write: writes it at the path it is given, atomically.

    Returns:
        The bundle as it is now.

    Raises:
        BundleError: if the bundle is gone or its manifest cannot be read.
        StorageError: if the operating system refuses a write.
    """
    assert name != MANIFEST_NAME, "the manifest does not list itself"
    manifest = open_bundle(bundle.path).manifest
    others = {key: digest for key, digest in manifest.files.items() if key != name}
    # The old file is about to change under the manifest that vouches for it.
    if others != manifest.files:
        write_manifest(bundle.path, replace(manifest, files=others))
    path = bundle.path / name
    write(path)
    write_manifest(bundle.path, replace(manifest, files={**others, name: sha256_of_file(path)}))
    return open_bundle(bundle.path)


def versioned_json(bundle: Bundle, name: str, version: int, *, make: str) -> Any:
    """The content of a JSON file of a bundle, its hash and its schema version checked.

    Args:
        bundle: that has it.
        name: of the file.
        version: that this edge-arm reads.
        make: what to do about another one.

    Raises:
        BundleError: if the file changed or is of another version.
        ValueError, TypeError, KeyError: if it is no such JSON; the caller knows what it should say.
    """
    path = bundle.verified(name)
    value = json.loads(path.read_text(encoding="utf-8"))
    if value["schema_version"] != version:
        raise BundleError(
            f"{str(path)!r} has schema version {value['schema_version']!r}, this edge-arm reads "
            f"{version}; {make}"
        )
    return value
