"""Loss, optimizer, schedule and clipping against torch's and numbers worked by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from stages.lm.models import registry
from stages.lm.models.settings import TransformerSettings
from stages.lm.training.clipping import clip_gradients
from stages.lm.training.loss import cross_entropy
from stages.lm.training.muon import Muon, orthogonalized
from stages.lm.training.optimizer import AdamW, build_optimizer, parameter_groups
from stages.lm.training.schedule import constant_schedule, cosine_schedule, linear_schedule, wsd_schedule
from stages.lm.training.settings import TrainingSettings


def test_cross_entropy_is_torchs_with_any_batch_dimensions() -> None:
    logits, targets = torch.randn(2, 3, 7), torch.randint(7, (2, 3))
    torch.testing.assert_close(cross_entropy(logits, targets), F.cross_entropy(logits.flatten(0, 1), targets.flatten()))


def test_cross_entropy_does_not_overflow() -> None:
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    assert cross_entropy(logits, torch.tensor([0, 0])).item() == pytest.approx(5e3)


def test_first_adamw_step_by_hand() -> None:
    """g = 0.5: m = 0.05, v = 0.00025 and a_1 = a sqrt(0.001) / 0.1, so the step is a g / (|g| + eps / sqrt(0.001))."""
    parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    parameter.grad = torch.tensor([0.5], dtype=torch.float64)
    AdamW([parameter], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.5).step()
    stepped = 2.0 - 0.1 * 0.5 / (0.5 + 1e-8 / math.sqrt(0.001))
    assert parameter.item() == pytest.approx(stepped * (1 - 0.1 * 0.5), rel=1e-12)  # decay by the plain learning rate


def test_adamw_agrees_with_torchs_fused_one() -> None:
    """torch decays before the step instead of after it: equal without decay, and to second order with it."""
    for decay, tolerance in ((0.0, 1e-7), (0.1, 1e-5)):
        torch.manual_seed(0)
        first = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(3))]
        second = [torch.nn.Parameter(parameter.detach().clone()) for parameter in first]
        reference = AdamW(first, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=decay)
        fast = torch.optim.AdamW(second, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=decay, fused=True)
        for step in range(20):
            for parameters, optimizer in ((first, reference), (second, fast)):
                loss = sum(((parameter - step) ** 2).sum() for parameter in parameters)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[union-attr]
                optimizer.step()
        for a, b in zip(first, second, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=20 * tolerance)


def test_adamw_skips_parameters_without_gradient() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    AdamW([parameter], lr=1.0, weight_decay=0.1).step()
    assert parameter.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("tied", [False, True])
def test_every_parameter_is_in_exactly_one_group(tied: bool) -> None:
    settings = TransformerSettings(family="transformer", layers=2, heads=2, d_model=8, context_length=4, tie_embeddings=tied)
    model = registry.build(settings, 11, 0)
    assert isinstance(model, torch.nn.Module)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, 0.1)
    members = [[names[id(p)] for p in group["params"]] for group in groups]
    assert sorted(name for group in members for name in group) == sorted(names.values())
    assert {name.split(".")[-2] for name in members[-1]} == {"ln1", "ln2", "ln_final"} | ({"token_embeddings"} if tied else set())
    assert members[1:-1] == ([] if tied else [["lm_head.weight"], ["token_embeddings.weight"]])
    assert [group["weight_decay"] for group in groups] == ([0.1, 0.0] if tied else [0.1, 0.1, 0.0, 0.0])
    assert [group.get("orthogonal", False) for group in groups] == [True] + [False] * (len(groups) - 1)
    assert [group.get("input", False) for group in groups] == ([False, False] if tied else [False, False, True, False])


def test_the_built_optimizer_uses_the_settings() -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    optimizer = build_optimizer(model, TrainingSettings(betas=(0.8, 0.9), eps=1e-6, weight_decay=0.3))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]  # the matrix, the bias
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_orthogonalized_keeps_the_singular_vectors_and_levels_the_values(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    levelled = u.T @ orthogonalized(matrix) @ vt.T
    values = levelled.diagonal()
    assert 0.6 < values.min() < values.max() < 1.3
    torch.testing.assert_close(levelled, torch.diag(values), rtol=0, atol=1e-10)


def test_muon_steps_matrices_by_its_rule_and_the_rest_as_adamw() -> None:
    generator = torch.Generator().manual_seed(1)
    start, gradient = (torch.randn(6, 4, generator=generator) for _ in range(2))
    matrix, muon_rest, table, adamw_rest, adamw_table = (torch.nn.Parameter(start.clone()) for _ in range(5))
    groups = [{"params": [matrix], "orthogonal": True}, {"params": [muon_rest]}, {"params": [table], "input": True}]
    plain = [{"params": [adamw_rest]}, {"params": [adamw_table], "lr": 1.0}]
    optimizers = [Muon(groups, lr=0.1, weight_decay=0.5), AdamW(plain, lr=0.1, weight_decay=0.5)]
    for _ in range(2):
        for parameter in (matrix, muon_rest, table, adamw_rest, adamw_table):
            parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(muon_rest, adamw_rest)
    assert torch.equal(table, adamw_table)
    # By hand: the same gradient twice leaves its direction, so both steps are 0.1 * 0.2 * sqrt(6) times the same matrix.
    step = 0.1 * 0.2 * 6**0.5 * orthogonalized(gradient)
    torch.testing.assert_close(matrix.detach(), (start * 0.95 - step) * 0.95 - step)


def test_schedule_has_the_courses_figures() -> None:
    def rate(t: int) -> float:
        return cosine_schedule(t, 1e-3, 1e-4, 5000, 100_000)

    assert rate(0) == 0
    assert rate(2500) == pytest.approx(5e-4)
    assert rate(5000) == pytest.approx(1e-3)
    assert rate(52_500) == pytest.approx(5.5e-4)  # half way down
    assert rate(100_000) == rate(200_000) == 1e-4
    assert rate(99_999) > 1e-4


def test_linear_and_constant_schedules_by_hand() -> None:
    assert [linear_schedule(t, 1.0, 0.2, 2, 6) for t in range(8)] == pytest.approx([0, 0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2])
    assert [constant_schedule(t, 1.0, 2) for t in range(4)] == [0, 0.5, 1, 1]


def test_wsd_is_flat_until_the_decay_begins() -> None:
    assert [wsd_schedule(t, 1.0, 0.2, 2, 5, 7) for t in range(9)] == pytest.approx([0, 0.5, 1, 1, 1, 1, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("schedule", "tenth", "last"), [("cosine", 0.5, 0.1), ("linear", 0.5, 0.1), ("wsd", 0.5, 0.1), ("constant", 0.5, 1)]
)
def test_every_schedule_is_reached_by_its_name_and_ends_with_the_last_step(schedule: str, tenth: float, last: float) -> None:
    settings = TrainingSettings.model_validate({"steps": 100, "warmup_steps": 20, "learning_rate": 1.0, "schedule": schedule})
    assert settings.learning_rate_at(10) == tenth
    assert settings.learning_rate_at(20) == 1
    assert settings.learning_rate_at(100) == pytest.approx(last)
    assert settings.learning_rate_at(80) == pytest.approx({"cosine": 0.231802, "linear": 0.325}.get(schedule, 1), abs=1e-6)


def test_schedules_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="decay_steps belong to the schedule wsd, not to cosine"):
        TrainingSettings(decay_steps=5)
    with pytest.raises(ValueError, match="warmup_steps 60 and decay_steps 50 are more than steps 100"):
        TrainingSettings(schedule="wsd", steps=100, warmup_steps=60, decay_steps=50)


def test_schedule_without_warm_up_starts_at_the_maximum() -> None:
    assert cosine_schedule(0, 1.0, 0.1, 0, 10) == 1.0
    assert cosine_schedule(7, 1.0, 0.1, 7, 7) == 0.1


def test_clipping_has_the_courses_figures() -> None:
    """Five 5 x 5 gradients of ones have the norm sqrt(125) = 11.18; clipped to 0.01 their entries are 0.0009."""
    parameters = [torch.nn.Parameter(torch.zeros(5, 5)) for _ in range(5)]
    for parameter in parameters:
        parameter.grad = torch.ones(5, 5)
    norm = clip_gradients((parameter for parameter in parameters), 0.01)  # a generator can be read only once
    assert norm.item() == pytest.approx(11.1803, rel=1e-5)
    for parameter in parameters:
        assert parameter.grad is not None
        assert parameter.grad[0, 0].item() == pytest.approx(0.01 / 11.1803, rel=1e-4)


def test_clipping_leaves_small_gradients_and_missing_ones_alone() -> None:
    small, without = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    small.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([small, without], 5.0).item() == 5.0
    assert small.grad.tolist() == [3.0, 4.0]
    assert without.grad is None
    assert clip_gradients([without], 1.0).item() == 0
