from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_yunet import write_tiny_yunet

from edge_arm.runtime.detection.detection_config import DetectionConfig
from edge_arm.runtime.detection.detector_choice import detector_factory
from edge_arm.runtime.detection.haar import default_cascade
from edge_arm.runtime.errors import UsageError


def test_the_cascade_of_opencv_is_the_default() -> None:
    assert detector_factory()().name == "haar"
    assert detector_factory(DetectionConfig("haar"))().name == "haar"


def test_a_file_is_taken_by_its_ending(tmp_path: Path) -> None:
    yunet = write_tiny_yunet(tmp_path / "Gesichter äöü 顔.onnx")
    assert detector_factory(DetectionConfig(str(yunet)))().name == "yunet"
    assert detector_factory(DetectionConfig(str(default_cascade())))().name == "haar"


def test_each_thread_has_a_detector_of_its_own() -> None:
    factory = detector_factory()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: factory(), range(8)))
    assert len({id(detector) for detector in made}) == 8


def test_a_file_that_cannot_find_faces_is_refused_before_any_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(UsageError, match="to find faces with"):
        detector_factory(DetectionConfig(str(tmp_path / "x.onnx")))


@pytest.mark.parametrize("word", ["mtcnn", "YUNET.ONNX"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(
        UsageError, match=rf"got '{word}' as the detector, expected 'haar', a YuNet"
    ):
        detector_factory(DetectionConfig(word))
