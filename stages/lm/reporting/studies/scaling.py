"""The study of scaling laws: the prediction beside its outcome, the laws, all trainings."""

from collections.abc import Mapping
from typing import Any

from stages.lm.reporting.cells import MISSING, Cell, count, duration, operations, percent
from stages.lm.reporting.studies.scaling_figures import METHODS, frontier, isoflops, laws
from stages.lm.reporting.studies.view import Source, StudyView
from stages.lm.scaling.summary import formula, sentences

NAMES = {"lowest": "lowest training", "parabola": "parabola", "parametric": "parametric"}


def view(source: Source) -> StudyView:
    stats, seconds = source.stats(), source.stats("timing.json")["seconds"]
    tables = {"runs": [_run(source, row, time) for row, time in zip(stats["runs"], seconds, strict=True)]}
    measured = any(row["loss"] is not None for row in stats["runs"])
    figures = {"isoflops": isoflops(stats, f"{source.figure}-isoflops")} if measured else {}
    facts = {"sentences": sentences(stats), "experiment": stats["experiment"], "floor": stats["floor"]}
    if stats["prediction"]:
        tables["prediction"] = [_prediction(source, stats)]
    if stats["laws"]:
        tables["laws"] = [_law(source, method, law, stats) for method, law in stats["laws"].items()]
        figures |= {"laws": laws(stats, f"{source.figure}-laws"), "frontier": frontier(stats, f"{source.figure}-frontier")}
        facts |= {
            "formula": formula(stats),
            "exponents": _exponents(stats),
            "methods": {NAMES[method]: METHODS[method] + 1 for method in stats["laws"]},
        }
    keys = {f"{budget:.3g} FLOPs": number % 8 + 1 for number, budget in enumerate(stats["study"]["budgets"])}
    return StudyView(source.name, "scaling", tables, figures, keys, facts)


def _prediction(source: Source, stats: Mapping[str, Any]) -> dict[str, Cell]:
    predicted, outcome = stats["prediction"], stats["outcome"] or {}
    found = outcome.get("loss")
    return {
        "FLOPs": Cell(f"{predicted['compute']:.3g}"),
        "N": source.cell(count(predicted["parameters"])),
        "D": source.cell(count(predicted["tokens"])),
        "predicted loss": source.cell(f"{predicted['value']:.4f}"),
        "95 % interval": source.cell(f"[{predicted['low']:.4f}, {predicted['high']:.4f}]"),
        "found": source.cell(outcome.get("state", MISSING) if found is None else f"{found:.4f}"),
        "error": source.cell(MISSING if found is None else f"{outcome['error']:+.4f}"),
        "in per cent": source.cell(MISSING if found is None else f"{outcome['error_percent']:+.2f}"),
        "within": source.cell(MISSING if found is None else "yes" if outcome["within"] else "no"),
    }


def _law(source: Source, method: str, law: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Cell]:
    chosen = " (chosen)" if method == stats["study"]["size_by"] else ""
    shown = {"method": Cell(NAMES[method] + chosen)}
    for symbol, power, kind in (("N", "a", "parameters"), ("D", "b", "tokens")):
        fit = law[kind]
        shown[f"{symbol} ~ C^{power}"] = source.cell(f"{fit['exponent']:.3f}")
        shown[f"95 % of {power}"] = source.cell(f"[{fit['low']:.3f}, {fit['high']:.3f}]")
    at = f"at {stats['study']['predict']:.3g}"
    return shown | {f"{symbol} {at}": source.cell(count(number)) for symbol, number in zip("ND", law["at"], strict=True)}


def _exponents(stats: Mapping[str, Any]) -> str:
    above, plain = stats["exponents"]["above_e"], stats["exponents"]["lowest"]
    text = f"L - E falls as C^{above['value']:.3f} [{above['low']:.3f}, {above['high']:.3f}]"
    return text if plain is None else f"{text}; a power law without a floor through the lowest losses has {plain['exponent']:.3f}"


def _run(source: Source, row: Mapping[str, Any], seconds: float) -> dict[str, Cell]:
    return {
        "budget": Cell(f"{row['budget']:.3g}"),
        "N": source.cell(count(row["parameters"])),
        "layers × width": Cell(f"{row['layers']} × {row['d_model']}"),
        "learning rate": Cell(f"{row['learning_rate']:g}"),
        "steps": source.cell(count(row["steps"])),
        "D": source.cell(count(row["tokens"])),
        "of the text": source.cell(percent(100 * row["epochs"])),
        "all operations": source.cell(operations(row["flops"])),
        "time": source.cell(duration(seconds)),
        "loss": source.cell(MISSING if row["loss"] is None else f"{row['loss']:.4f}"),
        "state": Cell(row["state"] + (f": {row['message']}" if row["message"] else "")),
    }
