from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_arm.calibration.copies import copies_of, require_untested
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex, Split

MakeIndex = Callable[..., FaceIndex]


def two_splits(face_index: MakeIndex) -> tuple[FaceIndex, FaceIndex]:
    faces = face_index((4, 4, 4, 4, 4, 4, 4))
    test = faces.subset(range(14, 28))
    return faces.subset(range(14)), replace(test, split=Split.TEST)


def test_faces_with_the_same_bytes_are_found_under_any_name(face_index: MakeIndex):
    train, test = two_splits(face_index)
    assert copies_of(train, test.samples) == {}
    test.samples[3].path.write_bytes(train.samples[5].path.read_bytes())
    assert copies_of(train, test.samples) == {"train_00017.png": "train_00005.png"}


def test_a_file_of_the_same_size_with_other_bytes_is_no_copy(face_index: MakeIndex):
    train, test = two_splits(face_index)
    content = train.samples[5].path.read_bytes()
    test.samples[3].path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert copies_of(train, test.samples) == {}


def test_calibration_faces_in_the_test_split_are_refused_by_name(face_index: MakeIndex):
    train, test = two_splits(face_index)
    require_untested(train, test)
    for at in range(4):
        test.samples[at].path.write_bytes(train.samples[at].path.read_bytes())
    with pytest.raises(
        DataError,
        match=r"4 of the 14 calibration faces are in the test split of 'rafdb' too: "
        r"'train_00000.png' \(there 'train_00014.png'\), .* and 1 more, expected no picture in",
    ):
        require_untested(train, test)


def test_a_face_that_is_gone_is_named(face_index: MakeIndex):
    train, test = two_splits(face_index)
    test.samples[2].path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*train_00016.png.*restore the file"):
        copies_of(train, test.samples)
