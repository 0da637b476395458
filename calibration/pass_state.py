"""What an interrupted pass leaves behind, so that the next one can go on to the same bytes.

Counts are integers and each face is in them as a whole or not at all (tally.py), so it does not
matter which faces were done before. The file names what the pass was of; for another model, other
faces or other tools it is not used. It is a few MB: 0.3 MB for each tensor.

Shapes: D faces done, T tensors with a histogram, E with extremes, C classes, W bins of a part.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_arm.calibration.bundle_update import tool_versions
from edge_arm.calibration.exposure import Wanted
from edge_arm.calibration.histogram import Part
from edge_arm.calibration.tally import Tally
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.leftovers import PASS_STATE_NAME, forget_pass
from edge_arm.runtime.npz import read_npz, write_npz
from edge_arm.runtime.preprocess import PreprocessSpec, preprocess_to_json
from edge_arm.runtime.storage import require_result_places, sha256_of_file

SCHEMA_VERSION = 1

_ARRAYS = ("positions", "logits", "sha256s", "first", "extremes", "counts", "absmax")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PassIdentity:
    """What must be equal for a pass to be the same one.

    Attributes:
        values: text by what it stands for: "model", "faces", ...
    """

    values: dict[str, str]

    @classmethod
    def of(
        cls, model: onnx.ModelProto, wanted: Wanted, *, faces: FaceIndex, spec: PreprocessSpec
    ) -> PassIdentity:
        """The identity of a pass.

        Args:
            model: the FP32 graph.
            wanted: tensors in it.
            faces: all of the pass, by name; their files are compared one by one.
            spec: the model's input.
        """
        return cls(
            {
                "version": str(SCHEMA_VERSION),
                "model": sha256(model.SerializeToString(deterministic=True)).hexdigest(),
                "tensors": _digest(asdict(wanted)),
                "faces": faces.sha256,
                "preprocessing": _digest(preprocess_to_json(spec)),
                "tools": json.dumps(tool_versions(), sort_keys=True),
            }
        )

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Names of what is not equal."""
        names = sorted(self.values.keys() | other.keys())
        return [name for name in names if self.values.get(name) != other.get(name)]


@contextmanager
def pass_state(bundle_path: Path) -> Iterator[Path]:
    """Where the state of a pass lies; an error in the block removes it, an interrupt does not.

    Args:
        bundle_path: of the bundle that is being calibrated.

    Raises:
        StorageError: if it cannot be written there; before any work.
    """
    path = bundle_path / PASS_STATE_NAME
    require_result_places([path])
    try:
        yield path
    except Exception:
        forget_pass(bundle_path)
        raise


def save_pass(path: Path, tally: Tally, identity: PassIdentity) -> None:
    """Write how far a pass is, atomically.

    Args:
        path: of the file.
        tally: of the faces done, at least one.
        identity: of the pass.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    with tally.lock:  # only as long as it takes to copy
        positions = sorted(tally.logits)
        parts = [histogram.as_part() for histogram in tally.histograms.values()]
        arrays: dict[str, npt.NDArray[Any]] = {
            "identity": np.array(json.dumps(identity.values)),
            "positions": np.array(positions, np.int64),
            "logits": np.stack([tally.logits[position] for position in positions]),
            "sha256s": np.array([tally.sha256s[position] for position in positions]),
            "first": np.array([part.first for part in parts], np.int64),
            "extremes": np.array([(part.minimum, part.maximum) for part in parts], np.float64),
            "counts": np.array([part.counts for part in parts], np.int64),
            "absmax": np.array(list(tally.absmax.values()), np.float64),
        }
        arrays |= {_channels(name): amax for name, amax in tally.channel_amax.items()}
    write_npz(path, arrays)


def restored_pass(path: Path, wanted: Wanted, *, identity: PassIdentity, faces: FaceIndex) -> Tally:
    """What an interrupted pass has done, if there is one that this pass can go on from.

    If there is none, or it is broken or of something else, nothing is done yet; the log says why.

    Args:
        path: of the file.
        wanted: tensors that the pass looks at.
        identity: of the pass.
        faces: all of the pass; the files of those that are done are read again for their hashes.
    """
    if not path.exists():
        return Tally(wanted)
    try:
        stored = json.loads(str(read_npz(path, ["identity"])["identity"]))
        differing = identity.differences(stored)
        if not differing:
            tally = _tally_from(path, wanted, len(faces))
            differing = _changed_files(tally, faces)
    except (BundleError, ValueError, TypeError, AttributeError, IndexError) as error:
        _log.warning("an interrupted calibration cannot be used, starting over: %s", error)
        return Tally(wanted)
    if differing:
        _log.warning(
            "the interrupted calibration in %s was another one (%s), starting over",
            path,
            ", ".join(differing),
        )
        return Tally(wanted)
    _log.info(
        "going on with an interrupted calibration: %d of %d faces are done", len(tally), len(faces)
    )
    return tally


def _tally_from(path: Path, wanted: Wanted, num_faces: int) -> Tally:
    channels = [_channels(name) for name in wanted.channels]
    found = read_npz(path, [*_ARRAYS, *channels])
    positions = found["positions"]
    if not (0 < len(positions) <= num_faces and positions.max() < num_faces):
        raise ValueError(f"{str(path)!r} has {len(positions)} faces, expected up to {num_faces}")
    tally = Tally(wanted)
    parts = zip(found["first"], found["counts"], found["extremes"], strict=True)
    for histogram, (first, counts, (minimum, maximum)) in zip(
        tally.histograms.values(), parts, strict=True
    ):
        histogram.merge(Part(int(first), counts, float(minimum), float(maximum)))
    tally.absmax = dict(zip(tally.absmax, found["absmax"].tolist(), strict=True))
    tally.channel_amax = {name: found[_channels(name)] for name in wanted.channels}
    for position, logits, digest in zip(positions, found["logits"], found["sha256s"], strict=True):
        tally.logits[int(position)] = logits
        tally.sha256s[int(position)] = str(digest)
    return tally


def _changed_files(tally: Tally, faces: FaceIndex) -> list[str]:
    for position, digest in tally.sha256s.items():
        sample = faces.samples[position]
        with suppress(OSError):  # one that has gone has changed too
            if sha256_of_file(sample.path) == digest:
                continue
        return [f"the picture {sample.sample_id!r} has changed"]
    return []


def _channels(tensor: str) -> str:
    # A tensor's name may hold a slash, which would make a folder of it.
    return f"channels_{sha256(tensor.encode()).hexdigest()[:16]}"


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
