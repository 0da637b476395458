"""The model as a whole: names, shapes, batch invariance, autocast."""

from __future__ import annotations

import pytest
import torch

from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.model.paper_protocol import paper_protocol_logits
from edge_arm.runtime.errors import UsageError

SMALL = ModelConfig(num_classes=7, image_size=96)


def _faces(count: int, size: int = 96) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def _trained_a_little(config: ModelConfig = SMALL) -> FerModel:
    """Statistics and the shared part moved away from where they start."""
    model = seeded_model(config, 0).train()
    with torch.no_grad():
        model(_faces(6, config.image_size))
    return model.eval()


def test_arm_parameters_have_the_documented_names() -> None:
    names = {
        name for name in seeded_model(SMALL, 0).state_dict() if not name.startswith("backbone")
    }
    assert names == {
        "arm.de_albino.weight",
        "arm.bn.weight",
        "arm.bn.bias",
        "arm.bn.running_mean",
        "arm.bn.running_var",
        "arm.bn.num_batches_tracked",
        "arm.alpha",
        "arm.generic",
        "fc.weight",
        "fc.bias",
    }


def test_the_backbone_has_the_parameters_of_torchvisions_resnet18() -> None:
    backbone = seeded_model(SMALL, 0).backbone
    # torchvision: 11,689,512 with a classifier of 512 x 1000 + 1000
    assert sum(p.numel() for p in backbone.parameters()) == 11_689_512 - 513_000
    names = set(backbone.state_dict())
    assert len(names) == 120  # 122 in torchvision, less fc.weight and fc.bias
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight"} <= names
    assert {"layer2.0.downsample.0.weight", "layer4.1.bn2.num_batches_tracked"} <= names
    assert not any(name.startswith(("layer1.0.downsample", "fc")) for name in names)


@pytest.mark.parametrize(
    ("head", "size"), [(Head.ARM, 96), (Head.ARM, 112), (Head.ARM, 144), (Head.POOL, 64)]
)
def test_logits_have_one_row_per_face_and_one_column_per_class(head: Head, size: int) -> None:
    model = seeded_model(ModelConfig(5, size, head), 0).eval()
    with torch.no_grad():
        assert model(_faces(2, size)).shape == (2, 5)


@pytest.mark.parametrize("head", list(Head))
def test_the_answer_for_a_face_does_not_depend_on_its_batch(head: Head) -> None:
    model = _trained_a_little(ModelConfig(7, 96, head))
    faces = _faces(4)
    shuffled = [3, 0, 1, 2]
    with torch.no_grad():
        together = model(faces)
        alone = torch.cat([model(face[None]) for face in faces])
        in_another_order = model(faces[shuffled])
        beside_black = model(torch.cat([faces[:1], torch.zeros(4, 3, 96, 96)]))[:1]
    # float32 and only the order of sums may differ; the paper's protocol differs by 1e-3 and more
    for other in (alone, in_another_order[torch.tensor(shuffled).argsort()]):
        torch.testing.assert_close(other, together, rtol=0, atol=1e-5)
    torch.testing.assert_close(beside_black, together[:1], rtol=0, atol=1e-5)


def test_the_papers_protocol_does_depend_on_the_batch() -> None:
    model = _trained_a_little()
    faces = _faces(6)
    together = paper_protocol_logits(model, faces)
    alone = paper_protocol_logits(model, faces[:1])
    assert float((together[:1] - alone).abs().max()) > 1e-3


def test_the_papers_protocol_equals_ours_when_the_stored_part_is_the_batch_mean() -> None:
    model = _trained_a_little().double()
    faces = _faces(6).double()
    assert model.arm is not None
    with torch.no_grad():
        model.arm.generic.copy_(model.arm.unique(model.backbone(faces)).mean(0))
        expected = model(faces)
    torch.testing.assert_close(paper_protocol_logits(model, faces), expected, rtol=0, atol=1e-10)


def test_the_papers_protocol_needs_arm() -> None:
    with pytest.raises(UsageError, match="head 'pool', expected 'arm'"):
        paper_protocol_logits(seeded_model(ModelConfig(7, 64, Head.POOL), 0).eval(), _faces(1, 64))


def test_the_papers_protocol_is_for_evaluation() -> None:
    with pytest.raises(UsageError, match="training mode, expected evaluation mode"):
        paper_protocol_logits(seeded_model(SMALL, 0).train(), _faces(2))


def test_buffers_stay_float32_and_move_under_autocast() -> None:
    model = seeded_model(SMALL, 0).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(_faces(4))
    assert logits.dtype is torch.float32, "the head is left in float32"
    buffers = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
    assert {b.dtype for b in buffers.values()} == {torch.float32}
    assert bool((buffers["arm.generic"] != 0).any())
    assert bool((buffers["backbone.bn1.running_mean"] != 0).any())


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_random_state() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second, other = (seeded_model(SMALL, seed).fc.weight for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("size", "head", "smallest"),
    [(100, Head.ARM, 96), (80, Head.ARM, 96), (0, Head.ARM, 96), (16, Head.POOL, 32)],
)
def test_a_size_that_the_head_cannot_take_is_refused(size: int, head: Head, smallest: int) -> None:
    with pytest.raises(UsageError, match=f"image size {size}, .*multiple of 16.*{smallest}"):
        ModelConfig(7, size, head)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="got 1 classes, expected at least 2"):
        ModelConfig(1)
