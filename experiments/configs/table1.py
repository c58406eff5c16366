"""Table 1: LSTMs on MNIST, pixel by pixel, in order and permuted.

The published rows of the SRLSTM were made with a cell whose velocity contains the hidden state, and not with the paper's
equation: the first is `released_nesterov_lstm`, the second `scheduled_restart_lstm`.
"""

from experiments.configs.base import Mnist, PermutedMnist
from experiments.configs.row import ACCURACY, BASELINE, CROSS_ENTROPY, CURVES, RECALLED, Number, Row

UNLIKE = (
    "the last 5,000 training images are held out, and the epoch is chosen on them; the authors chose on the test split",
    "an epoch has 429 full minibatches of 55,000 images, theirs 469 of 60,000, the last of them partial",
    "test scores are means over images, their test loss a mean of the means of minibatches",
)
PAPERS_EQUATION = (
    "nothing was published of this cell: the authors' row was made with another, `released_nesterov_lstm`, whose velocity "
    "contains the hidden state",
)

# fmt: off
ROWS = {
    "mnist_lstm_128": Row(
        Mnist(cell="lstm", hidden_features=128, init_scheme="released", forget_bias=1.0, readout_init="released",
              optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8, clip_norm=1.0, batch_size=128,
              epochs=150, validation_size=5000),
        "Table 1, MNIST, LSTM, N = 128", time="9.6 h", unlike=UNLIKE,
        published=(Number(98.7, None, ACCURACY, BASELINE),),
        released="mnist.py -m lstm --hidden_size 128 --lr 0.001 --batch_size 128 --epochs 150"),
    "mnist_lstm_256": Row(
        Mnist(cell="lstm", hidden_features=256, init_scheme="released", forget_bias=1.0, readout_init="released",
              optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8, clip_norm=1.0, batch_size=128,
              epochs=150, validation_size=5000),
        "Table 1, MNIST, LSTM, N = 256", time="28 h", unlike=UNLIKE,
        published=(Number(98.9, None, ACCURACY, BASELINE), Number(0.0375, 0.0033, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m lstm --hidden_size 256 --lr 0.001 --batch_size 128 --epochs 150"),
    "mnist_momentum_lstm_128": Row(
        Mnist(cell="momentum_lstm", hidden_features=128, mu=0.6, step_size=0.6, init_scheme="released", forget_bias=1.0,
              readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8,
              clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, MNIST, MomentumLSTM, N = 128", time="9.8 h", unlike=UNLIKE,
        published=(Number(99.04, 0.04, ACCURACY, RECALLED),),
        released="mnist.py -m mlstm --hidden_size 128 --mu 0.6 --epsilon 0.6 --lr 0.001 --batch_size 128 --epochs 150"),
    "mnist_momentum_lstm_256": Row(
        Mnist(cell="momentum_lstm", hidden_features=256, mu=0.6, step_size=0.6, init_scheme="released", forget_bias=1.0,
              readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8,
              clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, MNIST, MomentumLSTM, N = 256", time="26 h", unlike=UNLIKE,
        published=(Number(99.08, 0.05, ACCURACY, RECALLED), Number(0.0438, 0.0017, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m mlstm --hidden_size 256 --mu 0.6 --epsilon 0.6 --lr 0.001 --batch_size 128 --epochs 150"),
    "mnist_adam_lstm_256": Row(
        Mnist(cell="adam_lstm", hidden_features=256, mu=0.6, step_size=0.6, beta=0.1, eps=1e-16, init_scheme="released",
              forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
              optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, MNIST, AdamLSTM, N = 256", time="35 h", unlike=UNLIKE,
        published=(Number(99.09, 0.03, ACCURACY, RECALLED), Number(0.0404, 0.0016, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m alstm --hidden_size 256 --mu 0.6 --epsilon 0.6 --mus 0.1 --lr 0.001 --batch_size 128 "
        "--epochs 150"),
    "mnist_rmsprop_lstm_256": Row(
        Mnist(cell="rmsprop_lstm", hidden_features=256, step_size=0.6, beta=0.9, eps=1e-16, init_scheme="released",
              forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
              optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, MNIST, RMSPropLSTM, N = 256", time="33 h", unlike=UNLIKE,
        published=(Number(99.15, 0.06, ACCURACY, RECALLED), Number(0.0382, 0.0028, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m alstm --hidden_size 256 --mu 0.0 --epsilon 0.6 --mus 0.9 --lr 0.001 --batch_size 128 "
        "--epochs 150"),
    "mnist_released_nesterov_lstm_256": Row(
        Mnist(cell="released_nesterov_lstm", hidden_features=256, step_size=1.0, restart=2, init_scheme="released",
              forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
              optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, MNIST, SRLSTM, the released cell, N = 256", unlike=UNLIKE,
        published=(Number(99.01, 0.07, ACCURACY, RECALLED), Number(0.0424, 0.0024, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m nlstm --hidden_size 256 --mu 0.0 --epsilon 1.0 --restart 2 --lr 0.001 "
        "--batch_size 128 --epochs 150"),
    "mnist_scheduled_restart_lstm_256": Row(
        Mnist(cell="scheduled_restart_lstm", hidden_features=256, step_size=1.0, restart=2, init_scheme="released",
              forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
              optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "beside Table 1, MNIST, SRLSTM, the paper's equation, N = 256", time="26 h", unlike=PAPERS_EQUATION),
    "pmnist_lstm_128": Row(
        PermutedMnist(cell="lstm", hidden_features=128, init_scheme="released", forget_bias=1.0, readout_init="released",
                      optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8, clip_norm=1.0,
                      batch_size=128, epochs=150, validation_size=5000),
        "Table 1, permuted MNIST, LSTM, N = 128", time="9.6 h", unlike=UNLIKE,
        published=(Number(92.0, None, ACCURACY, BASELINE),),
        released="mnist.py -m lstm --permute --hidden_size 128 --lr 0.001 --batch_size 128 --epochs 150"),
    "pmnist_lstm_256": Row(
        PermutedMnist(cell="lstm", hidden_features=256, init_scheme="released", forget_bias=1.0, readout_init="released",
                      optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8, clip_norm=1.0,
                      batch_size=128, epochs=150, validation_size=5000),
        "Table 1, permuted MNIST, LSTM, N = 256", time="28 h", unlike=UNLIKE,
        published=(Number(92.29, None, ACCURACY, BASELINE), Number(0.275, 0.018, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m lstm --permute --hidden_size 256 --lr 0.001 --batch_size 128 --epochs 150"),
    "pmnist_momentum_lstm_128": Row(
        PermutedMnist(cell="momentum_lstm", hidden_features=128, mu=0.6, step_size=1.0, init_scheme="released", forget_bias=1.0,
                      readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8,
                      clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, permuted MNIST, MomentumLSTM, N = 128", time="9.8 h", unlike=UNLIKE,
        published=(Number(93.4, 0.25, ACCURACY, RECALLED),),
        released="mnist.py -m mlstm --permute --hidden_size 128 --mu 0.6 --epsilon 1.0 --lr 0.001 --batch_size 128 "
        "--epochs 150"),
    "pmnist_momentum_lstm_256": Row(
        PermutedMnist(cell="momentum_lstm", hidden_features=256, mu=0.6, step_size=1.0, init_scheme="released", forget_bias=1.0,
                      readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8,
                      clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, permuted MNIST, MomentumLSTM, N = 256", time="26 h", unlike=UNLIKE,
        published=(Number(94.72, 0.16, ACCURACY, RECALLED), Number(0.236, 0.014, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m mlstm --permute --hidden_size 256 --mu 0.6 --epsilon 1.0 --lr 0.001 --batch_size 128 "
        "--epochs 150"),
    "pmnist_adam_lstm_256": Row(
        PermutedMnist(cell="adam_lstm", hidden_features=256, mu=0.6, step_size=1.0, beta=0.01, eps=1e-16,
                      init_scheme="released", forget_bias=1.0, readout_init="released", optimizer="rmsprop",
                      learning_rate=0.001, rmsprop_decay=0.9, optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 1, permuted MNIST, AdamLSTM, N = 256", time="35 h", unlike=UNLIKE,
        published=(Number(95.05, 0.37, ACCURACY, RECALLED), Number(0.212, 0.008, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m alstm --permute --hidden_size 256 --mu 0.6 --epsilon 1.0 --mus 0.01 --lr 0.001 "
        "--batch_size 128 --epochs 150"),
    "pmnist_rmsprop_lstm_256": Row(
        PermutedMnist(cell="rmsprop_lstm", hidden_features=256, step_size=1.0, beta=0.01, eps=1e-16, init_scheme="released",
                      forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
                      optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, permuted MNIST, RMSPropLSTM, N = 256", time="33 h", unlike=UNLIKE,
        published=(Number(95.38, 0.19, ACCURACY, RECALLED), Number(0.199, 0.008, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m alstm --permute --hidden_size 256 --mu 0.0 --epsilon 1.0 --mus 0.01 --lr 0.001 "
        "--batch_size 128 --epochs 150"),
    "pmnist_released_nesterov_lstm_256": Row(
        PermutedMnist(cell="released_nesterov_lstm", hidden_features=256, step_size=0.9, restart=40, init_scheme="released",
                      forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
                      optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 1, permuted MNIST, SRLSTM, the released cell, N = 256", unlike=UNLIKE,
        published=(Number(93.82, 1.85, ACCURACY, RECALLED), Number(0.286, 0.077, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m nlstm --permute --hidden_size 256 --mu 0.0 --epsilon 0.9 --restart 40 --lr 0.001 "
        "--batch_size 128 --epochs 150"),
    "pmnist_scheduled_restart_lstm_256": Row(
        PermutedMnist(cell="scheduled_restart_lstm", hidden_features=256, step_size=0.9, restart=40, init_scheme="released",
                      forget_bias=1.0, readout_init="released", optimizer="rmsprop", learning_rate=0.001, rmsprop_decay=0.9,
                      optimizer_eps=1e-8, clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "beside Table 1, permuted MNIST, SRLSTM, the paper's equation, N = 256", time="26 h", unlike=PAPERS_EQUATION),
}
