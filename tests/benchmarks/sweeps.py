"""Searches of sweeps compared on functions with known minima: python -m tests.benchmarks.sweeps [--seeds 20] [--trials 30]

The distance of the best trial to the minimum, median and quartiles over the seeds, at equal trials.
"""

import argparse

import numpy as np

from stages.lm.sweeps.search import Ours
from tests.lm.sweeps.functions import FUNCTIONS
from tests.lm.sweeps.spaces import search
from tests.lm.sweeps.test_search import best

ENGINES = {
    "random": ("random", Ours()),
    "quasi-random": ("random", Ours(quasi_random=True)),
    "bayes, tpe": ("bayes", Ours(engine="tpe")),
    "bayes, gp": ("bayes", Ours(engine="gp")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    args = parser.parse_args()
    print("| function | search | best - minimum, median | quartiles |\n|---|---|---|---|")
    for name, (parameters, function, minimum) in FUNCTIONS.items():
        for engine, (method, ours) in ENGINES.items():
            seeded = [ours.model_copy(update={"seed": seed}) for seed in range(args.seeds)]
            found = [best(search(method, parameters, one, run_cap=args.trials), function) - minimum for one in seeded]
            low, middle, high = np.quantile(found, (0.25, 0.5, 0.75))
            print(f"| {name} | {engine} | {middle:.2g} | {low:.2g} – {high:.2g} |", flush=True)


if __name__ == "__main__":
    main()
