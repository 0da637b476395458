"""FER2013's csv becomes picture files once, whole, and the same on every machine."""

from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from miniature_fer2013 import USAGES, grey, pixel_row, write_fer2013

from edge_arm.data.fer2013 import list_fer2013, looks_like_fer2013
from edge_arm.data.grey_png import grey_png
from edge_arm.data.pixel_csv import unpacked_faces
from edge_arm.data.registry import face_index
from edge_arm.data.training_parts import training_parts
from edge_arm.runtime.errors import DataError, StorageError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.images import read_image


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fer2013(tmp_path / "fer2013")
    return tmp_path / "fer2013"


def test_each_usage_is_a_part_and_numbers_are_read_by_name(root: Path) -> None:
    train, validation = training_parts("fer2013", root)
    test = face_index("fer2013", root, Split.TEST)
    assert [len(index) for index in (train, validation, test)] == [7, 7, 7]
    named = [test.labels.classes[sample.target] for sample in test.samples]
    # Kaggle: 0 Angry, 1 Disgust, 2 Fear, 3 Happy, 4 Sad, 5 Surprise, 6 Neutral.
    assert named == ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    assert test.samples[0].sample_id == "PrivateTest/00014.png"


def test_the_pixels_come_back_as_they_were_written(root: Path) -> None:
    index = face_index("fer2013", root, Split.TEST)
    for number, sample in enumerate(index.samples, start=14):
        image = read_image(sample.path).image_hwc
        assert np.array_equal(image, np.repeat(grey(number)[..., None], 3, axis=2))


def test_the_files_have_the_same_bytes_on_every_machine() -> None:
    # Made with Python's zlib.compress(rows, 0) inside chunks written by hand.
    content = grey_png(bytes(value % 256 for value in range(48 * 48)), 48)
    assert len(content) == 8 + 25 + 12 + 2 + 5 + 48 * 49 + 4 + 12
    expected = "37ee4f727bb84d6a5dc950d95db2e37558fb1cee353f30f2bb3c3733b39baf2f"
    assert sha256(content).hexdigest() == expected


def test_the_faces_are_unpacked_once(root: Path) -> None:
    first = unpacked_faces(root / "fer2013.csv")
    times = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.png")}
    assert len(times) == 21
    again = unpacked_faces(root / "fer2013.csv")
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.png")} == times


def test_another_csv_gets_another_folder(root: Path) -> None:
    before = unpacked_faces(root / "fer2013.csv")
    write_fer2013(root, [pixel_row(99, 3, usage) for usage in USAGES])
    after = unpacked_faces(root / "fer2013.csv")
    assert after.folder != before.folder
    assert (len(before.faces), len(after.faces)) == (21, 3)


def test_two_commands_at_the_same_time_end_with_one_whole_folder(root: Path) -> None:
    barrier, found = threading.Barrier(4), []

    def unpack() -> None:
        barrier.wait()
        found.append(unpacked_faces(root / "fer2013.csv"))

    threads = [threading.Thread(target=unpack) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert found.count(found[0]) == 4
    assert found[0].problems == ()
    assert [path.name for path in found[0].folder.parent.iterdir()] == [found[0].folder.name]


def test_a_full_disk_is_refused_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 50_000))
    with pytest.raises(StorageError, match=r"need 0 MB in 'build/faces/fer2013-.*free some space"):
        unpacked_faces(root / "fer2013.csv")
    assert not Path("build").exists()


def test_a_picture_that_is_gone_is_named_with_its_row(root: Path) -> None:
    folder = unpacked_faces(root / "fer2013.csv").folder
    (folder / "PrivateTest" / "00015.png").unlink()
    expected = (
        r"PrivateTest/00015.png' is missing, expected row 17 of '.*fer2013.csv' in it; remove"
    )
    with pytest.raises(DataError, match=expected):
        face_index("fer2013", root, Split.TEST)
    assert len(face_index("fer2013", root, Split.TRAIN)) == 7


def test_a_spoilt_list_of_unpacked_faces_is_refused(root: Path) -> None:
    folder = unpacked_faces(root / "fer2013.csv").folder
    (folder / "faces.json").write_text("{}")
    with pytest.raises(DataError, match=r"faces.json' cannot be used .*; remove 'build/faces/fer"):
        list_fer2013(root)


_PIXELS = pixel_row(0, 0, "").split(",")[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"0,{_PIXELS},Test", "row 3: got the Usage 'Test', expected one of Training, PublicTest"),
        (f"7,{_PIXELS},Training", "row 3: got the emotion '7', expected one of 0 anger, 1 disgust"),
        (f"\u0663,{_PIXELS},Training", "row 3: got the emotion '\u0663', expected one of 0 anger"),
        (f"0,{_PIXELS} 9,Training", "row 3: got 2305 pixels, expected 2304 grey values from 0 to"),
        ("0,,Training", "row 3: got 0 pixels, expected 2304 grey values"),
        (f"0,256{_PIXELS[_PIXELS.index(' ') :]},Training", "row 3: got the pixel '256', expected"),
        (
            f"0,-1{_PIXELS[_PIXELS.index(' ') :]},Training",
            "row 3: got the pixel '-1', expected 2304",
        ),
        ("0,Training", "row 3: got another number of fields than the first row has, expected"),
    ],
)
def test_a_bad_row_is_one_problem_that_names_it(root: Path, line: str, message: str) -> None:
    write_fer2013(root, [pixel_row(0, 0, "Training"), line, pixel_row(2, 1, "PrivateTest")])
    (problem,) = list_fer2013(root).problems
    assert f"fer2013.csv', {message}" in problem.text
    # The same from the unpacked copy, without another look at the csv's rows.
    assert list_fer2013(root).problems == (problem,)


def test_a_bad_row_spoils_its_own_part_only(root: Path) -> None:
    write_fer2013(root, [pixel_row(0, 0, "Training"), "0,1 2 3,PublicTest"])
    assert len(face_index("fer2013", root, Split.TRAIN)) == 1
    with pytest.raises(DataError, match="row 3: got 3 pixels"):
        face_index("fer2013", root, Split.VALIDATION)


def test_the_other_order_of_columns_and_a_byte_order_mark_are_read(root: Path) -> None:
    lines = (root / "fer2013.csv").read_text().splitlines()[1:]
    swapped = [", ".join((f[0], f[2], f[1])) for f in (line.split(",") for line in lines)]
    (root / "fer2013.csv").unlink()
    text = "\r\n".join(["emotion, Usage, pixels", *swapped]) + "\r\n"
    (root / "icml_face_data.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert list_fer2013(root).index(Split.TRAIN).counts().tolist() == [1] * 7


def test_the_sorted_form_is_read_as_folders(root: Path) -> None:
    (root / "fer2013.csv").unlink()
    for part, prefix in (
        ("train", "Training"),
        ("validation", "PublicTest"),
        ("test", "PrivateTest"),
    ):
        for name in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"):
            (root / part / name).mkdir(parents=True)
            (root / part / name / f"{prefix}_10131363.jpg").touch()
    listing = list_fer2013(root)
    assert [len(listing.index(split)) for split in listing.parts] == [7, 7, 7]
    assert listing.index(Split.TEST).samples[0].sample_id == "test/anger/PrivateTest_10131363.jpg"


def test_another_folder_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "fer.csv").touch()
    with pytest.raises(DataError, match=r"holds 'fer.csv', expected 'fer2013.csv', or folders 'tr"):
        list_fer2013(tmp_path)
    assert not looks_like_fer2013(tmp_path)


def test_a_csv_with_other_columns_is_refused(root: Path) -> None:
    (root / "fer2013.csv").write_text("label,picture\n0,1\n")
    with pytest.raises(DataError, match=r"begins with 'label,picture', expected the columns emot"):
        list_fer2013(root)
    assert not list(Path("build/faces").iterdir())


def test_a_csv_that_is_no_text_is_refused(root: Path) -> None:
    (root / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"fer2013.csv' is not text \(byte \d+\), expected FER2013"):
        list_fer2013(root)


def test_a_field_beyond_all_measure_is_refused_with_its_row(root: Path) -> None:
    (root / "fer2013.csv").write_text("emotion,pixels,Usage\n0," + "1 " * 70000 + ",Training\n")
    with pytest.raises(DataError, match=r"row 2: field larger than .*expected FER2013's csv"):
        list_fer2013(root)
