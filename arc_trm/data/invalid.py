"""Invalid tasks and rows of files: an error, or left out and listed with --skip-invalid."""

from __future__ import annotations

from dataclasses import dataclass, field

from arc_trm.errors import UserError, verb

MAX_LISTED = 20


@dataclass
class InvalidItems:
    """What is invalid in the files of DATA.

    Attributes:
        skip: whether it is left out; otherwise the first is an error.
        total: number of tasks or rows that were read, valid or not.
        reasons: what is wrong, by the name of the task or row in its file.
    """

    skip: bool = False
    total: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, reason: str, sentence: str) -> None:
        """Add something invalid.

        Args:
            name: of the task or row: `row 3`.
            reason: what is wrong with it.
            sentence: what is wrong and where: `x.csv, row 3 (line 4): it has no solution`.

        Raises:
            UserError: invalid things are not skipped.
        """
        if not self.skip:
            raise UserError(
                f"{sentence}; correct it, or leave out what is invalid with --skip-invalid"
            )
        self.reasons[name] = reason

    def include(self, others: InvalidItems, prefix: str) -> None:
        """Add what is invalid in a file, by its name there after a prefix."""
        self.total += others.total
        self.reasons |= {f"{prefix}{name}": reason for name, reason in others.reasons.items()}

    def notes(self, noun: str, source: str) -> tuple[str, ...]:
        """Return a sentence on what was left out, if anything was: `2 of 9 rows of x.csv ...`."""
        if not self.reasons:
            return ()
        total = len(self.reasons)
        named = [f"{name}: {reason}" for name, reason in list(self.reasons.items())[:MAX_LISTED]]
        if total > MAX_LISTED:
            named.append(f"and {total - MAX_LISTED} more")
        skipped = f"{verb(total, 'is', 'are')} skipped: {'; '.join(named)}"
        return (f"{total} of {self.total} {noun}s of {source} {skipped}",)


class NoTasks(UserError):
    """A file without tasks or puzzles, which is skipped among others in a folder."""
