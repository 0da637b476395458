"""The serving stage: a bundle in, a model repository for NVIDIA's Triton server out.

A folder per model: `config.pbtxt`, `labels.txt`, and the model under its version, `1/`. Files are
copied, not linked: a repository is copied to servers and mounted into containers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_arm.export.triton_config import (
    CONFIG_NAME,
    LABELS_NAME,
    VERSION,
    ServedModel,
    config_text,
)
from edge_arm.export.triton_models import ServeConfig, ServedModels, served_models
from edge_arm.runtime.errors import ExportError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.storage import folder_written_atomically, sha256_of_file


def triton_from_bundle(bundle: Bundle, config: ServeConfig, out: Path) -> ServedModels:
    """Write a model repository.

    Args:
        bundle: to serve.
        config: what was asked for.
        out: new or empty folder of the repository.

    Returns:
        What is in it, and what is not.

    Raises:
        BundleError, EngineError, UsageError: see `served_models`.
        ExportError: if a class cannot be a line of a text file, or a file changed while it was
            copied.
        StorageError: if the folder has content, or the operating system refuses.
    """
    served = served_models(bundle, config)
    with folder_written_atomically(out) as folder:
        for model in served.models:
            _write(folder / model.name, model)
    return served


def _write(folder: Path, model: ServedModel) -> None:
    file = folder / VERSION / model.back_end.value[2]
    file.parent.mkdir(parents=True)
    shutil.copyfile(model.source, file)
    if sha256_of_file(file) != model.contract.model_sha256:
        raise ExportError(
            f"{str(model.source)!r} changed while it was copied, expected nobody to export, "
            "calibrate or build at the same time; run the command again when that is done"
        )
    (folder / LABELS_NAME).write_text(_label_lines(model.contract.labels), encoding="utf-8")
    (folder / CONFIG_NAME).write_text(config_text(model), encoding="utf-8")


def _label_lines(labels: LabelSet) -> str:
    # Triton tells a class by its line, so a class of two lines would shift every one behind it.
    for name in labels.classes:
        if len(name.splitlines()) != 1:
            raise ExportError(
                f"got the class {name!r}, expected a name on one line, because Triton tells "
                "classes by their line; rename it in the data set and train again"
            )
    return "".join(f"{name}\n" for name in labels.classes)
