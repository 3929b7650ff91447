"""The entry point of the plugin: `inspect eval arc_trm/arc_agi`.

inspect_ai loads this module, which registers the task, the solvers, the scorer and its metrics.
"""

try:
    from arc_trm.integrations.inspect_ai.scorers import per_output, per_task, strict, two_attempts
    from arc_trm.integrations.inspect_ai.solvers import language_model, model_or_run, trm
    from arc_trm.integrations.inspect_ai.task import arc_agi
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "inspect_ai":
        raise
    raise ModuleNotFoundError(
        "the tasks for inspect_ai need it: install it with `pip install 'arc-trm[inspect]'`",
        name="inspect_ai",
    ) from None

__all__ = [
    "arc_agi",
    "language_model",
    "model_or_run",
    "per_output",
    "per_task",
    "strict",
    "trm",
    "two_attempts",
]
