"""Amounts of memory as people write them."""

import re

UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def memory_size(text: str) -> int:
    """The bytes in `80GB` or `74.5 GiB`. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    if found is None or found[2] not in UNITS or not float(found[1]):
        raise ValueError(f"{text!r} is no amount of memory; write a number and one of {', '.join(UNITS)}, as in 80GB")
    return int(float(found[1]) * UNITS[found[2]])


def shown(size: float) -> str:
    """In units of 10^9 bytes, or of 10^6 below one of them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"
