"""A plan that is loaded: TensorRT's objects, its contract and its batch sizes.

The record is held against the file, the GPU and the TensorRT before TensorRT sees a byte: it loads
a foreign plan late, refuses it in words that help nobody, and on some versions not at all.

Shapes: N faces in a call, S model input size, C classes.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.runtime.cuda_device import GpuFacts
from edge_arm.runtime.engine_record import ENGINES_FOLDER, BatchRange, EngineRecord
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.tensorrt_library import TensorRT, not_started


@dataclass
class LoadedEngine:
    """What TensorRT made of a plan. `forget` lets go of it in the right order.

    Attributes:
        runtime: IRuntime; everything else lives in it.
        engine: ICudaEngine.
        execution_context: IExecutionContext.
        input_name: of the faces, uint8 (N, S, S, 3).
        output_name: of the logits, float32 (N, C).
        input_size: S.
        num_classes: C.
        profiles: batch sizes of each optimization profile, in the engine's order.
    """

    runtime: Any
    engine: Any = None
    execution_context: Any = None
    input_name: str = ""
    output_name: str = ""
    input_size: int = 0
    num_classes: int = 0
    profiles: tuple[BatchRange, ...] = ()

    def forget(self) -> None:
        """Let go: the execution context is part of the engine, the engine of the runtime."""
        self.execution_context = None
        self.engine = None
        self.runtime = None


def rebuild_command(record: EngineRecord, plan_path: Path) -> str:
    """The command that makes an engine again on the present device.

    Args:
        record: of it.
        plan_path: of it; where it lies in a bundle's `engines`, the bundle is named.
    """
    dla = "" if record.dla_core is None else f" --dla {record.dla_core}"
    folders = plan_path.parents
    in_bundle = len(folders) > 2 and folders[1].name == ENGINES_FOLDER
    bundle = f" --bundle {shlex.quote(str(folders[2]))}" if in_bundle else ""
    return f"edge-arm build{bundle} --precision {record.precision.value}{dla}"


def read_plan(path: Path, record: EngineRecord) -> bytes:
    """Bytes of a plan that is the record's.

    Args:
        path: of the plan.
        record: beside it.

    Raises:
        EngineError: if the plan is missing or has other bytes.
    """
    again = f"copy the engine again or run '{rebuild_command(record, path)}'"
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise EngineError(
            f"cannot read the plan {str(path)!r} ({error.strerror}), expected the one of its "
            f"record; {again}"
        ) from error
    digest = hashlib.sha256(plan).hexdigest()
    if digest != record.plan_sha256:
        raise EngineError(
            f"the plan {str(path)!r} has {len(plan)} bytes and SHA-256 {digest[:12]}..., expected "
            f"{record.plan_bytes} and {record.plan_sha256[:12]}... as in its record: it was "
            f"changed or not copied whole; {again}"
        )
    return plan


def require_same_device(
    record: EngineRecord, facts: GpuFacts, tensorrt_version: str, *, command: str
) -> None:
    """Refuse an engine of another machine.

    Args:
        record: of the engine.
        facts: of the GPU that is here.
        tensorrt_version: that is here.
        command: that builds it anew, see `rebuild_command`.

    Raises:
        EngineError: naming what differs and the command that builds it anew.
    """
    built_for = record.device
    here = {
        "GPU": (built_for.gpu, facts.name),
        "compute capability": (built_for.compute_capability, facts.compute_capability_text),
        "TensorRT": (built_for.tensorrt, tensorrt_version),
    }
    different = [f"{what} {had!r}" for what, (had, have) in here.items() if had != have]
    if different:
        have = ", ".join(f"{what} {have!r}" for what, (had, have) in here.items() if had != have)
        raise EngineError(
            f"the {record.precision.value} engine was built for {', '.join(different)}, here is "
            f"{have}; an engine runs only where it was built: run '{command}'"
        )


def load_engine(
    tensorrt: TensorRT, plan: bytes, record: EngineRecord, *, command: str
) -> LoadedEngine:
    """Deserialize a plan and make it ready to run; the CUDA context must be current.

    Args:
        tensorrt: of the version that built it.
        plan: its bytes.
        record: beside it.
        command: that builds it anew, see `rebuild_command`.

    Raises:
        BackendUnavailableError: if TensorRT does not start with this driver.
        EngineError: if TensorRT does not take it, with its reason, or it is no engine of faces.
    """
    trt = tensorrt.module
    tensorrt.log.forget()
    try:
        runtime = trt.Runtime(tensorrt.logger)
    except TypeError as error:  # what the binding makes of a runtime that was not made
        raise not_started(tensorrt) from error
    loaded = LoadedEngine(runtime)
    del runtime  # it must go with the engine, not with this frame
    try:
        _load(tensorrt, loaded, plan, record=record, command=command)
    except BaseException:
        # The traceback would keep TensorRT's objects alive beyond the CUDA context they live in.
        loaded.forget()
        raise
    return loaded


def _load(
    tensorrt: TensorRT, loaded: LoadedEngine, plan: bytes, *, record: EngineRecord, command: str
) -> None:
    if record.dla_core is not None:
        loaded.runtime.DLA_core = record.dla_core
    loaded.engine = loaded.runtime.deserialize_cuda_engine(plan)
    if loaded.engine is None:
        raise EngineError(
            f"TensorRT {tensorrt.version} does not load the {record.precision.value} engine "
            f"({tensorrt.log.why()}), expected one that it built; run '{command}'"
        )
    loaded.execution_context = loaded.engine.create_execution_context()
    if loaded.execution_context is None:
        raise EngineError(
            f"the {record.precision.value} engine needs {record.device_memory_bytes / 1e6:.0f} MB "
            f"of GPU memory to run and did not get them ({tensorrt.log.why()}); end other "
            f"programs, or build it for fewer faces: {command} --batch 1,1,8"
        )
    _read_contract(tensorrt, loaded, record, command=command)


def _read_contract(
    tensorrt: TensorRT, loaded: LoadedEngine, record: EngineRecord, *, command: str
) -> None:
    trt = tensorrt.module
    count = loaded.engine.num_io_tensors
    names = [str(loaded.engine.get_tensor_name(index)) for index in range(count)]
    inputs = [n for n in names if loaded.engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
    outputs = [n for n in names if loaded.engine.get_tensor_mode(n) == trt.TensorIOMode.OUTPUT]
    if len(inputs) == len(outputs) == 1:
        source = tuple(loaded.engine.get_tensor_shape(inputs[0]))
        result = tuple(loaded.engine.get_tensor_shape(outputs[0]))
        if (
            loaded.engine.get_tensor_dtype(inputs[0]) == trt.DataType.UINT8
            and loaded.engine.get_tensor_dtype(outputs[0]) == trt.DataType.FLOAT
            and len(source) == 4
            and source[1] == source[2]
            and source[3] == 3
            and len(result) == 2
        ):
            loaded.input_name, loaded.output_name = inputs[0], outputs[0]
            loaded.input_size, loaded.num_classes = int(source[1]), int(result[1])
            loaded.profiles = _profiles(loaded)
            return
    raise EngineError(
        f"the {record.precision.value} engine takes {inputs} and gives {outputs}, expected one "
        f"uint8 (N, S, S, 3) and one float32 (N, C); run '{command}' on a bundle of "
        "'edge-arm export'"
    )


def _profiles(loaded: LoadedEngine) -> tuple[BatchRange, ...]:
    found = []
    for index in range(loaded.engine.num_optimization_profiles):
        sizes = loaded.engine.get_tensor_profile_shape(loaded.input_name, index)
        smallest, best, largest = (int(shape[0]) for shape in sizes)
        found.append(BatchRange(smallest, best, largest))
    return tuple(found)


def profile_for(profiles: tuple[BatchRange, ...], num_faces: int) -> int:
    """The optimization profile for a call: the tightest that takes it, else the largest.

    Args:
        profiles: of the engine.
        num_faces: in the call, 1 or more.
    """
    fitting = [index for index, batch in enumerate(profiles) if num_faces <= batch.max]
    if fitting:
        return min(fitting, key=lambda index: (profiles[index].max, -profiles[index].min))
    return max(range(len(profiles)), key=lambda index: profiles[index].max)
