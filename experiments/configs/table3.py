"""Table 3: the Penn Treebank by word, the AWD-LSTM's recipe with the paper's cells."""

from experiments.configs.base import PennTreebank
from experiments.configs.row import CONFIRMED, PERPLEXITY, RECALLED, VALIDATION_PERPLEXITY, Number, Row

UNLIKE = (
    "a scheduled restart's count goes on from window to window, as all states do; theirs begins anew",
    "the windows' lengths are drawn once and shuffled in each epoch, which reads the text exactly once; theirs are drawn in each",
    "the average is of every step since it began, each with its own window's learning rate; theirs leaves out the first, and "
    "steps with the rate of the window before",
    "the test text is read in ten rows, as the validation text is; theirs in one",
    "a loss is the mean over the tokens that are predicted; theirs divides their sum by one token more in each row",
)

# fmt: off
ROWS = {
    "ptb_lstm": Row(
        PennTreebank(cell="lstm", hidden_features=1150, init_scheme="released", forget_bias=1.0, layers=3,
                     embedding_features=400, bptt=70, embedding_dropout=0.1, input_dropout=0.4, hidden_dropout=0.25,
                     output_dropout=0.4, weight_dropout=0.5, activation_regularization=2.0, temporal_regularization=1.0,
                     optimizer="sgd", learning_rate=30.0, clip_norm=0.25, weight_decay=1.2e-6, nonmonotone=5, batch_size=20,
                     evaluation_batch_size=10, epochs=500),
        "Table 3, Penn Treebank, LSTM", time="190 h", unlike=UNLIKE,
        published=(Number(59.71, 0.99, PERPLEXITY, RECALLED), Number(61.96, 0.83, VALIDATION_PERPLEXITY, CONFIRMED)),
        released="main_momentum.py --model LSTM --batch_size 20 --dropouti 0.4 --dropouth 0.25 --epochs 500"),
    "ptb_momentum_lstm": Row(
        PennTreebank(cell="momentum_lstm", hidden_features=1150, mu=0.0, step_size=0.6, init_scheme="released", forget_bias=1.0,
                     layers=3, embedding_features=400, bptt=70, embedding_dropout=0.1, input_dropout=0.4, hidden_dropout=0.25,
                     output_dropout=0.4, weight_dropout=0.5, activation_regularization=2.0, temporal_regularization=1.0,
                     optimizer="sgd", learning_rate=30.0, clip_norm=0.25, weight_decay=1.2e-6, nonmonotone=5, batch_size=20,
                     evaluation_batch_size=10, epochs=500),
        "Table 3, Penn Treebank, MomentumLSTM (published with mu = 0: scaled input, no momentum)", time="200 h", unlike=UNLIKE,
        published=(Number(58.62, 0.22, PERPLEXITY, RECALLED), Number(60.71, 0.24, VALIDATION_PERPLEXITY, CONFIRMED)),
        released="main_momentum.py --model MLSTM --mu 0.0 --epsilon 0.6 --batch_size 20 --dropouti 0.4 "
        "--dropouth 0.25 --epochs 500"),
    "ptb_scheduled_restart_lstm": Row(
        PennTreebank(cell="scheduled_restart_lstm", hidden_features=1150, step_size=0.6, restart=2, init_scheme="released",
                     forget_bias=1.0, layers=3, embedding_features=400, bptt=70, embedding_dropout=0.1, input_dropout=0.4,
                     hidden_dropout=0.25, output_dropout=0.4, weight_dropout=0.5, activation_regularization=2.0,
                     temporal_regularization=1.0, optimizer="sgd", learning_rate=30.0, clip_norm=0.25, weight_decay=1.2e-6,
                     nonmonotone=5, batch_size=20, evaluation_batch_size=10, epochs=500),
        "Table 3, Penn Treebank, SRLSTM", time="200 h", unlike=UNLIKE,
        published=(Number(58.83, 0.62, PERPLEXITY, RECALLED), Number(61.12, 0.68, VALIDATION_PERPLEXITY, CONFIRMED)),
        released="main_momentum.py --model NLSTM --epsilon 0.6 --restart 2 --batch_size 20 --dropouti 0.4 "
        "--dropouth 0.25 --epochs 500"),
}
