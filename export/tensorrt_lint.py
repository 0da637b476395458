"""Tells, without TensorRT, what a version of it would refuse in an ONNX file or run badly.

A device is often not at hand where a model is made, and the parser's own messages name layers it
invented. Each rule here names the node of the file and what to change.

What is not covered: nodes inside If and Loop, plugins, memory, DLA, and whether a kernel exists for
a given GPU. No finding means that nothing on record speaks against the file.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from edge_arm.export.tensorrt_lint_graph import (
    Finding,
    LintGraph,
    Severity,
    lint_graph,
    name_of,
)
from edge_arm.export.tensorrt_lint_operators import OPERATOR_RULES
from edge_arm.export.tensorrt_lint_quantization import QUANTIZATION_RULES
from edge_arm.export.tensorrt_rules import TensorRTVersion
from edge_arm.runtime.errors import ExportError

__all__ = ["Finding", "Severity", "TensorRTVersion", "lint", "model_from_file"]

_MODEL = "model"
_EXPECTED = "expected an ONNX file; name one that ends in .onnx, or a bundle's folder"
_SEVERITIES = tuple(Severity)


def lint(model: onnx.ModelProto, version: TensorRTVersion) -> tuple[Finding, ...]:
    """What a version of TensorRT has against a model.

    Args:
        model: with its weights; it is not changed.
        version: of TensorRT.

    Returns:
        Findings, the worst severity first, then in the graph's order, then by rule.

    Raises:
        ExportError: if the model names no opset, or is no valid ONNX.
    """
    graph = lint_graph(model, version)
    found = [(-1, finding) for finding in (*_opset(graph), *_untyped(graph))]
    for position, node in enumerate(graph.nodes):
        for rule in (*OPERATOR_RULES, *QUANTIZATION_RULES):
            found.extend((position, finding) for finding in rule(graph, node))
    found.sort(
        key=lambda item: (
            _SEVERITIES.index(item[1].severity),
            item[0],
            item[1].rule,
            item[1].message,
        )
    )
    return tuple(finding for _, finding in found)


def model_from_file(path: Path) -> onnx.ModelProto:
    """Read anyone's ONNX file, with the weights that may lie beside it.

    Args:
        path: of the file.

    Raises:
        ExportError: if it, or a file of its weights, cannot be read or is no ONNX.
    """
    try:
        return onnx.load(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"cannot read {str(path)!r} ({reason}), {_EXPECTED}") from error
    except Exception as error:  # protobuf's and the checker's have no base class of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(f"{str(path)!r} is no ONNX file ({reason}), {_EXPECTED}") from error


def _opset(graph: LintGraph) -> tuple[Finding, ...]:
    rules = graph.rules
    if rules.first_opset <= graph.opset <= rules.last_opset:
        return ()
    in_doubt = rules.last_opset < graph.opset <= rules.last_opset_in_doubt
    return (
        Finding(
            Severity.UNKNOWN if in_doubt else Severity.REFUSED,
            _MODEL,
            "opset",
            f"got opset {graph.opset}, expected {rules.first_opset} to {rules.last_opset} for "
            f"{graph.trt}; export with --opset 17, which all of them read",
        ),
    )


def _untyped(graph: LintGraph) -> tuple[Finding, ...]:
    # A rule that cannot see a type stays silent; that must not look like a clean bill.
    blind = [
        node for node in graph.nodes if any(name and name not in graph.types for name in node.input)
    ]
    if not blind:
        return ()
    return (
        Finding(
            Severity.UNKNOWN,
            _MODEL,
            "untyped",
            f"got {len(blind)} nodes with inputs of unknown type, {name_of(blind[0])!r} first, "
            "expected types that ONNX can infer; replace the operators it does not know",
        ),
    )
