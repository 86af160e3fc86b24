"""One table over all experiments, before and after their estimates are made; and what does not fit."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from stages.lm.accounting.settings import EstimateSettings, SpreadSettings
from stages.lm.accounting.spread_memory import memory_of_each
from stages.lm.errors import UserError
from tests.workflow.configs import BASE, changed
from workflow import estimates
from workflow.plan import Plan, build
from workflow.reading import read


def planned(path: str = "title", value: object = "T") -> Plan:
    return build(read(changed(path, value)))


def cells(plan: Plan, place: int = 0) -> dict[str, str]:
    header, _, *lines = estimates.table(plan).splitlines()
    columns = [column.strip() for column in header.split("  ") if column.strip()]
    return dict(zip(columns, [cell.strip() for cell in lines[place].split("  ") if cell.strip()], strict=True))


def write(plan: Plan, folder: Path, **time: Any) -> None:
    (node,) = plan.stage("estimate")
    made = folder / "results" / node.id
    made.mkdir(parents=True)
    stats = {"parameters": {"total": 7}, "flops": {"training_total": 3e9}, "memory_bytes": {"total": 5 * 10**9}, "time": time}
    (made / "stats.json").write_text(json.dumps(stats))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_config_alone_says_parameters_operations_and_memory() -> None:
    """By hand: 2 * 300 * 16 in the tables, 4 * 16 * 16 in attention, 3 * 16 * 64 in the network, three norms."""
    found = cells(planned())
    assert found["parameters"] == f"{2 * 300 * 16 + 4 * 256 + 3 * 16 * 64 + 3 * 16:,}"
    products = 2 * (4 * 256 + 3 * 16 * 64 + 300 * 16) + 4 * 32 * 16
    assert float(found["training FLOPs"]) == pytest.approx(3 * products * 5 * 32 * 32, rel=5e-3)
    assert found["peak memory"].endswith(" MB")
    assert "time" not in found


def test_an_estimate_that_is_made_is_shown(tmp_path: Path) -> None:
    write(planned(), tmp_path, seconds=7200.0, tokens_per_second=1234.4, energy_kwh=0.25, cost=1.5)
    assert cells(planned()) == {
        "experiment": "gpt", "parameters": "7", "training FLOPs": "3e+09", "peak memory": "5.00 GB", "tokens/s": "1,234",
        "time": "2 h 0 min", "kWh": "0.25", "cost": "1.50",
    }  # fmt: skip


def test_a_tokenizer_of_bytes_has_256_and_what_is_special() -> None:
    plan = planned("tokenizers.bpe", {"kind": "byte", "corpus": "toy"})
    assert next(estimates.planned(plan)).vocab_size == 257


def test_what_only_the_text_tells_is_left_open(tmp_path: Path) -> None:
    plan = planned("tokenizers.bpe", {"kind": "word", "corpus": "toy"})
    assert next(estimates.planned(plan)).peak() is None
    estimates.check_fits(plan, "1MB")
    (tokens,) = plan.stage("tokenize")
    (tmp_path / "results" / tokens.id).mkdir(parents=True)
    (tmp_path / "results" / tokens.id / "stats.json").write_text('{"vocab_size": 123}')
    assert next(estimates.planned(plan)).vocab_size == 123
    with pytest.raises(UserError, match=r"experiments\.gpt: training needs"):
        estimates.check_fits(plan, "1MB")


def test_an_estimate_counts_more_than_the_settings(tmp_path: Path) -> None:
    estimates.check_fits(planned(), "1GB")
    write(planned(), tmp_path)
    with pytest.raises(UserError, match=r"experiments\.gpt: training needs 5\.00 GB at its peak, more than the 1\.00 GB of fits"):
        estimates.check_fits(planned(), "1GB")


def test_the_memory_is_that_of_each_process_of_the_training() -> None:
    peaks = {}
    engines: tuple[Literal["ddp", "fsdp"], ...] = ("ddp", "fsdp")
    for engine in engines:
        (one,) = estimates.planned(planned("execution", {"engine": engine, "jobs": {"train": {"processes": 4}}}))
        peaks[engine] = one.peak()
        spread = SpreadSettings(processes=4, engine=engine)
        given = EstimateSettings(model=one.settings.model, training=one.settings.training, spread=spread)
        assert peaks[engine] == memory_of_each(given, 300)["total"]
    assert peaks["ddp"] != peaks["fsdp"]


def test_a_device_is_a_limit() -> None:
    assert planned("execution.fits", "h100").stage("estimate")[0].options == ("--fits", "h100")
    estimates.check_fits(planned(), "h100")


def test_the_limit_is_told_to_the_estimates_and_moves_nothing() -> None:
    plain, limited = build(read(BASE)), planned("execution.fits", "1 GB")
    assert limited.stage("estimate")[0].options == ("--fits", "1GB")
    assert {node.id for node in plain.nodes.values()} == {node.id for node in limited.nodes.values()}


def test_a_wrong_amount_is_refused_with_its_key() -> None:
    with pytest.raises(UserError, match=r"execution\.fits: .*'80' is no amount of memory; write a number and one of kB, MB, GB"):
        read(changed("execution.fits", "80"))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed("execution.fits", "1MB")))
    monkeypatch.setattr(sys, "argv", ["estimates", "config.yaml", "--fits", "1GB"])
    estimates.main()
    assert capsys.readouterr().out.startswith("experiment")
    monkeypatch.setattr(sys, "argv", ["estimates", "config.yaml"])
    with pytest.raises(UserError, match="of fits"):
        estimates.main()
