"""What TensorRT's ONNX parser takes, per version, as frozen tables.

The facts are those of NVIDIA's operator tables (onnx-tensorrt, docs/operators.md of 8.6, 10.0,
10.1, 10.15 and 11.1) and of its importer sources, which are public up to 10.1. The operator rows
did not change between 10.0 and 11.1. Only the operators that a network like ours is made of are
on record here; what is not is reported as unknown, never as refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from onnx import TensorProto

from edge_arm.runtime.errors import UsageError


class TensorRTVersion(Enum):
    """The versions that are told apart: those of JetPack 6.0 to 7.x, and 11."""

    V8_6 = "8.6"
    V10_3 = "10.3"
    V10_13 = "10.13"
    V10_16 = "10.16"
    V11_1 = "11.1"

    @classmethod
    def parse(cls, text: str) -> TensorRTVersion:
        """The version that a user means.

        Args:
            text: such as "10.3" or "10.3.0".

        Raises:
            UsageError: if there are no tables for it.
        """
        for version in cls:
            if text == version.value or text.startswith(f"{version.value}."):
                return version
        raise UsageError(
            f"got TensorRT version {text!r}, expected one of "
            f"{', '.join(version.value for version in cls)}; name the nearest one below yours"
        )


NOT_IMPORTABLE = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
"""The operators on record as refused by every version."""

MAX_RANK = 8
"""Of a tensor that is reshaped, transposed or broadcast."""

INT8_ALIGNMENT = 32
"""Channels per step of an INT8 kernel on Tensor Cores; others are padded."""

INT8_GROUP_ALIGNMENT = 4
"""Channels per group of a grouped INT8 convolution."""

_FP32, _FP16, _BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
_INT8, _UINT8, _BOOL = TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL
_INT32, _INT64 = TensorProto.INT32, TensorProto.INT64
_FP8, _INT4, _FP4 = TensorProto.FLOAT8E4M3FN, TensorProto.INT4, TensorProto.FLOAT4E2M1

FLOATS = frozenset({_FP32, _FP16, _BF16, TensorProto.DOUBLE})
HALVES = frozenset({_FP16, _BF16})
UINT8_PARTNERS = frozenset({_FP32, _FP16})
"""What a Cast may turn uint8 into, or make uint8 of."""

DATA_INPUTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    dict.fromkeys(
        (
            *("Reshape", "Slice", "Split", "Squeeze", "Unsqueeze", "ReduceMean", "Cast"),
            *("QuantizeLinear", "DequantizeLinear"),
        ),
        (0,),
    )
)
"""The inputs that a row of types speaks about, where it is not all of them."""

_ELEMENTWISE = ("Add", "Mul", "Sub", "Div")
_SHUFFLES = ("Concat", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
RANK_LIMITED = frozenset({*_ELEMENTWISE, "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})

Types = frozenset[int]


def _table(*rows: tuple[tuple[str, ...], tuple[int, ...]]) -> Mapping[str, Types]:
    return MappingProxyType(
        {operator: frozenset(types) for operators, types in rows for operator in operators}
    )


_TYPES_8 = _table(
    (("Conv", "Relu", "MaxPool", "GlobalAveragePool", "Gemm"), (_FP32, _FP16, _INT8)),
    # Some 8.x tables list INT32 as well; where they differ the longer row is taken.
    (("AveragePool",), (_FP32, _FP16, _INT8, _INT32)),
    (("BatchNormalization", "ReduceMean", "MatMul", "Softmax", "QuantizeLinear"), (_FP32, _FP16)),
    ((*_ELEMENTWISE, "DepthToSpace"), (_FP32, _FP16, _INT32)),
    (("Slice", *_SHUFFLES), (_FP32, _FP16, _INT32, _INT8, _BOOL)),
    (("Split", "Flatten"), (_FP32, _FP16, _INT32, _BOOL)),
    (("Cast",), (_FP32, _FP16, _INT32, _INT8, _BOOL, _UINT8)),
    (("DequantizeLinear",), (_INT8,)),
)

_FLOATS_10 = (_FP32, _FP16, _BF16)
_NUMBERS_10 = (*_FLOATS_10, _INT32, _INT64)


def _types_10(quantized: tuple[int, ...]) -> Mapping[str, Types]:
    pools = ("MaxPool", "AveragePool", "GlobalAveragePool")
    floats = ("Conv", "BatchNormalization", "Gemm", "MatMul", "Softmax", "QuantizeLinear")
    return _table(
        ((*floats, *pools), _FLOATS_10),
        (("Relu",), (*_NUMBERS_10, _INT8)),
        ((*_ELEMENTWISE, "DepthToSpace", "ReduceMean"), _NUMBERS_10),
        (("Slice", "Split", "Flatten", *_SHUFFLES), (*_NUMBERS_10, _BOOL)),
        (("Cast",), (*_NUMBERS_10, _UINT8, _BOOL)),
        (("DequantizeLinear",), quantized),
    )


@dataclass(frozen=True)
class VersionRules:
    """One version's tables.

    Attributes:
        first_opset: the oldest operator set that is read.
        last_opset: the newest one that is known to be read.
        last_opset_in_doubt: newest one that is not known to be refused; above it is refusal.
        types: element types by operator.
        narrowed: types that are read as another one.
        needs_zero_point: Q/DQ must have three inputs.
        reads_half_scales: Q/DQ scales may be FP16 or BF16, given an opset that allows them.
        default_scale_axis: taken where a Q/DQ with one scale per channel names no axis.
        wants_float_weights: weights have to be FP32 -> Q -> DQ, not INT8 -> DQ.
        needs_kernel_shape: a Conv whose weight is no initializer must spell out kernel_shape.
        refuses_pool_dilations: pooling must have dilations of 1.
        needs_constant_slice_axes: a Slice's axes must be stored in the file.
        typed: edge-arm builds strongly typed networks with this version.
    """

    first_opset: int
    last_opset: int
    last_opset_in_doubt: int
    types: Mapping[str, Types]
    narrowed: Mapping[int, int]
    needs_zero_point: bool = False
    reads_half_scales: bool = True
    default_scale_axis: int = 1
    wants_float_weights: bool = False
    needs_kernel_shape: bool = False
    refuses_pool_dilations: bool = True
    needs_constant_slice_axes: bool = False
    typed: bool = True


_DOUBLE_AS_FLOAT = MappingProxyType({int(TensorProto.DOUBLE): int(_FP32)})
_TYPES_10 = _types_10((_INT8, _FP8, _INT4))
_TYPES_10_15 = _types_10((_INT8, _FP8, _INT4, _FP4))

RULES: Mapping[TensorRTVersion, VersionRules] = MappingProxyType(
    {
        TensorRTVersion.V8_6: VersionRules(
            first_opset=1,  # no lower end is on record
            last_opset=17,
            last_opset_in_doubt=17,
            types=_TYPES_8,
            narrowed=MappingProxyType({**_DOUBLE_AS_FLOAT, int(_INT64): int(_INT32)}),
            needs_zero_point=True,
            reads_half_scales=False,
            default_scale_axis=0,
            wants_float_weights=True,
            needs_kernel_shape=True,
            refuses_pool_dilations=False,
            needs_constant_slice_axes=True,
            typed=False,
        ),
        TensorRTVersion.V10_3: VersionRules(
            first_opset=9,
            last_opset=20,
            last_opset_in_doubt=20,
            types=_TYPES_10,
            narrowed=_DOUBLE_AS_FLOAT,
            needs_kernel_shape=True,
            needs_constant_slice_axes=True,
            typed=False,
        ),
        # Between 10.1, which reads up to 20, and 10.15, which reads up to 24, nothing is on record;
        # FP4 exists only from opset 23 on, so the doubt about the opset covers it.
        TensorRTVersion.V10_13: VersionRules(9, 20, 24, _TYPES_10_15, _DOUBLE_AS_FLOAT),
        TensorRTVersion.V10_16: VersionRules(9, 24, 24, _TYPES_10_15, _DOUBLE_AS_FLOAT),
        TensorRTVersion.V11_1: VersionRules(9, 24, 24, _TYPES_10_15, _DOUBLE_AS_FLOAT),
    }
)
