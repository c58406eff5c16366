"""Controls for Tables 2 and 3: plain LSTMs with one of the things that momentum changes besides remembering, and the like.

A constant input is amplified by the gain s / (1 - mu) = 1 / 7. The forget gate's whole bias is the input projection's, amplified
by that gain, and the core's; a plain LSTM has it twice: -4 (1 + 1 / 7) / 2.
"""

from experiments.configs.base import PennTreebank, SpokenDigits, Timit
from experiments.configs.row import CODE, MSE, PERPLEXITY, Number, Row

# fmt: off
ROWS = {
    "ablation_controls_timit_step_size_158": Row(
        Timit(cell="lstm", hidden_features=158, input_scale=0.1, init_scheme="released", forget_bias=-4.0,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM that reads its input times the step size", time="4.3 h"),
    "ablation_controls_timit_gain_158": Row(
        Timit(cell="lstm", hidden_features=158, input_scale=0.14285714285714288, init_scheme="released", forget_bias=-4.0,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM that reads its input times the steady-state gain s / (1 - mu)", time="4.3 h"),
    "ablation_controls_timit_forget_bias_158": Row(
        Timit(cell="lstm", hidden_features=158, init_scheme="released", forget_bias=-2.2857142857142856,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM with the forget bias that momentum makes", time="4.3 h"),
    "ablation_controls_timit_gain_and_forget_bias_158": Row(
        Timit(cell="lstm", hidden_features=158, input_scale=0.14285714285714288, init_scheme="released",
              forget_bias=-2.2857142857142856, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9,
              adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM with both the gain and the forget bias that momentum makes", time="4.3 h"),
    "ablation_controls_timit_no_momentum_158": Row(
        Timit(cell="momentum_lstm", hidden_features=158, mu=0.0, step_size=0.1, init_scheme="released", forget_bias=-4.0,
              readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8,
              clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: MomentumLSTM with mu = 0, which scales its input and the input's bias", time="4.3 h",
        published=(Number(6.0, None, MSE, CODE),)),
    "ablation_controls_fsdd_step_size_158": Row(
        SpokenDigits(cell="lstm", hidden_features=158, input_scale=0.1, init_scheme="released", forget_bias=-4.0,
                     readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM that reads its input times the step size", time="61 min"),
    "ablation_controls_fsdd_gain_158": Row(
        SpokenDigits(cell="lstm", hidden_features=158, input_scale=0.14285714285714288, init_scheme="released",
                     forget_bias=-4.0, readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9,
                     adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM that reads its input times the steady-state gain s / (1 - mu)", time="61 min"),
    "ablation_controls_fsdd_forget_bias_158": Row(
        SpokenDigits(cell="lstm", hidden_features=158, init_scheme="released", forget_bias=-2.2857142857142856,
                     readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM with the forget bias that momentum makes", time="61 min"),
    "ablation_controls_fsdd_gain_and_forget_bias_158": Row(
        SpokenDigits(cell="lstm", hidden_features=158, input_scale=0.14285714285714288, init_scheme="released",
                     forget_bias=-2.2857142857142856, readout_init="released", optimizer="adam", learning_rate=1e-4,
                     adam_b1=0.9, adam_b2=0.999, optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: LSTM with both the gain and the forget bias that momentum makes", time="61 min"),
    "ablation_controls_fsdd_no_momentum_158": Row(
        SpokenDigits(cell="momentum_lstm", hidden_features=158, mu=0.0, step_size=0.1, init_scheme="released", forget_bias=-4.0,
                     readout_init="released", optimizer="adam", learning_rate=1e-4, adam_b1=0.9, adam_b2=0.999,
                     optimizer_eps=1e-8, clip_norm=None, batch_size=32, epochs=700),
        "control for Table 2: MomentumLSTM with mu = 0, which scales its input and the input's bias", time="55 min"),
    "ablation_controls_ptb_momentum": Row(
        PennTreebank(cell="momentum_lstm", hidden_features=1150, mu=0.1, step_size=0.6, init_scheme="released", forget_bias=1.0,
                     layers=3, embedding_features=400, bptt=70, embedding_dropout=0.1, input_dropout=0.4, hidden_dropout=0.25,
                     output_dropout=0.4, weight_dropout=0.5, activation_regularization=2.0, temporal_regularization=1.0,
                     optimizer="sgd", learning_rate=30.0, clip_norm=0.25, weight_decay=1.2e-6, nonmonotone=5, batch_size=20,
                     evaluation_batch_size=10, epochs=500),
        "control for Table 3: MomentumLSTM with momentum, mu = 0.1, and the published step size", time="200 h",
        published=(Number(58.98, None, PERPLEXITY, CODE),)),
}
