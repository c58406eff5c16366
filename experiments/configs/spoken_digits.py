"""Tables 2 and 5 on the Free Spoken Digits, which everybody may have; nothing was published of these runs."""

from experiments.configs.base import SpokenDigits
from experiments.configs.row import Row

# fmt: off
ROWS = {
    "fsdd_lstm_84": Row(
        SpokenDigits(cell="lstm", hidden_features=84, init_scheme="released", forget_bias=-4.0, readout_init="released",
                     optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None,
                     batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, LSTM, N = 84", time="22 min"),
    "fsdd_lstm_120": Row(
        SpokenDigits(cell="lstm", hidden_features=120, init_scheme="released", forget_bias=-4.0, readout_init="released",
                     optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None,
                     batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, LSTM, N = 120", time="31 min"),
    "fsdd_lstm_158": Row(
        SpokenDigits(cell="lstm", hidden_features=158, init_scheme="released", forget_bias=-4.0, readout_init="released",
                     optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None,
                     batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, LSTM, N = 158", time="61 min"),
    "fsdd_momentum_lstm_84": Row(
        SpokenDigits(cell="momentum_lstm", hidden_features=84, mu=0.3, step_size=0.1, init_scheme="released", forget_bias=-4.0,
                     readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, MomentumLSTM, N = 84", time="27 min"),
    "fsdd_momentum_lstm_120": Row(
        SpokenDigits(cell="momentum_lstm", hidden_features=120, mu=0.3, step_size=0.1, init_scheme="released", forget_bias=-4.0,
                     readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, MomentumLSTM, N = 120", time="34 min"),
    "fsdd_momentum_lstm_158": Row(
        SpokenDigits(cell="momentum_lstm", hidden_features=158, mu=0.3, step_size=0.1, init_scheme="released", forget_bias=-4.0,
                     readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, MomentumLSTM, N = 158", time="55 min"),
    "fsdd_adam_lstm_158": Row(
        SpokenDigits(cell="adam_lstm", hidden_features=158, mu=0.3, step_size=0.1, beta=0.999, eps=1e-16,
                     init_scheme="released", forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4,
                     adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, AdamLSTM, N = 158", time="76 min"),
    "fsdd_rmsprop_lstm_158": Row(
        SpokenDigits(cell="rmsprop_lstm", hidden_features=158, step_size=0.1, beta=0.999, eps=1e-16, init_scheme="released",
                     forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, RMSPropLSTM, N = 158", time="62 min"),
    "fsdd_released_nesterov_lstm_158": Row(
        SpokenDigits(cell="released_nesterov_lstm", hidden_features=158, step_size=0.1, restart=2, init_scheme="released",
                     forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as Table 2, Free Spoken Digits, SRLSTM, the released cell, N = 158"),
    "fsdd_scheduled_restart_lstm_158": Row(
        SpokenDigits(cell="scheduled_restart_lstm", hidden_features=158, step_size=0.1, restart=2, init_scheme="released",
                     forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "as beside Table 2, Free Spoken Digits, SRLSTM, the paper's equation, N = 158", time="50 min"),
    "fsdd_dtriv_224": Row(
        SpokenDigits(cell="dtriv", hidden_features=224, skew_init="henaff", readout_init="released", optimizer="adam",
                     learning_rate=0.001, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, skew_learning_rate=2e-4,
                     rmsprop_decay=0.99, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=700),
        "as Table 5, Free Spoken Digits, DTRIV, N = 224", time="33 min"),
    "fsdd_dtriv_322": Row(
        SpokenDigits(cell="dtriv", hidden_features=322, skew_init="henaff", readout_init="released", optimizer="adam",
                     learning_rate=0.001, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, skew_learning_rate=2e-4,
                     rmsprop_decay=0.99, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=700),
        "as Table 5, Free Spoken Digits, DTRIV, N = 322", time="67 min"),
    "fsdd_momentum_dtriv_224": Row(
        SpokenDigits(cell="momentum_dtriv", hidden_features=224, mu=0.3, step_size=0.1, skew_init="henaff",
                     readout_init="released", optimizer="adam", learning_rate=0.001, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, skew_learning_rate=2e-4, rmsprop_decay=0.99, rebase_every=None, clip_norm=1.0,
                     batch_size=128, epochs=700),
        "as Table 5, Free Spoken Digits, MomentumDTRIV, N = 224", time="35 min"),
    "fsdd_momentum_dtriv_322": Row(
        SpokenDigits(cell="momentum_dtriv", hidden_features=322, mu=0.3, step_size=0.1, skew_init="henaff",
                     readout_init="released", optimizer="adam", learning_rate=0.001, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, skew_learning_rate=2e-4, rmsprop_decay=0.99, rebase_every=None, clip_norm=1.0,
                     batch_size=128, epochs=700),
        "as Table 5, Free Spoken Digits, MomentumDTRIV, N = 322", time="53 min"),
}
