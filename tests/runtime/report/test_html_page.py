"""The page holds together by itself, says what it shows in words, and escapes what it is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.html_page import html_from_report, write_html_report
from edge_arm.runtime.report.plot_reliability import reliability_curves, reliability_plot
from edge_arm.runtime.report.plot_speed import speed_plot
from edge_arm.runtime.report.plots import (
    class_drop_plot,
    drop_plot,
    slice_drop_plot,
    source_drop_plot,
)
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.svg import ticks
from edge_arm.runtime.report.text import verdict_sentence

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision
TARGETS = [0] * 40 + [1] * 40
ANSWERS = {FP32: TARGETS, FP16: TARGETS, INT8: [*TARGETS[:-3], 0, 0, 2]}
VOID = {"meta", "link", "br", "img"}


class Balance(HTMLParser):
    """Checks that tags close in the order in which they open, and collects attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize(
    ("answers", "max_drop_pp"),
    [
        ({FP32: TARGETS}, None),
        (ANSWERS, None),
        (ANSWERS, 1.0),
        ({FP32: TARGETS, INT8: TARGETS}, 50.0),
        ({FP32: [0], INT8: [1]}, 1.0),
    ],
    ids=["fp32 alone", "no gate", "fail or cannot tell", "pass", "one face"],
)
def test_every_report_makes_a_whole_page(
    report_from_answers: Make,
    answers: dict[Precision, list[int]],
    max_drop_pp: float | None,
) -> None:
    targets = TARGETS[: len(answers[FP32])]
    report = report_from_answers(targets, answers, max_drop_pp)
    text = " ".join(parsed(html_from_report(report)).words).replace("\N{NO-BREAK SPACE}", " ")
    assert verdict_sentence(report) in text
    assert "What this does not say" in text


def test_the_page_opens_with_the_verdict(report_from_answers: Make) -> None:
    page = html_from_report(report_from_answers(TARGETS, ANSWERS, 1.0))
    assert page.index('class="verdict cannot_tell"') < page.index("<h2>")
    assert "<strong>Cannot tell</strong>" in page


def test_nothing_is_fetched_and_nothing_runs(report_from_answers: Make) -> None:
    page = html_from_report(report_from_answers(TARGETS, ANSWERS, 1.0))
    parser = parsed(page)
    assert not {"script", "img", "iframe", "object", "image", "foreignobject"} & set(parser.tags)
    assert "url(" not in page and "@import" not in page
    links = {str(value) for name, value in parser.attributes if name in ("href", "src")}
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    assert "default-src 'none'" in page


def test_names_from_outside_are_escaped(report_from_answers: Make) -> None:
    name = "<script>alert('x')</script> & co"
    page = html_from_report(report_from_answers(TARGETS, ANSWERS, None, name))
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; co" in page


def test_every_plot_has_a_title_and_words(whole_report: Make) -> None:
    report = whole_report()
    for plot in (
        drop_plot(report),
        class_drop_plot(report),
        slice_drop_plot(report),
        source_drop_plot(report),
        speed_plot(report),
        reliability_plot("plot-reliability", reliability_curves(report, 1)),
    ):
        element = ElementTree.fromstring(plot)
        assert element.get("role") == "img"
        named = [element.find("title"), element.find("desc")]
        ids = [item.get("id") for item in named if item is not None and item.text]
        assert element.get("aria-labelledby") == " ".join(str(item) for item in ids)
        assert len(ids) == 2


def test_the_words_of_the_drop_plot_give_its_figures(report_from_answers: Make) -> None:
    words = ElementTree.fromstring(drop_plot(report_from_answers(TARGETS, ANSWERS, 1.0)))
    description = words.findtext("desc") or ""
    assert "INT8: +3.75 pp (" in description
    assert description.endswith("The limit is 1 pp.")


def test_a_point_lies_between_the_ends_of_its_interval(report_from_answers: Make) -> None:
    plot = ElementTree.fromstring(drop_plot(report_from_answers(TARGETS, ANSWERS, 1.0)))
    (circle,) = [item for item in plot.iter("circle")]
    group = next(item for item in plot.iter("g") if item.find("circle") is not None)
    line = group.find("line")
    assert line is not None
    assert float(line.attrib["x1"]) < float(circle.attrib["cx"]) < float(line.attrib["x2"])


def test_the_limit_is_drawn_only_where_there_is_one(report_from_answers: Make) -> None:
    assert 'class="margin"' in drop_plot(report_from_answers(TARGETS, ANSWERS, 1.0))
    assert 'class="margin"' not in drop_plot(report_from_answers(TARGETS, ANSWERS))


def test_a_class_without_faces_is_said_to_have_none(report_from_answers: Make) -> None:
    report = report_from_answers(TARGETS, ANSWERS)
    assert "neutral, no face" in class_drop_plot(report)
    assert "nothing known" in html_from_report(report)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 1.0, (-1.0, -0.5, 0.0, 0.5, 1.0)),
        (-0.3, 1.7, (0.0, 0.5, 1.0, 1.5)),
        (-0.05, 0.09, (-0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08)),
        (-100.0, 100.0, (-100.0, -50.0, 0.0, 50.0, 100.0)),
    ],
)
def test_ticks_are_round_and_at_most_nine(
    low: float, high: float, expected: tuple[float, ...]
) -> None:
    assert ticks(low, high) == pytest.approx(expected, abs=1e-12)  # sums of decimal fractions


def test_the_page_is_written_whole(report_from_answers: Make, tmp_path: Path) -> None:
    report = report_from_answers(TARGETS, ANSWERS)
    path = tmp_path / "report.html"
    write_html_report(report, path)
    assert path.read_text(encoding="utf-8") == html_from_report(report)
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_no_two_things_on_the_page_have_one_id(whole_report: Make) -> None:
    parser = parsed(html_from_report(whole_report()))
    ids = [value for name, value in parser.attributes if name == "id"]
    assert len(ids) > 25
    assert len(ids) == len(set(ids))
    links = {str(value)[1:] for name, value in parser.attributes if name == "href"} - {"ata:,"}
    assert links <= set(ids)


def test_sections_come_in_the_order_of_reading(whole_report: Make) -> None:
    page = html_from_report(whole_report())
    places = [
        page.index(f'<section id="{name}">')
        for name in (
            "precisions",
            "emotions",
            "slices",
            "flips",
            "confusions",
            "confidence",
            "sources",
            "baselines",
            "invariance",
            "leaks",
            "speed",
            "provenance",
            "limits",
        )
    ]
    assert places == sorted(places)
    assert page.count("<section ") == len(places)


def test_a_point_of_the_reliability_plot_is_where_confidence_and_truth_are(
    whole_report: Make,
) -> None:
    report = whole_report()
    curve = reliability_curves(report, 1)[0]
    plot = ElementTree.fromstring(reliability_plot("plot", [curve]))
    bins = [item for item in curve.quality.bins if item.num_faces]
    circles = list(plot.iter("circle"))
    assert len(circles) == len(bins)
    axis = {(item.text, item.get("text-anchor")): item for item in plot.iter("text")}
    left = float(axis[("0", "middle")].attrib["x"])
    right = float(axis[("100", "middle")].attrib["x"])
    # The baseline of the axis' figures lies four units below their tick.
    bottom = float(axis[("0", "end")].attrib["y"]) - 4
    top = float(axis[("100", "end")].attrib["y"]) - 4
    for circle, item in zip(circles, bins, strict=True):
        assert item.mean_confidence is not None and item.accuracy is not None
        x = left + item.mean_confidence * (right - left)
        y = bottom + item.accuracy * (top - bottom)
        # Coordinates are written with one decimal.
        assert float(circle.attrib["cx"]) == pytest.approx(x, abs=0.051)
        assert float(circle.attrib["cy"]) == pytest.approx(y, abs=0.051)


def test_before_after_and_tempered_are_three_curves(whole_report: Make) -> None:
    curves = reliability_curves(whole_report(), 1)
    assert [curve.name for curve in curves] == ["FP32", "INT8", "INT8 tempered"]
    assert len({curve.series for curve in curves}) == 3


def test_fp32_alone_has_a_reliability_plot_too(report_from_answers: Make) -> None:
    report = report_from_answers(TARGETS, {FP32: TARGETS})
    assert [curve.name for curve in reliability_curves(report, -1)] == ["FP32"]
    assert "plot-reliability-fp32-title" in html_from_report(report)


def test_bars_of_size_and_speed_are_in_proportion(whole_report: Make) -> None:
    report = whole_report()
    bars = [
        float(item.attrib["width"])
        for item in ElementTree.fromstring(speed_plot(report)).iter("rect")
    ]
    sizes, rates = bars[:3], bars[3:]
    assert sizes == [pytest.approx(sizes[0])] * 3  # all files have 5 MB here
    # The models took 20, 21 and 33 seconds.
    assert rates == pytest.approx([rates[0], rates[0] * 20 / 21, rates[0] * 20 / 33], abs=0.1)


def test_a_group_of_too_few_people_is_drawn_faint(whole_report: Make) -> None:
    plot = ElementTree.fromstring(slice_drop_plot(whole_report()))
    faint = [item for item in plot.iter("g") if "faint" in str(item.get("class"))]
    assert len(faint) == 2  # 67 people of 70 or more, in each precision
    # No answer of the 67 changed in its being right, so the limit is near 1 - 0.025 ** (1 / 67),
    # which is 5.36 %; the exact method gives away 0.001 % of its error for the nuisance parameter.
    assert "age 70+ INT8: 0.00 pp (-5.36 to +5.36), too few faces to tell." in str(
        plot.findtext("desc")
    )


def test_an_interval_of_too_few_faces_does_not_press_the_others_together(
    report_from_answers: Make,
) -> None:
    targets = [0] * 2000 + [1] * 2000 + [2] * 3
    report = report_from_answers(targets, {FP32: targets, INT8: [1, *targets[1:]]})
    plot = ElementTree.fromstring(class_drop_plot(report))
    firm: list[tuple[float, float, int]] = []
    faint: list[tuple[float, float, int]] = []
    for group in plot.iter("g"):
        lines = [item.attrib for item in group.iter("line")]
        found = float(lines[0]["x1"]), float(lines[0]["x2"]), len(lines)
        (faint if "faint" in group.attrib["class"] else firm).append(found)
    # Three faces leave anything from -71 to +71 points open, two thousand about +-0.2.
    assert all(end - start > 0.2 * (386 - 14) for start, end, _ in firm)
    # Cut off on both sides, so it has no bars at its ends; the words have them.
    assert faint == [(14.0, 386.0, 1)]
    assert re.search(
        r"neutral INT8: 0.00 pp \(-7\d\.\d+ to \+7\d\.\d+\), too few", plot[1].text or ""
    )
