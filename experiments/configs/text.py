"""A small model of the characters of any text, in no table of the paper; the settings are ours, not tuned."""

from experiments.configs.base import Text
from experiments.configs.row import Row

# fmt: off
ROWS = {
    "text_lstm": Row(
        Text(cell="lstm", hidden_features=128, unit="character", layers=1, embedding_features=128, bptt=64, input_dropout=0.05,
             output_dropout=0.1, optimizer="adam", learning_rate=0.002, clip_norm=1.0, batch_size=32, evaluation_batch_size=10,
             epochs=10),
        "no table: the characters of any text, --source FILE", time="1.7 min"),
    "text_momentum_lstm": Row(
        Text(cell="momentum_lstm", hidden_features=128, mu=0.6, step_size=0.6, unit="character", layers=1,
             embedding_features=128, bptt=64, input_dropout=0.05, output_dropout=0.1, optimizer="adam", learning_rate=0.002,
             clip_norm=1.0, batch_size=32, evaluation_batch_size=10, epochs=10),
        "no table: the characters of any text, --source FILE", time="2.4 min"),
    "text_adam_lstm": Row(
        Text(cell="adam_lstm", hidden_features=128, mu=0.6, step_size=0.6, beta=0.9, unit="character", layers=1,
             embedding_features=128, bptt=64, input_dropout=0.05, output_dropout=0.1, optimizer="adam", learning_rate=0.002,
             clip_norm=1.0, batch_size=32, evaluation_batch_size=10, epochs=10),
        "no table: the characters of any text, --source FILE", time="3 min"),
}
