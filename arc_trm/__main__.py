"""`arc-trm` and `python -m arc_trm`, which torchrun starts."""

import atexit
import gc

from arc_trm.cores import limit_spinning
from submission.process import end_at_once, keep_streams


def main() -> None:
    """Run the command line; a signal ends it in one sentence, also while it loads."""
    end_at_once()
    keep_streams()
    # At the end the interpreter looks for cycles among all of torch's objects, which takes 0.3 s of
    # a time limit and finds nothing that matters to a process that ends.
    atexit.register(gc.freeze)
    limit_spinning()
    from arc_trm.cli import main as commands

    commands(prog_name="arc-trm")


if __name__ == "__main__":
    main()
