"""The tasks of neighbouring work: HiPPO, assorted-time normalisation (ATN), and convolutional recurrence."""

from experiments.configs.base import Adding, BitReversedMnist, Copying, Denoise, MovingDigits, MovingFrames, Text, Trajectories
from experiments.configs.row import Row

# fmt: off
ROWS = {
    "bit_reversed_mnist_hippo_512": Row(
        BitReversedMnist(cell="hippo", hidden_features=512, memory_order=512, optimizer="adam", learning_rate=1e-3, adam_b1=0.9,
                         adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=100, epochs=50, validation_size=6000),
        "HiPPO: MNIST in bit-reversed order, HiPPO-LegS; published accuracy 98.3 %", unlike=("the readout's initial values",)),
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
    "adding_atn_lstm": Row(
        Adding(cell="atn_lstm", window=25, hidden_features=60, length=100, held_out=1000, optimizer="rmsprop",
               learning_rate=1e-3, rmsprop_decay=0.99, clip_norm=None, batch_size=50, steps_per_epoch=2000, epochs=10),
        "ATN: LSTM normalised over 25 steps"),
    "adding_layer_norm_lstm": Row(
        Adding(cell="layer_norm_lstm", hidden_features=60, length=100, held_out=1000, optimizer="rmsprop",
               learning_rate=1e-3, rmsprop_decay=0.99, clip_norm=None, batch_size=50, steps_per_epoch=2000, epochs=10),
        "ATN: LSTM with layer normalisation, its case of one step"),
    "adding_momentum_atn_lstm": Row(
        Adding(cell="momentum_atn_lstm", mu=0.6, step_size=0.6, window=25, hidden_features=60, length=100, held_out=1000,
               optimizer="rmsprop", learning_rate=1e-3, rmsprop_decay=0.99, clip_norm=None, batch_size=50, steps_per_epoch=2000,
               epochs=10),
        "ATN: the same behind momentum, whose scale it cancels"),
    "adding_momentum_layer_norm_lstm": Row(
        Adding(cell="momentum_layer_norm_lstm", mu=0.6, step_size=0.6, hidden_features=60, length=100, held_out=1000,
               optimizer="rmsprop", learning_rate=1e-3, rmsprop_decay=0.99, clip_norm=None, batch_size=50, steps_per_epoch=2000,
               epochs=10),
        "ATN: layer normalisation behind momentum: what momentum is without its scale"),
    "copying_atn_lstm": Row(
        Copying(cell="atn_lstm", window=45, hidden_features=68, length=100, held_out=1000, optimizer="rmsprop",
                learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128, steps_per_epoch=100, epochs=40),
        "ATN: LSTM normalised over 45 steps"),
    "copying_layer_norm_lstm": Row(
        Copying(cell="layer_norm_lstm", hidden_features=68, length=100, held_out=1000, optimizer="rmsprop",
                learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128, steps_per_epoch=100, epochs=40),
        "ATN: LSTM with layer normalisation, its case of one step"),
    "copying_momentum_atn_lstm": Row(
        Copying(cell="momentum_atn_lstm", mu=0.6, step_size=0.6, window=45, hidden_features=68, length=100, held_out=1000,
                optimizer="rmsprop", learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128,
                steps_per_epoch=100, epochs=40),
        "ATN: the same behind momentum, whose scale it cancels"),
    "copying_momentum_layer_norm_lstm": Row(
        Copying(cell="momentum_layer_norm_lstm", mu=0.6, step_size=0.6, hidden_features=68, length=100, held_out=1000,
                optimizer="rmsprop", learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128,
                steps_per_epoch=100, epochs=40),
        "ATN: layer normalisation behind momentum: what momentum is without its scale"),
    "denoise_atn_lstm": Row(
        Denoise(cell="atn_lstm", window=45, hidden_features=68, length=100, held_out=1000, optimizer="rmsprop",
                learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128, steps_per_epoch=100, epochs=40),
        "ATN: LSTM normalised over 45 steps"),
    "denoise_layer_norm_lstm": Row(
        Denoise(cell="layer_norm_lstm", hidden_features=68, length=100, held_out=1000, optimizer="rmsprop",
                learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128, steps_per_epoch=100, epochs=40),
        "ATN: LSTM with layer normalisation, its case of one step"),
    "denoise_momentum_atn_lstm": Row(
        Denoise(cell="momentum_atn_lstm", mu=0.6, step_size=0.6, window=45, hidden_features=68, length=100, held_out=1000,
                optimizer="rmsprop", learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128,
                steps_per_epoch=100, epochs=40),
        "ATN: the same behind momentum, whose scale it cancels"),
    "denoise_momentum_layer_norm_lstm": Row(
        Denoise(cell="momentum_layer_norm_lstm", mu=0.6, step_size=0.6, hidden_features=68, length=100, held_out=1000,
                optimizer="rmsprop", learning_rate=2e-4, rmsprop_decay=0.99, clip_norm=None, batch_size=128,
                steps_per_epoch=100, epochs=40),
        "ATN: layer normalisation behind momentum: what momentum is without its scale"),
    "text_atn_lstm": Row(
        Text(cell="atn_lstm", window=20, unit="character", hidden_features=200, layers=1, embedding_features=200, bptt=220,
             optimizer="adam", learning_rate=1e-2, adam_b1=0.9, adam_b2=0.999, clip_norm=3.0, batch_size=32, epochs=150),
        "ATN: LSTM normalised over 20 steps"),
    "text_layer_norm_lstm": Row(
        Text(cell="layer_norm_lstm", unit="character", hidden_features=200, layers=1, embedding_features=200, bptt=220,
             optimizer="adam", learning_rate=1e-2, adam_b1=0.9, adam_b2=0.999, clip_norm=3.0, batch_size=32, epochs=150),
        "ATN: LSTM with layer normalisation, its case of one step"),
    "text_momentum_atn_lstm": Row(
        Text(cell="momentum_atn_lstm", mu=0.6, step_size=0.6, window=20, unit="character", hidden_features=200, layers=1,
             embedding_features=200, bptt=220, optimizer="adam", learning_rate=1e-2, adam_b1=0.9, adam_b2=0.999, clip_norm=3.0,
             batch_size=32, epochs=150),
        "ATN: the same behind momentum, whose scale it cancels"),
    "text_momentum_layer_norm_lstm": Row(
        Text(cell="momentum_layer_norm_lstm", mu=0.6, step_size=0.6, unit="character", hidden_features=200, layers=1,
             embedding_features=200, bptt=220, optimizer="adam", learning_rate=1e-2, adam_b1=0.9, adam_b2=0.999, clip_norm=3.0,
             batch_size=32, epochs=150),
        "ATN: layer normalisation behind momentum: what momentum is without its scale"),
    "moving_frames_conv_lstm": Row(
        MovingFrames(cell="conv_lstm", hidden_features=8, optimizer="adam", learning_rate=3e-3, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: ConvLSTM"),
    "moving_frames_momentum_conv_lstm": Row(
        MovingFrames(cell="momentum_conv_lstm", mu=0.6, step_size=0.4, hidden_features=8, optimizer="adam", learning_rate=3e-3,
                     adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: ConvLSTM behind momentum; s = 1 - mu"),
    "moving_frames_time_decay": Row(
        MovingFrames(cell="time_decay", mu=0.6, hidden_features=8, optimizer="adam", learning_rate=3e-3, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: no recurrence but momentum after the convolution"),
    "moving_frames_feedforward": Row(
        MovingFrames(cell="feedforward", hidden_features=8, optimizer="adam", learning_rate=3e-3, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: no recurrence"),
    "moving_digits_conv_lstm": Row(
        MovingDigits(cell="conv_lstm", hidden_features=8, optimizer="adam", learning_rate=3e-3, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: ConvLSTM"),
    "moving_digits_momentum_conv_lstm": Row(
        MovingDigits(cell="momentum_conv_lstm", mu=0.6, step_size=0.4, hidden_features=8, optimizer="adam", learning_rate=3e-3,
                     adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: ConvLSTM behind momentum; s = 1 - mu"),
    "moving_digits_time_decay": Row(
        MovingDigits(cell="time_decay", mu=0.6, hidden_features=8, optimizer="adam", learning_rate=3e-3, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: no recurrence but momentum after the convolution"),
    "moving_digits_feedforward": Row(
        MovingDigits(cell="feedforward", hidden_features=8, optimizer="adam", learning_rate=3e-3, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=1.0, batch_size=50, epochs=20),
        "ConvRNN: no recurrence"),
}
