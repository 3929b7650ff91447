"""Weights folders, which explain themselves.

    config.json                    the model's config (ModelConfig), how it was trained
    model.safetensors              the network
    puzzle_embedding.safetensors   the puzzle embedding
    puzzle_ids.json                the name of every puzzle id, `<blank>` first
    inference.json                 how the weights are asked, if `arc-trm tune-inference` chose it
    origin.json                    where the weights come from, if no run here trained them
    checkpoints/STEP.safetensors   weights of earlier steps, if a run keeps some

A network alone has no puzzle embedding and no puzzle ids. Nothing in a folder is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from arc_trm.checkpoint.description import TrainingFacts, WeightsDescription
from arc_trm.checkpoint.safetensors_io import read_tensors, write_tensors
from arc_trm.config import (
    EmbeddingChoice,
    InferenceChoice,
    ModelConfig,
    from_dict,
    parse_config,
    read_config,
    read_tables,
    to_dict,
)
from arc_trm.data.puzzle_ids import check_puzzle_ids
from arc_trm.errors import UserError, format_value, quote_path
from arc_trm.io import (
    check_ordinary,
    file_digest,
    json_value,
    read_json,
    write_error,
    write_json,
)
from arc_trm.models import ARCHITECTURES, BLOCKS, PuzzleModel, build_model, build_without_memory
from arc_trm.puzzles import kinds_with_vocab
from arc_trm.puzzles.base import BLANK, SEPARATOR
from arc_trm.runs import find_run
from arc_trm.runs.checkpoints import (
    BEST,
    EMBEDDING_FILE,
    EMBEDDING_TENSOR,
    LAST,
    MAX_STEP,
    METADATA_KEY,
    NETWORK_FILE,
    NEXT_EMBEDDING_FILE,
    Checkpoint,
    CheckpointChoice,
    choose_checkpoint,
    embedding_path,
)
from submission import parse_json

CONFIG_FILE = "config.json"
PUZZLE_IDS_FILE = "puzzle_ids.json"
ORIGIN_FILE = "origin.json"
INFERENCE_FILE = "inference.json"
INFERENCE_FORMAT = "arc-trm inference 1"
FORMAT = "arc-trm weights 3"
MAX_ORIGIN_LENGTH = 200
"""Characters of a text in ORIGIN_FILE that is read."""
CHUNK = 2**16
"""Rows of an embedding of gigabytes that are checked at once."""
RETRY_DELAYS_S = (0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
"""Delays before network and embedding are read again if they are of different training steps."""


@dataclass(frozen=True)
class Weights:
    """A loaded model, in evaluation mode, and the puzzles that it knows."""

    model: PuzzleModel
    puzzle_ids: dict[str, int]
    """Maps names of puzzles to their rows in the model's puzzle embedding, which may hold a part of
    the folder's, in the folder's order."""
    has_puzzle_embedding: bool = True
    """Whether the folder has one; otherwise the model's is a row of zeros."""
    embedding_choice: EmbeddingChoice = "trained"
    """What the model's puzzle embedding was replaced by, if it was."""
    trained_augmentations: tuple[int, int] = (0, 0)
    """Augmentations of a task that were trained, at most, and the seed that they were drawn by;
    names tell those of a table."""


class WeightsParts(NamedTuple):
    """The contents of a weights folder. Tensors stay in their files until they are used."""

    network: dict[str, Tensor]
    embedding: Tensor | None
    """(num_puzzles, puzzle_emb_dim), None for a network alone."""
    puzzle_names: list[str]
    """The name of every puzzle id; `<blank>` alone without an embedding."""
    step: int
    """Training steps done, 0 if unknown; of several checkpoints the last one's."""


class WeightsDir:
    """A weights folder, maybe that of a run. Each file is read once, when it is needed.

    Args:
        folder: of the weights.
        checkpoint: which weights of the folder, as `choose_checkpoint` takes it: `best`, `last`, a
            step, or several with commas, whose mean is taken. None is `best` if the run was
            evaluated while it was trained, and `last` otherwise.
    """

    def __init__(self, folder: str | os.PathLike[str], checkpoint: str | int | None = None) -> None:
        self.folder, self._checkpoint = Path(folder), checkpoint

    @cached_property
    def choice(self) -> CheckpointChoice:
        """Which weights of the folder these are. Raises UserError if it has no such checkpoint."""
        return choose_checkpoint(self.folder, self._checkpoint)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of weights that are not the last ones of the folder."""
        choice, last = self.choice, self.choice.last.step
        if {each.step for each in choice.checkpoints} == {last}:
            return ()
        more = f"; `--checkpoint last` is step {last}" if choice.name == BEST else ""
        notes = [f"weights of {self.folder}: {choice.title}{more}"]
        if choice.has_later_embedding and self.parts.embedding is not None:
            notes.append(
                f"the puzzle embedding is that of step {last}, of which the run keeps one copy, so "
                "that these weights may predict something else than when they were evaluated"
            )
        return tuple(notes)

    @cached_property
    def config(self) -> ModelConfig:
        """The model's config. Raises UserError if the folder is not a weights folder."""
        return parse_config(self._tables, self.folder / CONFIG_FILE, ModelConfig, "model")

    @cached_property
    def training(self) -> TrainingFacts:
        """How the weights were trained, as far as config.json says it."""
        facts = self._tables.get("training", {})  # another program may have left them out
        if isinstance(facts, dict):  # unknown ones are of a newer version, and no reason to refuse
            names = {each.name for each in fields(TrainingFacts)}
            facts = {name: fact for name, fact in facts.items() if name in names}
        return parse_config(
            {"training": facts}, self.folder / CONFIG_FILE, TrainingFacts, "training"
        )

    @cached_property
    def _tables(self) -> dict[str, Any]:
        return read_tables(self.folder / CONFIG_FILE, "weights folder", FORMAT)

    @cached_property
    def inference(self) -> InferenceChoice | None:
        """How some weights of the folder are asked by default; None without inference.json.

        Raises:
            UserError: the file is not as it was written.
        """
        path = self.folder / INFERENCE_FILE
        if not os.path.lexists(path):
            return None
        return read_config(path, "weights folder", INFERENCE_FORMAT, InferenceChoice)

    @cached_property
    def inference_fits(self) -> bool:
        """Whether `inference` was chosen for these weights, not for others of the folder."""
        return self.inference is not None and self.inference.weights == self.choice.digest()

    def file_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file that decides what is predicted, by its path here.

        Takes about a second per gigabyte.
        """
        names = (CONFIG_FILE, PUZZLE_IDS_FILE)
        found = {name: file_digest(self.folder / name) for name in names}
        known = {name: digest for name, digest in found.items() if digest is not None}
        return known | self.choice.file_digests()

    @cached_property
    def origin(self) -> dict[str, str]:
        """The short texts in origin.json, if the folder has one."""
        if not (self.folder / ORIGIN_FILE).is_file():
            return {}
        values = read_json(self.folder / ORIGIN_FILE)
        texts = values.items() if isinstance(values, dict) else ()
        return {key: text for key, text in texts if _is_short_text(text)}

    @cached_property
    def description(self) -> WeightsDescription:
        """What the weights are for and how they were trained. Embeddings stay in their file.

        Raises:
            UserError: files are missing, damaged or do not match.
        """
        config, (_, embedding, names, step) = self.config, self.parts
        side = math.isqrt(config.seq_len)
        return WeightsDescription(
            architecture=ARCHITECTURES[config.architecture].title,
            parameters=sum(weight.numel() for weight in build_without_memory(config).parameters()),
            block=config.block,
            layers=config.num_layers,
            hidden_size=config.hidden_size,
            outer_cycles=config.outer_cycles,
            inner_cycles=config.inner_cycles,
            supervision_steps=config.supervision_steps,
            side=side if side**2 == config.seq_len else None,
            puzzles=tuple(kind.title for kind in kinds_with_vocab(config.vocab_size)),
            puzzle_embedding=config.puzzle_embedding,
            puzzle_embeddings=len(embedding) if embedding is not None and embedding.numel() else 0,
            tasks=len({name.partition(SEPARATOR)[0] for name in names} - {BLANK}),
            step=step,
            checkpoint=None if self.choice.name == LAST else self.choice.title,
            training=self.training,
            source=self._source(),
        )

    def _source(self) -> str | None:
        origin = self.origin
        revision, subfolder, file = map(origin.get, ("revision", "subfolder", "file"))
        if "repository" not in origin:
            return file
        commit = f"@{revision}" if revision else ""
        return f"{origin['repository']}{commit}" + (f":{subfolder}" if subfolder else "")

    @cached_property
    def parts(self) -> WeightsParts:
        """All but the config. Raises UserError if files are missing, damaged or do not match."""
        for _ in RETRY_DELAYS_S:
            try:
                return self._read_parts()
            except UserError:
                kept = [each.path for each in self.choice.checkpoints]
                if all(path.name == NETWORK_FILE or os.path.lexists(path) for path in kept):
                    raise
                del self.choice  # the run has removed it after it was chosen
        return self._read_parts()

    def _read_parts(self) -> WeightsParts:
        read = [
            self._read_last() if each.path.name == NETWORK_FILE else self._read_kept(each)
            for each in self.choice.checkpoints
        ]
        parts = [self._check(*each) for each in zip(self.choice.checkpoints, read, strict=True)]
        if len(parts) == 1:
            return parts[0]
        # A large puzzle embedding that all share stays in its file.
        own = any(each.has_embedding for each in self.choice.checkpoints)
        embeddings = [each.embedding for each in parts if each.embedding is not None]
        networks = [each.network for each in parts]
        return WeightsParts(
            {name: _mean([each[name] for each in networks]) for name in networks[0]},
            _mean(embeddings) if own else parts[0].embedding,
            parts[0].puzzle_names,
            max(each.step for each in parts),
        )

    def _check(self, checkpoint: Checkpoint, read: _Read) -> WeightsParts:
        """Return what was read from a checkpoint. Raises UserError if its parts do not match."""
        network, embedding, metadata = read
        if metadata.model is not None:
            self._check_saved_config(metadata.model, checkpoint.path.name)
        self._check_registered()
        check_tensors(self.config, network, checkpoint.path)
        names = [BLANK]
        if embedding is not None:
            source = checkpoint.path if checkpoint.has_embedding else self.folder / EMBEDDING_FILE
            check_embedding(embedding, self.config.puzzle_emb_dim, source)
            names = self._read_puzzle_names(len(embedding), metadata.puzzle_ids_sha256)
            self._check_puzzle_names(names)
        return WeightsParts(network, embedding, names, metadata.step or 0)

    def load(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        tasks: Collection[str] | None = None,
    ) -> Weights:
        """Build the model. Raises UserError if files are missing, damaged or do not match.

        Args:
            device: where to compute. The puzzle embedding stays on the CPU: a batch needs few rows.
            dtype: of the activations; None is float32.
            tasks: ids of the tasks whose puzzle embeddings are wanted, which takes next to nothing
                of an embedding of gigabytes; None is all, and the model then shares them with
                `parts`.
        """
        network, embedding, names, _ = self.parts
        has_puzzle_embedding = embedding is not None
        if embedding is None:
            embedding = torch.zeros(1, self.config.puzzle_emb_dim)
        elif tasks is not None:
            wanted = {BLANK, *tasks}
            kept = [n for n, name in enumerate(names) if name.partition(SEPARATOR)[0] in wanted]
            embedding, names = embedding[kept], [names[puzzle_id] for puzzle_id in kept]
            check_finite(embedding, self.folder / EMBEDDING_FILE)
        model = build_from_tensors(self.config, network)
        model.dtype = dtype or torch.float32
        model = model.to(device).eval()
        model.puzzle_embedding = embedding.float()
        puzzle_ids = {name: puzzle_id for puzzle_id, name in enumerate(names)}
        trained = self.training.augmentations or 0, self.training.seed or 0
        return Weights(model, puzzle_ids, has_puzzle_embedding, trained_augmentations=trained)

    def write(self, folder: Path) -> None:
        """Write a weights folder that holds these weights alone. Raises WriteError.

        The default of how they are asked goes with them.
        """
        network, embedding, names, step = self.parts
        save_config(folder, self.config, None if embedding is None else names, self.training)
        save_weights(folder, self.config, network, embedding, step)
        if self.inference is not None and self.inference_fits:
            digest = WeightsDir(folder).choice.digest()
            assert digest is not None
            save_inference(folder, replace(self.inference, weights=digest))

    def _read_kept(self, checkpoint: Checkpoint) -> _Read:
        """Read the weights of an earlier step, and with them the embedding that goes with them."""
        network, metadata = _read_with_metadata(checkpoint.path)
        metadata = metadata._replace(step=checkpoint.step)
        if checkpoint.has_embedding:
            return network, network.pop(EMBEDDING_TENSOR), metadata
        found = self._read_embedding()
        return network, None if found is None else found[0], metadata

    def _read_last(self) -> _Read:
        """Read the last network and the puzzle embedding of the same training step.

        A run may save between reading the one and the other, so a mismatch is read again.
        """
        path = self.folder / NETWORK_FILE
        if not path.exists():
            command = self._resume_command()
            advice = f"the run has saved nothing yet: `{command}` resumes it"
            raise UserError(
                f"{self.folder} has no {NETWORK_FILE}: {advice if command else 'copy it again'}"
            )
        for delay in (0.0, *RETRY_DELAYS_S):
            time.sleep(delay)
            network, metadata = _read_with_metadata(path)
            found = self._read_embedding()
            if found is None:
                return network, None, metadata
            embedding, embedding_metadata = found
            if metadata.step == embedding_metadata.step:
                return network, embedding, metadata
        command = self._resume_command()
        advice = f"if the run is no longer trained, `{command}` writes them again"
        raise UserError(
            f"{self.folder}: network and puzzle embedding are of different steps, "
            f"{metadata.step} and {embedding_metadata.step}: "
            f"{advice if command else 'copy both from the same place'}"
        )

    def _resume_command(self) -> str | None:
        """Return the command that resumes the run in the folder; None if it holds no run."""
        run = find_run(self.folder)
        if run is None:
            return None
        try:
            command = "train" if run.config.adapt is None else "adapt"
        except UserError:  # its config is damaged
            return None
        return f"arc-trm {command} --resume {quote_path(self.folder)}"

    def _read_embedding(self) -> tuple[Tensor, _Metadata] | None:
        """Read the puzzle embedding in its own file, None for a network alone."""
        path = embedding_path(self.folder)
        if path.name == NEXT_EMBEDDING_FILE:
            with suppress(UserError):  # the run has given it its place in the meantime
                return self._embedding_in(path)
            path = self.folder / EMBEDDING_FILE
        if not path.exists():
            if (self.folder / PUZZLE_IDS_FILE).exists():
                raise UserError(
                    f"{self.folder} has {PUZZLE_IDS_FILE} but no {EMBEDDING_FILE}: copy the folder "
                    f"again, or remove {PUZZLE_IDS_FILE} to use the network alone"
                )
            return None
        return self._embedding_in(path)

    @staticmethod
    def _embedding_in(path: Path) -> tuple[Tensor, _Metadata]:
        tensors, metadata = _read_with_metadata(path)
        if set(tensors) != {EMBEDDING_TENSOR}:
            raise UserError(f"{path} must hold one tensor, {EMBEDDING_TENSOR!r}")
        return tensors[EMBEDDING_TENSOR], metadata

    def _check_registered(self) -> None:
        """Raise UserError if the architecture or the block of the weights is not registered."""
        names = ((ARCHITECTURES, self.config.architecture), (BLOCKS, self.config.block))
        for registry, name in names:
            if name not in registry:
                raise UserError(
                    f"{self.folder} needs the {registry.noun} {name!r}, which is not part of "
                    "arc-trm: import the file that registers it, in Python, before loading the "
                    "weights"
                )

    def _check_saved_config(self, saved: ModelConfig, file: str) -> None:
        """Raise UserError if config.json is not the one that the network in a file has."""
        for key, value in asdict(self.config).items():
            if getattr(saved, key) != value:
                raise UserError(
                    f"{self.folder}: {CONFIG_FILE} says model.{key} is {value}, but {file} was "
                    f"saved with {getattr(saved, key)}: copy both from the same place, or "
                    f"change {CONFIG_FILE} back"
                )

    def _check_puzzle_names(self, names: Sequence[str]) -> None:
        """Raise UserError if a composed puzzle embedding has a row for an augmented task."""
        if self.config.puzzle_embedding == "composed":
            augmented = next((name for name in names if SEPARATOR in name), None)
            if augmented is not None:
                raise UserError(
                    f"{self.folder / PUZZLE_IDS_FILE} names {format_value(augmented)}, but a "
                    "composed puzzle embedding has vectors of tasks alone: copy the folder again"
                )

    def _read_puzzle_names(self, num_puzzles: int, sha256: str | None) -> list[str]:
        """Return the names of so many puzzle ids; `sha256` is that of their file, None unknown."""
        path = self.folder / PUZZLE_IDS_FILE
        try:
            check_ordinary(path)
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror
            raise UserError(f"{path} cannot be read ({reason}): copy the folder again") from None
        names = check_puzzle_ids(parse_json(content, path), path)
        if len(names) != num_puzzles:
            raise UserError(
                f"{path} holds {len(names)} names, but the puzzle embedding has {num_puzzles} "
                "rows: copy both from the same place"
            )
        if sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise UserError(
                f"{path} does not hold the names that {EMBEDDING_FILE} was saved with: copy both "
                "from the same place"
            )
        return names


def _is_short_text(value: object) -> bool:
    """Return whether a value from elsewhere can be shown as it is."""
    return isinstance(value, str) and value.isprintable() and len(value) <= MAX_ORIGIN_LENGTH


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape, computed in float64."""
    return torch.stack([each.double() for each in tensors]).mean(0).to(tensors[0].dtype)


def load_weights(
    folder: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    tasks: Collection[str] | None = None,
    checkpoint: str | int | None = None,
) -> Weights:
    """Load the weights in a folder; see `WeightsDir`."""
    return WeightsDir(folder, checkpoint).load(device, dtype, tasks)


def save_config(
    folder: Path,
    config: ModelConfig,
    puzzle_names: Sequence[str] | None,
    training: TrainingFacts | None = None,
) -> None:
    """Write config.json and the names of all puzzle ids.

    Args:
        folder: the weights folder.
        config: of the model.
        puzzle_names: by puzzle id, `<blank>` first; None for a network alone.
        training: how the weights are trained; None if nothing is known.
    """
    tables = {"model": to_dict(config), "training": to_dict(training or TrainingFacts())}
    write_json(folder / CONFIG_FILE, {"format": FORMAT, **tables})
    if puzzle_names is not None:
        write_json(folder / PUZZLE_IDS_FILE, list(puzzle_names))


def save_weights(
    folder: Path,
    config: ModelConfig,
    network: Mapping[str, Tensor],
    embedding: Tensor | None,
    step: int,
) -> None:
    """Write network and puzzle embedding; `save_config` must have been called before.

    A kill at any moment leaves the weights before or these, as `embedding_path` says. Their
    metadata hold the step, the config and the digest of the puzzle ids. Tensors do not show the
    number of heads, the depth of the recursion or the puzzle ids, so that with others the weights
    would load and predict wrongly.

    Args:
        folder: the weights folder.
        config: of the model.
        network: its state dict.
        embedding: (num_puzzles, puzzle_emb_dim); None for a network alone.
        step: training steps done.
    """
    metadata = weights_metadata(folder, config, step, embedding is not None)
    _settle_embedding(folder)  # of a save that was killed, so that there are never three
    # Without a network there is no pair to keep.
    following = NEXT_EMBEDDING_FILE if (folder / NETWORK_FILE).exists() else EMBEDDING_FILE
    try:
        if embedding is not None:
            write_tensors(folder / following, {EMBEDDING_TENSOR: embedding}, metadata)
        write_tensors(folder / NETWORK_FILE, network, metadata)
    except BaseException:
        _settle_embedding(folder)
        raise
    if embedding is not None:
        _place_embedding(folder / following)


def _settle_embedding(folder: Path) -> None:
    """Give the puzzle embedding of the last weights its place, and remove another next one.

    Raises:
        WriteError: the file system refuses.
    """
    following = folder / NEXT_EMBEDDING_FILE
    if embedding_path(folder) == following:
        _place_embedding(following)
    try:
        following.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(following, error) from None


def _place_embedding(path: Path) -> None:
    place = path.with_name(EMBEDDING_FILE)
    try:
        path.replace(place)
    except OSError as error:
        raise write_error(place, error) from None


def save_inference(folder: Path, choice: InferenceChoice) -> None:
    """Write inference.json, whole or not at all. Raises WriteError."""
    write_json(folder / INFERENCE_FILE, {"format": INFERENCE_FORMAT, **to_dict(choice)})


def weights_metadata(
    folder: Path, config: ModelConfig, step: int, has_embedding: bool, **facts: object
) -> dict[str, str]:
    """Return the metadata of a file of weights; see `save_weights`.

    Args:
        folder: the weights folder.
        config: of the model.
        step: training steps done.
        has_embedding: whether there is a puzzle embedding, so that the folder has names for it.
        facts: more to say.
    """
    sha256 = None
    if has_embedding:
        sha256 = hashlib.sha256((folder / PUZZLE_IDS_FILE).read_bytes()).hexdigest()
    # One text: the library shuffles several keys, but equal weights should be equal files.
    known = {"step": step, "puzzle_ids_sha256": sha256, "model": to_dict(config)}
    return {METADATA_KEY: json.dumps({**known, **facts})}


class _Metadata(NamedTuple):
    """What `save_weights` writes into a file; None for what another program left out."""

    step: int | None
    puzzle_ids_sha256: str | None
    model: ModelConfig | None


_Read = tuple[dict[str, Tensor], Tensor | None, _Metadata]
"""Network, puzzle embedding and metadata, as they are in files."""


def _read_with_metadata(path: Path) -> tuple[dict[str, Tensor], _Metadata]:
    tensors, metadata = read_tensors(path)
    try:
        values = json_value(metadata.get(METADATA_KEY, "{}"))
        step, model = values.get("step"), values.get("model")
        config = None if model is None else from_dict(ModelConfig, model, "model")
    except (UserError, ValueError, AttributeError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, UserError) else ""
        raise UserError(
            f"{path} has metadata {METADATA_KEY!r} that are not as saved{why}: copy or download it "
            "again, or use the version of arc-trm that wrote it"
        ) from None
    valid = isinstance(step, int) and 0 <= step < MAX_STEP
    return tensors, _Metadata(step if valid else None, values.get("puzzle_ids_sha256"), config)


def build_from_tensors(config: ModelConfig, network: Mapping[str, Tensor]) -> PuzzleModel:
    """Build a float32 model from copies of its tensors, with one puzzle embedding of zeros."""
    # A generator of its own: reading a file should not advance PyTorch's.
    model = build_model(config, 1, generator=torch.Generator())
    model.load_state_dict(network)
    return model


def check_tensors(config: ModelConfig, network: Mapping[str, Tensor], source: Path) -> None:
    """Check that a network has exactly the tensors of its config, of the same shapes and finite.

    The expected shapes are computed without memory, so that a wrong config takes none.

    Raises:
        UserError: about the first tensor that is wrong, in the file `source`.
    """
    expected = build_without_memory(config).state_dict()
    for name in sorted(expected.keys() | network.keys()):
        if name not in network:
            raise UserError(f"{source} lacks the tensor {name!r}, which its config needs")
        if name not in expected:
            raise UserError(f"{source} has a tensor {name!r}, which its config does not need")
        tensor = network[name]
        if tensor.shape != expected[name].shape:
            raise UserError(
                f"{source}: tensor {name!r} is of shape {tuple(tensor.shape)}, but the config "
                f"needs {tuple(expected[name].shape)}"
            )
        if not (tensor.is_floating_point() and tensor.float().isfinite().all()):
            raise UserError(f"{source}: tensor {name!r} holds something else than finite numbers")


def check_embedding(embedding: Tensor, puzzle_emb_dim: int, source: object) -> None:
    """Raise UserError unless `embedding` is (at least 1, puzzle_emb_dim) floating-point numbers."""
    if embedding.dim() != 2 or embedding.shape[1] != puzzle_emb_dim or not len(embedding):
        raise UserError(
            f"{source} is of shape {tuple(embedding.shape)}, but the config needs rows of "
            f"{puzzle_emb_dim}"
        )
    if not embedding.is_floating_point():
        raise UserError(f"{source} holds {embedding.dtype}, not floating-point numbers")


def check_finite(embedding: Tensor, source: object) -> None:
    """Raise UserError if a puzzle embedding, as float32, holds numbers that are not finite."""
    for start in range(0, len(embedding), CHUNK):
        if not embedding[start : start + CHUNK].float().isfinite().all():
            raise UserError(
                f"{source}: the puzzle embedding holds numbers that are not finite: copy or "
                "download it again"
            )
