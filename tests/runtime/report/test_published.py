"""Which printed figures stand beside which measurements."""

from __future__ import annotations

import pytest

from edge_arm.runtime.report.published import published_accuracies, published_sentence


@pytest.mark.parametrize(
    ("data_set", "figures"),
    [
        ("rafdb", [0.9042, 0.864]),  # arXiv 2103.10189v3; plain ResNet-18 as papers print it
        ("affectnet7", [0.652]),
        ("sfew", [0.5871]),
        ("fer2013", []),  # 71.38 was in a first version and is not in v3
        ("ferplus7", []),
        ("folder", []),
    ],
)
def test_figures_belong_to_the_set_that_they_were_made_on(
    data_set: str, figures: list[float]
) -> None:
    assert [item.accuracy for item in published_accuracies(data_set, 7)] == figures


def test_figures_over_seven_expressions_are_not_shown_beside_eight() -> None:
    assert published_accuracies("affectnet7", 8) == ()
    assert published_sentence("affectnet7", 8) is None


def test_the_line_says_whose_figures_they_are() -> None:
    assert published_sentence("rafdb", 7) == (
        "Published, paper protocol: ResNet-18 + ARM 90.42 %, plain ResNet-18 86.40 %; of other "
        "weights, no measure of this model."
    )
