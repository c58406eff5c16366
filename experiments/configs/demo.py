"""What `experiments.demo` trains, in no table of the paper: small digits pixel by pixel, and slow signals under noise.

The drives have the settings of the authors' code for permuted MNIST (digits) and for MNIST (drifts), and so have the optimiser's
decay and the clipping. There are forty times fewer examples here, so batches are smaller, and the learning rate starts higher and
falls to zero along a cosine. For the digits, 0.02 was taken over 0.01 after pilot runs scored on validation: LSTM and AdamLSTM,
two seeds, 20 epochs, forget bias 3. For the drifts nothing was tuned: task and settings were fixed before any score was seen.
"""

from experiments.configs.base import Digits, Drifts
from experiments.configs.row import Row

# fmt: off
ROWS = {
    "digits_lstm": Row(
        Digits(cell="lstm", hidden_features=32, init_scheme="default", optimizer="rmsprop", learning_rate=0.02,
               final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=20),
        "demo: digits, LSTM"),
    "digits_scaled_lstm": Row(
        Digits(cell="lstm", hidden_features=32, input_scale=2.5, init_scheme="default", optimizer="rmsprop", learning_rate=0.02,
               final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=20),
        "demo: digits, control: LSTM that reads its input times s / (1 - mu)"),
    "digits_momentum_lstm": Row(
        Digits(cell="momentum_lstm", hidden_features=32, mu=0.6, step_size=1.0, init_scheme="default", optimizer="rmsprop",
               learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=20),
        "demo: digits, MomentumLSTM"),
    "digits_adam_lstm": Row(
        Digits(cell="adam_lstm", hidden_features=32, mu=0.6, step_size=1.0, beta=0.01, init_scheme="default",
               optimizer="rmsprop", learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0,
               batch_size=16, epochs=20),
        "demo: digits, AdamLSTM"),
    "digits_rmsprop_lstm": Row(
        Digits(cell="rmsprop_lstm", hidden_features=32, step_size=1.0, beta=0.01, init_scheme="default", optimizer="rmsprop",
               learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=20),
        "demo: digits, RMSPropLSTM"),
    "digits_scheduled_restart_lstm": Row(
        Digits(cell="scheduled_restart_lstm", hidden_features=32, step_size=0.9, restart=40, init_scheme="default",
               optimizer="rmsprop", learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0,
               batch_size=16, epochs=20),
        "demo: digits, SRLSTM"),
    "drifts_lstm": Row(
        Drifts(cell="lstm", hidden_features=32, init_scheme="default", optimizer="rmsprop", learning_rate=0.02,
               final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=12),
        "demo: drifts, LSTM"),
    "drifts_scaled_lstm": Row(
        Drifts(cell="lstm", hidden_features=32, input_scale=1.5, init_scheme="default", optimizer="rmsprop", learning_rate=0.02,
               final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=12),
        "demo: drifts, control: LSTM that reads its input times s / (1 - mu)"),
    "drifts_momentum_lstm": Row(
        Drifts(cell="momentum_lstm", hidden_features=32, mu=0.6, step_size=0.6, init_scheme="default", optimizer="rmsprop",
               learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=12),
        "demo: drifts, MomentumLSTM"),
    "drifts_adam_lstm": Row(
        Drifts(cell="adam_lstm", hidden_features=32, mu=0.6, step_size=0.6, beta=0.1, init_scheme="default",
               optimizer="rmsprop", learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0,
               batch_size=16, epochs=12),
        "demo: drifts, AdamLSTM"),
    "drifts_rmsprop_lstm": Row(
        Drifts(cell="rmsprop_lstm", hidden_features=32, step_size=0.6, beta=0.9, init_scheme="default", optimizer="rmsprop",
               learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0, batch_size=16, epochs=12),
        "demo: drifts, RMSPropLSTM"),
    "drifts_scheduled_restart_lstm": Row(
        Drifts(cell="scheduled_restart_lstm", hidden_features=32, step_size=1.0, restart=2, init_scheme="default",
               optimizer="rmsprop", learning_rate=0.02, final_learning_rate=0.0, rmsprop_decay=0.9, clip_norm=1.0,
               batch_size=16, epochs=12),
        "demo: drifts, SRLSTM"),
}
