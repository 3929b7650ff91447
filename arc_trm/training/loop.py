"""Runs: training from the first step to the last, through kills and restarts."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist

from arc_trm.callbacks import Callback, CallbackList, EndStatus
from arc_trm.config import RunConfig
from arc_trm.data.splits import Loaded
from arc_trm.device import process_group
from arc_trm.errors import UserError
from arc_trm.evaluation.metrics import describe_evaluation
from arc_trm.models import check_model_config
from arc_trm.runs import TRAINING_STATE, FolderLock, Run, check_free
from arc_trm.runs.history import remember
from arc_trm.runs.provenance import record_end
from arc_trm.time_limit import TimeLimit, format_duration
from arc_trm.training.batches import batches_ahead
from arc_trm.training.budget import save_interval
from arc_trm.training.evaluation import SAFETY
from arc_trm.training.losses import build_loss
from arc_trm.training.optim import OPTIMISERS
from arc_trm.training.run_dir import RunWriter, has_training_state
from arc_trm.training.setup import RunSetup, on_first_rank
from arc_trm.training.trainer import Metrics
from submission.process import Stopped, handle_stop_signals

LEARN_SLOWER = "start a new run with lower learning rates or weight decays"


def train_run(
    config: RunConfig,
    device: torch.device,
    folder: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    started: float | None = None,
    compiled: bool = False,
    loaded: Loaded | None = None,
    restart: bool = False,
) -> Run:
    """Train a run to its end, or until a signal or its time limit ends it.

    Args:
        config: of a new run, or of the run in `folder` that is resumed.
        device: where to compute.
        folder: of the run; None makes `runs/DATE-TIME-NAME`.
        resume: resume the run in `folder`.
        callbacks: receive notes and progress, on rank 0 only.
        started: when the time limit started, a value of `time.monotonic`; None is now.
        compiled: use torch.compile, which delays the first steps.
        loaded: datasets that are in memory already.
        restart: with `resume`, train the run again from step 0; weights and metrics are replaced.

    Returns:
        The run, with its last step, its planned steps, and the signal that ended it.

    Raises:
        UserError: config, data or training state are invalid, the training state of a run that was
            trained is gone, or the loss is no longer finite.
        WriteError: the disk is full or the folder cannot be written; earlier files stay.
    """
    _check_config(config, resume)
    with process_group(device) as process, FolderLock() as lock:
        callback = CallbackList(callbacks if process[0] == 0 else ())
        if folder is not None:  # before data is loaded
            on_first_rank(process, partial(lock.acquire if resume else check_free, folder))
        found = False
        if resume and not restart:
            found = on_first_rank(process, partial(has_training_state, folder or Path(), config))
        setup = RunSetup(config, device, folder, resume, found, callback, compiled, process, loaded)
        if not resume:
            on_first_rank(process, partial(lock.acquire, setup.folder))
        time_limit = TimeLimit(config.train.time_limit, started)
        writer = setup.begin(time_limit, restart)
        return _run(setup, writer, time_limit)


def _run(setup: RunSetup, writer: RunWriter, time_limit: TimeLimit) -> Run:
    """Take the steps of a run, and tell callbacks and the run's folder how it ended."""
    status: EndStatus = "failed"
    try:
        setup.callback.start(setup.training_start(writer))
        stopped_by, out_of_time = _TrainingLoop(setup, writer, time_limit).run()
        status = "finished" if stopped_by is None else "interrupted"
    except (KeyboardInterrupt, Stopped):
        status = "interrupted"
        raise
    finally:
        setup.callback.end(status)
    done = writer.trainer.steps_done
    if writer.is_writer:
        remember("run", setup.folder)
        record_end(setup.folder, done, stopped_by is None)
    return Run(setup.folder, stopped_by, done, writer.total_steps, out_of_time)


def _check_config(config: RunConfig, resume: bool) -> None:
    """Raise UserError if settings are unknown or contradict each other, before data is loaded."""
    check_model_config(config.model)
    train = config.train
    _ = build_loss(train), OPTIMISERS[train.optimiser]  # raise UserError if unknown
    # A resumed run has both: the number of steps was planned from the time limit.
    if train.time_limit is not None and train.total_steps is not None and not resume:
        raise UserError(
            "train.total_steps and train.time_limit both decide how long the run is: set one, "
            "or train.max_steps beside the time limit"
        )


@contextmanager
def sync_stop_flags() -> Iterator[Callable[..., tuple[int, list[bool]]]]:
    """Yield a function that makes all ranks stop, save and evaluate at the same step.

    The function takes what is true on this rank: whether the time is over, whether a save is due
    and so on. It returns the number of the signal that interrupts the run, 0 without one, and then
    the same things, of which what is true on one rank is true on all. Ctrl-C, SIGTERM and the
    SIGHUP of a closed terminal interrupt; a second Ctrl-C raises KeyboardInterrupt at once.
    """
    interrupted_by = 0

    def handle_signal(number: int, frame: object) -> None:
        nonlocal interrupted_by
        if interrupted_by and number == signal.SIGINT:
            raise KeyboardInterrupt
        interrupted_by = interrupted_by or number

    group = None
    if dist.is_initialized() and dist.get_backend() != "gloo":
        group = dist.new_group(backend="gloo")  # between CPUs: no GPU has to be waited for

    def sync(*flags: bool) -> tuple[int, list[bool]]:
        shared = torch.tensor([interrupted_by, *flags], dtype=torch.int32)
        if dist.is_initialized():
            dist.all_reduce(shared, dist.ReduceOp.MAX, group)
        number, *others = shared.tolist()
        return number, list(map(bool, others))

    handlers = handle_stop_signals(handle_signal)
    try:
        yield sync
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _TrainingLoop:
    """Takes the steps of a run, logs them and saves the run."""

    def __init__(self, setup: RunSetup, writer: RunWriter, time_limit: TimeLimit) -> None:
        self.config, self.sampler, self.device = setup.config, setup.sampler, setup.device
        self.writer, self.time_limit, self.callback = writer, time_limit, setup.callback
        self.evaluator = setup.evaluator
        self.trainer, self.total_steps = writer.trainer, writer.total_steps
        limit = setup.config.train.max_steps
        self.max_steps = math.inf if limit is None else limit
        # A GPU is given its next step before the metrics of the previous one are read.
        self.max_unread = 1 if setup.device.type == "cuda" else 0
        self.unread: deque[tuple[int, Metrics]] = deque()
        self.step_seconds: defaultdict[int, float] = defaultdict(float)  # long steps, by S
        self.will_compile = setup.will_compile
        self.kinds: Counter[tuple[int, bool]] = Counter()  # of the steps that were begun
        self.step_ended_at = self.saved_at = self.logged_at = time.monotonic()

    def run(self) -> tuple[int | None, bool]:
        """Train to the end.

        Returns:
            The number of the signal that ended the run before, None if none did, and whether there
            was no time for a single step.
        """
        self._report_progress(self.trainer.steps_done)
        ahead = batches_ahead(self.sampler, self.device, self.callback.note)
        with sync_stop_flags() as sync, ahead as batch_of:
            while True:
                interrupted, (over, save_due, evaluation_due) = sync(
                    self._is_over(), self._is_save_due(), self._is_evaluation_due()
                )
                ended = over or not self._has_steps()
                if (evaluation_due or ended) and not interrupted:
                    interrupted = self._evaluate(lambda: sync()[0])
                    if not (interrupted or ended):  # the time limit may be reached by now
                        interrupted, (ended,) = sync(self._is_over())
                if interrupted or ended or self._is_stopped():
                    break
                if save_due:
                    self._save()
                    self.saved_at = time.monotonic()
                self._step(batch_of)
            if self.writer.saved_step != self.trainer.steps_done:
                self._save()
        done, limit = self.trainer.steps_done, self.time_limit.limit
        if self.evaluator is not None and self._is_stopped() and not interrupted:
            self.callback.note(self.evaluator.describe_stop())
            return None, False
        if limit is None or interrupted or done >= self.max_steps:
            return interrupted or None, False
        self.callback.note(self._end_note(limit))
        return None, done == 0

    def _has_steps(self) -> bool:
        """Return whether steps remain. A run with a time limit continues until the limit."""
        has_limit = self.time_limit.limit is not None and self.total_steps > 0
        return self.trainer.steps_done < (self.max_steps if has_limit else self.total_steps)

    def _is_over(self) -> bool:
        """Return whether no time is left for one more step, an evaluation and a save."""
        needed = max(self.step_seconds.values(), default=0.0)
        if self.evaluator is not None:
            needed += SAFETY * self.evaluator.expected_seconds
        return self._seconds_to_spare() < needed

    def _seconds_to_spare(self) -> float:
        """Return the time that is left before the last save."""
        return self.time_limit.left - 1.5 * self.writer.save_seconds

    def _is_save_due(self) -> bool:
        interval = save_interval(self.config, self.time_limit, self.writer.save_seconds)
        return self.step_ended_at - self.saved_at >= interval

    def _is_evaluation_due(self) -> bool:
        return self.evaluator is not None and self.evaluator.is_due

    def _is_stopped(self) -> bool:
        return self.evaluator is not None and self.evaluator.is_stopped

    def _evaluate(self, interrupted: Callable[[], int]) -> int:
        """Evaluate the weights of this step, unless they were, and report it.

        Args:
            interrupted: returns the number of the signal that interrupts the run, 0 without one.

        Returns:
            The number of the signal that stopped the evaluation before its end, 0 if none did; then
            nothing is recorded.
        """
        evaluator, step = self.evaluator, self.trainer.steps_done
        if evaluator is None or evaluator.is_done:
            return 0
        self._check_weights()
        self.callback.stage("evaluating", 0, evaluator.puzzles, in_bytes=False)
        started = time.monotonic()
        record = evaluator.evaluate(self._seconds_to_spare(), lambda: bool(interrupted()))
        if record is None and (number := interrupted()):
            return number
        if record is None:
            self.callback.note(f"the time limit leaves no time to evaluate step {step}")
        else:
            self.writer.log_evaluation(record)
            self.callback.note(f"step {step}: {describe_evaluation(record)}")
            self._report_progress(step, record)
        self.logged_at += time.monotonic() - started  # the rate is that of training
        return 0

    def _step(self, batch_of: Callable[[int], dict[str, torch.Tensor]]) -> None:
        started = time.monotonic()
        batch = batch_of(self.trainer.steps_done)
        seq_len = batch["inputs"].shape[1]
        kind = seq_len, self.trainer.steps_done < self.trainer.embedding_only_steps
        if self.will_compile and kind not in self.kinds:
            self.callback.stage("compiling", 0, None)
        self.kinds[kind] += 1
        try:
            metrics = self.trainer.step(batch)
        except UserError as error:
            self._log_steps()
            self._fail(str(error))
        self.unread.append((self.trainer.steps_done, metrics))
        self._log_steps(self.max_unread)
        self.step_ended_at = time.monotonic()
        seconds = self.step_ended_at - started
        if self.kinds[kind] > self.trainer.slow_steps + 1:
            self.step_seconds[seq_len] = max(0.9 * self.step_seconds[seq_len], seconds)
        else:  # those before were slow
            self.step_seconds[seq_len] = seconds
        if self.evaluator is not None:
            self.evaluator.add_step(seconds)

    def _log_steps(self, max_unread: int = 0) -> None:
        """Read and log the metrics of all but the last `max_unread` steps."""
        while len(self.unread) > max_unread:
            step, metrics = self.unread.popleft()
            self._check_finite(step, metrics)
            now = time.monotonic()
            record = self.writer.log_step(step, metrics, now - self.logged_at)
            self.logged_at = now
            self._report_progress(step, record)

    def _check_finite(self, step: int, metrics: Metrics) -> None:
        for key, name in (("loss", "loss"), ("grad_norm", "gradient norm")):
            if not math.isfinite(metrics[key]):
                self._fail(f"the {name} is {metrics[key]} at step {step}: {LEARN_SLOWER}")

    def _check_weights(self) -> None:
        """Raise UserError if the weights, which are to be saved, are not finite."""
        self._log_steps()
        if not self.trainer.is_finite:
            done = self.trainer.steps_done
            self._fail(f"weights are not finite after step {done}: {LEARN_SLOWER}")

    def _fail(self, sentence: str) -> NoReturn:
        """End the run with a sentence that says what to do; the records until now are kept."""
        self.writer.write_records()
        folder, weights = self.writer.folder, "no weights were saved"
        if (folder / TRAINING_STATE).exists():
            saved = self.writer.saved_step  # None if it was before this process
            when = "an earlier step" if saved is None else f"step {saved}"
            weights = f"the weights in {folder} are of {when}"
        raise UserError(f"{sentence}; {weights}")

    def _save(self) -> None:
        self._check_weights()
        self.writer.save(None if self.time_limit.limit is None else self.time_limit.spent)

    def _report_progress(self, step: int, record: dict[str, float] | None = None) -> None:
        expected = self.total_steps
        beyond_plan = step >= expected and self.time_limit.limit is not None
        if beyond_plan and self.step_seconds:
            left = max(0.0, self.time_limit.left)
            more = int(left / max(self.step_seconds.values()))
            expected = int(min(step + more, self.max_steps))
        self.callback.progress(step, max(step, expected), record)

    def _end_note(self, limit: float) -> str:
        name = f"the time limit of {format_duration(limit)}"
        if self.trainer.steps_done:
            return (
                f"{name} ended the run after {self.trainer.steps_done:,} steps; "
                f"{self.total_steps:,} were planned"
            )
        holds = f"nothing was trained, and {self.writer.folder} holds the initial weights"
        return (
            f"{name} leaves no time for a step of {self.config.train.global_batch_size} examples "
            f"after the start-up: {holds}; start a new run with a longer --time-limit, or with "
            "shorter steps by a smaller `--set train.global_batch_size`"
        )
