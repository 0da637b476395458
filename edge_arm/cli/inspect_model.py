"""`edge-arm inspect model.onnx`: what TensorRT has against a file, told without TensorRT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edge_arm.export.tensorrt_lint import Finding, TensorRTVersion
    from edge_arm.runtime.manifest import Bundle


@dataclass(frozen=True)
class _Linted:
    """One file's findings by version, and the versions that build from another file."""

    file: str
    findings: Mapping[TensorRTVersion, tuple[Finding, ...]]
    not_built_from: tuple[TensorRTVersion, ...] = ()


def inspect_model(path: Path, *, tensorrt: str | None, json: bool) -> None:
    """Lint one ONNX file.

    Args:
        path: of the file.
        tensorrt: version to ask about; all on record when None.
        json: print JSON instead of tables.

    Raises:
        typer.Exit: with status 1 if a version refuses the file.
        UsageError: if no rules are known for the version.
        ExportError: if it is no ONNX file.
        BackendUnavailableError: if onnx is not installed.
    """
    versions = _versions(tensorrt)
    _show([_Linted(path.name, _lint(path, versions))], detailed=tensorrt is not None, json=json)


def inspect_models_of(bundle: Bundle, *, tensorrt: str, json: bool) -> None:
    """Lint every model of a bundle; see `inspect_model`.

    The typed INT8 model counts only for versions that `edge-arm build` builds from it, because an
    older one refuses it by design and builds from the other INT8 model. The one for CPUs counts
    for none.
    """
    from edge_arm.runtime.manifest import CPU_VARIANT
    from edge_arm.runtime.tensorrt_versions import capabilities_of

    (version,) = _versions(tensorrt)
    typed = capabilities_of(version.value).builds_typed
    linted = []
    for artifact in bundle.manifest.artifacts:
        if artifact.variant == CPU_VARIANT or (artifact.variant == "typed" and not typed):
            linted.append(_Linted(artifact.file, {}, (version,)))
        else:
            linted.append(_Linted(artifact.file, _lint(bundle.verified(artifact.file), [version])))
    _show(linted, detailed=True, json=json)


def _versions(text: str | None) -> list[TensorRTVersion]:
    from edge_arm.runtime.errors import BackendUnavailableError

    try:
        from edge_arm.export.tensorrt_lint import TensorRTVersion
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise BackendUnavailableError(
            "the onnx package is not installed, expected it for reading a model file; "
            "run: pip install 'edge-arm[workstation]'"
        ) from error
    return list(TensorRTVersion) if text is None else [TensorRTVersion.parse(text)]


def _lint(
    path: Path, versions: list[TensorRTVersion]
) -> Mapping[TensorRTVersion, tuple[Finding, ...]]:
    from edge_arm.export.tensorrt_lint import lint, model_from_file

    model = model_from_file(path)
    return {version: lint(model, version) for version in versions}


def _show(linted: list[_Linted], *, detailed: bool, json: bool) -> None:
    from edge_arm.export.tensorrt_lint import Severity

    if json:
        import json as json_module

        typer.echo(json_module.dumps([_to_json(item) for item in linted], indent=2))
    else:
        for item in linted:
            (_print_findings if detailed else _print_summary)(item)
    severities = {
        finding.severity
        for item in linted
        for findings in item.findings.values()
        for finding in findings
    }
    if Severity.REFUSED in severities:
        raise typer.Exit(1)


def _to_json(item: _Linted) -> dict[str, Any]:
    return {
        "file": item.file,
        "tensorrt": {
            version.value: [
                {
                    "severity": finding.severity.value,
                    "node": finding.node,
                    "rule": finding.rule,
                    "message": finding.message,
                }
                for finding in findings
            ]
            for version, findings in item.findings.items()
        },
        "not_built_from": [version.value for version in item.not_built_from],
    }


def _print_findings(item: _Linted) -> None:
    from rich.table import Table

    for version in item.not_built_from:
        typer.echo(
            f"{item.file}: not used with TensorRT {version.value}, where 'edge-arm build' takes "
            "another INT8 model of the bundle"
        )
    for version, findings in item.findings.items():
        if not findings:
            typer.echo(
                f"{item.file}: nothing on record speaks against it in TensorRT {version.value}"
            )
            continue
        table = Table(title=f"{item.file} in TensorRT {version.value}", title_justify="left")
        for name in ("severity", "node", "rule", "message"):
            table.add_column(name, overflow="fold")
        for finding in findings:
            table.add_row(finding.severity.value, finding.node, finding.rule, finding.message)
        _console().print(table)
        typer.echo(f"{item.file}: {_counts(findings)} in TensorRT {version.value}")


def _print_summary(item: _Linted) -> None:
    from rich.table import Table

    from edge_arm.export.tensorrt_lint import Severity

    table = Table(title=item.file, title_justify="left")
    table.add_column("TensorRT")
    for severity in Severity:
        table.add_column(severity.value, justify="right")
    table.add_column("rules", overflow="fold")
    for version, findings in item.findings.items():
        counts = [sum(found.severity is severity for found in findings) for severity in Severity]
        rules = dict.fromkeys(found.rule for found in findings)
        table.add_row(version.value, *map(str, counts), ", ".join(rules) or "nothing on record")
    _console().print(table)
    typer.echo("for nodes and advice name a version, such as --tensorrt 10.3")


def _counts(findings: tuple[Finding, ...]) -> str:
    from edge_arm.export.tensorrt_lint import Severity

    counts = {
        severity: sum(found.severity is severity for found in findings) for severity in Severity
    }
    return ", ".join(f"{count} {severity.value}" for severity, count in counts.items())


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that messages would have to fit
        console.width = max(console.width, 160)
    return console
