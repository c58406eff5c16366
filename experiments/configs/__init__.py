"""Named configs: the rows of the paper's Tables 1 to 5, speech on free data, controls, synthetic tasks, texts and digits."""

from experiments.configs import digits, images, language, memory, speech
from experiments.configs.base import Config, Entry
from experiments.configs.override import ConfigError, override

__all__ = ["CONFIGS", "Config", "ConfigError", "Entry", "get", "override"]

CONFIGS: dict[str, Entry] = {**images.entries(), **speech.entries(), **language.entries(), **memory.entries(), **digits.entries()}


def get(name: str) -> Config:
    """The config of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in CONFIGS:
        raise ConfigError(f"no config is called {name!r}; --list prints them all")
    return CONFIGS[name].config
