"""Configs of runs: validated dataclasses (`schema`), presets and overrides (`loader`).

`compare` tells how the settings of a run differ from those that its files were written with.
"""

from arc_trm.config.compare import compare_settings
from arc_trm.config.loader import (
    Preset,
    from_dict,
    load_config,
    parse_config,
    parse_override,
    preset_names,
    read_config,
    read_preset,
    read_tables,
    to_dict,
)
from arc_trm.config.schema import (
    AdaptConfig,
    Canvas,
    DataConfig,
    Dtype,
    ModelConfig,
    RunConfig,
    TrainConfig,
)

__all__ = [
    "AdaptConfig",
    "Canvas",
    "DataConfig",
    "Dtype",
    "ModelConfig",
    "Preset",
    "RunConfig",
    "TrainConfig",
    "compare_settings",
    "from_dict",
    "load_config",
    "parse_config",
    "parse_override",
    "preset_names",
    "read_config",
    "read_preset",
    "read_tables",
    "to_dict",
]
