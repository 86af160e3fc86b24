"""The comparison: order, groups, intervals, and its forms for machine and terminal."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from stages.lm.reporting.comparison import Group, as_csv, as_json, as_text, compare
from stages.lm.reporting.experiments import resolve
from stages.lm.reporting.settings import ReportSettings
from tests.lm.reporting.workshop import Workshop


def groups(workshop: Workshop, experiments: dict[str, dict[str, str]]) -> list[Group]:
    settings = ReportSettings.model_validate({"experiments": experiments})
    return compare(resolve(settings, workshop.made, workshop.folder / "report" / "r"))


def test_the_best_comes_first_and_the_others_are_measured_against_it(workshop: Workshop) -> None:
    [group] = groups(workshop, workshop.standard())
    assert [row.experiment.name for row in group.rows] == ["gpt", "gpt-nope", "trigram"]
    best, second, _ = group.rows
    assert best.behind is None
    assert second.behind is not None
    assert second.behind["value"] == pytest.approx(second.bits["value"] - best.bits["value"])
    assert 0 < second.behind["low"] < second.behind["value"] < second.behind["high"]
    assert second.record()["behind_best_p"] == second.behind["p"] < 0.05
    assert best.record()["behind_best_p"] is None


def test_the_floor_is_the_surprisal_of_the_same_documents(workshop: Workshop) -> None:
    [group] = groups(workshop, workshop.standard())
    assert group.entropy == 0.8
    assert group.floor is not None
    # the workshop's models spend bits / 0.8 of what the source does on every document
    assert group.rows[0].excess is not None
    assert group.rows[0].excess["value"] == pytest.approx(100 * (0.84 / 0.8 - 1))
    assert group.rows[0].bits["value"] / group.floor == pytest.approx(0.84 / 0.8)


def test_experiments_on_other_documents_are_not_compared(workshop: Workshop) -> None:
    experiments = workshop.standard()
    other = workshop.corpus("news", entropy=None, seed=1)
    tokens = workshop.tokens(other, experiments["gpt"]["bpe"], "news-bpe")
    experiments["news"] = workshop.experiment("news", other, experiments["gpt"]["bpe"], tokens, 1.1)
    valid = workshop.evaluate(
        experiments["gpt"]["train"], experiments["gpt"]["tokenize"], experiments["gpt"]["corpus"], "v", 1.0, "valid"
    )
    experiments["gpt-valid"] = experiments["gpt"] | {"evaluate": valid}
    found = groups(workshop, experiments)
    assert [[row.experiment.name for row in group.rows] for group in found] == [
        ["gpt", "gpt-nope", "trigram"],
        ["news"],
        ["gpt-valid"],
    ]
    assert [group.floor is None for group in found] == [False, True, False]
    text = as_text(found)
    assert text.count("above source") == 2
    assert text.index("split test") < text.index("news") < text.index("split valid")


def test_the_terminal_table_is_aligned_and_ends_with_the_source(workshop: Workshop) -> None:
    lines = as_text(groups(workshop, workshop.standard())).splitlines()
    assert lines[0].split() == ["experiment", "parameters", "bits", "per", "byte", "above", "source", "tokens/s"]
    name, parameters, value, low, high, excess, _, speed = lines[2].split()
    assert (name, parameters, excess, speed) == ("gpt", "912,384", "5.0", "1,707")
    assert float(low.strip("[,")) < float(value) < float(high.strip("]"))
    assert len({line.index("%") for line in lines if "%" in line}) == 1
    assert lines[-1].split()[0] == "source"


def test_without_a_floor_its_column_vanishes(workshop: Workshop) -> None:
    corpus = workshop.corpus("news", entropy=None)
    tokenizer = workshop.tokenizer(corpus)
    experiments = {"gpt": workshop.experiment("gpt", corpus, tokenizer, workshop.tokens(corpus, tokenizer), 1.1)}
    text = as_text(groups(workshop, experiments))
    assert "source" not in text
    assert "%" not in text


def test_csv_and_json_hold_the_numbers_of_the_artifacts(workshop: Workshop) -> None:
    experiments = workshop.standard()
    found = groups(workshop, experiments)
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    records = as_json(found)
    for row, record in zip(rows, records, strict=True):
        artifact = workshop.made[experiments[row["experiment"]]["evaluate"]]
        nats, lengths = np.load(artifact.file("losses.npy")), np.load(artifact.file("bytes.npy"))
        assert float(row["bits_per_byte"]) == record["bits_per_byte"] == pytest.approx(nats.sum() / np.log(2) / lengths.sum())
        assert record["artifacts"] == experiments[row["experiment"]]
    assert rows[0]["behind_best"] == ""
    assert records[0]["behind_best"] is None


def test_missing_artifacts_leave_gaps(workshop: Workshop) -> None:
    experiments = workshop.standard()
    del experiments["gpt"]["train"]
    del experiments["gpt-nope"]["evaluate"]
    [group] = groups(workshop, experiments)
    assert [row.experiment.name for row in group.rows] == ["gpt", "trigram"]
    assert group.rows[0].record()["parameters"] is None
    assert as_text([group]).splitlines()[2].split()[1] == "–"


def test_the_page_links_to_folders_beside_its_own(workshop: Workshop) -> None:
    [group] = groups(workshop, workshop.standard())
    cell = group.rows[0].experiment.cell("train", "1")
    assert cell.href is not None
    assert cell.href.startswith("../../train/gpt-")
    assert (workshop.folder / "report" / "r" / Path(cell.href)).resolve() == workshop.made[cell.artifact or ""].path.resolve()
