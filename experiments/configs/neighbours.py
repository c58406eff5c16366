"""The tasks of neighbouring work: HiPPO's order of MNIST's pixels, and trajectories sampled at other rates than in training."""

from experiments.configs.base import BitReversedMnist, Row, Trajectories

# fmt: off
ROWS = {
    "bit_reversed_mnist_hippo_512": Row(
        BitReversedMnist(cell="hippo", hidden_features=512, memory_order=512, optimizer="adam", learning_rate=1e-3, adam_b1=0.9,
                         adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=100, epochs=50, validation_size=6000),
        "HiPPO: MNIST in bit-reversed order, HiPPO-LegS, of which 98.3 % are published",
        unlike=("the readout's initial values", "pixels are read as float32 in [0, 1], as there")),
    "bit_reversed_mnist_hippo_64": Row(
        BitReversedMnist(cell="hippo", hidden_features=64, memory_order=64, optimizer="adam", learning_rate=1e-3, adam_b1=0.9,
                         adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=100, epochs=50, validation_size=6000),
        "HiPPO: the same, small"),
    "bit_reversed_mnist_momentum_hippo_64": Row(
        BitReversedMnist(cell="momentum_hippo", hidden_features=64, mu=0.6, step_size=0.4, memory_order=64, optimizer="adam",
                         learning_rate=1e-3, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=100,
                         epochs=50, validation_size=6000),
        "HiPPO: the same, small, with momentum on what is projected from the input; s = 1 - mu"),
    "bit_reversed_mnist_lstm_64": Row(
        BitReversedMnist(cell="lstm", hidden_features=64, optimizer="adam", learning_rate=1e-3, adam_b1=0.9, adam_b2=0.999,
                         optimizer_eps=1e-8, clip_norm=None, batch_size=100, epochs=50, validation_size=6000),
        "HiPPO: the same, LSTM"),
    "trajectories_hippo": Row(
        Trajectories(cell="hippo", hidden_features=32, memory_order=32, optimizer="adam", learning_rate=3e-3, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=30),
        "HiPPO: trajectories; train_every=2 trains on every other sample"),
    "trajectories_momentum_hippo": Row(
        Trajectories(cell="momentum_hippo", hidden_features=32, mu=0.9, step_size=0.1, memory_order=32, optimizer="adam",
                     learning_rate=3e-3, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=30),
        "HiPPO: trajectories, with momentum"),
    "trajectories_lstm": Row(
        Trajectories(cell="lstm", hidden_features=32, optimizer="adam", learning_rate=3e-3, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=30),
        "HiPPO: trajectories, LSTM"),
    "trajectories_momentum_lstm": Row(
        Trajectories(cell="momentum_lstm", hidden_features=32, mu=0.9, step_size=0.1, optimizer="adam", learning_rate=3e-3,
                     adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=30),
        "HiPPO: trajectories, MomentumLSTM"),
    "trajectories_hippo_driven_lstm": Row(
        Trajectories(cell="hippo_driven_lstm", hidden_features=32, memory_order=8, optimizer="adam", learning_rate=3e-3,
                     adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=30),
        "HiPPO: trajectories, an LSTM behind a HiPPO drive"),
}
