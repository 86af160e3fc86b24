"""What every training of a config will take, in one table: `python -m workflow.estimates config/config.yaml [--fits 80GB]`.

Where an estimate is made already, the table shows it. Before, parameters, operations and memory follow from the config alone, if
the tokenizer's settings say how many tokens it knows; time needs the estimate.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.lm import script
from stages.lm.accounting.devices import memory_of
from stages.lm.accounting.estimate import tokens_per_step
from stages.lm.accounting.fits import check, peak_memory
from stages.lm.accounting.flops import forward_flops_per_token, training_flops
from stages.lm.accounting.parameters import parameters
from stages.lm.accounting.settings import EstimateSettings
from stages.lm.accounting.sizes import shown
from stages.lm.accounting.table import duration
from stages.lm.errors import UserError
from stages.lm.models.seq2seq.settings import Seq2SeqSettings
from stages.lm.reporting.cells import MISSING, Cell, table_text
from workflow.jobs import read_estimate
from workflow.plan import Node, Plan, build
from workflow.reading import load


class Planned(NamedTuple):
    """A training of the plan, and what is known of it."""

    name: str
    settings: EstimateSettings
    vocab_size: int | None
    estimate: Mapping[str, Any] | None

    def peak(self) -> int | None:
        """Bytes on each device: of the estimate, or from the settings."""
        if self.estimate:
            return int(self.estimate["memory_bytes"]["total"])
        return peak_memory(self.settings, self.vocab_size) if self.vocab_size else None


def planned(plan: Plan) -> Iterator[Planned]:
    """The trainings of all experiments, in the order of the config."""
    for name, parts in plan.experiments.items():
        node = parts["estimate"]
        settings = EstimateSettings.model_validate(node.settings)
        yield Planned(name, settings, vocab_size(node.inputs["tokens"]), read_estimate(node.path))


def vocab_size(tokens: Node) -> int | None:
    """How many tokens a model of these tokens knows, by the artifact or the tokenizer's settings; None if only the text tells."""
    made, tokenizer = tokens.path / "stats.json", tokens.inputs["tokenizer"].settings
    if made.exists():
        return int(json.loads(made.read_text(encoding="utf-8"))["vocab_size"])
    if tokenizer["kind"] == "byte":
        return 256 + len(tokenizer["special_tokens"])
    size: int | None = tokenizer.get("vocab_size")
    return size


def check_fits(plan: Plan, limit: str | None) -> None:
    """Raise UserError for the first experiment whose training needs more memory than `limit`, like `80GB` or `h100`."""
    if limit:
        for one in planned(plan):
            check(f"experiments.{one.name}", one.settings, one.vocab_size, one.peak(), memory_of(limit))


def table(plan: Plan) -> str:
    """A line for each experiment; energy and money where settings tell what they take."""
    rows = [row(one) for one in planned(plan)]
    columns = [column for column in rows[0] if any(each[column] != MISSING for each in rows)]
    return table_text([{column: Cell(each[column]) for column in columns} for each in rows])


def row(one: Planned) -> dict[str, str]:
    """The cells of an experiment."""
    counted, operations = (
        one.estimate and one.estimate["parameters"]["total"],
        one.estimate and one.estimate["flops"]["training_total"],
    )
    model, time = one.settings.model, one.estimate["time"] if one.estimate else {}
    if one.estimate is None and one.vocab_size and model.trained_by == "gradient":
        counted = parameters(model, one.vocab_size, 0)["total"]
        if not isinstance(model, Seq2SeqSettings):
            tokens = round(one.settings.training.steps * tokens_per_step(one.settings))
            operations = training_flops(forward_flops_per_token(model, one.vocab_size), tokens)
    peak = one.peak()
    values = {
        "parameters": f"{counted:,}" if counted else None,
        "training FLOPs": f"{operations:.3g}" if operations else None,
        "peak memory": shown(peak) if peak else None,
        "tokens/s": f"{time['tokens_per_second']:,.0f}" if time.get("tokens_per_second") else None,
        "time": duration(time["seconds"]) if time.get("seconds") else None,
        "kWh": f"{time['energy_kwh']:.3g}" if "energy_kwh" in time else None,
        "cost": f"{time['cost']:,.2f}" if "cost" in time else None,
    }
    return {"experiment": one.name} | {title: text or MISSING for title, text in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow.estimates", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--fits", metavar="MEMORY", help="the memory of a device, as 80GB or h100 (default: execution.fits)")
    given = parser.parse_args()
    config = load(given.config)
    plan = build(config)
    try:
        check_fits(plan, given.fits or config.execution.fits)
    except ValueError as error:
        raise UserError(f"--fits: {error}") from None
    sys.stdout.write(table(plan))


if __name__ == "__main__":
    script.run(main)
