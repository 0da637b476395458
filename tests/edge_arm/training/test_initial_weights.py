"""Published weights under all their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.runtime.errors import CheckpointError
from edge_arm.training.initial_weights import load_initial_weights

POOL = ModelConfig(3, 32, Head.POOL)
_NUMBERS = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


@cache
def _backbone() -> dict[str, Tensor]:
    return seeded_model(POOL, 1).backbone.state_dict()


@cache
def _start() -> dict[str, Tensor]:
    return seeded_model(POOL, 0).state_dict()


def _model() -> FerModel:
    model = FerModel(POOL)
    model.load_state_dict(_start())
    return model


def _torchvision() -> dict[str, Tensor]:
    return {**_backbone(), "fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}


def _numbered() -> dict[str, Tensor]:
    names = {}
    for name, value in _backbone().items():
        part, _, rest = name.partition(".")
        names[f"module.features.{_NUMBERS[part]}.{rest}"] = value
    return names


_FORMS: dict[str, Callable[[], Any]] = {
    "torchvision": _torchvision,
    "module": lambda: {"module." + name: value for name, value in _torchvision().items()},
    "state_dict": lambda: {"state_dict": _torchvision(), "epoch": 3},
    # resnet18_msceleb.pth, as SCN and DAN load it.
    "msceleb": lambda: {
        "state_dict": {"module." + name: value for name, value in _torchvision().items()},
        "epoch": 90,
        "arch": "resnet18",
        "best_prec1": torch.tensor(0.9),
    },
    "model_state_dict": lambda: {"model_state_dict": _torchvision()},
    "features": lambda: {"features." + name: value for name, value in _backbone().items()},
    "numbered": _numbered,
    "old": lambda: {k: v for k, v in _torchvision().items() if "num_batches" not in k},
}


@pytest.mark.parametrize("form", list(_FORMS))
def test_the_backbone_is_taken_from_every_published_form(tmp_path: Path, form: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(_FORMS[form](), path)
    model = _model()
    loaded = load_initial_weights(model, path)
    state = model.backbone.state_dict()
    assert all(torch.equal(state[name], value) for name, value in _backbone().items())
    assert loaded.taken in (120, 100)  # 20 BatchNorms, each with a counter


def test_files_of_pytorch_before_its_zip_format_are_read(tmp_path: Path) -> None:
    path = tmp_path / "resnet18-5c106cde.pth"
    torch.save(_torchvision(), path, _use_new_zipfile_serialization=False)
    assert load_initial_weights(_model(), path).taken == 120


def test_the_classifier_stays_as_it_was_and_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    # The same shape, which says nothing about the order of the classes.
    torch.save({**_backbone(), "fc.weight": torch.ones(3, 512), "fc.bias": torch.ones(3)}, path)
    model = _model()
    loaded = load_initial_weights(model, path)
    assert loaded.not_taken == ("fc.bias", "fc.weight")
    assert torch.equal(model.fc.weight, _start()["fc.weight"])


def test_safetensors_with_our_names_gives_backbone_and_arm(tmp_path: Path) -> None:
    config = ModelConfig(3, 96)
    theirs = seeded_model(config, 1).state_dict()
    theirs["arm.alpha"] = torch.tensor(0.25)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(theirs, path)
    model = seeded_model(config, 0)
    loaded = load_initial_weights(model, path)
    state = model.state_dict()
    assert all(torch.equal(state[n], v) for n, v in theirs.items() if not n.startswith("fc."))
    assert loaded.not_taken == ("fc.bias", "fc.weight")


def test_half_a_network_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({k: v for k, v in _backbone().items() if not k.startswith("layer4")}, path)
    with pytest.raises(
        CheckpointError, match=r"is not a ResNet-18: 25 .* missing .*layer4\.0\.bn1"
    ):
        load_initial_weights(_model(), path)


def test_a_deeper_network_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "resnet34.pth"
    torch.save({**_backbone(), "layer1.2.conv1.weight": torch.ones(64, 64, 3, 3)}, path)
    with pytest.raises(CheckpointError, match=r"1 do not fit \(layer1\.2\.conv1\.weight \(64, 64"):
        load_initial_weights(_model(), path)


def test_a_refused_file_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": _backbone()["conv1.weight"]}, path)
    model = _model()
    with pytest.raises(CheckpointError):
        load_initial_weights(model, path)
    assert all(torch.equal(value, _start()[name]) for name, value in model.state_dict().items())


class _Malicious:
    """Would make a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"state_dict": _Malicious(trace)}, path)
    with pytest.raises(CheckpointError, match=r"refused by PyTorch's weights_only=True"):
        load_initial_weights(_model(), path)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 half a zip"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.(pth|safetensors)' ?.*expected a"):
        load_initial_weights(_model(), path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*none\.pth.*No such file"):
        load_initial_weights(_model(), tmp_path / "none.pth")


def test_a_file_without_a_dictionary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save([torch.ones(1)], path)
    with pytest.raises(CheckpointError, match="holds a list, expected"):
        load_initial_weights(_model(), path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({**_backbone(), "bn1.bias": torch.full((64,), float("nan"))}, path)
    with pytest.raises(CheckpointError, match=r"not finite.*bn1\.bias"):
        load_initial_weights(_model(), path)
