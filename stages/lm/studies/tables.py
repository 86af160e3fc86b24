"""Studies as tables for a person."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def decay(norms: list[float]) -> float:
    """The factor by which a gradient changes with every step back, on the average over all of them."""
    return float((norms[-1] / norms[0]) ** (1 / (len(norms) - 1)))


def gradient_table(stats: Mapping[str, Any]) -> str:
    """By model and start of W_h: the factor of the gradient with each step back, and its bound, before and after training."""
    lines = [f"{'model':<16}{'W_h at the start':<18}{'factor per step':>16}{'at most':>10}{'trained':>10}{'at most':>10}"]
    for run in stats["runs"]:
        factors = []
        for moment in (run["at_start"], run["trained"]):
            bound = f"{moment['sigma_max'] * moment['slope_max']:.3f}" if "bound" in moment else ""
            factors += [f"{decay(moment['norms']):.3f}", bound]
        start = f"{run['recurrent_init']} {run['recurrent_gain']:g}"
        lines.append(f"{run['model']:<16}{start:<18}{factors[0]:>16}{factors[1]:>10}{factors[2]:>10}{factors[3]:>10}")
    return "\n".join(lines)


def complexity_table(stats: Mapping[str, Any]) -> str:
    """By model and quantity: the fitted exponent of the length, its interval, and the formula's exponent."""
    lines = [f"{'model':<16}{'quantity':<30}{'lengths':<14}{'exponent':>10}{'interval':>16}{'formula':>10}"]
    for series in stats["series"]:
        fit, span = series["fit"], f"{series['lengths'][0]}-{series['lengths'][-1]}"
        interval = f"[{fit['low']:.2f}, {fit['high']:.2f}]"
        exponent, formula = f"{fit['exponent']:.2f}", f"{series['formula_fit']['exponent']:.2f}"
        lines.append(f"{series['model']:<16}{series['quantity']:<30}{span:<14}{exponent:>10}{interval:>16}{formula:>10}")
    return "\n".join(lines)


def tokenizer_tables(stats: Mapping[str, Any]) -> str:
    """Tokenizers in Markdown: compression, speed, training, growth; `stats` with what was timed."""
    corpora = list(stats["growth"])
    speed = {row["tokenizer"]: row for row in stats["throughput"]}
    rows = [
        [
            row["tokenizer"],
            f"{row['vocab_size']:,}",
            *(_compression(row["corpora"][corpus]) for corpus in corpora),
            f"{speed[row['tokenizer']]['bytes_per_second'] / 1e6:.2f}",
            f"{speed[row['tokenizer']]['pile_days']:.1f}",
        ]
        for row in stats["tokenizers"]
    ]
    header = ["tokenizer", "tokens", *(f"bytes per token, {corpus}" for corpus in corpora), "MB/s, one thread", "days for 825 GB"]
    times = [
        [
            corpus,
            series["trainer"],
            f"{series['bytes'][-1]:,}",
            f"{series['seconds'][-1]:.3f}",
            law(series["fit"]),
            slowest(series),
        ]
        for corpus, found in stats["training"].items()
        for series in found
    ]
    grown = [
        [corpus, unit, f"{found['bytes'][-1]:,}", f"{found[unit]['distinct'][-1]:,}", law(found[unit]["fit"])]
        for corpus, found in stats["growth"].items()
        for unit in ("words", "characters")
    ]
    timed = ["corpus", "trainer", "bytes", "CPU seconds", "grows with bytes to the power", "slowest part"]
    longest = [
        f"- {row['tokenizer']}: {', '.join(f'`{token}`' for token in row['longest_tokens'])}"
        for row in stats["tokenizers"]
        if telling(row["longest_tokens"])
    ]
    return "\n\n".join(
        [
            table(header, rows),
            f"Training byte pairs to {stats['vocab_size']:,} tokens:",
            table(timed, times),
            "Different words and characters:",
            table(["corpus", "unit", "bytes", "different ones", "grow with bytes to the power"], grown),
            "Longest tokens:",
            "\n".join(longest) + "\n",
        ]
    )


def telling(longest: Sequence[str]) -> bool:
    """Whether the longest tokens say anything: those of bytes and characters don't."""
    return any(len(token) > 4 for token in longest)


def law(fit: Mapping[str, float]) -> str:
    """An exponent with its interval."""
    exponent, low, high = (f"{round(fit[key], 2) + 0.0:.2f}" for key in ("exponent", "low", "high"))
    return f"{exponent} [{low}, {high}]"


def slowest(series: Mapping[str, Any]) -> str:
    """The part of a training that takes most of its time on the largest text."""
    part, seconds = max(((name, values[-1]) for name, values in series["parts"].items()), key=lambda item: item[1])
    return f"{part}, {100 * seconds / max(series['seconds'][-1], 1e-9):.0f} %"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _compression(found: Mapping[str, Any]) -> str:
    if found["bytes_per_token"] is None:
        return "–"
    unknown = f" ({100 * found['unknown'] / found['tokens']:.1f} % unknown)" if found["unknown"] else ""
    return f"{found['bytes_per_token']:.2f}{unknown}"
