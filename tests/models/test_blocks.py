"""The blocks compute what docs/model.md, section 3, says, and one's own block takes one file."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from paths import ROOT
from puzzles import grid_config
from tiny import ARCHITECTURES, MODEL, TRAIN, make_batch, run_config, write_weights
from torch import Tensor, nn

from arc_trm.checkpoint import load_weights
from arc_trm.checkpoint.weights_dir import WeightsDir
from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models import (
    BLOCKS,
    Block,
    PuzzleModel,
    build_model,
    check_model_config,
    register_block,
)
from arc_trm.models.digit_equivariant import DigitEquivariantBlock
from arc_trm.models.embedding import IMPOSSIBLE_LOGIT
from arc_trm.models.layers import PostNormBlock
from arc_trm.models.ops import TORCH_OPS
from arc_trm.puzzles.sudoku.kind import Sudoku
from arc_trm.training import Trainer, train_run
from arc_trm.training.budget import activation_bytes

SUDOKUS = Sudoku()
SIDES = [4, 6, 9, 16]
DIGITS = {
    "vocab_size": 11,
    "hidden_size": 32,
    "num_heads": 2,
    "block": "digit_equivariant",
    "mixer": "mlp",
    "puzzle_emb_len": 0,
    "puzzle_emb_dim": 0,
    "outer_cycles": 2,
    "inner_cycles": 2,
    "supervision_steps": 3,
}


def build(config: ModelConfig) -> PuzzleModel:
    return build_model(config, 6, generator=torch.Generator().manual_seed(0))


def digit_model(side: int, **changes: object) -> PuzzleModel:
    shape = {**DIGITS, "vocab_size": SUDOKUS.vocab_size(side), "seq_len": side**2, **changes}
    return build(from_dict(ModelConfig, shape))


def conv_model(**changes: object) -> PuzzleModel:
    return build(from_dict(ModelConfig, {**MODEL, "block": "conv_swiglu", **changes}))


def random_tokens(batch: int, side: int, seed: int) -> Tensor:
    """Blank cells and digits (batch, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, side + 2, (batch, side**2), generator=generator)


def random_permutation(side: int, seed: int) -> Tensor:
    """Map tokens (V,) to tokens; PAD, blank and the digits beyond the side stay."""
    generator = torch.Generator().manual_seed(seed)
    same = torch.arange(SUDOKUS.vocab_size(side))
    permutation = same.clone()
    permutation[2 : side + 2] = 2 + torch.randperm(side, generator=generator)
    assert not torch.equal(permutation, same)
    return permutation


def state(model: PuzzleModel, batch: int = 3) -> Tensor:
    shape = (batch, model.state_length(), model.config.hidden_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def swiglu(module: nn.Module, x: Tensor) -> Tensor:
    gate, up = (x @ module.gate_up.weight.T).chunk(2, dim=-1)
    return (gate * gate.sigmoid() * up) @ module.down.weight.T


# All digits alike


@pytest.mark.parametrize("side", [4, 6, 9])  # 16 takes seconds, and has the same weights
@pytest.mark.parametrize("seed", range(3))
def test_permuted_digits_give_permuted_answers(side: int, seed: int) -> None:
    """Equal up to rounding: a sum over digits adds in another order, which recursion amplifies."""
    model = digit_model(side)
    inputs, permutation = random_tokens(3, side, seed), random_permutation(side, seed)
    puzzle_ids = torch.zeros(3, dtype=torch.int)
    plain = model.predict_steps(inputs, puzzle_ids)
    permuted = model.predict_steps(permutation[inputs], puzzle_ids)
    for tolerance, (logits, halt), (permuted_logits, permuted_halt) in zip(
        (1e-4, 1e-3, 1e-3), plain, permuted, strict=True
    ):
        assert (logits[..., 2 : side + 2].std(-1) > 0.01).all()
        assert torch.allclose(permuted_logits[..., permutation], logits, atol=tolerance)
        assert not torch.allclose(permuted_logits, logits, atol=1e-2)
        assert torch.allclose(permuted_halt, halt, atol=tolerance)


def test_permuted_digits_train_the_same_weights() -> None:
    permutation = random_permutation(4, 0)
    trained = []
    for mapping in (torch.arange(11), permutation):
        trainer = Trainer(digit_model(4), TrainConfig(**TRAIN))
        for step in range(3):
            tokens = mapping[random_tokens(4, 4, step)]
            labels = mapping[2 + (random_tokens(4, 4, step + 9) - 1) % 4]
            puzzle_ids = torch.zeros(4, dtype=torch.int)
            metrics = trainer.step({"inputs": tokens, "labels": labels, "puzzle_ids": puzzle_ids})
        trained.append((metrics["loss"], trainer.flat_params.clone()))
    (loss, weights), (permuted_loss, permuted_weights) = trained
    assert permuted_loss == pytest.approx(loss, rel=1e-5)
    change = weights - torch.cat([p.detach().flatten() for p in digit_model(4).parameters()])
    assert change.abs().max() > 1e-4
    assert torch.allclose(weights, permuted_weights, atol=1e-5)


def test_the_published_block_does_not_treat_digits_alike() -> None:
    changes = {"block": "post_norm", "puzzle_emb_len": 1, "puzzle_emb_dim": 32}
    model = digit_model(4, **changes)
    inputs, permutation = random_tokens(3, 4, 0), random_permutation(4, 0)
    logits, _ = next(model.predict_steps(inputs, torch.zeros(3).int()))
    permuted, _ = next(model.predict_steps(permutation[inputs], torch.zeros(3).int()))
    assert not torch.allclose(permuted[..., permutation], logits, atol=1e-2)


@pytest.mark.parametrize("side", SIDES)
def test_a_cell_embeds_one_of_three_roles_for_each_digit(side: int) -> None:
    model = digit_model(side)
    tokens = random_tokens(2, side, 0)
    tokens[0, :2] = torch.tensor([0, 10])  # PAD is no digit, and 9 may be one too many
    x = model.embed(tokens, torch.zeros(2, 0)).view(2, side, side**2, 32)
    empty, this, other = 32**0.5 * model.embedding.roles
    for example in range(2):
        for cell, token in enumerate(tokens[example].tolist()):
            for digit in range(1, side + 1):
                role = empty if token < 2 else this if token == digit + 1 else other
                assert torch.allclose(x[example, digit - 1, cell], role)


@pytest.mark.parametrize("side", SIDES)
def test_logits_are_those_of_the_fields(side: int) -> None:
    model = digit_model(side)
    y = state(model)
    logits, fields = model.token_logits(y), y.view(3, side, side**2, 32)
    vector = model.heads.digit.weight[0]
    for digit in range(1, side + 1):
        assert torch.allclose(logits[..., digit + 1], fields[:, digit - 1] @ vector, atol=1e-5)
    rest = [token for token in range(logits.shape[-1]) if not 2 <= token < side + 2]
    assert (logits[..., rest] == IMPOSSIBLE_LOGIT).all()
    with torch.no_grad():
        model.heads.halt.weight.normal_()
    expected = y.mean(1) @ model.heads.halt.weight.T + model.heads.halt.bias
    assert torch.allclose(model.halt_logits(y), expected, atol=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_a_block_mixes_cells_then_digits_then_channels(side: int) -> None:
    model = digit_model(side)
    block = model.blocks[0]
    assert isinstance(block, DigitEquivariantBlock)
    h = state(model).view(3, side, side**2, 32)
    expected = norm(h + swiglu(block.cell_mixer, h.transpose(2, 3)).transpose(2, 3))
    others = torch.stack(
        [
            torch.stack([expected[:, other] for other in range(side) if other != digit]).mean(0)
            for digit in range(side)
        ],
        dim=1,
    )
    expected = norm(expected + others @ block.digit_mixer.weight.T)
    expected = norm(expected + swiglu(block.swiglu, expected))
    got = block(state(model), None, TORCH_OPS)
    assert torch.allclose(got, expected.flatten(1, 2), atol=1e-5)


def test_the_documented_size() -> None:
    with torch.device("meta"):
        model = digit_model(9, hidden_size=192)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 0.8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_digit_fields_in_every_architecture(architecture: str) -> None:
    shape = {**ARCHITECTURES[architecture], **DIGITS, "seq_len": 16}
    shape |= {key: ARCHITECTURES[architecture][key] for key in ("outer_cycles", "inner_cycles")}
    shape["supervision_steps"] = ARCHITECTURES[architecture]["supervision_steps"]
    trainer = Trainer(build(from_dict(ModelConfig, shape)), TrainConfig(**TRAIN))
    before = trainer.flat_params.clone()
    tokens = random_tokens(4, 4, 0)
    batch = {"inputs": tokens, "labels": tokens, "puzzle_ids": torch.zeros(4).int()}
    assert trainer.step(batch)["loss"] > 0
    assert not torch.equal(trainer.flat_params, before)


# A short convolution


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
def test_conv_swiglu_is_the_published_block_with_a_convolution(mixer: str) -> None:
    model = conv_model(mixer=mixer)
    block = model.blocks[0]
    assert isinstance(block, PostNormBlock)
    conv = block.swiglu
    with torch.no_grad():
        conv.bias.normal_(generator=torch.Generator().manual_seed(0))
    h = state(model)
    gate, up = (h @ conv.gate_up.weight.T).chunk(2, dim=-1)
    u = (F.silu(gate) * up).transpose(1, 2)
    mixed = F.conv1d(F.pad(u, (1, 0)), conv.kernel, conv.bias, groups=u.shape[1])
    expected = F.silu(mixed).transpose(1, 2) @ conv.down.weight.T
    assert torch.allclose(conv(h, TORCH_OPS), expected, atol=1e-5)

    published = build(replace(model.config, block="post_norm"))
    with torch.no_grad():
        published.load_state_dict(model.state_dict(), strict=False)
        conv.combine = published.blocks[0].swiglu.combine
    assert torch.equal(
        block(h, model.rope_cache, TORCH_OPS),
        published.blocks[0](h, published.rope_cache, TORCH_OPS),
    )


@pytest.mark.parametrize("changes", [{}, {"mixer": "mlp"}, {"canvas": "bucketed"}])
def test_conv_swiglu_trains_all_its_weights(changes: dict[str, object]) -> None:
    model = conv_model(**changes)
    before = {name: value.clone() for name, value in model.named_parameters()}
    Trainer(model, TrainConfig(**TRAIN)).step(make_batch(0))
    for name, value in model.named_parameters():
        assert not name.startswith("blocks.") or not torch.equal(value, before[name]), name


# All blocks


@pytest.mark.parametrize("make", [conv_model, lambda: digit_model(9, hidden_size=64)])
def test_activation_memory_is_estimated_from_what_a_step_keeps(make) -> None:
    model = make()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x = state(model).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y, _ = model.supervision_step(x, *model.initial_state(3))
    storages = [tensor.untyped_storage() for at, tensor in kept.items() if at not in weights]
    assert y.requires_grad
    assert 1.2 < activation_bytes(model) * 3 / sum(s.nbytes() for s in storages) < 2.2


@pytest.mark.parametrize("block", [name for name in BLOCKS if name != "post_norm"])
def test_blocks_compute_bfloat16(block: str) -> None:
    make = {"conv_swiglu": conv_model, "digit_equivariant": lambda: digit_model(9)}[block]
    exact, model = make(), make()
    model.dtype = torch.bfloat16
    tokens = random_tokens(2, 4 if block == "conv_swiglu" else 9, 0)
    puzzle_ids = torch.zeros(2).int()
    expected, _ = next(exact.predict_steps(tokens, puzzle_ids, 1))
    got, _ = next(model.predict_steps(tokens, puzzle_ids, 1))
    known = expected > IMPOSSIBLE_LOGIT
    assert 0 < (got - expected)[known].norm() / expected[known].norm() < 0.1


SUDOKU = (
    "is for Sudokus: model.seq_len (900) must be the square of a side, and model.vocab_size (12) "
)
NO_ATTENTION = (
    "the block digit_equivariant has no attention and no puzzle embedding: set "
    'model.mixer = "mlp", model.puzzle_emb_len = 0 and model.puzzle_emb_dim = 0'
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq_len": 900, "vocab_size": 12}, SUDOKU),
        ({"seq_len": 80}, "model.seq_len (80) must be the square of a side"),
        ({"mixer": "attention"}, NO_ATTENTION),
        ({"puzzle_emb_len": 1}, NO_ATTENTION),
        ({"puzzle_emb_len": 1, "puzzle_emb_dim": 32}, NO_ATTENTION),
        ({"pos_encoding": "learned"}, "leave model.pos_encoding out"),
        ({"block": "post_norm"}, "model.puzzle_emb_len must be at least 1 for the block post_norm"),
        ({"block": "conv_swiglu"}, "model.puzzle_emb_len must be at least 1"),
    ],
)
def test_settings_that_a_block_cannot_use_are_refused(
    changes: dict[str, object], message: str
) -> None:
    config = from_dict(ModelConfig, {**DIGITS, "seq_len": 81, **changes})
    with pytest.raises(UserError) as error:
        check_model_config(config)
    assert message in str(error.value)


def test_a_block_for_sudokus_trains_on_no_other_puzzles(tmp_path: Path, challenges: Path) -> None:
    settings = {"block": "digit_equivariant", "mixer": "mlp", "seq_len": 16}
    settings |= {"puzzle_emb_len": 0, "puzzle_emb_dim": 0}
    mazes, arc = grid_config(tmp_path, "maze"), run_config(challenges)
    arc = replace(arc, data=replace(arc.data, max_grid_size=3))
    for config, kind, preset in ((mazes, "Maze", "maze-quick"), (arc, "ARC", "quickstart")):
        model = from_dict(ModelConfig, {**asdict(config.model), **settings})
        with pytest.raises(UserError) as error:
            train_run(replace(config, model=model), torch.device("cpu"), tmp_path / "run")
        assert str(error.value) == (
            f"the block digit_equivariant is for Sudokus, but the data hold {kind}: choose another "
            f"model.block, or a preset such as {preset}"
        )
        assert not (tmp_path / "run").exists()


# Blocks from outside


@pytest.fixture
def own_block() -> type[nn.Module]:
    class Perceptron(nn.Module):
        def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
            super().__init__()
            self.layer = nn.Linear(config.hidden_size, config.hidden_size)
            nn.init.normal_(self.layer.weight, std=0.1, generator=generator)

        def forward(self, h: Tensor) -> Tensor:
            return F.layer_norm(h + self.layer(h), h.shape[-1:])

    register_block("perceptron")(Perceptron)
    yield Perceptron
    BLOCKS.pop("perceptron", None)


def test_weights_need_the_block_that_they_hold(own_block: type[nn.Module], tmp_path: Path) -> None:
    folder = write_weights(tmp_path / "w", block="perceptron")
    assert "depth:             2 perceptron layers of width 32" in "\n".join(
        WeightsDir(folder).description.lines()
    )
    model = load_weights(folder).model
    assert model.config.block == "perceptron"
    assert sum(isinstance(module, own_block) for module in model.modules()) == 2
    del BLOCKS["perceptron"]
    with pytest.raises(UserError) as error:
        load_weights(folder)
    assert str(error.value) == (
        f"{folder} needs the block 'perceptron', which is not part of arc-trm: import the file "
        "that registers it, in Python, before loading the weights"
    )


def test_a_plain_module_trains_in_bfloat16(own_block: type[nn.Module]) -> None:
    config = from_dict(ModelConfig, {**MODEL, "block": "perceptron"})
    model = build(config)
    model.dtype = torch.bfloat16
    trainer = Trainer(model, TrainConfig(**TRAIN))
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert trainer.step(make_batch(0))["loss"] > 0
    assert trainer.carry["y"].dtype == torch.bfloat16
    for name, value in model.named_parameters():
        assert not name.startswith("blocks.") or not torch.equal(value, before[name]), name


def test_the_documented_example_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    page = (ROOT / "docs/how-to/add-a-block.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "idea", "__annotations__": {}}
    try:
        exec(compile(code, "idea.py", "exec"), names)
        names["STEPS"] = 2
        names["main"]()
    finally:
        del BLOCKS["one_matrix"]
    printed = capsys.readouterr().out
    assert "post_norm exact" in printed and "one_matrix exact" in printed
    assert len([*tmp_path.glob("runs/*/model.safetensors")]) == 2


def test_every_block_is_one_kind_of_block() -> None:
    assert all(issubclass(BLOCKS[name], Block) for name in BLOCKS)
