"""Two processes with a part of a batch each compute what one computes with the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import together_statistics as program
import torch
from together import FOLDER, finish_together, start_together
from torch import Tensor

from edge_arm.training.distributed import World

Results = dict[str, Tensor]


@pytest.fixture(scope="module")
def in_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Results]]:
    """What each of two processes has in the end, by head. They have 3 and 4 faces of 7."""
    out = tmp_path_factory.mktemp("two") / "results"
    finish_together(start_together(2, FOLDER / "together_statistics.py", out))
    return [torch.load(f"{out}.{rank}") for rank in (0, 1)]


@pytest.fixture(scope="module")
def in_one() -> dict[str, Results]:
    """The same by PyTorch's own BatchNorm and a plain mean, in this process alone."""
    return {head.value: program.results(World(), head) for head in program.SIZES}


@pytest.mark.parametrize("head", ["arm", "sa"])
def test_gradients_of_a_part_each_are_those_of_the_whole_batch(
    in_one: dict[str, Results], in_two: list[dict[str, Results]], head: str
) -> None:
    names = [name for name in in_one[head] if name.startswith("gradient.")]
    assert len(names) > 60
    for name in names:
        # 1e-15 for each sum of some thousand terms, of which the largest cancel.
        torch.testing.assert_close(
            in_two[0][head][name], in_one[head][name], rtol=1e-8, atol=1e-11, msg=name
        )


@pytest.mark.parametrize("head", ["arm", "sa"])
def test_weights_averages_and_losses_are_those_of_the_whole_batch(
    in_one: dict[str, Results], in_two: list[dict[str, Results]], head: str
) -> None:
    wanted, got = in_one[head], in_two[0][head]
    assert got.keys() == wanted.keys()
    for name in wanted.keys() - {n for n in wanted if n.startswith("gradient.")}:
        torch.testing.assert_close(got[name], wanted[name], rtol=1e-7, atol=1e-9, msg=name)
    assert "backbone.bn1.running_var" in wanted
    assert any(name.endswith(".generic") for name in wanted)


def test_both_processes_have_the_same_model_bit_for_bit(in_two: list[dict[str, Results]]) -> None:
    first, second = in_two
    for head, found in first.items():
        different = [name for name, value in found.items() if not value.equal(second[head][name])]
        assert different == []


@pytest.mark.gpu
@pytest.mark.parametrize("head", ["arm", "sa"])
def test_on_a_gpu_too_two_processes_have_the_gradients_and_averages_of_the_whole_batch(
    in_one: dict[str, Results], tmp_path: Path, head: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    out = tmp_path / "results"
    finish_together(start_together(2, FOLDER / "together_statistics.py", out, "cuda"))
    got = torch.load(f"{out}.0")[head]
    for name, wanted in in_one[head].items():
        # cuDNN sums in another order than the CPU, and Adam's first steps make the most of it.
        torch.testing.assert_close(got[name], wanted, rtol=1e-6, atol=1e-8, msg=name)
