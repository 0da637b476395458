"""The fewest layers in FP16 with which a gate on the drop in accuracy passes.

1. The order is that of the sensitivity: the layer whose stay in float wins most comes first.
2. The first 0, 1, 2, 4, 8, ... layers of it are tried until the gate passes, then the numbers in
   between by halving: about six candidates for 20 layers instead of twenty.
3. Each chosen layer, the least sensitive first, goes back to int8 if the gate passes without it,
   because layers make up for one another and the order does not know it.
4. A candidate is judged by running its whole graph over all the faces.

It is a greedy search: no smaller *part* of what it finds passes, one layer taken out; another set
of the same size or smaller may. All candidates are judged on the same faces, each PASS with the
error of its own gate, so the proof is `edge-arm measure` on the test split, which nobody chose on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from edge_arm.runtime.statistics import (
    Gate,
    Interval,
    PairedCounts,
    Verdict,
    drop_interval,
    faces_needed,
)


class Outcome(Enum):
    """How the search ended; the value is what the JSON holds."""

    MET = "met"
    OUT_OF_REACH = "out_of_reach"
    TOO_FEW_FACES = "too_few_faces"


@dataclass(frozen=True)
class Point:
    """One candidate on the gate's faces, against FP32.

    Attributes:
        in_float: layers in FP16, in graph order.
        latency: estimated, by that of all layers in int8; see `cost.relative_latency`.
        flips: faces with another answer than FP32's.
        mean_kl: mean of KL(FP32 || candidate), nats.
        counts: who is right where.
        interval: of the drop, as a fraction.
        verdict: by the gate.
    """

    in_float: tuple[str, ...]
    latency: float
    flips: int
    mean_kl: float
    counts: PairedCounts
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True)
class MixedPrecision:
    """What the search came to.

    Attributes:
        outcome: how it ended.
        gate: that was asked for.
        num_faces: that judged.
        chosen: layers to keep in FP16, in graph order; none unless the goal was met.
        points: every candidate that ran, fewest layers in float first.
        half: everything in FP16, where it ran.
        certifiable_drop: the smallest drop that so many faces could certify at all.
        faces_needed: how many could decide, as far as can be told; None where that is not the
            trouble or cannot be told.
    """

    outcome: Outcome
    gate: Gate
    num_faces: int
    chosen: tuple[str, ...]
    points: tuple[Point, ...]
    half: Point | None
    certifiable_drop: float
    faces_needed: int | None

    @property
    def all_int8(self) -> Point:
        """The candidate with nothing kept in float."""
        return next(point for point in self.points if not point.in_float)

    @property
    def final(self) -> Point:
        """The candidate that was chosen, or the one with nothing in float."""
        return next(point for point in self.points if point.in_float == self.chosen)


Judge = Callable[[Sequence[str]], Point]


def fewest_in_float(
    order: Sequence[str], judge: Judge, gate: Gate, *, half: Callable[[], Point] | None = None
) -> MixedPrecision:
    """Search.

    Args:
        order: all layers, the most sensitive first.
        judge: runs the candidate with these layers in float.
        gate: to pass.
        half: runs the model with everything in FP16, if there is one; asked only when INT8 alone
            does not pass.
    """
    seen: dict[frozenset[str], Point] = {}

    def point(layers: Sequence[str]) -> Point:
        key = frozenset(layers)
        if key not in seen:
            seen[key] = judge(layers)
        return seen[key]

    def passes(layers: Sequence[str]) -> bool:
        return point(layers).verdict is Verdict.PASS

    first = point(())
    num_faces = first.counts.num_faces
    certifiable = certifiable_drop(num_faces, gate.confidence)
    top: Point | None = None
    outcome, needed = Outcome.MET, None
    start: Sequence[str] = ()
    chosen: Sequence[str] = ()
    if not passes(()):
        if certifiable >= gate.max_drop:
            outcome, needed = Outcome.TOO_FEW_FACES, least_faces(gate)
        else:
            top = None if half is None else half()
            if passes(order) if top is None else top.verdict is Verdict.PASS:
                start = _shortest_start(order, passes)
            if start and passes(start):
                chosen = _pruned(start, passes)
            else:
                outcome = Outcome.OUT_OF_REACH
                undecided = top or point(order)
                if undecided.verdict is Verdict.CANNOT_TELL:
                    needed = faces_needed(
                        undecided.counts, gate.max_drop, confidence=gate.confidence
                    )
    points = sorted(seen.values(), key=lambda item: (len(item.in_float), item.latency))
    return MixedPrecision(
        outcome=outcome,
        gate=gate,
        num_faces=num_faces,
        chosen=point(chosen).in_float,
        points=tuple(points),
        half=top,
        certifiable_drop=certifiable,
        faces_needed=needed,
    )


def _shortest_start(order: Sequence[str], passes: Callable[[Sequence[str]], bool]) -> Sequence[str]:
    """The shortest start of the order that passes, if passing never turns back (rule 2)."""
    low, high = 0, 1  # `low` does not pass
    while high < len(order) and not passes(order[:high]):
        low, high = high, 2 * high
    high = min(high, len(order))
    while high - low > 1:
        middle = (low + high) // 2
        if passes(order[:middle]):
            high = middle
        else:
            low = middle
    return order[:high]


def _pruned(layers: Sequence[str], passes: Callable[[Sequence[str]], bool]) -> tuple[str, ...]:
    """The layers without those that the gate passes without, the least sensitive first (rule 3)."""
    kept = list(layers)
    for name in reversed(layers):
        rest = [other for other in kept if other != name]
        if rest and passes(rest):
            kept = rest
    return tuple(kept)


def certifiable_drop(num_faces: int, confidence: float) -> float:
    """The smallest drop that so many faces can certify: that of a model that loses and wins none.

    Args:
        num_faces: N, at least 1.
        confidence: of the gate.

    Returns:
        The upper limit of its interval, a fraction; a gate at or below it cannot pass.
    """
    perfect = PairedCounts(num_faces, num_faces, 0, 0, 0)
    return drop_interval(perfect, confidence=confidence).high


def least_faces(gate: Gate) -> int:
    """The fewest faces with which a model that loses and wins none passes a gate.

    Args:
        gate: with a drop above 0.
    """
    few, enough = 0, 1
    while certifiable_drop(enough, gate.confidence) >= gate.max_drop:
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        if certifiable_drop(middle, gate.confidence) < gate.max_drop:
            enough = middle
        else:
            few = middle
    return enough
