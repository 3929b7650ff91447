"""What a run is made of: checked dataclasses (`schema`), presets and overrides (`loader`)."""

from arc_trm.config.loader import (
    Preset,
    from_dict,
    load_config,
    preset_names,
    read_preset,
    to_dict,
)
from arc_trm.config.schema import (
    FREE,
    AdaptConfig,
    Canvas,
    DataConfig,
    Dtype,
    ModelConfig,
    RunConfig,
    TrainConfig,
)

__all__ = [
    "FREE",
    "AdaptConfig",
    "Canvas",
    "DataConfig",
    "Dtype",
    "ModelConfig",
    "Preset",
    "RunConfig",
    "TrainConfig",
    "from_dict",
    "load_config",
    "preset_names",
    "read_preset",
    "to_dict",
]
