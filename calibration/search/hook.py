"""The search as a step of a calibration: it says which plan ships, and keeps what it found.

A calibration knows the plan and how to build any part of it, and asks here what to ship before it
writes a file. When the bundle is whole, the record is put beside its models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search.record import bundle_with_search
from edge_arm.calibration.search.search import (
    SearchConfig,
    SearchResult,
    search_faces,
    search_layers,
)
from edge_arm.calibration.search.subject import Subject
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend

_log = logging.getLogger(__name__)

ChoosePlan = Callable[[Subject, FaceIndex], QuantPlan]
"""From the full plan and the faces that calibrated to the plan that ships."""


class PlanSearch:
    """One search for one calibration of one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        train_index: FaceIndex,
        config: SearchConfig,
        progress: Callable[[int], None] | None = None,
        *,
        optional: bool = False,
    ) -> None:
        """Nothing runs yet.

        Args:
            bundle: that is being calibrated.
            train_index: the training split.
            config: how to search.
            progress: see `sensitivity`.
            optional: whether to do without where no faces are left, because nobody asked for it.
        """
        self._bundle = bundle
        self._train_index = train_index
        self._config = config
        self._progress = progress
        self._optional = optional
        self.result: SearchResult | None = None
        """What the search came to; None before, and where it did without."""

    def choose(self, subject: Subject, calibration: FaceIndex) -> QuantPlan:
        """Search, and return the plan to ship; a `ChoosePlan`.

        Args:
            subject: the model and its INT8 form.
            calibration: faces that calibrated it.

        Raises:
            UsageError: if too few faces are left and the search was asked for.
            EdgeArmError: see `search_layers`.
        """
        manifest = self._bundle.manifest
        population = self._train_index.relabelled(manifest.labels)
        try:
            faces = search_faces(population, calibration, self._config)
        except UsageError as error:
            if not self._optional:
                raise
            _log.info("layers are not measured: %s", error)
            return subject.plan

        def search(half: OnnxRuntimeBackend | None) -> SearchResult:
            return search_layers(
                subject,
                faces,
                self._config,
                spec=manifest.preprocess,
                half=None if half is None else half.infer,
                progress=self._progress,
            )

        if self._config.gate is not None and Precision.FP16 in manifest.precisions():
            with OnnxRuntimeBackend(self._bundle.model(Precision.FP16)[0]) as half:
                self.result = search(half)
        else:
            self.result = search(None)
        return self.result.plan

    def keep(self, bundle: Bundle) -> Bundle:
        """Write `sensitivity.json` into the finished bundle; see `bundle_with_search`."""
        return bundle if self.result is None else bundle_with_search(bundle, self.result)
