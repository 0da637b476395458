"""Every name of TensorRT, pycuda and cuda-python that the source touches, against the records.

What a reader of the checked files has to know:

1. **Which files**: every file of the package that imports `tensorrt`, or takes a `TensorRT` of
   `runtime/tensorrt_library.py`, is checked for all five recorded versions; every file that imports
   `pycuda` or `cuda.bindings` is checked against that record.
2. **What is a TensorRT object**: what a known call returns (`builder.create_network(...)` is an
   INetworkDefinition, `network.get_layer(0).get_output(0)` an ITensor; the table is RESULTS), and a
   parameter, field or variable that is annotated `Any` and has one of the NAMES below. In these files
   such a name means that class and nothing else. `tensorrt.module` of a `TensorRT`, or a parameter
   `trt: Any`, is the module.
3. **What is refused**: an attribute, method, argument, enum value that a version does not have and
   that is not behind a guard that is false for that version; and an attribute of an `Any` whose class
   cannot be told, so that nothing escapes.
4. **What is a guard**: a field of `TensorRTCapabilities`, as `capabilities.FIELD` or
   `tensorrt.capabilities.FIELD`, in an `if`, `elif`, `else`, conditional expression, `and`, `or`,
   `not`, or an `if` that ends in `return` or `raise` before the code. Anything else in a condition may
   be true or false. A whole function that is called only behind a guard needs the guard once more
   inside, as an early `raise`: whoever calls it next would not know.
"""

from __future__ import annotations

NAMES = {
    "trt": "module",
    "builder": "Builder",
    "builder_config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "error": "ParserError",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "tensor": "ITensor",
    "timing_cache": "ITimingCache",
    "calibrator": "IInt8EntropyCalibrator2",
    "host_memory": "IHostMemory",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "execution_context": "IExecutionContext",
    "inspector": "EngineInspector",
    "logger": "ILogger",
    "severity": "ILogger.Severity",
}
