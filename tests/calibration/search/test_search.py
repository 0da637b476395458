from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from searched_models import batches_of, labelled_as_answered

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search.judge import CandidateJudge, LabelledBatches
from edge_arm.calibration.search.layers import layers_of
from edge_arm.calibration.search.mixed import Outcome, fewest_in_float
from edge_arm.calibration.search.search import SearchConfig, search_faces, search_layers
from edge_arm.calibration.search.sensitivity import sensitivity
from edge_arm.calibration.search.sessions import Session
from edge_arm.calibration.search.subject import Subject
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.statistics import Gate, Verdict

MakeIndex = Callable[..., FaceIndex]
GATE = Gate(0.05)  # 72 faces certify it
WIDE = Gate(0.15)  # room for the few answers that healthy layers change
NUM_FACES = 80


def clipped(subject: Subject, layers: tuple[str, ...], factor: float) -> Subject:
    """The subject with the ranges before these layers made much too small."""
    inputs = {node.name: node.input[0] for node in subject.model.graph.node}

    def build(part: QuantPlan) -> onnx.ModelProto:
        graph = subject.build(part)
        wrong = {f"{inputs[name]}_scale" for name in layers}
        for item in graph.graph.initializer:
            if item.name in wrong:
                values = (numpy_helper.to_array(item) * factor).astype(np.float32)
                item.CopyFrom(numpy_helper.from_array(values, item.name))
        return graph

    return replace(subject, build=build)


@pytest.fixture(scope="module")
def many(few: Subject) -> LabelledBatches:
    """Pictures of which FP32 gets every answer right."""
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (NUM_FACES, 4, 4, 3), np.uint8)
    images = coarse.repeat(16, axis=1).repeat(16, axis=2)
    return LabelledBatches(batches_of(images), Session(few.model).logits(images).argmax(axis=1))


def test_the_search_finds_as_few_layers_as_trying_every_set_does(
    few: Subject, many: LabelledBatches
):
    subject = clipped(few, ("/n6/Conv", "/n24/Conv"), 1 / 8)
    judge = CandidateJudge(subject, many, WIDE)
    names = [layer.name for layer in layers_of(subject.plan, subject.model)]
    passing = [
        chosen
        for count in range(len(names) + 1)
        for chosen in combinations(names, count)
        if judge(chosen).verdict is Verdict.PASS
    ]
    assert () not in passing
    ranked = sensitivity(subject, batches_of(next(many.batches(6)))).ranked()
    result = fewest_in_float([layer.layer for layer in ranked], judge, WIDE)
    assert result.outcome is Outcome.MET
    assert len(result.chosen) == min(map(len, passing)) == 2
    assert result.chosen in passing


def test_a_judged_candidate_is_a_whole_run_of_its_graph(few: Subject, many: LabelledBatches):
    images = np.concatenate(list(many.batches(NUM_FACES)))
    subject = clipped(few, ("/n24/Conv",), 1 / 8)
    point = CandidateJudge(subject, many, WIDE)(["/n3/Conv"])
    without = replace(
        subject.plan,
        activations=tuple(edge for edge in subject.plan.activations if edge.node != 3),
        weights=tuple(edge for edge in subject.plan.weights if edge.node != 3),
    )
    answers = Session(subject.build(without)).logits(images).argmax(axis=1)
    changed = int((answers != many.targets).sum())
    assert changed > 0
    assert (point.flips, point.counts.reference_only_right) == (changed, changed)
    assert point.counts.candidate_only_right == 0
    assert point.in_float == ("/n3/Conv",)
    assert point.latency > 1


def index_of(face_index: MakeIndex, per_class: int) -> FaceIndex:
    return face_index((per_class,) * 7)


def test_ranking_judging_and_calibration_share_no_face(face_index: MakeIndex):
    population = index_of(face_index, 12)
    calibration = population.subset(range(0, 84, 6))
    faces = search_faces(population, calibration, SearchConfig(gate=GATE, seed=1))
    assert faces.judging is not None
    sets = [
        {sample.sample_id for sample in index.samples}
        for index in (calibration, faces.ranking, faces.judging)
    ]
    assert [len(item) for item in sets] == [14, 17, 53]  # a quarter of 70, and the rest
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


def test_the_faces_depend_on_the_seed_and_not_on_the_order(face_index: MakeIndex):
    population = index_of(face_index, 8)
    calibration = population.subset(range(0, 56, 4))
    config = SearchConfig(num_faces=14)
    faces = search_faces(population, calibration, config)
    turned = population.subset(range(55, -1, -1))
    assert search_faces(turned, calibration, config) == faces
    assert search_faces(population, calibration, replace(config, seed=1)) != faces
    assert (len(faces.ranking), faces.judging) == (14, None)


def test_too_few_faces_for_the_goal_are_said_before_anything_runs(
    face_index: MakeIndex, caplog: pytest.LogCaptureFixture
):
    population = index_of(face_index, 4)
    with caplog.at_level(logging.WARNING):
        search_faces(population, population.subset(range(0, 28, 4)), SearchConfig(gate=GATE))
    assert "16 faces can certify no drop below" in caplog.text
    assert "and 5 was asked for: 72 would be needed" in caplog.text


def test_nearly_no_faces_left_are_refused(face_index: MakeIndex):
    population = index_of(face_index, 2)
    with pytest.raises(UsageError, match="got --images 11 of 14 training faces, expected at least"):
        search_faces(population, population.subset(range(11)), SearchConfig(gate=GATE))


def test_the_goal_says_how_many_faces_judge():
    assert SearchConfig(gate=Gate(0.05)).gate_faces == 1000
    assert SearchConfig(gate=Gate(0.001)).gate_faces == 2 * 3688  # see least_faces
    assert SearchConfig(gate=Gate(0.05), num_faces=300).gate_faces == 300
    assert SearchConfig(gate=Gate(0.05), num_faces=300).sensitivity_faces == 256
    assert SearchConfig(num_faces=300).sensitivity_faces == 300
    assert SearchConfig().sensitivity_faces == 256


def test_wrong_numbers_are_wrong_use():
    with pytest.raises(UsageError, match="got --search-faces 0, expected at least 1"):
        SearchConfig(num_faces=0)
    with pytest.raises(UsageError, match="got --max-drop 0, expected at least 0.005 percentage"):
        SearchConfig(gate=Gate(0.0))


def test_a_search_without_a_goal_leaves_the_plan_alone(few: Subject, face_index: MakeIndex):
    population = index_of(face_index, 2)
    config = SearchConfig(num_faces=7)
    faces = search_faces(population, population.subset(range(0, 14, 2)), config)
    result = search_layers(few, faces, config, spec=PreprocessSpec(64))
    assert result.plan is few.plan
    assert (result.mixed, result.accepted) == (None, True)
    assert set(result.latency) == {"/n3/Conv", "/n6/Conv", "/n24/Conv", "/n46/Conv"}
    assert min(result.latency.values()) > 1


def test_a_search_with_a_goal_ships_a_plan_that_gives_the_reason(
    few: Subject, face_index: MakeIndex
):
    subject = clipped(few, ("/n24/Conv",), 1 / 8)
    labelled = labelled_as_answered(index_of(face_index, 16), few.model)
    calibration = labelled.subset([0, 1])
    config = SearchConfig(gate=WIDE, seed=0)
    faces = search_faces(labelled, calibration, config)
    result = search_layers(subject, faces, config, spec=PreprocessSpec(64))
    assert result.mixed is not None
    assert result.mixed.outcome is Outcome.MET
    assert result.mixed.chosen == ("/n24/Conv",)
    assert result.plan.float_nodes["/n24/Conv"] == (
        f"kept in float so that the drop stays below 15 pp on {result.mixed.num_faces} held-out "
        "training faces"
    )
    assert result.plan.kept_float >= {"/n24/Conv"}
    again = search_layers(subject, faces, config, spec=PreprocessSpec(64))
    assert again.mixed == result.mixed
    assert again.plan == result.plan
