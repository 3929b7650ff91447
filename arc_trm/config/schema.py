"""The settings of a run: frozen dataclasses that validate themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from arc_trm.errors import UserError
from arc_trm.time_limit import MAX_SECONDS

Dtype = Literal["auto", "float32", "bfloat16"]
Canvas = Literal["full", "bucketed"]
BackpropThrough = Literal["last_update", "last_cycle", "all_cycles"]
InitialState = Literal["fixed", "random"]
PuzzleEmbedding = Literal["table", "composed"]
LrSchedule = Literal["constant", "cosine", "linear"]

WEIGHT_INDEPENDENT_KEYS = frozenset(
    {
        "outer_cycles",
        "inner_cycles",
        "supervision_steps",
        "canvas",
        "backprop_through",
        "initial_state",
        "damping",
        "latent_noise",
    }
)
"""Keys of `ModelConfig` on which no weight depends: they may differ from those of the weights."""
MAX_INT = 2**31 - 1
"""Upper bound of every integer in a config."""
MAX_SUPERVISION_STEPS = 1024
"""Upper bound of supervision steps, in a model, in training and in prediction."""
MAX_UPDATES = 100_000
"""Upper bound of the updates of y and z for an answer. A published model makes up to 336."""
_MODEL_RANGES: dict[str, tuple[int, int]] = {
    "vocab_size": (1, 256),  # a token is a byte
    "seq_len": (1, 128**2),
    "hidden_size": (1, 2**15),
    "num_layers": (1, 1024),
    "num_high_level_layers": (1, 1024),
    "num_heads": (1, 1024),
    "puzzle_emb_len": (0, 1024),
    "puzzle_emb_dim": (0, 2**20),
    "outer_cycles": (1, 1024),
    "inner_cycles": (1, 1024),
    "supervision_steps": (1, MAX_SUPERVISION_STEPS),
}
"""Least and largest value of settings of a model, which may come from a stranger's file. The
largest are far above those of any model that was published for such puzzles."""
MAX_BATCH_SIZE = 2**20
"""Upper bound of the examples in a batch."""
MAX_AUGMENTATIONS = 1_000_000
"""Upper bound of the augmentations of a task, each of which has a row in the puzzle embedding."""
MAX_RATE = 1e30
"""Upper bound of learning rates and weight decays, far below the largest float32."""


def require(condition: bool, message: str) -> None:
    """Raise UserError with `message` unless the condition holds."""
    if not condition:
        raise UserError(message)


def require_range(table: str, config: object, low: int, high: float, *names: str) -> None:
    """Raise UserError unless each of these settings is None or from low to high."""
    rule = f"be {low} to {high}" if high < math.inf else f"be at least {low}"
    if (low, high) == (0, math.inf):
        rule = "not be negative"
    for name in names:
        value = getattr(config, name)
        if value is not None:
            given = f"{value:g}" if isinstance(value, float) else value
            require(low <= value <= high, f"{table}{name} must {rule}, got {given}")


@dataclass(frozen=True)
class ModelConfig:
    """Shape and recursion of a model (docs/model.md; TRM paper, section 4).

    `_MODEL_RANGES` and MAX_UPDATES are the bounds of sizes and repeats.
    """

    architecture: str = "trm"
    """`trm` (Tiny Recursive Model), `hrm` (Hierarchical Reasoning Model), `transformer` (direct
    prediction in one pass), or a name registered with `arc_trm.models.register_architecture`."""
    vocab_size: int = 12
    """Number of tokens, padding included: 12 for ARC, 11 for Sudoku, 6 for mazes."""
    seq_len: int = 900
    """Cells of the full canvas: a square number, 30 × 30 in the published model."""
    hidden_size: int = 512
    """Width D of the activations."""
    num_layers: int = 2
    """Blocks of a network; in an HRM those of the low-level network (published `L_layers`)."""
    num_high_level_layers: int | None = None
    """Blocks of an HRM's high-level network (published `H_layers`); None is `num_layers`."""
    num_heads: int = 8
    """Attention heads; `hidden_size` must be a multiple."""
    expansion: float = 4.0
    """Hidden width of SwiGLU: about 2/3 · `expansion` times its input width."""
    block: str = "post_norm"
    """Block of the networks: `post_norm` (the published one), `conv_swiglu` (a short convolution
    over positions inside SwiGLU), `digit_equivariant` (for Sudokus; equal for all digits), or a
    name registered with `arc_trm.models.register_block`."""
    mixer: Literal["attention", "mlp"] = "attention"
    """How blocks mix positions: self-attention, or a SwiGLU over the positions."""
    pos_encoding: Literal["rope", "learned", "none"] = "rope"
    """Rotary, learned or no position encoding."""
    puzzle_emb_len: int = 16
    """P, the number of positions for the puzzle embedding, in front of the cells; 0 for the block
    `digit_equivariant`, which has none."""
    puzzle_emb_dim: int = 512
    """Numbers in a puzzle embedding, at most `puzzle_emb_len` · `hidden_size`; of a composed one in
    the vector of a task, of which 18 chunks are mapped to other sizes."""
    puzzle_embedding: PuzzleEmbedding = "table"
    """`table` has a row for each augmented task (as published); `composed` has a vector for each
    task, from which the embedding under any rotation, reflection and permutation of colours is
    computed."""
    colour_roles: bool = True
    """Whether a composed puzzle embedding also tells each cell, and the output head, what a colour
    means in the task. Without, published code can compute the same from a table."""
    outer_cycles: int = 3
    """T, cycles per supervision step (published `H_cycles`)."""
    inner_cycles: int = 4
    """n, updates of z per cycle (published `L_cycles`)."""
    supervision_steps: int = 16
    """N_sup, the maximum number of supervision steps per example (published `halt_max_steps`)."""
    canvas: Canvas = "full"
    """`full` encodes every task on all `seq_len` cells; `bucketed` on the smallest of a few squares
    that fits the task, so that small tasks cost less."""
    separate_networks: bool = False
    """Whether y and z of a TRM are updated by separate networks; the published TRM shares one."""
    backprop_through: BackpropThrough = "last_cycle"
    """Which part of a TRM's supervision step carries gradient: the last updates of z and y (HRM's
    approximation), the last of the T cycles (as published), or all cycles."""
    initial_state: InitialState = "fixed"
    """Where y and z start: `fixed` (one vector each for all cells, as published) or `random` (drawn
    for each position from a truncated normal distribution of deviation 1)."""
    damping: float = 1.0
    """λ of an update z ← (1 − λ) · z + λ · f(z) + β · ε; 1 is the published update."""
    latent_noise: float = 0.0
    """β of an update, the deviation of the normal noise ε that is added to z; 0 adds none."""

    def __post_init__(self) -> None:
        for name, (low, high) in _MODEL_RANGES.items():
            require_range("model.", self, low, high, name)
        updates = self.supervision_steps * self.outer_cycles * (self.inner_cycles + 1)
        require(
            updates <= MAX_UPDATES,
            "model.supervision_steps × model.outer_cycles × (model.inner_cycles + 1) must be at "
            f"most {MAX_UPDATES}, got {updates}",
        )
        require_range("model.", self, 0, math.inf, "latent_noise")
        require(0 < self.damping <= 1, "model.damping must be above 0 and at most 1")
        require(0 < self.expansion <= 64, "model.expansion must be above 0 and at most 64")
        if self.mixer == "attention":
            require(
                self.hidden_size % self.num_heads == 0,
                f"model.hidden_size ({self.hidden_size}) must be a multiple of model.num_heads "
                f"({self.num_heads})",
            )
            head_size = self.hidden_size // self.num_heads
            require(
                self.pos_encoding != "rope" or head_size % 2 == 0,
                f"rotary position encoding needs an even head size, got {head_size}: change "
                "model.num_heads or model.hidden_size",
            )
        room = self.puzzle_emb_len * self.hidden_size
        is_composed = self.puzzle_embedding == "composed"
        require(
            not is_composed or self.puzzle_emb_dim >= 32,
            'model.puzzle_embedding = "composed" is for ARC and needs model.puzzle_emb_dim of at '
            f"least 32, got {self.puzzle_emb_dim}",
        )
        require(
            is_composed or self.colour_roles,
            'model.colour_roles = false needs model.puzzle_embedding = "composed"',
        )
        dim = f"model.puzzle_emb_dim ({self.puzzle_emb_dim})"
        if is_composed:
            dim = f"the {self.shared_dim} shared numbers of {dim}"
        require(
            (self.shared_dim if is_composed else self.puzzle_emb_dim) <= room,
            f"{dim} {'do' if is_composed else 'does'} not fit model.puzzle_emb_len × "
            f"model.hidden_size ({room})",
        )
        require(
            self.canvas == "full" or self.mixer == "attention",
            'model.canvas = "bucketed" needs model.mixer = "attention": the "mlp" mixer has '
            "weights for every position",
        )

    @property
    def chunk_dim(self) -> int:
        """Numbers of a chunk in a composed puzzle embedding: one for each symmetry and colour."""
        return self.puzzle_emb_dim // 32

    @property
    def shared_dim(self) -> int:
        """Numbers in a composed puzzle embedding that are the same under every augmentation."""
        return self.puzzle_emb_dim - 18 * self.chunk_dim

    @property
    def length(self) -> int:
        """L = P + S: the puzzle embedding's positions and the cells of the full canvas."""
        return self.puzzle_emb_len + self.seq_len

    @property
    def side(self) -> int:
        """Side of the full canvas. Raises UserError if `seq_len` is not a square number."""
        side = math.isqrt(self.seq_len)
        require(side**2 == self.seq_len, f"model.seq_len ({self.seq_len}) is not a square number")
        return side


@dataclass(frozen=True)
class DataConfig:
    """Data that a run trains on and that it predicts."""

    train: tuple[str, ...] = ()
    """Datasets whose pairs with known outputs are trained on. A folder in the published trainer's
    format must be the only one and is used as it was built."""
    test: tuple[str, ...] = ()
    """Datasets to predict; of ARC tasks the demonstrations are trained on, never the outputs."""
    optional_train: tuple[str, ...] = ()
    """Datasets used like `train` if their files are found, and left out otherwise."""
    max_grid_size: int = 30
    """Tasks with a larger demonstration or test input are left out."""
    augmentations: int = 1000
    """Augmentations per task or puzzle besides the original."""
    augmentation: str = "standard"
    """`standard` (each kind's own augmentations) or a name registered with
    `arc_trm.puzzles.register_augmenter`."""
    random_translation: bool = True
    """Whether ARC grids are placed at a random offset on the canvas during training."""
    vote_augmentations: int | None = None
    """Augmentations that vote at prediction; None is all that were trained, of a composed puzzle
    embedding as many."""
    train_puzzles: int | None = None
    """Number of puzzles to train on, a fixed random subset; None is all of them."""
    test_puzzles: int | None = None
    """Number of puzzles to predict, a fixed random subset; None is all of them."""
    generated_pairs: int = 0
    """Number of generated pairs of each ARC task (`arc-gen` in its file) to train on besides its
    demonstrations, from the first on."""
    skip_invalid: bool = False
    """Whether invalid tasks and puzzles are left out and listed instead of being an error."""
    validation: tuple[str, ...] = ()
    """Datasets with known outputs that are predicted now and then while the run trains. Of ARC
    tasks the demonstrations are trained on, never the test outputs."""
    validation_puzzles: int | None = None
    """Number of puzzles that are predicted while the run trains, a fixed random subset: of
    `validation`, or without it of the training files, where they are not trained on. None is as
    many as `train.eval_time_share` allows, without `validation` of those that `train_puzzles`
    leaves over."""

    def __post_init__(self) -> None:
        require_range("data.", self, 1, 30, "max_grid_size")
        require_range("data.", self, 0, math.inf, "validation_puzzles")
        augmentations = ("augmentations", "vote_augmentations")
        require_range("data.", self, 0, MAX_AUGMENTATIONS, *augmentations)
        require_range("data.", self, 0, math.inf, "generated_pairs")
        require_range("data.", self, 1, math.inf, "train_puzzles", "test_puzzles")


@dataclass(frozen=True)
class TrainConfig:
    """Losses, optimisers and schedule (docs/model.md)."""

    global_batch_size: int = 768
    """Examples in a batch over all processes."""
    loss: str = "stablemax"
    """Loss of the label tokens: cross-entropy by `stablemax` or `softmax`, or a name registered
    with `arc_trm.training.register_loss`."""
    optimiser: str = "adam_atan2"
    """Optimiser of the network's weights: `adam_atan2`, `adamw`, `muon` (for the matrices of the
    blocks; AdamW for the other weights), or a name registered with
    `arc_trm.training.register_optimiser`."""
    lr: float = 1e-4
    """Learning rate of the network's weights; with `muon`, of those that AdamW trains."""
    muon_lr: float = 0.02
    """Learning rate of the matrices that `muon` trains."""
    puzzle_emb_lr: float = 1e-2
    """Learning rate of the puzzle embedding."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of the optimiser's first and second moment."""
    weight_decay: float = 0.1
    """Weight decay of the network's weights."""
    puzzle_emb_weight_decay: float = 0.1
    """Weight decay of the puzzle embedding."""
    warmup_steps: int = 2000
    """Steps over which both learning rates rise linearly."""
    lr_schedule: LrSchedule = "constant"
    """All learning rates after the warm-up: `constant` (as published), or falling along a `cosine`
    or `linear` to `lr_min_ratio` of themselves at `total_steps`."""
    lr_min_ratio: float = 0.1
    """Fraction of the learning rates at which `cosine` and `linear` end."""
    grad_clip: float | None = None
    """Largest norm of the gradient of all weights, to which longer ones are scaled; None is any."""
    label_smoothing: float = 0.0
    """Share of each label's probability that is spread evenly over all tokens that the model can
    predict."""
    total_steps: int | None = None
    """Training steps; None means that `epochs` decides."""
    max_steps: int | None = None
    """Maximum number of training steps, also if more fit into `time_limit`; None is any number."""
    time_limit: float | None = None
    """Seconds that the run may take; None is no limit. The schedule is planned to fit."""
    embedding_only_fraction: float = 0.0
    """Fraction of all steps, at the start, in which only the puzzle embedding is trained."""
    ema_decay: float = 0.999
    """Decay of the exponential moving average of the weights, and of the vectors of a composed
    puzzle embedding; 0 turns the average off."""
    halt_exploration_prob: float = 0.1
    """Probability that an example has to take a random minimum of supervision steps."""
    early_halting: bool = True
    """Whether an example may halt before its last supervision step."""
    supervision_steps: int | None = None
    """Supervision steps per example in training; None is `model.supervision_steps`."""
    save_interval_s: float = 300.0
    """Seconds between saves of training state and weights."""
    eval_interval: int | None = None
    """Steps between evaluations; None is about a twentieth of the run, or more to keep to
    `eval_time_share`."""
    eval_time_share: float = 0.05
    """Largest share of the run's time that evaluations take, which decides how many puzzles they
    predict and how often, unless `data.validation_puzzles` and `eval_interval` do; 0 turns
    evaluation off."""
    early_stopping_patience: int | None = None
    """Evaluations in a row without a better `best_metric` after which the run ends; None is any
    number."""
    best_metric: str = "auto"
    """Metric of an evaluation by which the best weights are chosen, such as `exact` or
    `pass_at_2`; `auto` is `exact`, for ARC `pass_at_2`."""
    keep_checkpoints: int = 3
    """Number of latest weights that are kept besides the best ones; 0 keeps the best alone."""

    def __post_init__(self) -> None:
        rates = ("lr", "muon_lr", "puzzle_emb_lr", "weight_decay", "puzzle_emb_weight_decay")
        shares = ("ema_decay", "halt_exploration_prob", "lr_min_ratio", "embedding_only_fraction")
        require_range("train.", self, 1, MAX_BATCH_SIZE, "global_batch_size")
        require_range("train.", self, 1, MAX_SUPERVISION_STEPS, "supervision_steps")
        require_range("train.", self, 1, math.inf, "eval_interval", "early_stopping_patience")
        require_range("train.", self, 0, 1000, "keep_checkpoints")
        require_range("train.", self, 0, 0.5, "eval_time_share")
        require_range("train.", self, 0, MAX_INT, "total_steps", "max_steps")
        require_range("train.", self, 0, math.inf, "warmup_steps")
        require_range("train.", self, 0, MAX_RATE, *rates)
        require_range("train.", self, 0, 1, *shares)
        require(0 <= self.label_smoothing < 1, "train.label_smoothing must be 0 or more, below 1")
        require(self.grad_clip is None or self.grad_clip > 0, "train.grad_clip must be above 0")
        for name in ("time_limit", "save_interval_s"):
            value = getattr(self, name)
            valid = value is None or 0 < value <= MAX_SECONDS
            require(valid, f"train.{name} must be above 0 and at most {MAX_SECONDS:g} seconds")
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "train.betas must be two numbers, 0 or more and below 1",
        )


@dataclass(frozen=True)
class AdaptConfig:
    """Settings of a test-time adaptation, which starts from pretrained weights."""

    weights: str = ""
    """Folder of the pretrained weights."""
    checkpoint: str | None = None
    """Which weights of that folder: `best`, `last`, a step, or several steps with commas, whose
    weights are averaged; None is `best` if there are such, and `last` otherwise."""


@dataclass(frozen=True)
class RunConfig:
    """A whole run; its TOML file has one table per part.

    A run ends after `epochs` or `train.total_steps`, whichever comes first.
    """

    name: str = "run"
    """Part of the default run folder's name."""
    seed: int = 0
    """Seed of everything random."""
    epochs: int | None = None
    """Passes over all tasks; None means that `train.total_steps` decides."""
    dtype: Dtype = "auto"
    """Type of the activations; `auto` is bfloat16 where the device computes it fast."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    adapt: AdaptConfig | None = None
    """None is a run that trains from scratch."""

    def __post_init__(self) -> None:
        require_range("", self, 0, math.inf, "seed")
        require_range("", self, 1, math.inf, "epochs")
        voting, trained = self.data.vote_augmentations, self.data.augmentations
        require(
            voting is None or voting <= trained or self.model.puzzle_embedding == "composed",
            f"data.vote_augmentations ({voting}) must be at most data.augmentations "
            f"({trained}): without a composed puzzle embedding an augmentation that was not "
            "trained cannot vote",
        )
