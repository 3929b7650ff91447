"""Configs of runs: validated dataclasses (`schema`), presets and overrides (`loader`).

`compare` tells how the settings of a run differ from those that its files were written with.
"""

from arc_trm.config.compare import (
    compare_settings,
    describe_preset,
    format_preset,
    preset_of,
)
from arc_trm.config.inference import (
    EmbeddingChoice,
    InferenceChoice,
    InferenceConfig,
    inference_config,
)
from arc_trm.config.loader import (
    Preset,
    close_keys,
    find_keys,
    from_dict,
    key_types,
    load_config,
    parse_config,
    parse_override,
    preset_names,
    read_config,
    read_preset,
    read_tables,
    show_setting,
    to_dict,
)
from arc_trm.config.schema import (
    AdaptConfig,
    Canvas,
    DataConfig,
    Dtype,
    InitialState,
    ModelConfig,
    RunConfig,
    TrainConfig,
)

__all__ = [
    "AdaptConfig",
    "Canvas",
    "DataConfig",
    "Dtype",
    "EmbeddingChoice",
    "InferenceChoice",
    "InferenceConfig",
    "InitialState",
    "ModelConfig",
    "Preset",
    "RunConfig",
    "TrainConfig",
    "close_keys",
    "compare_settings",
    "describe_preset",
    "find_keys",
    "format_preset",
    "from_dict",
    "inference_config",
    "key_types",
    "load_config",
    "parse_config",
    "parse_override",
    "preset_names",
    "preset_of",
    "read_config",
    "read_preset",
    "read_tables",
    "show_setting",
    "to_dict",
]
