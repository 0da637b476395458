"""What the terminal shows of a report: the table, the verdict, a line for each check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_arm.cli.report_table import print_report
from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB, LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.report.compare import Change, Comparison, Kind
from edge_arm.runtime.report.report import Provenance, Report, report_from_predictions
from edge_arm.runtime.statistics import Gate

LABELS = LabelSet("two", ("anger", "fear"))
TARGETS = [0] * 300 + [1] * 300


def report(int8: list[int]) -> Report:
    """FP32 that is always right, beside INT8's answers."""
    index = FaceIndex(
        "folder",
        Split.TEST,
        LABELS,
        tuple(FaceSample(f"{i}.jpg", Path(f"{i}.jpg"), t) for i, t in enumerate(TARGETS)),
    )
    predictions = {
        precision: Predictions(
            logits=np.eye(2, dtype=np.float32)[answers] * 4,
            targets=np.array(TARGETS),
            sample_ids=tuple(sample.sample_id for sample in index.samples),
            labels=LABELS,
            data_sha256="d" * 64,
            precision=precision,
            info=BackendInfo("onnxruntime/cpu", "1.2.3", precision.value * 16, 5_000_000, 8, 2),
            batch_size=32,
            seconds_inference=2.0,
        )
        for precision, answers in ((Precision.FP32, TARGETS), (Precision.INT8, int8))
    }
    return report_from_predictions(
        predictions,
        index,
        gate=Gate(0.02),
        class_gate=0.05,
        provenance=Provenance("edge-arm measure", "2030-01-02", {}, {}, {}, None),
    )


def test_both_limits_have_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report(TARGETS), [Path("report.html")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].rstrip().endswith("< 2 pp  each emotion < 5 pp")
    int8 = next(line for line in lines if line.startswith("INT8"))
    assert int8.split()[-2:] == ["pass", "pass"]
    assert lines[-1] == "report: report.html"


def test_an_alarm_comes_right_behind_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    check = InvarianceCheck(
        Precision.INT8, "onnxruntime/cpu", "batch 64, shuffled", 64, 64, 1.5, 3, 0.1
    )
    print_report(replace(report(TARGETS), invariance=(check,)), [])
    lines = capsys.readouterr().out.splitlines()
    verdict = next(i for i, line in enumerate(lines) if line.startswith("Shown to lose less"))
    assert lines[verdict + 1].startswith("ALARM: INT8 depends on the other faces of a batch")
    assert any(line.startswith("Batch invariance FAILS for INT8: 1 of 1") for line in lines)


def test_of_many_changes_the_most_important_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("ece", "nll", "macro_f1", "accuracy", "drop_pp", "mean_class_accuracy", "agreement")
    figures = [Change(f"candidates.int8.{name}", 0.5, 0.25, Kind.SHARE) for name in names]
    comparison = Comparison("old.json", "2029", tuple(figures), (), ())
    print_report(report(TARGETS), [], comparison)
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Since old.json of 2029"))
    assert [line.split(":")[0].strip() for line in lines[first + 1 : first + 4]] == [
        "INT8 drop, pp",
        "INT8 accuracy",
        "INT8 agreement",
    ]
    assert lines[first + 6].strip() == "and 2 more"


def test_published_figures_are_printed_for_the_set_that_they_belong_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = report(TARGETS)
    counts = (300, 300, 0, 0, 0, 0, 0)
    data = replace(found.data, name="sfew", class_counts=counts)
    seven = replace(found, labels=RAFDB, data=data)
    print_report(found, [])
    assert "Published" not in capsys.readouterr().out
    print_report(seven, [])
    assert "Published, paper protocol: ResNet-18 + ARM 58.71 %;" in capsys.readouterr().out
