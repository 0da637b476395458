"""Figures by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from edge_arm.quantization_aware.agreement import agreement, divergence


def test_divergence_is_that_of_the_reference_from_the_model() -> None:
    reference = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    logits = torch.log(torch.tensor([[0.25, 0.75], [0.9, 0.1]])) + 3  # logits have no zero point
    # 1/2 ln(0.5 / 0.25) + 1/2 ln(0.5 / 0.75)
    by_hand = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert divergence(logits, reference).tolist() == pytest.approx([by_hand, 0], abs=1e-6)


def test_changed_answers_are_counted_against_the_reference_and_right_ones_against_labels() -> None:
    reference = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]])
    logits = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
    found = agreement(logits, reference, np.array([0, 0, 1, 0]))
    assert (found.faces, found.flips, found.agreement, found.accuracy) == (4, 2, 0.5, 0.5)
