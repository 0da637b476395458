"""The authors' files, whole and not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from authors_model import AuthorsModel, save_as_they_do
from torch import Tensor

from edge_arm.model.authors_checkpoint import authors_model_from_file
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel
from edge_arm.model.paper_protocol import paper_protocol_logits
from edge_arm.runtime.errors import CheckpointError

_THEIRS = AuthorsModel()


def _state() -> dict[str, Tensor]:
    return dict(_THEIRS.state_dict())


def _save(tmp_path: Path, state: dict[str, Any]) -> Path:
    return save_as_they_do(tmp_path / "epoch59_acc0.9205.pth", state)


def test_their_model_and_ours_answer_a_batch_alike(tmp_path: Path) -> None:
    found = authors_model_from_file(_save(tmp_path, _state()))
    assert found.config == ModelConfig(7, 96, Head.ARM)
    model = FerModel(found.config)
    model.load_state_dict(found.state)
    faces = torch.randn(5, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = _THEIRS(faces)
    got = paper_protocol_logits(model.eval(), faces)
    assert torch.allclose(got, expected, atol=1e-4)  # float32 sums in another order


def test_224_pixels_follow_from_the_classifiers_121_features(tmp_path: Path) -> None:
    state = AuthorsModel(grid=11).state_dict()
    assert authors_model_from_file(_save(tmp_path, state)).config == ModelConfig(7, 224, Head.ARM)


@pytest.mark.parametrize("form", ["module", "alone", "state_dict", "half", "old"])
def test_the_same_weights_are_read_from_every_form(tmp_path: Path, form: str) -> None:
    path = tmp_path / "weights.pth"
    state = _state()
    if form == "module":
        torch.save({"model_state_dict": {"module." + k: v for k, v in state.items()}}, path)
    elif form == "old":  # from before BatchNorm had counters
        torch.save({k: v for k, v in state.items() if "num_batches" not in k}, path)
    elif form == "half":
        torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    else:
        torch.save(state if form == "alone" else {"state_dict": state}, path)
    found = authors_model_from_file(path).state
    assert found["arm.alpha"].shape == ()
    assert float(found["arm.alpha"]) == 0.75
    assert found["backbone.layer4.1.conv2.weight"].dtype == torch.float32
    tolerance = 1e-3 if form == "half" else 0.0
    theirs = state["features.7.1.conv2.weight"]
    assert torch.allclose(found["backbone.layer4.1.conv2.weight"], theirs, atol=tolerance, rtol=0)
    assert not found["arm.generic"].any()


def test_their_plain_resnet_is_read_as_one(tmp_path: Path) -> None:
    state = {k: v for k, v in _state().items() if not k.startswith(("arm.", "fc."))}
    state |= {"fc.weight": torch.ones(7, 512), "fc.bias": torch.zeros(7)}
    found = authors_model_from_file(_save(tmp_path, state))
    assert found.config == ModelConfig(7, 224, Head.POOL)


def test_a_missing_a_strange_and_a_misshaped_weight_are_all_listed(tmp_path: Path) -> None:
    state = _state()
    del state["features.4.0.conv1.weight"]
    state["arm.de_albino.weight"] = torch.ones(1, 1, 12, 12)
    state["features.9.weight"] = torch.ones(3)
    expected = (
        r"no ResNet-18 with the head 'arm' \(missing: backbone.layer1.0.conv1.weight; of another "
        r"shape: arm.de_albino.weight \(1, 1, 12, 12\) instead of \(1, 1, 32, 32\); not "
        r"understood: features.9.weight\), expected a checkpoint of ARM's authors"
    )
    with pytest.raises(CheckpointError, match=expected):
        authors_model_from_file(_save(tmp_path, state))


def test_one_weight_under_two_names_is_refused(tmp_path: Path) -> None:
    state = {**_state(), "module.fc.bias": torch.ones(7)}
    with pytest.raises(CheckpointError, match="'fc.bias' and 'module.fc.bias', which are both"):
        authors_model_from_file(_save(tmp_path, state))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            100,
            r"classifier of 100 features, expected 121 \(an odd number squared\) behind ARM; the",
        ),
        (120, r"classifier of 120 features, expected 121"),
        (1, r"classifier of 1 features, expected 121"),
    ],
)
def test_a_classifier_of_another_network_is_refused(
    tmp_path: Path, inputs: int, message: str
) -> None:
    state = {**_state(), "fc.weight": torch.ones(7, inputs)}
    with pytest.raises(CheckpointError, match=message):
        authors_model_from_file(_save(tmp_path, state))


def test_a_file_without_a_classifier_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    state = {k: v for k, v in _state().items() if k.startswith("features.0")}
    with pytest.raises(CheckpointError, match=r"no classifier .* holds backbone.conv1.weight, ..."):
        authors_model_from_file(_save(tmp_path, state))


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    state = {**_state(), "fc.weight": torch.ones(1, 9), "fc.bias": torch.ones(1)}
    with pytest.raises(CheckpointError, match="got 1 classes, expected at least 2"):
        authors_model_from_file(_save(tmp_path, state))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = {**_state(), "fc.bias": torch.full((7,), float("inf"))}
    with pytest.raises(CheckpointError, match=r"not finite \(in fc.bias\), expected weights of a"):
        authors_model_from_file(_save(tmp_path, state))


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model_state_dict": _state(), "arguments": Path("somewhere")}, path)
    with pytest.raises(CheckpointError, match="refused by PyTorch's weights_only=True"):
        authors_model_from_file(path)
