"""The estimate stage: what it promises for a run is what the run is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages import estimate
from stages.lm import artifacts
from stages.lm.accounting import calibration
from stages.lm.accounting.memory import training_memory
from stages.lm.errors import UserError
from stages.lm.settings import parse
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainingSettings, TrainSettings

GPT: dict[str, Any] = {
    "model": {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16},
    "training": {"steps": 50, "batch_size": 2, "threads": 1, "device": "cpu"},
}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    with artifacts.writing(tmp_path / "tokens", "tokenize", {}, {}) as draft:
        ids = np.tile(np.array([1, 2, 3, 0], dtype=np.uint16), 500)
        np.save(draft.path / "train.npy", ids)
        np.save(draft.path / "train.offsets.npy", np.arange(0, 2001, 4))
        np.save(draft.path / "train.bytes.npy", np.full(500, 3))
        draft.write_json("stats.json", {"vocab_size": 5, "end_of_text": 0, "tokenizer": "0123456789ab", "splits": {}})
    return tmp_path / "tokens"


@pytest.fixture
def run(tmp_path: Path, tokens: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], Path]:
    """Run the stage with these settings and options; returns the artifact."""

    def made(settings: dict[str, object], *options: str) -> Path:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
        out = tmp_path / "estimate"
        given = ["--config", str(tmp_path / "config.yaml"), "--tokens", str(tokens), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["estimate", *given, *options])
        estimate.main()
        return out

    return made


@pytest.mark.parametrize("settings", [GPT, {"model": {"family": "ngram", "order": 2}}])
def test_an_estimate_is_written(run: Callable[[dict[str, object]], Path], settings: dict[str, object]) -> None:
    out = run(settings)
    stats = artifacts.read(out, "estimate").json("stats.json")
    for part in ("parameters", "memory_bytes"):
        assert stats[part]["total"] == sum(size for name, size in stats[part].items() if name != "total") > 0
    assert stats["time"]["seconds"] == pytest.approx(stats["tokens"] / stats["time"]["tokens_per_second"])
    assert stats["tokens"] == (1600 if settings is GPT else 2000)
    assert f"{stats['parameters']['total']:,}" in (out / "README.md").read_text()


def test_a_data_sheet_needs_no_hardware(run: Callable[[dict[str, object]], Path]) -> None:
    """An H100 draws 700 W; a step so small waits for its calls."""
    machine = {"device": "h100", "price_per_device_hour": 2.0}
    stats = artifacts.read(run(GPT | {"machine": machine}), "estimate").json("stats.json")
    time, predicted = stats["time"], stats["predicted"]
    assert stats["calibration"] == {}
    assert predicted["machine"] == "h100"
    assert time["seconds"] == pytest.approx(50 * predicted["seconds_per_step"])
    assert time["energy_kwh"] == pytest.approx(0.7 * time["seconds"] / 3600)
    assert time["cost"] == pytest.approx(2.0 * time["seconds"] / 3600)
    assert predicted["shares"]["calls"] > 0.9
    assert sum(predicted["shares"].values()) == pytest.approx(1.0)
    assert set(stats["decoding"]["tokens_per_second"]) == {"1 at once", "16 at once"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSettings]:
    """What steps are timed with; each time the answer is 100 tokens a second."""
    asked: list[TrainingSettings] = []

    def calibrate_batch(_: object, training: TrainingSettings, __: int, batch: Batch) -> dict[str, float]:
        assert batch.tokens == training.batch_size * 16
        asked.append(training)
        return {"tokens_per_second": 100.0}

    monkeypatch.setattr(calibration, "calibrate_batch", calibrate_batch)
    return asked


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """So many bytes are free on the device."""
    monkeypatch.setattr("stages.lm.accounting.estimate.spare_memory", lambda _: free)


def peak(micro_batch: int) -> int:
    """Of a batch of four."""
    settings = parse(TrainSettings, GPT, "test").with_training({"batch_size": 4, "micro_batch_size": micro_batch})
    return training_memory(settings.model, settings.training, 5)["total"]


def trained_with(**training: object) -> dict[str, object]:
    return GPT | {"training": {**GPT["training"], "batch_size": 4, **training}}


def test_what_does_not_fit_is_not_tried(
    run: Callable[..., Path], asked: list[TrainingSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, peak(4) - 1)
    stats = artifacts.read(run(trained_with()), "estimate").json("stats.json")
    assert not asked
    assert (stats["calibration"], stats["time"]) == ({}, {"tokens_per_second": None, "seconds": None})


def test_micro_batches_that_a_run_chooses_are_tried_as_they_fit(
    run: Callable[..., Path], asked: list[TrainingSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, peak(2))
    run(trained_with(micro_batch_size="auto"))
    assert [training.micro_batch_size for training in asked] == [2]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 bytes")])
def test_memory_that_runs_out_is_no_measurement(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def step_times(*_: object) -> None:
        raise error

    monkeypatch.setattr(calibration, "step_times", step_times)
    assert artifacts.read(run(GPT), "estimate").json("stats.json")["calibration"] == {}


def test_a_limit_is_held_before_any_step(run: Callable[..., Path], asked: list[TrainingSettings]) -> None:
    with pytest.raises(UserError, match=r"training needs .* more than the 0\.00 MB of fits"):
        run(GPT, "--fits", "1kB")
    assert not asked


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--config", "c", "--tokens", "t", "--out", "o", "--fits", "80"],
            "'80' is no amount of memory; write a number and one of kB",
        ),
        (["profile", "--threads", "0"], "'0' is no whole number from 1 on"),
        (["profile", "--threads", "two"], "'two' is no whole number from 1 on"),
    ],
)
def test_options_that_say_nothing_are_refused_with_what_would(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["estimate", *given])
    monkeypatch.setattr("stages.lm.accounting.profile.of_writing", lambda *_, **__: pytest.fail("nothing is to be measured"))
    with pytest.raises(SystemExit, match="2"):
        estimate.main()
    assert said in capsys.readouterr().err


def test_several_processes_are_so_many_devices(run: Callable[..., Path], asked: list[TrainingSettings]) -> None:
    """Four do together four times what one does with a quarter of the batch, and draw four times the power: for a quarter of the
    time."""
    machine = {"watts": 50, "price_per_device_hour": 2.0}
    one, four = (
        artifacts.read(run(trained_with() | {"machine": machine, "spread": {"processes": count}}), "estimate").json("stats.json")
        for count in (1, 4)
    )
    assert [training.batch_size for training in asked] == [4, 1]
    assert four["time"]["tokens_per_second"] == 4 * one["time"]["tokens_per_second"] == 400
    assert four["time"]["seconds"] == one["time"]["seconds"] / 4 == 50 * 4 * 16 / 400
    assert four["time"]["energy_kwh"] == one["time"]["energy_kwh"] == pytest.approx(0.05 * 32 / 3600)
    assert four["time"]["cost"] == one["time"]["cost"] == pytest.approx(2.0 * 32 / 3600)


def test_by_its_data_sheet_each_device_does_its_share(run: Callable[..., Path]) -> None:
    """A step so small waits for its calls, of which a smaller one has as many."""
    spread = [trained_with() | {"machine": {"device": "h100"}, "spread": {"processes": count}} for count in (1, 2)]
    one, two = (artifacts.read(run(settings), "estimate").json("stats.json") for settings in spread)
    assert two["predicted"]["seconds_per_step"] == pytest.approx(one["predicted"]["seconds_per_step"], rel=0.01)
    assert two["time"]["seconds"] == pytest.approx(50 * two["predicted"]["seconds_per_step"])
    assert two["time"]["energy_kwh"] == pytest.approx(2 * 0.7 * two["time"]["seconds"] / 3600)


def test_products_are_rounded_to_tf32_unless_they_have_to_be_exact(run: Callable[..., Path]) -> None:
    """An H100 does 494.5e12 of the one and 67e12 of the other a second; the calls that so small a step waits for are the same."""
    rounded, exact = (
        artifacts.read(run(trained_with(**more) | {"machine": {"device": "h100"}}), "estimate").json("stats.json")["predicted"]
        for more in ({}, {"matmul_precision": "highest"})
    )
    assert exact["utilisation"] / rounded["utilisation"] == pytest.approx(494.5 / 67, rel=0.01)


def test_the_speed_of_writing_is_said_for_as_many_texts_as_the_run_writes_at_once(run: Callable[..., Path]) -> None:
    """Two wait for the same calls as one, and are twice as fast."""
    settings = GPT | {"machine": {"device": "h100"}, "texts_at_once": 2}
    speeds = artifacts.read(run(settings), "estimate").json("stats.json")["decoding"]["tokens_per_second"]
    assert list(speeds) == ["1 at once", "2 at once", "16 at once"]
    assert speeds["2 at once"] == pytest.approx(2 * speeds["1 at once"], rel=0.05)


def test_the_largest_batch_is_said(
    tmp_path: Path, tokens: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(GPT))
    given = ["--config", str(tmp_path / "config.yaml"), "--tokens", str(tokens), "--memory", "1MB"]
    monkeypatch.setattr("sys.argv", ["estimate", "largest-batch", *given])
    monkeypatch.setattr(
        "stages.lm.accounting.largest_batch.peak_bytes", lambda steps: 0 if steps.settings["training"]["batch_size"] < 7 else None
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        estimate.main()
    assert capsys.readouterr().out.startswith("largest batch in 1 MB: 6 (the estimate alone says")
    assert (tmp_path / "state" / "largest_batch.json").is_file()


def test_a_limit_below_the_weights_is_refused(tmp_path: Path, tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(GPT))
    given = ["--config", str(tmp_path / "config.yaml"), "--tokens", str(tokens), "--memory", "1kB"]
    monkeypatch.setattr("sys.argv", ["estimate", "largest-batch", *given])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not even one example fits"):
        estimate.main()
