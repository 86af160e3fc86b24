"""The estimate stage: what it promises for a run is what the run is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages import estimate
from stages.lm import artifacts
from stages.lm.errors import UserError

GPT = {
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
    """Run the stage with these settings; returns the artifact."""

    def made(settings: dict[str, object]) -> Path:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
        out = tmp_path / "estimate"
        given = ["--config", str(tmp_path / "config.yaml"), "--tokens", str(tokens), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["estimate", *given])
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
