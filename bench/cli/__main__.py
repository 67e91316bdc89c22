"""`python -m bench.cli` is `tracing-overhead`."""

import os
import sys


def run() -> int:
    """Run a command; Ctrl-C while it is still being imported is Ctrl-C, too."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Closed by the shell (`>&-`): what nobody wants to read is written nowhere.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
    try:
        from bench.cli.main import main
    except KeyboardInterrupt:
        from bench.errors import INTERRUPTED_EXIT_CODE

        return INTERRUPTED_EXIT_CODE
    return main()


if __name__ == "__main__":
    sys.exit(run())
