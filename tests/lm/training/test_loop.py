"""The trainer on tiny models: it learns, it validates on schedule, it stops and goes on exactly."""

import errno
import json
import math
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.errors import Stopped, UserError
from stages.lm.models import registry
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM
from stages.lm.tokens import TokenArray
from stages.lm.training import machine, watch
from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.loop import Conduct, Run
from stages.lm.training.settings import TrainingSettings, TrainSettings, relevant_training
from stages.lm.training.state import Progress, StateFolder
from stages.lm.training.windows import WindowData, validation_batches

MODEL = TransformerSettings(family="transformer", layers=1, heads=2, d_model=16, context_length=8)
VOCAB = 13
IDS = (np.arange(4000) ** 2 % VOCAB).astype(np.uint16)
SETTINGS = TrainingSettings(
    steps=12, batch_size=4, learning_rate=1e-2, validate_every=5, validation_windows=3, log_every=4, threads=1, device="cpu",
    matmul_precision="highest",
)  # fmt: skip
"""With products as exact as torch has them: some CPUs round `medium` ones to bf16, more coarsely than what is compared here."""


def one_document(ids: np.ndarray) -> TokenArray:
    return TokenArray(ids, np.array([0, len(ids)]), np.array([len(ids)]))


def learner(settings: TrainingSettings, **changes: Any) -> Learner:
    device = machine.prepare(settings)
    model = registry.build(MODEL.model_copy(update=changes), VOCAB, settings.seed)
    assert isinstance(model, TransformerLM)
    return Learner(model, settings, device)


def run_in(
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    checkpoint_seconds: float = 1e9,
    milestone_every: int | None = None,
    time_limit: float | None = None,
) -> Run:
    data = WindowData({"train": one_document(IDS), "valid": one_document(IDS[:500])}, MODEL.context_length, settings)
    state = StateFolder(folder, {"settings": "x"}, milestone_every)
    return Run(lambda: learner(settings), data, state, conduct=Conduct(checkpoint_seconds, time_limit))


def weights(run: Run) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in run.learner.model.parameters()]


def assert_gradients_close(found: Learner, expected: Learner) -> None:
    for one, other in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_one_batch_can_be_learned_by_heart() -> None:
    settings = SETTINGS.model_copy(update={"weight_decay": 0.0})
    pupil = learner(settings)
    batch = Batch((torch.randint(VOCAB, (2, 9), generator=torch.Generator().manual_seed(0)),), 16)
    losses = [pupil.step(batch, 1e-2).loss.item() for _ in range(300)]
    assert losses[-1] < 0.02 < 2 < losses[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compilation needs a C++ compiler")
def test_a_compiled_step_is_the_eager_one() -> None:
    ids = torch.randint(VOCAB, (4, 9), generator=torch.Generator().manual_seed(0))
    eager, compiled = learner(SETTINGS), learner(SETTINGS.model_copy(update={"compile": True}))
    steps = [pupil.step(Batch((ids,), 32), 1e-2) for pupil in (eager, compiled)]
    torch.testing.assert_close(steps[1], steps[0])
    assert_gradients_close(compiled, eager)


def test_a_compiler_that_loses_the_gradient_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch 2.11 did with what had been changed in place."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *tensors: function(*tensors) * torch.tensor(0.0))
    ids = torch.randint(VOCAB, (4, 9), generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match=r"gradient of the first step has the norm 0, but the model's has [0-9.]+; set compile"):
        learner(SETTINGS.model_copy(update={"compile": True})).step(Batch((ids,), 32), 1e-2)


def test_to_look_at_the_compilers_gradient_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    ids = torch.randint(VOCAB, (4, 9), generator=torch.Generator().manual_seed(0))
    found = []
    for compile in (False, True):
        pupil = learner(SETTINGS.model_copy(update={"compile": compile}), dropout=0.5)
        pupil.is_checked = not compile
        torch.manual_seed(3)
        found.append(pupil.step(Batch((ids,), 32), 1e-2))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("compile", "device", "modes"),
    [
        (False, "cuda", []),
        ("auto", "cuda", []),
        (True, "cuda", [None]),
        ("graphs", "cpu", [None]),
        ("graphs", "cuda", ["reduce-overhead"]),
    ],
)
def test_graphs_are_asked_for_on_gpus(
    compile: Any, device: str, modes: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not chosen yet is not compiled."""
    asked: list[str | None] = []
    monkeypatch.setattr(torch, "compile", lambda *_, mode: asked.append(mode))
    machine.compiled(print, SETTINGS.model_copy(update={"compile": compile}), torch.device(device))
    assert asked == modes


def test_with_graphs_gradients_are_added_to_memory_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph writes its results where it wrote those before; what still lies there would be lost."""
    settings = SETTINGS.model_copy(update={"micro_batch_size": 2})
    ids = torch.randint(VOCAB, (2, 4, 9), generator=torch.Generator().manual_seed(0))
    plain = learner(settings)
    monkeypatch.setattr(machine, "uses_graphs", lambda *_: True)
    kept = learner(settings)
    places = [parameter.grad.data_ptr() for parameter in kept.model.parameters() if parameter.grad is not None]
    for pupil in (plain, kept):
        for batch in ids:
            pupil.step(Batch((batch,), 32), 1e-2)
    for expected, found in zip(plain.model.parameters(), kept.model.parameters(), strict=True):
        assert torch.equal(found, expected)
    assert places == [parameter.grad.data_ptr() for parameter in kept.model.parameters() if parameter.grad is not None]
    assert len(places) == len(list(kept.model.parameters()))


def test_checkpoints_beyond_the_present_step_are_of_a_past_that_is_no_more(tmp_path: Path) -> None:
    """As after a change of the code, which lets a run start again: they must not push out what it saves."""
    for identity, steps in (("old", (50, 60)), ("new", (10, 20, 30))):
        state = StateFolder(tmp_path, {"code": identity}, milestone_every=50)
        for step in steps:
            state.write(Progress(step=step), {})
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["step-000000020", "step-000000030"]


@pytest.mark.parametrize("micro", [1, 2, 3, 4])
def test_the_step_does_not_depend_on_the_micro_batches(micro: int) -> None:
    """The gradient of the mean is that of the parts' sums over the count of the whole, also where the last part is smaller."""
    ids = torch.randint(VOCAB, (4, 9), generator=torch.Generator().manual_seed(0))
    whole, parted = learner(SETTINGS), learner(SETTINGS.model_copy(update={"micro_batch_size": micro}))
    steps = [pupil.step(Batch((ids,), 32), 1e-2) for pupil in (whole, parted)]
    torch.testing.assert_close(steps[1], steps[0])
    assert_gradients_close(parted, whole)


class Counter(torch.nn.Module):
    """Carries one number for each example, the sum of what it has read; its loss is that number times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def carry(self, batch: int) -> tuple[torch.Tensor]:
        return (torch.zeros(batch),)

    def total_loss(self, ids: torch.Tensor, read: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        read = read * self.weight + ids[:, 1:].sum(dim=1)
        return read.sum(), (read,)


@pytest.mark.parametrize("micro", [1, 2, 3])
def test_carried_state_goes_on_from_batch_to_batch_until_a_fresh_one(micro: int) -> None:
    pupil = Learner(Counter(), SETTINGS.model_copy(update={"micro_batch_size": micro}), torch.device("cpu"))
    ids = torch.tensor([[9, 1], [9, 10], [9, 100]])
    losses = [pupil.step(Batch((ids,), 3, fresh=fresh), 0.0).loss.item() for fresh in (True, False, False, True)]
    assert losses == [37, 74, 111, 37]
    assert [state.tolist() for state in pupil.carry] == [[1, 10, 100]]
    assert not pupil.carry[0].requires_grad  # a step's gradient does not reach into the step before


def test_the_first_loss_is_near_that_of_guessing(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.step(run.data.batch(0))
    assert run.averages.read()["loss"] == pytest.approx(math.log(VOCAB), abs=1.0)


def test_logs_have_their_lines_when_they_are_due(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.train()
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics if "loss" in m] == [4, 8, 12]
    assert [m["step"] for m in metrics if "validation_loss" in m] == [5, 10, 12]
    assert all(m["tokens"] == m["step"] * 4 * 8 for m in metrics)
    assert metrics[-2]["learning_rate"] == pytest.approx(1e-3)  # the decay ends with the last step
    timing = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert [t["step"] for t in timing] == [4, 5, 8, 10, 12]
    assert timing[-1]["seconds"] >= timing[0]["seconds"] > 0


def test_validation_is_the_mean_over_its_own_windows(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    model = run.learner.model
    assert isinstance(model, TransformerLM)
    (every,) = validation_batches(one_document(IDS[:500]), MODEL.context_length, 3, batch_size=3)
    expected = -model.token_log_probs(every.tensors[0])[every.counted].mean().item()
    for batch_size in (1, 2, 3):
        run = run_in(tmp_path, SETTINGS.model_copy(update={"batch_size": batch_size}))
        assert run.learner.validate(run.data) == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    runs = [run_in(tmp_path / name) for name in ("a", "b")]
    runs.append(run_in(tmp_path / "c", SETTINGS.model_copy(update={"seed": 1})))
    for run in runs:
        run.train()
    a, b, c = (weights(run) for run in runs)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a, c, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_told_to_stop_it_saves_and_goes_on_exactly(
    tmp_path: Path, number: signal.Signals, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"precision": precision})
    whole = run_in(tmp_path / "whole", settings)
    whole.train()

    stopped = run_in(tmp_path / "stopped", settings)
    step = stopped.step
    monkeypatch.setattr(stopped, "step", lambda batch: (stopped.done.step == 6 and os.kill(os.getpid(), number), step(batch)))
    with pytest.raises(Stopped, match=f"{number.name} after step 7 of 12"):
        stopped.train()
    resumed = run_in(tmp_path / "stopped", settings)
    resumed.train()

    assert all(torch.equal(x, y) for x, y in zip(weights(whole), weights(resumed), strict=True))
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]


def test_frequent_checkpoints_change_nothing(tmp_path: Path) -> None:
    often, never = run_in(tmp_path / "often", checkpoint_seconds=0), run_in(tmp_path / "never")
    often.train()
    never.train()
    assert all(torch.equal(x, y) for x, y in zip(weights(often), weights(never), strict=True))
    assert sorted(folder.name for folder in (tmp_path / "often").glob("step-*")) == ["step-000000011", "step-000000012"]


@pytest.mark.parametrize("bad_step", [1, 7])
def test_a_loss_that_is_no_number_ends_the_run_with_step_and_layer(tmp_path: Path, bad_step: int) -> None:
    """The second layer norm of the block is poisoned for one step; what is saved stays as it was before."""

    def poisoned() -> Learner:
        pupil = learner(SETTINGS)
        steps = iter(range(1, 1000))
        accumulate = pupil._accumulate

        def count(*arguments: Any) -> Any:
            norm = pupil.model.get_submodule("layers.0.ln2")
            assert isinstance(norm.weight, torch.nn.Parameter)
            number = next(steps)
            if number == bad_step:
                norm.weight.data.fill_(float("inf"))
            return accumulate(*arguments)

        pupil._accumulate = count  # type: ignore[method-assign]
        return pupil

    run = run_in(tmp_path)
    run.build = poisoned
    run.begin()
    with pytest.raises(
        UserError, match=rf"at step {bad_step} .* first the output of layers\.0\.ln2; lower training\.learning_rate"
    ):
        run.train()
    assert run.state.latest() is None


def test_a_gradient_that_is_no_number_is_traced_to_its_layer() -> None:
    """sqrt(0) is a number, its gradient is not."""

    class Root(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sqrt()

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.root = torch.nn.Linear(1, 1), Root()

        def total_loss(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.root(self.first(x) * 0)
            return out.sum()

    pupil = Learner(Model(), SETTINGS, torch.device("cpu"))
    batch = Batch((torch.ones(2, 1),), 2)
    assert math.isfinite(pupil.gradient(batch))
    assert watch.first_not_finite(pupil, batch) == "the gradient at the output of first"


def test_milestones_stay_when_the_run_is_finished_and_any_step_can_be_gone_to(tmp_path: Path) -> None:
    run = run_in(tmp_path, milestone_every=4)
    run.train()
    run.state.finish()
    assert sorted(folder.name for folder in tmp_path.glob("step-*")) == [f"step-{step:09d}" for step in (4, 8, 12)]
    final = weights(run)
    run.go_to(6)  # from the milestone of step 4
    assert run.done.step == 6
    alone = run_in(tmp_path / "alone")
    alone.go_to(6)  # from the beginning
    assert all(torch.equal(x, y) for x, y in zip(weights(run), weights(alone), strict=True))
    run.go_to(12)
    assert all(torch.equal(x, y) for x, y in zip(weights(run), final, strict=True))


def test_at_the_time_limit_it_saves_and_goes_on_exactly(tmp_path: Path) -> None:
    whole = run_in(tmp_path / "whole")
    whole.train()
    for step in range(1, SETTINGS.steps):
        with pytest.raises(Stopped, match=f"the time limit after step {step} of 12"):
            run_in(tmp_path / "parts", time_limit=0).train()
    parts = run_in(tmp_path / "parts", time_limit=0)
    parts.train()
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()
    assert all(torch.equal(x, y) for x, y in zip(weights(whole), weights(parts), strict=True))


def test_a_step_need_not_wait_for_the_checkpoint_and_learns_of_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, may_write = run_in(tmp_path, checkpoint_seconds=0), threading.Event()
    write = run.state.write

    def late(progress: Progress, files: Any) -> None:
        assert may_write.wait(60)
        if progress.step == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(progress, files)

    monkeypatch.setattr(run.state, "write", late)
    step = run.step

    def count(batch: Batch) -> None:
        step(batch)
        if run.done.step == 2:
            may_write.set()  # the checkpoint of step 1 was not yet written while step 2 was computed

    monkeypatch.setattr(run, "step", count)
    with pytest.raises(OSError, match="No space left"):
        run.train()
    found = run.state.latest()
    assert found is not None
    assert found[0].step == 2


def test_norms_by_layer_are_in_the_metrics_when_asked_for(tmp_path: Path) -> None:
    run = run_in(tmp_path, SETTINGS.model_copy(update={"watch_every": 6}))
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    watched = [line for line in lines if "norms" in line]
    assert [line["step"] for line in watched] == [6, 12]
    names = ["token_embeddings", "layers.0", "ln_final", "lm_head"]
    norms = watched[-1]["norms"]
    assert {kind: set(values) for kind, values in norms.items()} == {
        "activations": set(names) - {"lm_head"},  # the loss never holds all logits
        "weights": set(names),
        "gradients": set(names),
    }
    head = run.learner.model.get_parameter("lm_head.weight")
    assert norms["weights"]["lm_head"] == pytest.approx(head.square().mean().sqrt().item(), rel=1e-6)
    unwatched = run_in(tmp_path / "unwatched")
    unwatched.train()
    assert all(torch.equal(x, y) for x, y in zip(weights(run), weights(unwatched), strict=True))


def test_a_validation_split_shorter_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match="the valid split has only 8 tokens"):
        validation_batches(one_document(IDS[:8]), 8, 3, 4)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="warmup_steps 11 is more than steps 10"):
        TrainingSettings(steps=10, warmup_steps=11)
    with pytest.raises(ValueError, match="above learning_rate"):
        TrainingSettings(learning_rate=1e-4, min_learning_rate=1e-3)


def test_families_that_count_do_not_depend_on_the_settings_of_training() -> None:
    counting = TrainSettings.model_validate({"model": {"family": "ngram"}, "training": {"steps": 5}})
    assert counting.resolved() == {"model": {"family": "ngram", "order": 3, "smoothing": "kneser-ney"}, "training": {}}
    assert relevant_training(MODEL, SETTINGS)["steps"] == 12
    assert TrainSettings.model_validate(counting.resolved()).resolved() == counting.resolved()
