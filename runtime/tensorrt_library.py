"""The one place that imports TensorRT's Python module: its version told apart, its log kept.

TensorRT's own logger prints to the process's stdout, where our results go, and its errors are
return values (None, False) whose reason is only in the log. So every message is collected here,
and whoever meets a None asks the log why.

TensorRT keeps the first logger that it is given in a process and ignores any other (it says so in
a warning; seen with the bindings of TensorRT-RTX 1.7.1): there is one logger, made once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.tensorrt_versions import TensorRTCapabilities, capabilities_of

KEPT_ERRORS = 20
"""Messages that are kept; the first ones say most, what follows are its consequences."""

INSTALL_HINT = (
    "on a Jetson run: sudo apt install nvidia-jetpack, and make the environment with "
    "'python3 -m venv --system-site-packages'; on a desktop run: pip install tensorrt"
)

_log = logging.getLogger(__name__)


class TensorRTLog:
    """What TensorRT said: errors are kept, everything goes to Python's logging.

    Attributes:
        errors: the first error messages since `forget`, oldest first.
        warnings: the first warnings since then.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def keep(self, messages: list[str], message: str) -> None:
        """Add to `errors` or `warnings`, as long as there is room."""
        if len(messages) < KEPT_ERRORS:
            messages.append(message)

    def forget(self) -> None:
        """Drop what was said so far, so that `why` speaks of what comes next."""
        self.errors.clear()
        self.warnings.clear()

    def why(self) -> str:
        """The first error since `forget` in one line, or that there was none."""
        if not self.errors:
            return "TensorRT gave no reason"
        return " ".join(self.errors[0].split())


@dataclass(frozen=True)
class TensorRT:
    """A TensorRT that is here.

    Attributes:
        module: `tensorrt`; used only as far as `capabilities` allows.
        version: as it says itself.
        capabilities: of that version.
        log: of everything that uses `logger`.
        logger: an ILogger for Builder, Runtime and OnnxParser; must outlive them all.
    """

    module: Any
    version: str
    capabilities: TensorRTCapabilities
    log: TensorRTLog
    logger: Any


_loaded: TensorRT | None = None


def load_tensorrt() -> TensorRT:
    """Import TensorRT; the second call gives the same object, see above.

    Raises:
        BackendUnavailableError: if it is not installed, its libraries do not load, or it is older
            than 8.6.
    """
    try:
        import tensorrt as trt
    except (ImportError, OSError) as error:  # OSError: a shared library of it is missing
        raise BackendUnavailableError(
            f"TensorRT is not installed for this Python ({error}), expected the module tensorrt; "
            + INSTALL_HINT
        ) from error
    global _loaded
    if _loaded is None or _loaded.module is not trt:
        capabilities = capabilities_of(str(trt.__version__))
        log = TensorRTLog()
        _loaded = TensorRT(trt, str(trt.__version__), capabilities, log, _logger(trt, log))
    return _loaded


def not_started(tensorrt: TensorRT) -> BackendUnavailableError:
    """What it means that a Builder or a Runtime could not be made: the binding raises TypeError.

    Args:
        tensorrt: whose log has the reason.
    """
    return BackendUnavailableError(
        f"TensorRT {tensorrt.version} does not start ({tensorrt.log.why()}), expected a driver "
        "that is new enough for the CUDA it was made for; update the NVIDIA driver, or install "
        "the TensorRT that belongs to it"
    )


def _logger(trt: Any, log: TensorRTLog) -> Any:
    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.DEBUG,  # it becomes an error of ours, with its reason
        severity.ERROR: logging.DEBUG,
        severity.WARNING: logging.DEBUG,
        severity.INFO: logging.DEBUG,
        severity.VERBOSE: logging.NOTSET,  # thousands of lines
    }

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]  # a class of an untyped module
        """Hands TensorRT's messages to `TensorRTLog` and to Python's logging."""

        def __init__(self) -> None:
            super().__init__()

        def log(self, severity_of_message: Any, message: str) -> None:
            if severity_of_message in (severity.INTERNAL_ERROR, severity.ERROR):
                log.keep(log.errors, message)
            elif severity_of_message == severity.WARNING:
                log.keep(log.warnings, message)
            level = levels.get(severity_of_message, logging.DEBUG)
            if level != logging.NOTSET:
                _log.log(level, "TensorRT: %s", message)

    return CollectingLogger()
