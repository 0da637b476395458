"""The statistics of paired predictions, each with its formula and its source."""

from edge_arm.runtime.statistics.agreement import Agreement, compare_answers, top_margins
from edge_arm.runtime.statistics.bootstrap import MacroDrop, macro_drop
from edge_arm.runtime.statistics.calibration_error import (
    ConfidenceQuality,
    ReliabilityBin,
    confidence_quality,
    softmax,
)
from edge_arm.runtime.statistics.classes import (
    ClassComparison,
    ClassDrop,
    ClassRules,
    compare_classes,
    verdict_over_classes,
)
from edge_arm.runtime.statistics.interval import Interval, IntervalMethod
from edge_arm.runtime.statistics.macro import MacroScores, confusion_matrix, macro_scores
from edge_arm.runtime.statistics.multiplicity import holm_adjusted
from edge_arm.runtime.statistics.noninferiority import (
    drop_interval,
    inferiority_p,
    noninferiority_p,
)
from edge_arm.runtime.statistics.paired import PairedCounts, mcnemar_exact_p, paired_counts
from edge_arm.runtime.statistics.power import faces_needed, minimum_detectable_drop
from edge_arm.runtime.statistics.proportion import wilson_interval
from edge_arm.runtime.statistics.temperature import TemperatureFit, fit_temperature
from edge_arm.runtime.statistics.verdict import Gate, Verdict, verdict_from_interval

__all__ = [
    "Agreement",
    "ClassComparison",
    "ClassDrop",
    "ClassRules",
    "ConfidenceQuality",
    "Gate",
    "Interval",
    "IntervalMethod",
    "MacroDrop",
    "MacroScores",
    "PairedCounts",
    "ReliabilityBin",
    "TemperatureFit",
    "Verdict",
    "compare_answers",
    "compare_classes",
    "confidence_quality",
    "confusion_matrix",
    "drop_interval",
    "faces_needed",
    "fit_temperature",
    "holm_adjusted",
    "inferiority_p",
    "macro_drop",
    "macro_scores",
    "mcnemar_exact_p",
    "minimum_detectable_drop",
    "noninferiority_p",
    "paired_counts",
    "softmax",
    "top_margins",
    "verdict_from_interval",
    "verdict_over_classes",
    "wilson_interval",
]
