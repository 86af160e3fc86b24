"""numba compiles a function once for a machine and keeps the result beside its source, or where NUMBA_CACHE_DIR says."""

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger("stagecraft")


def announce(function: Any) -> None:
    """Say so if `function` has not been compiled on this machine, for then the first call takes a while."""
    module = function.__module__.rpartition(".")[2]
    if not any(Path(function.stats.cache_path).glob(f"{module}.{function.__name__}-*.nbi")):
        log.info("compiling %s: once for this machine, some ten seconds", function.__module__)
