"""Table 2: LSTMs on TIMIT, the next frame of the spectrum.

The step size of 0.1 alone, without momentum, gives most of what the table shows for momentum, and momentum also amplifies the
forget gate's bias in the input's projection: `experiments.configs.controls` tells these apart. Of the SRLSTM, see Table 1.
"""

from experiments.configs.base import Timit
from experiments.configs.row import CONFIRMED, CURVES, MSE, RECALLED, Number, Row
from experiments.configs.table1 import PAPERS_EQUATION

UNLIKE = (
    "the epoch is chosen on the validation split, by the authors on the test split, though they logged a validation split too",
    "the test split is the core test set of 192 utterances; the sizes of their batches suggest that theirs is the development "
    "set of 400, which is our validation split",
    "utterances that fill no minibatch are left out, others in each epoch; their last minibatch is partial",
    "their curves run to about epoch 749; the numbers here are of the recipe's 700",
)

# fmt: off
ROWS = {
    "timit_lstm_84": Row(
        Timit(cell="lstm", hidden_features=84, init_scheme="released", forget_bias=-4.0, readout_init="released",
              optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None,
              batch_size=32, epochs=700),
        "Table 2, TIMIT, LSTM, N = 84", time="1.9 h", unlike=UNLIKE,
        published=(Number(14.94, None, MSE, RECALLED),),
        released="timit.py -m lstm --hidden_size 84 --lr 0.0001 --batch_size 32 --epochs 700"),
    "timit_lstm_120": Row(
        Timit(cell="lstm", hidden_features=120, init_scheme="released", forget_bias=-4.0, readout_init="released",
              optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None,
              batch_size=32, epochs=700),
        "Table 2, TIMIT, LSTM, N = 120", time="2.9 h", unlike=UNLIKE,
        published=(Number(11.83, None, MSE, CONFIRMED), Number(11.831, 0.125, MSE, CURVES)),
        released="timit.py -m lstm --hidden_size 120 --lr 0.0001 --batch_size 32 --epochs 700"),
    "timit_lstm_158": Row(
        Timit(cell="lstm", hidden_features=158, init_scheme="released", forget_bias=-4.0, readout_init="released",
              optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None,
              batch_size=32, epochs=700),
        "Table 2, TIMIT, LSTM, N = 158", time="4.3 h", unlike=UNLIKE,
        published=(Number(9.37, None, MSE, CONFIRMED), Number(9.373, 0.137, MSE, CURVES)),
        released="timit.py -m lstm --hidden_size 158 --lr 0.0001 --batch_size 32 --epochs 700"),
    "timit_momentum_lstm_84": Row(
        Timit(cell="momentum_lstm", hidden_features=84, mu=0.3, step_size=0.1, init_scheme="released", forget_bias=-4.0,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "Table 2, TIMIT, MomentumLSTM, N = 84", time="1.9 h", unlike=UNLIKE,
        published=(Number(10.98, None, MSE, RECALLED),),
        released="timit.py -m mlstm --hidden_size 84 --mu 0.3 --epsilon 0.1 --lr 0.0001 --batch_size 32 --epochs 700"),
    "timit_momentum_lstm_120": Row(
        Timit(cell="momentum_lstm", hidden_features=120, mu=0.3, step_size=0.1, init_scheme="released", forget_bias=-4.0,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "Table 2, TIMIT, MomentumLSTM, N = 120", time="2.8 h", unlike=UNLIKE,
        published=(Number(8.04, None, MSE, CONFIRMED), Number(8.043, 0.301, MSE, CURVES)),
        released="timit.py -m mlstm --hidden_size 120 --mu 0.3 --epsilon 0.1 --lr 0.0001 --batch_size 32 --epochs 700"),
    "timit_momentum_lstm_158": Row(
        Timit(cell="momentum_lstm", hidden_features=158, mu=0.3, step_size=0.1, init_scheme="released", forget_bias=-4.0,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "Table 2, TIMIT, MomentumLSTM, N = 158", time="4.3 h", unlike=UNLIKE,
        published=(Number(5.87, None, MSE, CONFIRMED), Number(5.874, 0.147, MSE, CURVES)),
        released="timit.py -m mlstm --hidden_size 158 --mu 0.3 --epsilon 0.1 --lr 0.0001 --batch_size 32 --epochs 700"),
    "timit_adam_lstm_158": Row(
        Timit(cell="adam_lstm", hidden_features=158, mu=0.3, step_size=0.1, beta=0.999, eps=1e-16, init_scheme="released",
              forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
              optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "Table 2, TIMIT, AdamLSTM, N = 158", time="6.1 h", unlike=UNLIKE,
        published=(Number(8.69, None, MSE, CONFIRMED), Number(8.691, 0.151, MSE, CURVES)),
        released="timit.py -m alstm --hidden_size 158 --mu 0.3 --epsilon 0.1 --mus 0.999 --lr 0.0001 "
        "--batch_size 32 --epochs 700"),
    "timit_rmsprop_lstm_158": Row(
        Timit(cell="rmsprop_lstm", hidden_features=158, step_size=0.1, beta=0.999, eps=1e-16, init_scheme="released",
              forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
              optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "Table 2, TIMIT, RMSPropLSTM, N = 158", time="5.7 h", unlike=UNLIKE,
        published=(Number(9.17, None, MSE, CONFIRMED), Number(9.173, 0.335, MSE, CURVES)),
        released="timit.py -m alstm --hidden_size 158 --mu 0.0 --epsilon 0.1 --mus 0.999 --lr 0.0001 "
        "--batch_size 32 --epochs 700"),
    "timit_released_nesterov_lstm_158": Row(
        Timit(cell="released_nesterov_lstm", hidden_features=158, step_size=0.1, restart=2, init_scheme="released",
              forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
              optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "Table 2, TIMIT, SRLSTM, the released cell, N = 158", unlike=UNLIKE,
        published=(Number(5.83, None, MSE, CONFIRMED), Number(5.837, 0.104, MSE, CURVES)),
        released="timit.py -m nlstm --hidden_size 158 --mu 0.0 --epsilon 0.1 --restart 2 --lr 0.0001 "
        "--batch_size 32 --epochs 700"),
    "timit_scheduled_restart_lstm_158": Row(
        Timit(cell="scheduled_restart_lstm", hidden_features=158, step_size=0.1, restart=2, init_scheme="released",
              forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
              optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "beside Table 2, TIMIT, SRLSTM, the paper's equation, N = 158", time="4.4 h", unlike=PAPERS_EQUATION),
}
