from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import benchmark_results
import pytest

from edge_arm.runtime.benchmark.plot import benchmark_svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> ET.Element:
    return ET.fromstring(benchmark_svg(benchmark_results.benchmark()))


def test_the_picture_says_in_words_what_it_shows() -> None:
    words = drawn().findtext(f"{SVG}desc") or ""
    # 98 calls of 2 ms, 3 and 50: the mean is 2.49 ms, and 1,000 / 2.49 is 402.
    assert "TensorRT INT8, batch 1: median 2 ms, from 2 to 3 ms, 402 faces per second." in words
    assert "ONNX Runtime FP32, batch 8: median 80 ms, from 80 to 80 ms, 100 faces" in words


def test_medians_and_bars_are_as_long_as_their_figures() -> None:
    root = drawn()
    medians = [
        float(line.attrib["x1"])
        for line in root.iter(f"{SVG}line")
        if line.get("class") == "median"
    ]
    zero = [
        float(line.attrib["x1"]) for line in root.iter(f"{SVG}line") if line.get("class") == "grid"
    ][0]
    lengths = [x - zero for x in medians]
    # Two panels: 10 and 2 ms at batch 1, 80 and 8 ms at batch 8, each on an axis of its own.
    assert lengths[0] / lengths[1] == pytest.approx(10 / 2, rel=0.01)
    assert lengths[2] / lengths[3] == pytest.approx(80 / 8, rel=0.01)
    bars = [
        float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if bar.get("class") == "bar"
    ]
    assert bars[1] / bars[0] == pytest.approx(402 / 100, rel=0.01)


def test_a_long_tail_is_cut_off_and_said() -> None:
    result = benchmark_results.benchmark()
    tail = benchmark_results.batch(1, *[1.0] * 90, *[500.0] * 10)
    models = tuple(replace(model, batches=(tail,)) for model in result.models)
    root = ET.fromstring(benchmark_svg(replace(result, models=models)))
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert texts.count("1 (500)") == 2
    ends = [float(line.attrib["x2"]) for line in root.iter(f"{SVG}line")]
    assert max(ends) <= 620


def test_names_are_escaped_and_nothing_is_loaded_from_elsewhere() -> None:
    result = benchmark_results.benchmark()
    marked = replace(result, machine=replace(result.machine, board="<script>&"))
    text = benchmark_svg(marked)
    assert "<script>" not in text
    assert re.findall(r"(?:href|src|url)\W", text) == []
    ET.fromstring(text)
