"""Adding, copying, denoising and tracking: synthetic tasks, in no table of the paper; the settings are ours, not tuned.

Most inputs are exactly zero, hence the larger eps of the adaptive drives.
"""

from experiments.configs.base import Adding, Copying, Denoise, Tracking
from experiments.configs.row import Row

# fmt: off
ROWS = {
    "adding_lstm": Row(
        Adding(cell="lstm", hidden_features=128, length=200, held_out=1000, optimizer="rmsprop", learning_rate=0.001,
               rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: adding, T = 200", time="10 min"),
    "adding_momentum_lstm": Row(
        Adding(cell="momentum_lstm", hidden_features=128, mu=0.6, step_size=0.6, length=200, held_out=1000, optimizer="rmsprop",
               learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: adding, T = 200", time="15 min"),
    "adding_adam_lstm": Row(
        Adding(cell="adam_lstm", hidden_features=128, mu=0.6, step_size=0.6, beta=0.9, eps=1e-4, length=200, held_out=1000,
               optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
               epochs=50),
        "no table: adding, T = 200", time="45 min"),
    "adding_rmsprop_lstm": Row(
        Adding(cell="rmsprop_lstm", hidden_features=128, step_size=0.6, beta=0.9, eps=1e-4, length=200, held_out=1000,
               optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
               epochs=50),
        "no table: adding, T = 200", time="25 min"),
    "adding_scheduled_restart_lstm": Row(
        Adding(cell="scheduled_restart_lstm", hidden_features=128, step_size=0.9, restart=40, length=200, held_out=1000,
               optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
               epochs=50),
        "no table: adding, T = 200", time="15 min"),
    "adding_dtriv": Row(
        Adding(cell="dtriv", hidden_features=128, skew_init="henaff", skew_learning_rate=1e-4, length=200, held_out=1000,
               optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
               epochs=50),
        "no table: adding, T = 200", time="3.5 min"),
    "adding_momentum_dtriv": Row(
        Adding(cell="momentum_dtriv", hidden_features=128, mu=0.6, step_size=0.6, skew_init="henaff", skew_learning_rate=1e-4,
               length=200, held_out=1000, optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0,
               batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: adding, T = 200", time="3.5 min"),
    "copying_lstm": Row(
        Copying(cell="lstm", hidden_features=128, length=200, held_out=1000, optimizer="rmsprop", learning_rate=0.001,
                rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: copying, T = 200", time="14 min"),
    "copying_momentum_lstm": Row(
        Copying(cell="momentum_lstm", hidden_features=128, mu=0.6, step_size=0.6, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: copying, T = 200", time="14 min"),
    "copying_adam_lstm": Row(
        Copying(cell="adam_lstm", hidden_features=128, mu=0.6, step_size=0.6, beta=0.9, eps=1e-4, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: copying, T = 200", time="29 min"),
    "copying_rmsprop_lstm": Row(
        Copying(cell="rmsprop_lstm", hidden_features=128, step_size=0.6, beta=0.9, eps=1e-4, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: copying, T = 200", time="16 min"),
    "copying_scheduled_restart_lstm": Row(
        Copying(cell="scheduled_restart_lstm", hidden_features=128, step_size=0.9, restart=40, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: copying, T = 200", time="14 min"),
    "copying_dtriv": Row(
        Copying(cell="dtriv", hidden_features=128, skew_init="henaff", skew_learning_rate=1e-4, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: copying, T = 200", time="5.2 min"),
    "copying_momentum_dtriv": Row(
        Copying(cell="momentum_dtriv", hidden_features=128, mu=0.6, step_size=0.6, skew_init="henaff", skew_learning_rate=1e-4,
                length=200, held_out=1000, optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0,
                batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: copying, T = 200", time="5.3 min"),
    "denoise_lstm": Row(
        Denoise(cell="lstm", hidden_features=128, length=200, held_out=1000, optimizer="rmsprop", learning_rate=0.001,
                rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: denoise, T = 200", time="14 min"),
    "denoise_momentum_lstm": Row(
        Denoise(cell="momentum_lstm", hidden_features=128, mu=0.6, step_size=0.6, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: denoise, T = 200", time="14 min"),
    "denoise_adam_lstm": Row(
        Denoise(cell="adam_lstm", hidden_features=128, mu=0.6, step_size=0.6, beta=0.9, eps=1e-4, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: denoise, T = 200", time="28 min"),
    "denoise_rmsprop_lstm": Row(
        Denoise(cell="rmsprop_lstm", hidden_features=128, step_size=0.6, beta=0.9, eps=1e-4, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: denoise, T = 200", time="17 min"),
    "denoise_scheduled_restart_lstm": Row(
        Denoise(cell="scheduled_restart_lstm", hidden_features=128, step_size=0.9, restart=40, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: denoise, T = 200", time="14 min"),
    "denoise_dtriv": Row(
        Denoise(cell="dtriv", hidden_features=128, skew_init="henaff", skew_learning_rate=1e-4, length=200, held_out=1000,
                optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0, batch_size=128, steps_per_epoch=100,
                epochs=50),
        "no table: denoise, T = 200", time="5.4 min"),
    "denoise_momentum_dtriv": Row(
        Denoise(cell="momentum_dtriv", hidden_features=128, mu=0.6, step_size=0.6, skew_init="henaff", skew_learning_rate=1e-4,
                length=200, held_out=1000, optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, clip_norm=1.0,
                batch_size=128, steps_per_epoch=100, epochs=50),
        "no table: denoise, T = 200", time="5.6 min"),
    "tracking_lstm": Row(
        Tracking(cell="lstm", hidden_features=16, correlation_time=10.0, noise=1.0, length=100, held_out=1000, optimizer="adam",
                 learning_rate=0.003, clip_norm=1.0, batch_size=32, steps_per_epoch=50, epochs=20),
        "no table: a signal in noise, T = 100"),
    "tracking_momentum_lstm": Row(
        Tracking(cell="momentum_lstm", hidden_features=16, mu=0.6, step_size=0.6, correlation_time=10.0, noise=1.0, length=100,
                 held_out=1000, optimizer="adam", learning_rate=0.003, clip_norm=1.0, batch_size=32, steps_per_epoch=50,
                 epochs=20),
        "no table: a signal in noise, T = 100"),
}
