"""Every error that edge-arm raises on purpose.

One tree, so that a caller can catch as much or as little as it wants::

    EdgeArmError
    ├── UsageError            options that contradict each other or the situation
    ├── DataError             faces and labels: folders, lists, pictures
    │   └── ImageError        one picture that cannot be read
    ├── StorageError          nothing could be written: disk full, read-only, taken
    ├── LostProcessError      several processes train together, and one has gone
    ├── CheckpointError       a file that is not a checkpoint of this model
    ├── BundleError           manifest, hashes, versions of a bundle
    ├── ExportError           the exported graph does not do what the model does
    ├── CalibrationError      ranges that cannot be had from these faces
    ├── MeasurementError      a speed or an energy that cannot be believed
    └── BackendError          something that runs a model, and cannot
        ├── BackendUnavailableError   library, provider or device is not here
        ├── EngineError               a TensorRT engine that cannot be built, trusted or loaded
        └── InferenceError            it ran, and the result is unusable

A message says what was got, what was expected, and what to do. The command line turns each of
these into one line on stderr and exit status 2.
"""

from __future__ import annotations


class EdgeArmError(Exception):
    """Root of the tree: anything edge-arm refuses, as opposed to a bug in it."""


class UsageError(EdgeArmError):
    """Options that contradict each other or the situation."""


class DataError(EdgeArmError):
    """Faces and labels that are missing, broken or inconsistent."""


class ImageError(DataError):
    """One picture that cannot be read as an image."""


class StorageError(EdgeArmError):
    """A result could not be written."""


class LostProcessError(EdgeArmError):
    """A process that trains together with others has lost one of them."""


class CheckpointError(EdgeArmError):
    """A file that is not a checkpoint of this model."""


class BundleError(EdgeArmError):
    """A bundle whose manifest, hashes or versions do not hold."""


class ExportError(EdgeArmError):
    """An exported graph that does not compute what the model computes."""


class CalibrationError(EdgeArmError):
    """Quantization ranges cannot be had from this model and these faces."""


class MeasurementError(EdgeArmError):
    """A speed or an energy was measured and cannot be believed."""


class BackendError(EdgeArmError):
    """A model cannot be run."""


class BackendUnavailableError(BackendError):
    """The library, provider or device that was asked for is not on this machine."""


class EngineError(BackendError):
    """A TensorRT engine that cannot be built, is not accepted, or belongs to another machine."""


class InferenceError(BackendError):
    """A model ran, and its result cannot be used."""
