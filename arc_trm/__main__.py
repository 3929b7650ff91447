"""`arc-trm` and `python -m arc_trm`, which torchrun starts."""

from submission.process import end_at_once, keep_streams


def main() -> None:
    """Run the command line; a signal ends it in one sentence, also while it loads."""
    end_at_once()
    keep_streams()
    import arc_trm.time_limit  # noqa: F401 (first, because it notes when the program started)
    from arc_trm.cli import main as commands

    commands(prog_name="arc-trm")


if __name__ == "__main__":
    main()
