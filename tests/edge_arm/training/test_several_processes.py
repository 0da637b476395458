"""Several processes train the model that one would, and end together whatever happens to one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import together_training as program
import torch
from together import FOLDER, finish_together, free_port, start_together
from torch import Tensor

from edge_arm.model.checkpoint import load_checkpoint
from edge_arm.training.distributed import World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def in_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what two processes left."""
    folder = tmp_path_factory.mktemp("two")
    finish_together(start_together(2, FOLDER / "together_training.py", folder))
    return folder


@pytest.fixture(scope="module")
def in_one(tmp_path_factory: pytest.TempPathFactory) -> program.Trained:
    return program.training(World(), tmp_path_factory.mktemp("one") / "state.safetensors")


def _assert_same_model(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """To float64's rounding, which six steps of Adam enlarge: a step is 1e-4."""
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, rtol=1e-6, atol=1e-8, msg=name)


def test_two_processes_train_the_model_that_one_does(in_one: program.Trained, in_two: Path) -> None:
    state, metrics = torch.load(in_two / "whole.0")
    _assert_same_model(state, in_one.state)
    assert metrics["validation_accuracy"] == in_one.metrics["validation_accuracy"]
    assert metrics["validation_loss"] == pytest.approx(in_one.metrics["validation_loss"], rel=1e-6)


def test_all_processes_end_with_the_same_model(in_two: Path) -> None:
    (first, metrics), (second, metrics_of_second) = (
        torch.load(in_two / f"whole.{rank}") for rank in (0, 1)
    )
    assert metrics == metrics_of_second
    assert all(value.equal(second[name]) for name, value in first.items())


def test_a_stop_of_one_process_stops_all_at_one_step_and_one_process_goes_on_from_there(
    in_one: program.Trained, in_two: Path
) -> None:
    assert not list(in_two.glob("not-stopped.*"))
    state_path = in_two / "stopped.resume.safetensors"
    content = state_path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    position = json.loads(header["__metadata__"]["edge_arm_resume"])["position"]
    # The fourth step is the first of the second epoch of three.
    assert (position["epoch"], position["batch"]) == (1, 1)
    _assert_same_model(program.training(World(), state_path).state, in_one.state)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 faces in three classes."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("faces")
    for name in ("anger", "fear", "happiness"):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number in range(8):
            picture = rng.integers(0, 255, (24, 24, 3), np.uint8)
            cv2.imwrite(str(folder / f"{number}.png"), picture)
    return root


def _words(root: Path) -> list[str]:
    options = "--data folder --image-size 32 --head pool --epochs 2 --batch-size 8 --device cpu"
    return ["train", "--root", str(root), *options.split()]


def _torchrun(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *launcher, "--master-port", str(free_port()), *words],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_killed_process_ends_the_training_with_one_line_and_another_number_goes_on(
    faces: Path, tmp_path: Path
) -> None:
    # 21 faces are 3 steps an epoch; the fifth is never made.
    lost = _torchrun(tmp_path, str(FOLDER / "together_command.py"), "5", *_words(faces))
    assert lost.returncode == 1  # torchrun's own, whatever its processes end with
    told = re.findall(r"^error: .*", lost.stderr, re.MULTILINE)
    assert len(told) == 1, lost.stderr
    assert "a process of this training has ended or is out of reach" in told[0]
    assert "--resume goes on from 'build/checkpoint.resume.safetensors'" in told[0]
    assert "Traceback" not in lost.stderr.split("torch/distributed/run.py")[0].split("error: ")[0]

    alone = subprocess.run(
        [sys.executable, "-m", "edge_arm", *_words(faces), "--resume"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    assert "going on in epoch 2 of 2, after step 1" in alone.stderr
    checkpoint = load_checkpoint(tmp_path / "build" / "checkpoint.safetensors")
    assert checkpoint.metrics["epochs"] == 2


def test_a_broken_picture_is_told_once_and_ends_all_processes(faces: Path, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    for picture in faces.rglob("*.png"):
        place = root / picture.relative_to(faces)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture.read_bytes())
    (root / "train" / "fear" / "3.png").write_bytes(b"")
    ended = start_together(2, "-m", "edge_arm", *_words(root), cwd=tmp_path)
    said = [process.communicate(timeout=240)[1] for process in ended]
    assert [process.returncode for process in ended] == [2, 2], said
    assert len(re.findall(r"^error: ", "\n".join(said), re.MULTILINE)) == 1, said
    assert re.search(r"error: .*fear/3\.png' has 0 bytes", "\n".join(said))
    assert "Traceback" not in "\n".join(said)
    assert not list((tmp_path / "build").glob("*.safetensors"))
