"""The study of tokenizers: compression, speed, training on a growing text, growing vocabularies."""

from typing import Any

from stages.lm.reporting.cells import MISSING, Cell, count, duration, percent
from stages.lm.reporting.studies.tokenizer_figures import compression, growth, training
from stages.lm.reporting.studies.view import Source, StudyView
from stages.lm.studies.tables import law, slowest, telling

DAY = 86_400


def view(source: Source) -> StudyView:
    stats, timing, cell = source.stats(), source.stats("timing.json"), source.cell
    speeds = {row["tokenizer"]: row for row in timing["throughput"]}
    tables = {
        "compression": [_tokenizer(row, speeds[row["tokenizer"]], cell) for row in stats["tokenizers"]],
        "training": [_training(corpus, series, cell) for corpus, found in timing["training"].items() for series in found],
        "growth": [
            _grown(corpus, unit, found, cell) for corpus, found in stats["growth"].items() for unit in ("words", "characters")
        ],
    }
    figures = {
        "compression": compression(stats["tokenizers"], f"{source.figure}-compression"),
        "training": training(timing["training"], f"{source.figure}-training"),
        "growth": growth(stats["growth"], f"{source.figure}-growth"),
    }
    longest = {row["tokenizer"]: row["longest_tokens"] for row in stats["tokenizers"] if telling(row["longest_tokens"])}
    facts = {"vocab_size": count(timing["vocab_size"]), "longest": longest}
    return StudyView(source.name, "tokenizers", tables, figures, facts=facts)


def _tokenizer(row: dict[str, Any], speed: dict[str, Any], cell: Any) -> dict[str, Cell]:
    shown = {"tokenizer": Cell(row["tokenizer"]), "tokens": cell(count(row["vocab_size"]))}
    for corpus, found in row["corpora"].items():
        shown[f"bytes a token, {corpus}"] = cell(
            MISSING if found["bytes_per_token"] is None else f"{found['bytes_per_token']:.2f}"
        )
    for corpus, found in row["corpora"].items():
        shown[f"tokens a document, {corpus}"] = cell(MISSING if not found["documents"] else count(found["tokens_per_document"]))
    unknown = [found["unknown"] / max(found["tokens"], 1) for found in row["corpora"].values() if found["unknown"] is not None]
    shown["unknown at most"] = cell(percent(100 * max(unknown)) if unknown else MISSING)
    shown["MB/s"] = cell(f"{speed['bytes_per_second'] / 1e6:.1f}")
    shown["825 GB take"] = cell(_long(speed["pile_days"]))
    return shown


def _long(days: float) -> str:
    return f"{days:,.1f} days" if days >= 1 else duration(days * DAY)


def _training(corpus: str, series: dict[str, Any], cell: Any) -> dict[str, Cell]:
    return {
        "corpus": Cell(corpus),
        "trainer": Cell(series["trainer"]),
        "bytes": cell(count(series["bytes"][-1])),
        "CPU seconds": cell(f"{series['seconds'][-1]:.3g}"),
        "exponent": cell(law(series["fit"])),
        "slowest part": cell(slowest(series)),
    }


def _grown(corpus: str, unit: str, found: dict[str, Any], cell: Any) -> dict[str, Cell]:
    return {
        "corpus": Cell(corpus),
        "unit": Cell(unit),
        "bytes": cell(count(found["bytes"][-1])),
        "different ones": cell(count(found[unit]["distinct"][-1])),
        "exponent": cell(law(found[unit]["fit"])),
    }
