"""Put text from standard input into a file, between two comments that name it:

    python tests/benchmarks/bpe.py | python tests/benchmarks/markers.py stages/lm/bpe/README.md bpe

The comments are `<!-- begin NAME -->` and `<!-- end NAME -->`, each on a line of its own. What stood between them is replaced.
"""

import sys
from pathlib import Path


def replaced(page: str, name: str, text: str) -> str:
    """The page with `text` between its comments. Raises ValueError where it has not got one pair of them."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(end) < page.index(begin):
        raise ValueError(f"the page has no one pair of lines {begin.strip()!r} and {end.strip()!r}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text.strip()}\n\n{end}{rest.partition(end)[2]}"


def main() -> None:
    file, name = Path(sys.argv[1]), sys.argv[2]
    text = sys.stdin.read()
    if not text.strip():
        sys.exit(f"{file}: left as it is, since there is nothing to put into it")
    file.write_text(replaced(file.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    main()
