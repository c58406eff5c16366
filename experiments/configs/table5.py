"""Table 5: orthogonal cells (DTRIV) on TIMIT."""

from experiments.configs.base import Timit
from experiments.configs.row import CONFIRMED, CURVES, MSE, RECALLED, Number, Row
from experiments.configs.table2 import UNLIKE as AS_IN_TABLE_2

UNLIKE = (*AS_IN_TABLE_2, "a base moves between two optimiser steps, theirs between a forward and its backward pass")

# fmt: off
ROWS = {
    "timit_dtriv_224": Row(
        Timit(cell="dtriv", hidden_features=224, skew_init="henaff", readout_init="released", optimizer="adam",
              learning_rate=0.001, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, skew_learning_rate=2e-4, rmsprop_decay=0.99,
              rebase_every=None, clip_norm=1.0, batch_size=128, epochs=700),
        "Table 5, TIMIT, DTRIV, N = 224", time="2.9 h", unlike=UNLIKE,
        published=(Number(4.7, None, MSE, RECALLED),),
        released="timit_div.py -m dtriv --hidden_size 224 --K infty --lr 0.001 --lr_orth 0.0002 --batch_size 128 --epochs 700"),
    "timit_dtriv_322": Row(
        Timit(cell="dtriv", hidden_features=322, skew_init="henaff", readout_init="released", optimizer="adam",
              learning_rate=0.001, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, skew_learning_rate=2e-4, rmsprop_decay=0.99,
              rebase_every=None, clip_norm=1.0, batch_size=128, epochs=700),
        "Table 5, TIMIT, DTRIV, N = 322", time="4.7 h", unlike=UNLIKE,
        published=(Number(1.87, None, MSE, CONFIRMED), Number(1.905, 0.218, MSE, CURVES)),
        released="timit_div.py -m dtriv --hidden_size 322 --K infty --lr 0.001 --lr_orth 0.0002 --batch_size 128 --epochs 700"),
    "timit_momentum_dtriv_224": Row(
        Timit(cell="momentum_dtriv", hidden_features=224, mu=0.3, step_size=0.1, skew_init="henaff", readout_init="released",
              optimizer="adam", learning_rate=0.001, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, skew_learning_rate=2e-4,
              rmsprop_decay=0.99, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=700),
        "Table 5, TIMIT, MomentumDTRIV, N = 224", time="3 h", unlike=UNLIKE,
        published=(Number(3.06, None, MSE, RECALLED),),
        released="timit_div.py -m mdtriv --hidden_size 224 --K infty --mu 0.3 --epsilon 0.1 --lr 0.001 "
        "--lr_orth 0.0002 --batch_size 128 --epochs 700"),
    "timit_momentum_dtriv_322": Row(
        Timit(cell="momentum_dtriv", hidden_features=322, mu=0.3, step_size=0.1, skew_init="henaff", readout_init="released",
              optimizer="adam", learning_rate=0.001, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, skew_learning_rate=2e-4,
              rmsprop_decay=0.99, rebase_every=None, clip_norm=1.0, batch_size=128, epochs=700),
        "Table 5, TIMIT, MomentumDTRIV, N = 322", time="4.6 h", unlike=UNLIKE,
        published=(Number(1.17, None, MSE, CONFIRMED), Number(1.169, 0.049, MSE, CURVES)),
        released="timit_div.py -m mdtriv --hidden_size 322 --K infty --mu 0.3 --epsilon 0.1 --lr 0.001 "
        "--lr_orth 0.0002 --batch_size 128 --epochs 700"),
}
