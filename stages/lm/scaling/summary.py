"""A scaling study in numbers, for programs, and in words, for people."""

import csv
import io
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from stages.lm.evaluation.bootstrap import Interval
from stages.lm.scaling.findings import Findings, Fitted, Row
from stages.lm.scaling.runs import ScalingSettings
from stages.lm.studies.power_law import at
from stages.lm.studies.scaling_laws import Parametric

POINTS = 60
"""How many the curve of the lowest loss by compute has."""


def numbers(study: ScalingSettings, found: Findings | str, rows: Sequence[Row], last: Row | None) -> dict[str, Any]:
    """What a study found, or why it has not; `last` is the training that was predicted, as soon as it is made."""
    stats: dict[str, Any] = {"kind": study.kind, "study": study.model_dump(mode="json", exclude={"kind", "base"})}
    stats |= {"runs": [*rows, *([last] if last else [])], "minima": [], "laws": {}, "prediction": None, "outcome": None}
    if isinstance(found, str):
        return stats | {"problem": found}
    law = found.fitted
    stats |= {
        "problem": found.problem,
        "minima": found.minima,
        "laws": {
            method: {"parameters": each.parameters, "tokens": each.tokens, "at": [at(part, study.predict) for part in each]}
            for method, each in found.laws.items()
        },
        "parametric": {name: law.interval(attrgetter(name)) for name in Parametric._fields},
        "exponents": {"lowest": found.lowest, "above_e": law.interval(_above_e)},
        "frontier": [_lowest(law, float(compute)) for compute in np.geomspace(study.budgets[0], study.predict, POINTS)],
    }
    if last:
        size, tokens = last["parameters"], last["tokens"]
    elif found.predicted:
        size, tokens = found.predicted.size, found.predicted.tokens
    else:
        return stats
    prediction = law.prediction(size, tokens)
    shown = {"compute": study.predict, "parameters": size, "tokens": tokens, **prediction}
    return stats | {"prediction": shown, "outcome": last and _outcome(last, prediction)}


def _lowest(law: Fitted, compute: float) -> dict[str, Any]:
    """The lowest loss that an amount of compute reaches by the law."""
    return {"compute": compute, **law.interval(lambda one: one.loss(*one.optimal(compute)))}


def _above_e(law: Parametric) -> float:
    """The power of compute by which the lowest loss comes nearer to E."""
    return -law.alpha * law.beta / (law.alpha + law.beta)


def _outcome(last: Row, predicted: Interval) -> dict[str, Any]:
    """The loss that was found, and by how much it is above the prediction; without a result, the state says why."""
    outcome = {key: last[key] for key in ("state", "message", "loss")}
    if (loss := last["loss"]) is None:
        return outcome
    error = loss - predicted["value"]
    within = predicted["low"] <= loss <= predicted["high"]
    return outcome | {"error": error, "error_percent": 100 * error / predicted["value"], "within": within}


def sentences(stats: Mapping[str, Any]) -> list[str]:
    """What was predicted, what came of it, and what is left out."""
    grid = [row for row in stats["runs"] if row["budget"] != stats["study"]["predict"]]
    lines = []
    if stats["problem"]:
        lines.append(f"Nothing is predicted: {stats['problem']}.")
    if predicted := stats["prediction"]:
        loss = f"{predicted['value']:.4f} [{predicted['low']:.4f}, {predicted['high']:.4f}] nats per token"
        training = f"{predicted['parameters']:,} parameters on {predicted['tokens']:,} tokens"
        lines.append(f"Predicted for {predicted['compute']:.3g} FLOPs: {training}, loss {loss}.")
        lines.append(f"Found: {_found(stats['outcome'])}.")
        spent = sum(row["compute"] for row in grid)
        lines.append(
            f"The {len(grid)} trainings behind it took {spent:.3g} FLOPs, {100 * spent / predicted['compute']:.0f} % of that."
        )
    if lost := [row for row in grid if row["loss"] is None]:
        named = ", ".join(f"{row['parameters']:,} at {row['budget']:.3g} ({row['state']})" for row in lost)
        lines.append(f"Without a loss, and left out of the fits: {named}.")
    if edges := [f"{one['budget']:.3g}" for one in stats["minima"] if one["lowest"] and one["lowest"]["at_edge"]]:
        lines.append(
            f"The lowest training is the smallest or the largest one at {', '.join(edges)} FLOPs: the best size may lie beyond."
        )
    again = [row for row in stats["runs"] if row["epochs"] > 1]
    if again:
        most = max(row["epochs"] for row in again)
        lines.append(
            f"{len(again)} of the trainings read their text more than once, up to {most:.1f} times: D counts tokens seen again."
        )
    return lines


def _found(outcome: Mapping[str, Any] | None) -> str:
    if outcome is None:
        return "nothing yet, this training comes next"
    if outcome["loss"] is None:
        return f"no loss, the training {outcome['state']}: {outcome['message']}"
    side = "above" if outcome["error"] > 0 else "below"
    where = "within" if outcome["within"] else "outside"
    return f"{outcome['loss']:.4f}, {abs(outcome['error_percent']):.2f} % {side} the prediction and {where} the interval"


def law_table(stats: Mapping[str, Any]) -> str:
    """The laws in Markdown."""
    lines = [f"| method | N ~ C^a | D ~ C^b | N at {stats['study']['predict']:.3g} | D at {stats['study']['predict']:.3g} |"]
    lines.append("|---|---|---|---|---|")
    for method, law in stats["laws"].items():
        exponents = [
            f"{each['exponent']:.3f} [{each['low']:.3f}, {each['high']:.3f}]" for each in (law["parameters"], law["tokens"])
        ]
        lines.append("| " + " | ".join([method, *exponents, *(f"{number:,.0f}" for number in law["at"])]) + " |")
    return "\n".join(lines)


def formula(stats: Mapping[str, Any]) -> str:
    """The parametric law with its numbers, and E beside what is known of the source."""
    law, floor = {name: each["value"] for name, each in stats["parametric"].items()}, stats["floor"]
    known = "" if floor is None else f"; the source's entropy is {floor:.4f} nats per token"
    return (
        f"L(N, D) = {law['e']:.4f} + {law['a']:.4g} / N^{law['alpha']:.3f} + {law['b']:.4g} / D^{law['beta']:.3f}, "
        f"E in [{stats['parametric']['e']['low']:.4f}, {stats['parametric']['e']['high']:.4f}]{known}."
    )


def as_csv(rows: Sequence[Row]) -> str:
    """The trainings for a spreadsheet."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
