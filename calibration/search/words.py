"""What the search came to, in sentences: the same in the terminal and on the page."""

from __future__ import annotations

from edge_arm.calibration.search.mixed import MixedPrecision, Outcome, Point
from edge_arm.calibration.search.search import SearchResult
from edge_arm.runtime.report.text import (
    confidence_text,
    faces_text,
    limits_pp,
    names_text,
    signed_pp,
)
from edge_arm.runtime.statistics import Verdict

PROOF = (
    "Chosen on training faces, which the model has learned from: run 'edge-arm measure' for the "
    "drop on test faces."
)
LATENCY = (
    "Time is an estimate from multiply-adds and bytes moved, by that of all layers in int8; build "
    "an engine for a real one."
)


def goal_sentence(mixed: MixedPrecision) -> str:
    """Whether the goal was met, and by what."""
    limit = f"{100 * mixed.gate.max_drop:g} pp"
    on = f"on {faces_text(mixed.num_faces)} held out from calibration"
    final = mixed.final
    if mixed.outcome is Outcome.TOO_FEW_FACES:
        needed = "" if mixed.faces_needed is None else f" at least {mixed.faces_needed:,} would do;"
        return (
            f"Goal cannot be certified: {faces_text(mixed.num_faces)} can certify no drop below "
            f"{100 * mixed.certifiable_drop:.2f} pp, however good the model, and {limit} was asked "
            f"for:{needed} add faces, ask for fewer --images, or for a larger --max-drop. "
            f"All layers stay in int8: {_drop(final)}."
        )
    if mixed.outcome is Outcome.OUT_OF_REACH:
        most = mixed.half or max(mixed.points, key=lambda point: len(point.in_float))
        what = "everything in FP16" if mixed.half else "all layers in float"
        more = f" About {faces_text(mixed.faces_needed)} could tell." if mixed.faces_needed else ""
        return (
            f"Goal cannot be met: even with {what} it is not shown that the drop stays below "
            f"{limit} {on} ({_drop(most)}).{more} All layers stay in int8."
        )
    if not final.in_float:
        return (
            f"Goal met: with all layers in int8 the drop stays below {limit} {on} ({_drop(final)})."
        )
    count = len(final.in_float)
    undecided = (
        " With all layers in int8 these faces cannot tell"
        f" ({_drop(mixed.all_int8)}): more faces might do without FP16."
        if mixed.all_int8.verdict is Verdict.CANNOT_TELL
        else ""
    )
    return (
        f"Goal met: with {count} layer{'' if count == 1 else 's'} in FP16 "
        f"({names_text(final.in_float)}) the drop stays below {limit} {on} ({_drop(final)}), in "
        f"an estimated {final.latency:.2f} times the time of all in int8.{undecided}"
    )


def cost_sentence(result: SearchResult) -> str:
    """What the sensitivity took."""
    found = result.sensitivity
    return (
        f"Measured on {faces_text(found.num_faces)} held out from calibration in "
        f"{found.seconds:.0f} s, as long as {found.fp32_passes:.0f} FP32 runs of them. All layers "
        f"in int8: {faces_text(found.together.flips)} with another answer than FP32's, mean KL "
        f"{kl_text(found.together.mean_kl)} thousandths of a nat."
    )


def kl_text(value: float) -> str:
    """A divergence in thousandths of a nat: "0.131", "-0.002", "0.000"."""
    text = f"{1000 * value:.3f}"
    return text.removeprefix("-") if float(text) == 0.0 else text


def point_name(point: Point) -> str:
    """What is in FP16, by number."""
    count = len(point.in_float)
    return f"{count} layer{'' if count == 1 else 's'}"


def drop_text(point: Point) -> str:
    """The drop in percentage points, with its sign."""
    return signed_pp(100 * point.counts.drop)


def interval_text(point: Point) -> str:
    """The drop's interval in percentage points."""
    return limits_pp((100 * point.interval.low, 100 * point.interval.high))


def _drop(point: Point) -> str:
    return (
        f"drop {drop_text(point)} pp, {confidence_text(point.interval.confidence)} interval "
        f"{interval_text(point)}, {faces_text(point.flips)} with another answer"
    )
