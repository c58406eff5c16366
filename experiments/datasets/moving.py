"""Moving digits, made here from a seed: scikit-learn's 8x8 handwritten digits that drift and bounce in a larger frame.

In the manner of Moving MNIST (N. Srivastava, E. Mansimov, R. Salakhutdinov, "Unsupervised learning of video representations using
LSTMs", 2015), small: one digit in a frame of 16x16, twelve frames. Splits share no image. Noise can be added to the frames that
are read, where a filter over time is of use; the frames to be predicted have none.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from experiments.datasets.common import Dataset, Info, Split
from momentum_rnn_jax import _checks

FRAME, DIGIT, STEPS = 16, 8, 12
SIZES = {"train": 1000, "validation": 300, "test": 300}
SPEED = 2.0  # pixels a frame, at most, along each axis
SEED = 0  # belongs to the task and not to a run


def load(*, predict: str = "frame", noise: float = 0.0) -> Dataset:
    """Three splits of `(examples, 12, 16, 16, 1)` float32.

    Args:
      predict: "frame": `targets` are the next frame of each, without noise; "class": which digit it is, (examples,) int32.
      noise: standard deviation of white noise on the frames that are read; pixels are from 0 to 1.

    Raises:
      ValueError: an option is not allowed.
    """
    _checks.choice("predict", predict, ("frame", "class"))
    _checks.number("noise", noise, low=0)
    images, labels = load_digits(return_X_y=True)
    images = (images / images.max()).reshape(-1, DIGIT, DIGIT)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=SEED)
    train, validation = train_test_split(rest, test_size=0.2, stratify=labels[rest], random_state=SEED)
    random = np.random.RandomState(SEED)  # its numbers never change
    first, second, third = (
        _split(random, images[part], labels[part], size, predict, noise)
        for part, size in zip((train, validation, test), SIZES.values(), strict=True)
    )
    origin = {
        "frame": FRAME,
        "steps": STEPS,
        "sizes": SIZES,
        "speed": SPEED,
        "noise": noise,
        "predict": predict,
        "data_seed": SEED,
    }
    task, outputs = ("frames", 1) if predict == "frame" else ("classify", 10)
    return Dataset(first, second, third, Info("moving", task, outputs, origin))


def _split(random: np.random.RandomState, images: np.ndarray, labels: np.ndarray, size: int, predict: str, noise: float) -> Split:
    which = random.randint(len(labels), size=size)
    room = FRAME - DIGIT
    places = random.uniform(0, room, (size, 2))[:, np.newaxis] + np.arange(STEPS + 1)[:, np.newaxis] * random.uniform(
        -SPEED, SPEED, (size, 1, 2)
    )
    corners = np.rint(room - np.abs(places % (2 * room) - room)).astype(int)  # they bounce
    frames = np.zeros((size, STEPS + 1, FRAME, FRAME, 1), np.float32)
    for example, (image, path) in enumerate(zip(images[which], corners, strict=True)):
        for step, (row, column) in enumerate(path):
            frames[example, step, row : row + DIGIT, column : column + DIGIT, 0] = image
    inputs = frames[:, :-1] + noise * random.normal(size=frames[:, :-1].shape).astype(np.float32)
    return Split(inputs.astype(np.float32), frames[:, 1:] if predict == "frame" else labels[which].astype(np.int32))
