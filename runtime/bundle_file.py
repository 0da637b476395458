"""Putting one more file into a bundle, so that the bundle is whole whenever this is cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
