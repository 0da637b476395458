"""Asks a finished plan what it is made of.

Types of layers with a dynamic batch are told only for a real shape, so an execution context with
the profile's best batch is made for the question, and given back before anything else runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.tensorrt_library import TensorRT


@dataclass(frozen=True)
class PlanInspection:
    """What a plan says about itself.

    Attributes:
        information: of the EngineInspector, in JSON.
        device_memory_bytes: that an execution context needs.
    """

    information: str
    device_memory_bytes: int


def inspect_plan(
    tensorrt: TensorRT, plan: bytes, shape: tuple[int, ...], *, dla_core: int | None
) -> PlanInspection:
    """Load a plan and ask it.

    Args:
        tensorrt: that built it; the CUDA context of its device must be current.
        plan: its bytes.
        shape: (N, S, S, 3) of the faces, for which layers are told.
        dla_core: that it was built for.

    Raises:
        EngineError: if it cannot be loaded or has no memory to run in.
    """
    trt, capabilities = tensorrt.module, tensorrt.capabilities
    tensorrt.log.forget()
    runtime = trt.Runtime(tensorrt.logger)
    if dla_core is not None:
        runtime.DLA_core = dla_core
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(
            f"TensorRT {tensorrt.version} does not load the plan that it has just built "
            f"({tensorrt.log.why()}), expected an engine; run it again with 'edge-arm --debug "
            "build ...' for all that TensorRT says"
        )
    if capabilities.device_memory_size_v2:
        memory = engine.device_memory_size_v2
    else:
        memory = engine.device_memory_size
    execution_context = engine.create_execution_context()
    if execution_context is None:
        raise EngineError(
            f"the new engine needs {memory / 1e6:.0f} MB of GPU memory to run and did not get "
            f"them ({tensorrt.log.why()}); build with a smaller --batch or end other programs"
        )
    if not execution_context.set_input_shape(engine.get_tensor_name(0), shape):
        raise EngineError(
            f"the new engine does not take a batch of {shape[0]} ({tensorrt.log.why()}), expected "
            "its profile's best batch to fit; choose others with --batch MIN,OPT,MAX"
        )
    inspector = engine.create_engine_inspector()
    inspector.execution_context = execution_context
    information = str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    # In this order: each is part of the one after it.
    del inspector, execution_context, engine, runtime
    return PlanInspection(information, int(memory))
