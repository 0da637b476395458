from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search.mixed import MixedPrecision, Outcome, Point
from edge_arm.calibration.search.page import page_from_search, write_search_page
from edge_arm.calibration.search.plots import pareto_plot, sensitivity_plot
from edge_arm.calibration.search.record import search_to_json
from edge_arm.calibration.search.search import SearchConfig, SearchFaces, SearchResult
from edge_arm.calibration.search.sensitivity import Effect, LayerSensitivity, Sensitivity
from edge_arm.calibration.search.words import cost_sentence, goal_sentence, kl_text
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.statistics import Gate, PairedCounts, Verdict, drop_interval

GATE = Gate(0.01)


def point(*in_float: str, lost: int, verdict: Verdict) -> Point:
    counts = PairedCounts(1000, 1000 - lost, lost, 0, 0)
    interval = drop_interval(counts)
    return Point(in_float, 1 + 0.1 * len(in_float), lost, lost / 1e4, counts, interval, verdict)


ALL_INT8 = point(lost=30, verdict=Verdict.FAIL)
ONE = point("/a<b", lost=8, verdict=Verdict.CANNOT_TELL)
TWO = point("/a<b", "/c", lost=2, verdict=Verdict.PASS)
MET = MixedPrecision(
    Outcome.MET, GATE, 1000, ("/a<b", "/c"), (ALL_INT8, ONE, TWO), None, 0.0037, None
)


def layer(name: str, alone: float, without: float) -> LayerSensitivity:
    return LayerSensitivity(name, Effect(3, alone), Effect(5, without))


FOUND = Sensitivity(
    256,
    Effect(7, 2e-4),
    (layer("/a<b", 1e-4, 0.5e-4), layer("/c", 5e-5, 2.2e-4)),
    fp32_passes=25.2,
    seconds=61.0,
)
FACES = FaceIndex("rafdb", Split.TRAIN, RAFDB, (FaceSample("x.jpg", Path("x.jpg"), 0),))
RESULT = SearchResult(
    plan=QuantPlan((), (), {}),
    sensitivity=FOUND,
    latency={"/a<b": 1.04, "/c": 1.05},
    mixed=MET,
    faces=SearchFaces(FACES, FACES),
    config=SearchConfig(gate=GATE, seed=4),
)


def test_a_goal_that_is_met_names_the_layers_and_what_they_cost():
    assert goal_sentence(MET) == (
        "Goal met: with 2 layers in FP16 (/a<b and /c) the drop stays below 1 pp on 1,000 faces "
        "held out from calibration (drop +0.20 pp, 95 % interval "
        f"{100 * TWO.interval.low:+.2f} to {100 * TWO.interval.high:+.2f}, 2 faces with another "
        "answer), in an estimated 1.20 times the time of all in int8."
    )


def test_an_undecided_int8_is_said_when_layers_were_kept_in_float():
    undecided = replace(ALL_INT8, verdict=Verdict.CANNOT_TELL)
    sentence = goal_sentence(replace(MET, points=(undecided, ONE, TWO)))
    assert "With all layers in int8 these faces cannot tell (drop +3.00 pp" in sentence
    assert sentence.endswith("more faces might do without FP16.")


def test_a_goal_that_int8_meets_says_that_nothing_is_in_float():
    fine = point(lost=0, verdict=Verdict.PASS)
    sentence = goal_sentence(replace(MET, chosen=(), points=(fine,)))
    assert sentence.startswith("Goal met: with all layers in int8 the drop stays below 1 pp")


def test_a_goal_out_of_reach_says_what_even_fp16_does():
    half = point("/a<b", "/c", lost=9, verdict=Verdict.CANNOT_TELL)
    beyond = replace(
        MET,
        outcome=Outcome.OUT_OF_REACH,
        chosen=(),
        points=(ALL_INT8,),
        half=half,
        faces_needed=5200,
    )
    sentence = goal_sentence(beyond)
    assert sentence.startswith("Goal cannot be met: even with everything in FP16 it is not shown")
    assert "(drop +0.90 pp" in sentence
    assert sentence.endswith("About 5,200 faces could tell. All layers stay in int8.")
    without = goal_sentence(replace(beyond, half=None, faces_needed=None))
    assert "even with all layers in float" in without


def test_a_goal_that_cannot_be_certified_says_what_could_be():
    few = replace(
        MET,
        outcome=Outcome.TOO_FEW_FACES,
        chosen=(),
        points=(ALL_INT8,),
        num_faces=100,
        certifiable_drop=0.0362,
        faces_needed=368,
    )
    sentence = goal_sentence(few)
    assert sentence.startswith(
        "Goal cannot be certified: 100 faces can certify no drop below 3.62 pp, however good the "
        "model, and 1 pp was asked for: at least 368 would do;"
    )
    assert "All layers stay in int8: drop +3.00 pp" in sentence


def test_the_cost_is_said_in_fp32_runs():
    assert cost_sentence(RESULT).startswith(
        "Measured on 256 faces held out from calibration in 61 s, as long as 25 FP32 runs of them."
    )


@pytest.mark.parametrize(
    ("value", "words"), [(1.31e-4, "0.131"), (-2e-6, "-0.002"), (-1e-9, "0.000")]
)
def test_a_divergence_is_in_thousandths_of_a_nat(value: float, words: str):
    assert kl_text(value) == words


def test_the_bars_are_as_long_as_their_figures():
    svg = ElementTree.fromstring(sensitivity_plot(FOUND))
    widths = [float(item.get("width", "")) for item in svg.iter("rect")]
    # alone 0.1 and 0.05, won 0.15 and (below zero) 0.02, in thousandths of a nat
    assert widths == pytest.approx([w / 0.15 * widths[1] for w in (0.1, 0.15, 0.05, 0.02)], abs=0.2)
    words = svg.findtext("desc")
    assert words is not None
    assert "/c: alone in int8 0.050, wins -0.020 alone in float." in words


def test_layers_that_cost_nothing_can_be_drawn():
    nothing = replace(FOUND, together=Effect(0, 0.0), layers=(layer("/c", 0.0, 0.0),))
    assert [
        item.get("width") for item in ElementTree.fromstring(sensitivity_plot(nothing)).iter("rect")
    ] == ["0.0", "0.0"]


def test_candidates_are_drawn_from_low_to_high_drop_with_their_limit():
    svg = ElementTree.fromstring(pareto_plot(replace(MET, half=TWO)))
    words = svg.findtext("desc")
    assert words is not None
    assert "1 layer in FP16, time 1.10: drop +0.80 pp" in words
    assert words.endswith("The limit is 1 pp.")
    heights = {
        item.text: float(item.get("y", ""))
        for item in svg.iter("text")
        if item.get("class") == "label"
    }
    assert heights["0"] < heights["1"] < heights["2"]  # up is worse
    assert heights["all"] == heights["2"]


def test_the_page_stands_alone_and_escapes_names(tmp_path: Path):
    write_search_page(RESULT, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<strong>Goal met</strong>" in page
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert not re.search(r"<script|https?://|src=", page)


def test_the_page_without_a_goal_has_the_layers_alone():
    page = page_from_search(replace(RESULT, mixed=None))
    assert 'id="layers"' in page
    assert 'id="goal"' not in page
    assert "verdict" not in page[page.index("<body>") :]


def test_the_record_says_everything_but_the_time():
    value = search_to_json(RESULT)
    assert value["seed"] == 4
    assert value["together"] == {"flips": 7, "mean_kl": 2e-4}
    assert value["layers"][0] == {
        "layer": "/a<b",
        "alone_in_int8": {"flips": 3, "mean_kl": 1e-4},
        "alone_in_float": {"flips": 5, "mean_kl": 0.5e-4},
        "kl_gain": pytest.approx(1.5e-4),
        "estimated_latency_in_fp16": 1.04,
    }
    goal = value["goal"]
    assert (goal["max_drop_pp"], goal["outcome"]) == (1.0, "met")
    assert goal["layers_in_fp16"] == ["/a<b", "/c"]
    assert [item["verdict"] for item in goal["candidates"]] == ["fail", "cannot_tell", "pass"]
    assert goal["candidates"][2]["drop_pp"] == pytest.approx(0.2)
    assert goal["everything_in_fp16"] is None
    assert "seconds" not in str(value)
    assert search_to_json(replace(RESULT, mixed=None))["goal"] is None
