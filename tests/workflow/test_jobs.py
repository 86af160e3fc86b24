"""What jobs ask a cluster for: by stage, by experiment, from the estimate, and more at every attempt."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.lm.errors import UserError
from tests.workflow.configs import changed
from workflow.jobs import JobSettings, read_estimate, resources
from workflow.plan import Node, build
from workflow.reading import read

GIB = 2**30


def estimate(memory: int, seconds: float | None = None, **spread: Any) -> dict[str, Any]:
    return {
        "memory_bytes": {"total": memory},
        "parameters": {"total": 10**6},
        "spread": {"processes": 1, **spread},
        "time": {"seconds": seconds},
    }


def asked(stage: str = "train", job: JobSettings | None = None, **more: Any) -> dict[str, Any]:
    return resources(stage, job or JobSettings(), 2, **more)


def planned(data: dict[str, Any]) -> dict[str, Node]:
    return {node.stage: node for node in build(read(data)).nodes.values()}


def test_memory_and_time_follow_the_estimate_with_a_margin() -> None:
    """1500 MB of libraries and half as much again as 4 GiB; ten minutes and half as much again as an hour."""
    found = asked(estimate=estimate(4 * GIB, 3600.0))
    assert (found["mem_mb"], found["runtime"]) == (1500 + 6 * 1024, 10 + 90)


def test_every_process_has_its_own_libraries_and_weights() -> None:
    alone, four = (asked(job=JobSettings(gpus=gpus), estimate=estimate(GIB)) for gpus in (1, 4))
    assert four["mem_mb"] == 4 * alone["mem_mb"]


def test_a_model_in_shards_is_somewhere_whole() -> None:
    """Four processes of 1 GiB, and a copy of the weights with a checkpoint of all: 16 bytes for each of a million parameters."""
    found = asked(job=JobSettings(processes=4), estimate=estimate(GIB, processes=4, engine="fsdp"))
    assert found["mem_mb"] == 4 * 1500 + int(1.5 * (4 * 1024 + 16e6 / 2**20))


def test_estimates_are_of_the_processes_of_the_training() -> None:
    data = changed("execution", {"engine": "fsdp", "jobs": {"train": {"nodes": 2, "gpus": 4}}})
    assert planned(data)["estimate"].settings["spread"] == {"processes": 8, "engine": "fsdp"}
    data["experiments"]["gpt"]["job"] = {"nodes": 1, "processes": 1}
    assert planned(data)["estimate"].settings["spread"] == {"processes": 1}


def test_every_attempt_asks_for_half_as_much_again() -> None:
    job = JobSettings(memory_mb=1000, minutes=20)
    found = [asked(job=job, attempt=attempt) for attempt in (1, 2, 3)]
    assert [each["mem_mb"] for each in found] == [1000, 1500, 2250]
    first, second, third = (each["runtime"] for each in found)
    assert (first, second >= 30, third >= 45) == (20, True, True)


def test_every_attempt_asks_for_more_than_the_estimate_too() -> None:
    """1500 MB and 6 GiB, ten minutes and an hour and a half; then half as much again, and again."""
    found = [asked(estimate=estimate(4 * GIB, 3600.0), attempt=attempt) for attempt in (1, 2, 3)]
    assert [each["mem_mb"] for each in found] == [7644, 11_466, 17_199]
    assert [each["runtime"] for each in found] == [100, 151, 226]


def test_no_attempt_asks_for_more_time_than_there_is() -> None:
    job = JobSettings(max_minutes=60)
    assert [asked(job=job, attempt=attempt)["runtime"] for attempt in (1, 5)] == [60, 60]


def test_a_written_number_is_not_replaced_by_the_estimate() -> None:
    found = asked(job=JobSettings(memory_mb=123, minutes=4), estimate=estimate(4 * GIB, 3600.0))
    assert (found["mem_mb"], found["runtime"]) == (123, 4)


def test_an_evaluation_has_room_for_its_model_but_not_the_time_of_its_training() -> None:
    found = asked("evaluate", estimate=estimate(40 * GIB, 1e6))
    assert found["mem_mb"] > 40 * 1024
    assert found["runtime"] == asked("evaluate")["runtime"]


def test_training_is_warned_before_its_time_is_over() -> None:
    assert asked(job=JobSettings(warning_seconds=90, options="--nice"))["slurm_extra"].endswith(" --signal=TERM@90 --nice")
    assert "--signal" not in asked("decode")["slurm_extra"]


def test_gpus_are_counted_by_node() -> None:
    job = JobSettings(nodes=2, gpus=4, gpu_type="h100")
    found = asked(job=job)
    assert {key: found[key] for key in ("nodes", "tasks", "gres", "processes", "mpi")} == {
        "nodes": 2,
        "tasks": 2,
        "gres": "gpu:h100:4",
        "processes": 4,
        "mpi": "srun",
    }


def test_other_stages_take_one_node_and_at_most_one_gpu() -> None:
    found = asked("evaluate", job=JobSettings(nodes=2, gpus=4))
    assert (found["nodes"], found["gres"], found["processes"], found["mpi"]) == (1, "gpu:1", 1, None)


def test_the_stage_counts_over_all_and_the_experiment_over_the_stage() -> None:
    data = changed("execution.jobs", {"all": {"partition": "cpu", "account": "us"}, "train": {"partition": "gpu", "gpus": 1}})
    data["experiments"]["gpt"]["job"] = {"gpus": 8, "nodes": 1}
    nodes = planned(data)
    assert (nodes["bpe"].job.partition, nodes["bpe"].job.gpus) == ("cpu", 0)
    train = nodes["train"].job
    assert (train.partition, train.account, train.gpus) == ("gpu", "us", 8)
    assert nodes["evaluate"].job.gpus == 0


def test_what_jobs_ask_for_is_no_part_of_an_artifact() -> None:
    """But of the estimate, which promises the memory of each process, and of the report that shows it."""
    plain, asking = planned(changed("title", "T")), planned(changed("title", "T") | {"execution": {"jobs": {"all": {"gpus": 2}}}})
    differing = {stage for stage, node in plain.items() if node.id != asking[stage].id}
    assert differing == {"estimate", "report"}
    more = planned(changed("title", "T") | {"execution": {"jobs": {"all": {"cpus": 2, "memory_mb": 9}}}})
    assert {node.id for node in plain.values()} == {node.id for node in more.values()}


def test_an_unknown_stage_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"execution\.jobs\.trainn: unknown stage 'trainn'; did you mean 'train'\?"):
        read(changed("execution.jobs", {"trainn": {}}))


def test_processes_share_a_node_s_cores() -> None:
    data = changed("experiments.gpt.job", {"processes": 3})
    data["experiments"]["gpt"]["training"]["threads"] = 2
    assert planned(data)["train"].threads == 6
    assert planned(data)["estimate"].threads == 2


def test_an_estimate_is_read_once_it_is_there(tmp_path: Path) -> None:
    assert read_estimate(tmp_path) is None
    (tmp_path / "stats.json").write_text(json.dumps(estimate(1)))
    assert read_estimate(tmp_path) == estimate(1)
