"""`python -m submission`."""

from submission.process import end_at_once, keep_streams


def main() -> None:
    """Run the command line; a signal ends it in one sentence, also while it loads."""
    end_at_once()
    keep_streams()
    from submission.commands import main as commands

    commands(prog_name="python -m submission")


if __name__ == "__main__":
    main()
