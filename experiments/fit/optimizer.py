"""The optimiser: clipping by the global norm, then a rule each for the skew-symmetric parameter, the base and the rest.

Weights decay by what is added to their clipped gradient, before the rule.
"""

import jax
import optax

from experiments import models
from experiments.configs import Config

# What an orthogonal core has; nothing else has parameters of these names. The base moves by rebasing alone.
GROUPS = {"A": "skew", "base": "fixed"}


def make(config: Config, num_updates: int) -> optax.GradientTransformation:
    """The config's optimiser, for the parameters of any network; a run has so many updates."""
    learning_rate: optax.ScalarOrSchedule = config.learning_rate
    if config.final_learning_rate is not None:
        learning_rate = cosine(config.learning_rate, config.final_learning_rate, num_updates)
    rest = _one(config.optimizer, learning_rate, config.rmsprop_decay)
    if config.weight_decay is not None:
        rest = optax.chain(optax.add_decayed_weights(config.weight_decay), rest)
    groups = {
        "skew": _one(config.skew_optimizer, config.skew_learning_rate, config.rmsprop_decay),
        "fixed": optax.set_to_zero(),
        "rest": rest,
    }
    grouped = optax.partition(groups, labels)
    return grouped if config.clip_norm is None else optax.chain(optax.clip_by_global_norm(config.clip_norm), grouped)


def labels(params: models.Params) -> models.Params:
    """The group of each parameter, by its name."""
    return jax.tree_util.tree_map_with_path(lambda path, _: GROUPS.get(path[-1].key, "rest"), params)


def cosine(first: float, final: float, num_updates: int) -> optax.Schedule:
    """A learning rate that falls along half a cosine."""
    return optax.cosine_decay_schedule(first, num_updates, alpha=final / first)


def rmsprop(learning_rate: optax.ScalarOrSchedule, decay: float) -> optax.GradientTransformation:
    """RMSprop with eps behind the root, as in the authors' framework."""
    return optax.rmsprop(learning_rate, decay=decay, eps=1e-8, eps_in_sqrt=False)


def _one(name: str, learning_rate: optax.ScalarOrSchedule, decay: float) -> optax.GradientTransformation:
    if name == "adam":
        return optax.adam(learning_rate)
    if name == "sgd":
        return optax.sgd(learning_rate)
    return rmsprop(learning_rate, decay)
