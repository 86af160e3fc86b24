"""Variants beside their base: what was changed, and by how much that is better or worse."""

import math

import numpy as np
import pytest

from stages.lm.reporting.ablations import Ablation, ablations, changes
from stages.lm.reporting.comparison import compare
from stages.lm.reporting.experiments import Experiment, resolve
from stages.lm.reporting.settings import ReportSettings
from tests.lm.reporting.workshop import Workshop


def found(workshop: Workshop, bases: dict[str, str]) -> tuple[list[Experiment], list[Ablation]]:
    settings = ReportSettings.model_validate({"experiments": workshop.standard(), "bases": bases})
    experiments = resolve(settings, workshop.made, workshop.folder)
    return experiments, ablations(experiments, compare(experiments))


def test_a_variant_is_compared_with_its_base_on_the_same_documents(workshop: Workshop) -> None:
    experiments, (ablation,) = found(workshop, {"gpt-nope": "gpt"})
    assert ablation.base.name == "gpt"
    assert ablation.base.more.text == "base"
    (variant,) = ablation.variants
    own, base = (experiment.parts["evaluate"] for experiment in (experiments[2], experiments[1]))
    nats = np.load(own.file("losses.npy")).sum() - np.load(base.file("losses.npy")).sum()
    expected = nats / math.log(2) / np.load(base.file("bytes.npy")).sum()
    assert float(variant.more.text) == pytest.approx(expected, abs=5e-5)
    assert not variant.even
    assert variant.more.artifact == own.id


def test_a_family_is_no_variant_of_another(workshop: Workshop) -> None:
    _, ladders = found(workshop, {"gpt": "trigram", "gpt-nope": "gpt"})
    assert [ablation.base.name for ablation in ladders] == ["gpt"]
    assert found(workshop, {"gpt": "trigram"})[1] == []


def test_changes_are_the_settings_that_differ(workshop: Workshop) -> None:
    experiments, _ = found(workshop, {})
    trigram, gpt, nope = experiments
    assert changes(nope, gpt) == []
    assert changes(trigram, gpt) == ["family: ngram", "order: 3"]
