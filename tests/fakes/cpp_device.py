"""The C++ example on a test's device: built programs, a bundle, and an engine of the fake."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tiny_bundle import SIZE, golden_faces, run_onnx
from triton_bundles import put_engine

from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.storage import sha256_of_file


@dataclass(frozen=True)
class Programs:
    """The two programs, and a probe that calls the parts which they do not show."""

    classify: Path
    verify: Path
    probe: Path


@dataclass
class Device:
    """A device with a bundle and an INT8 engine that knows the golden faces.

    Attributes:
        programs: compiled.
        bundle: of tiny models.
        environment: of the programs.
    """

    programs: Programs
    bundle: Bundle
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def logits(self) -> np.ndarray:
        """(6, 7) float32 of the golden faces by the bundle's own INT8 file."""
        return run_onnx(self.bundle.path / "model.int8.onnx", golden_faces())

    def put_engine(self, **changes: object) -> Path:
        """An INT8 engine of the fake for batches up to 4; the path of its plan."""
        faces = golden_faces()
        head = f"FAKEPLAN {SIZE} {self.logits.shape[1]} 1 4 {len(faces)}\n".encode()
        rows = zip(faces, self.logits, strict=True)
        plan = head + b"".join(face.tobytes() + row.tobytes() for face, row in rows)
        given = {"plan": plan, "batch": BatchRange(1, 2, 4), **changes}
        return put_engine(self.bundle, Precision.INT8, **given)

    def vouch_for(self, path: Path) -> None:
        """Let the manifest take a file that is no model as it is now."""
        manifest = json.loads((self.bundle.path / "manifest.json").read_text())
        manifest["files"][path.name] = sha256_of_file(path)
        (self.bundle.path / "manifest.json").write_text(json.dumps(manifest))

    def run(self, program: Path, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self.environment},
        )

    def classify(self, *files: object) -> subprocess.CompletedProcess[str]:
        return self.run(self.programs.classify, self.bundle.path, "int8", *files)

    def refusal(self, *files: object) -> str:
        """What `classify` says when it refuses; it must be one line and status 2."""
        done = self.classify(*files)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("fake: ")]
        assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
        return lines[0]
