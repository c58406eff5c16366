"""Table 4: orthogonal cells (DTRIV) on permuted MNIST."""

from experiments.configs.base import PermutedMnist
from experiments.configs.row import ACCURACY, CROSS_ENTROPY, CURVES, RECALLED, Number, Row
from experiments.configs.table1 import UNLIKE as AS_IN_TABLE_1

UNLIKE = (*AS_IN_TABLE_1, "a base moves between two optimiser steps, theirs between a forward and its backward pass")
FROM_CURVES = ("no command of this row was published: its settings are those of its loss curves, the rest as for the other rows",)

# fmt: off
ROWS = {
    "pmnist_dtriv_170": Row(
        PermutedMnist(cell="dtriv", hidden_features=170, skew_init="cayley", readout_init="released", optimizer="rmsprop",
                      learning_rate=7e-4, skew_learning_rate=2e-4, rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=1,
                      clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 4, permuted MNIST, DTRIV, N = 170", time="5.1 h", unlike=UNLIKE,
        published=(Number(95.21, None, ACCURACY, RECALLED),),
        released="mnist.py -m dtriv --permute --hidden_size 170 --K 1 --lr 0.0007 --lr_orth 0.00020 "
        "--batch_size 128 --epochs 150"),
    "pmnist_dtriv_360": Row(
        PermutedMnist(cell="dtriv", hidden_features=360, skew_init="cayley", readout_init="released", optimizer="rmsprop",
                      learning_rate=7e-4, skew_learning_rate=5e-5, rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None,
                      clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 4, permuted MNIST, DTRIV, N = 360", time="17 h", unlike=UNLIKE,
        published=(Number(96.45, None, ACCURACY, RECALLED),),
        released="mnist.py -m dtriv --permute --hidden_size 360 --K infty --lr 0.0007 --lr_orth 0.00005 "
        "--batch_size 128 --epochs 150"),
    "pmnist_dtriv_512": Row(
        PermutedMnist(cell="dtriv", hidden_features=512, skew_init="cayley", readout_init="released", optimizer="rmsprop",
                      learning_rate=3e-4, skew_learning_rate=7e-5, rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None,
                      clip_norm=1.0, batch_size=128, epochs=150, validation_size=5000),
        "Table 4, permuted MNIST, DTRIV, N = 512", time="27 h", unlike=UNLIKE,
        published=(Number(96.62, None, ACCURACY, RECALLED), Number(0.119, None, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m dtriv --permute --hidden_size 512 --K infty --lr 0.0003 --lr_orth 0.00007 "
        "--batch_size 128 --epochs 150"),
    "pmnist_momentum_dtriv_170": Row(
        PermutedMnist(cell="momentum_dtriv", hidden_features=170, mu=0.6, step_size=0.9, skew_init="cayley",
                      readout_init="released", optimizer="rmsprop", learning_rate=7e-4, skew_learning_rate=2e-4,
                      rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=1, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 4, permuted MNIST, MomentumDTRIV, N = 170", time="5.3 h", unlike=UNLIKE,
        published=(Number(95.37, None, ACCURACY, RECALLED),),
        released="mnist.py -m mdtriv --permute --hidden_size 170 --K 1 --mu 0.6 --epsilon 0.9 --lr 0.0007 "
        "--lr_orth 0.00020 --batch_size 128 --epochs 150"),
    "pmnist_momentum_dtriv_360": Row(
        PermutedMnist(cell="momentum_dtriv", hidden_features=360, mu=0.3, step_size=0.3, skew_init="cayley",
                      readout_init="released", optimizer="rmsprop", learning_rate=7e-4, skew_learning_rate=5e-5,
                      rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 4, permuted MNIST, MomentumDTRIV, N = 360", time="17 h", unlike=UNLIKE,
        published=(Number(96.73, None, ACCURACY, RECALLED),),
        released="mnist.py -m mdtriv --permute --hidden_size 360 --K infty --mu 0.3 --epsilon 0.3 --lr 0.0007 "
        "--lr_orth 0.00005 --batch_size 128 --epochs 150"),
    "pmnist_momentum_dtriv_512": Row(
        PermutedMnist(cell="momentum_dtriv", hidden_features=512, mu=0.3, step_size=0.3, skew_init="cayley",
                      readout_init="released", optimizer="rmsprop", learning_rate=3e-4, skew_learning_rate=7e-5,
                      rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 4, permuted MNIST, MomentumDTRIV, N = 512", time="27 h", unlike=UNLIKE,
        published=(Number(96.89, None, ACCURACY, RECALLED), Number(0.108, None, CROSS_ENTROPY, CURVES)),
        released="mnist.py -m mdtriv --permute --hidden_size 512 --K infty --mu 0.3 --epsilon 0.3 --lr 0.0003 "
        "--lr_orth 0.00007 --batch_size 128 --epochs 150"),
    "pmnist_adam_dtriv_512": Row(
        PermutedMnist(cell="adam_dtriv", hidden_features=512, mu=0.3, step_size=0.3, beta=0.8, eps=1e-16, skew_init="cayley",
                      readout_init="released", optimizer="rmsprop", learning_rate=3e-4, skew_learning_rate=7e-5,
                      rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 4, permuted MNIST, AdamDTRIV, N = 512", time="38 h", unlike=UNLIKE + FROM_CURVES,
        published=(Number(96.77, None, ACCURACY, RECALLED), Number(0.113, None, CROSS_ENTROPY, CURVES))),
    "pmnist_rmsprop_dtriv_512": Row(
        PermutedMnist(cell="rmsprop_dtriv", hidden_features=512, step_size=0.3, beta=0.9, eps=1e-16, skew_init="cayley",
                      readout_init="released", optimizer="rmsprop", learning_rate=3e-4, skew_learning_rate=7e-5,
                      rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 4, permuted MNIST, RMSPropDTRIV, N = 512", time="34 h", unlike=UNLIKE + FROM_CURVES,
        published=(Number(96.75, None, ACCURACY, RECALLED), Number(0.111, None, CROSS_ENTROPY, CURVES))),
    "pmnist_scheduled_restart_dtriv_512": Row(
        PermutedMnist(cell="scheduled_restart_dtriv", hidden_features=512, step_size=0.3, restart=2, skew_init="cayley",
                      readout_init="released", optimizer="rmsprop", learning_rate=3e-4, skew_learning_rate=7e-5,
                      rmsprop_decay=0.99, optimizer_eps=1e-8, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=150,
                      validation_size=5000),
        "Table 4, permuted MNIST, SRDTRIV, N = 512", time="26 h", unlike=UNLIKE + FROM_CURVES,
        published=(Number(97.02, None, ACCURACY, RECALLED), Number(0.105, None, CROSS_ENTROPY, CURVES))),
}
