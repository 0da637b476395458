"""The learning curves: right points, whatever the epochs were like."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_arm.runtime.errors import StorageError
from edge_arm.training.learning_curves import curves_path, curves_svg, learning_curves
from edge_arm.training.metrics_log import metrics_log
from edge_arm.training.observer import EpochMetrics, Plan

SVG = "{http://www.w3.org/2000/svg}"
FRESH = Plan(epochs=4, faces_per_epoch=10, epochs_done=0, faces_done=0)


def _epoch(
    number: int, losses: tuple[float, float], accuracy: float, *, best: bool = False
) -> EpochMetrics:
    return EpochMetrics(
        epoch=number,
        epochs=4,
        faces=10,
        train_loss=losses[0],
        validation_loss=losses[1],
        validation_accuracy=accuracy,
        is_best=best,
        learning_rate=1e-3,
        seconds=1.0,
        waited_seconds=0.0,
        validation_seconds=0.1,
        peak_memory_bytes=1,
    )


THREE = [
    _epoch(1, (2.0, 1.8), 0.25, best=True),
    _epoch(2, (1.0, 0.9), 0.75, best=True),
    _epoch(3, (0.5, 1.2), 0.5),
]


def _points(svg: str, number: int) -> list[tuple[float, float]]:
    polyline = ElementTree.fromstring(svg).findall(f"{SVG}polyline")[number]
    pairs = [pair.split(",") for pair in polyline.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_points_stand_where_their_values_are() -> None:
    svg = curves_svg(THREE)
    training, validation, accuracy = (_points(svg, number) for number in range(3))
    assert [x for x, _ in training] == pytest.approx([56, 333, 610])
    # Loss: 2.0, the highest of the six, is at the panel's top of 64; zero at its bottom of 262.
    assert [y for _, y in training] == pytest.approx([64, 163, 212.5], abs=0.06)
    assert validation[1][1] == pytest.approx(262 - 0.45 * 198, abs=0.06)
    # Accuracy: 0 % at 520, 100 % at 322.
    assert [y for _, y in accuracy] == pytest.approx([470.5, 371.5, 421], abs=0.06)


def test_the_picture_says_in_words_what_it_shows() -> None:
    root = ElementTree.fromstring(curves_svg(THREE))
    words = root.findtext(f"{SVG}desc")
    assert words is not None
    assert words.startswith("After 3 of 4 epochs: training loss 0.500, validation loss 1.200")
    assert words.endswith("Best: epoch 2, 75.0%.")


def test_one_wild_first_epoch_does_not_press_the_rest_flat() -> None:
    wild = [_epoch(1, (90.0, 40.0), 0.1, best=True), *THREE[1:]]
    training = _points(curves_svg(wild), 0)
    # Half of the six values are below 1.1; six medians are 6.6.
    assert training[0][1] == pytest.approx(64)
    assert training[1][1] == pytest.approx(262 - 198 / 6.6, abs=0.06)


@pytest.mark.parametrize("count", [1, 2, 70, 1000])
def test_any_number_of_epochs_gives_few_ticks_inside_the_picture(count: int) -> None:
    epochs = [
        _epoch(number, (3 / number, 2 / number), 0.5, best=number == 1)
        for number in range(1, count + 1)
    ]
    root = ElementTree.fromstring(curves_svg(epochs))
    ticks = [text for text in root.findall(f"{SVG}text") if text.attrib["class"] == "tick"]
    assert 4 <= len(ticks) <= 50
    assert all(0 <= float(text.attrib["x"]) <= 640 for text in ticks)


def test_losses_of_zero_can_be_drawn() -> None:
    points = _points(curves_svg([_epoch(1, (0.0, 0.0), 1.0, best=True)]), 0)
    assert points == [(56.0, 262.0)]


def test_the_picture_grows_with_every_epoch_and_a_new_training_begins_without_one(
    tmp_path: Path,
) -> None:
    out = curves_path(tmp_path / "checkpoint.safetensors")
    assert out.name == "checkpoint.curves.svg"
    log = metrics_log(tmp_path / "m.jsonl")
    curves = learning_curves(tmp_path / "m.jsonl", out)
    for number, metrics in enumerate(THREE, start=1):
        if number == 1:
            log.on_begin(FRESH)
            curves.on_begin(FRESH)
        log.on_epoch(metrics)
        curves.on_epoch(metrics)
        assert len(_points(out.read_text(), 0)) == number
    again = replace(FRESH, epochs_done=3, faces_done=30)
    learning_curves(tmp_path / "m.jsonl", out).on_begin(again)
    assert out.exists(), "of the same training"
    learning_curves(tmp_path / "m.jsonl", out).on_begin(FRESH)
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    log = metrics_log(tmp_path / "m.jsonl")
    log.on_begin(FRESH)
    log.on_epoch(THREE[0])
    (tmp_path / "c.svg").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*c\.svg"):
        learning_curves(tmp_path / "m.jsonl", tmp_path / "c.svg").on_epoch(THREE[0])


def test_every_class_that_is_used_has_a_style() -> None:
    svg = curves_svg(THREE)
    used = set(re.findall(r'class="(\w+)"', svg)) - {"label"}
    assert used == set(re.findall(r"\.(\w+) \{", svg))
