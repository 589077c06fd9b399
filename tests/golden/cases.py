"""What each golden file holds: layers, loss, sizes, and what goes with the rows.

A layer is its class name in Karusel with its arguments, a loss and an optimizer likewise, so that the
test builds the network from the same text. T, B, I, H and O differ from one another in every case.
"""

from __future__ import annotations

from typing import Any

SQUARED: tuple[str, dict[str, Any]] = ("SquaredError", {})


def lstm(hidden_size: int, **options: Any) -> tuple[str, dict[str, Any]]:
    return "LSTM", {"hidden_size": hidden_size, **options}


def dense(units: int, **options: Any) -> tuple[str, dict[str, Any]]:
    return "Dense", {"units": units, **options}


def attention(units: int, *encoder: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return "Attention", {"units": units, "encoder": list(encoder)}


# name: layers, loss, (rows, steps, input width), what goes with the rows
Case = tuple[list[tuple[str, dict[str, Any]]], tuple[str, dict[str, Any]], tuple[int, int, int], set[str]]
GIVEN: dict[str, Any] = {"initial_state": "given"}
LEARNED: dict[str, Any] = {"initial_state": "learned"}
ALL: dict[str, Any] = {"return_sequences": True}
BOTH: dict[str, Any] = {"direction": "bidirectional"}
GRADIENT_CASES: dict[str, Case] = {
    "last": ([lstm(7)], SQUARED, (3, 5, 4), set()),
    "last_dense": ([lstm(6), dense(2)], SQUARED, (4, 7, 3), set()),
    "all_outputs": ([lstm(5, **ALL), dense(3)], SQUARED, (2, 6, 4), set()),
    "backward_last": ([lstm(6, direction="backward"), dense(2)], SQUARED, (4, 5, 3), set()),
    "backward_all": ([lstm(4, direction="backward", **ALL, **GIVEN), dense(2)], SQUARED, (3, 7, 5), set()),
    "bidirectional_last": (
        [lstm(5, direction="bidirectional", **GIVEN), dense(3)],
        SQUARED,
        (2, 7, 4),
        set(),
    ),
    "bidirectional_all": ([lstm(4, direction="bidirectional", **ALL), dense(3)], SQUARED, (2, 6, 5), set()),
    "bidirectional_bare": ([lstm(3, direction="bidirectional")], SQUARED, (4, 5, 2), set()),
    "depth_2": ([lstm(6, num_layers=2, **GIVEN), dense(2)], SQUARED, (3, 5, 4), set()),
    "depth_3": ([lstm(4, num_layers=3, **ALL, **GIVEN), dense(2)], SQUARED, (3, 6, 5), set()),
    "depth_3_bidirectional": (
        [lstm(4, num_layers=3, direction="bidirectional", **GIVEN), dense(2)],
        SQUARED,
        (3, 5, 6),
        {"weighted"},
    ),
    "depth_2_backward": ([lstm(5, num_layers=2, direction="backward"), dense(2)], SQUARED, (3, 6, 4), set()),
    "two_layers": ([lstm(5, **ALL), lstm(4), dense(3)], SQUARED, (2, 7, 6), set()),
    "two_layers_given": ([lstm(5, **ALL, **GIVEN), lstm(4, **GIVEN), dense(3)], SQUARED, (2, 6, 7), set()),
    "residual": ([lstm(5, num_layers=3, residual=True), dense(2)], SQUARED, (3, 6, 4), set()),
    "residual_all": (
        [lstm(6, num_layers=3, residual=True, **ALL, **GIVEN), dense(2)],
        SQUARED,
        (4, 5, 3),
        set(),
    ),
    "residual_first": ([lstm(4, num_layers=2, residual=True), dense(3)], SQUARED, (2, 6, 4), set()),
    "residual_bidirectional": (
        [lstm(3, num_layers=2, residual=True, direction="bidirectional", **ALL), dense(2)],
        SQUARED,
        (4, 5, 7),
        set(),
    ),
    "residual_backward": (
        [lstm(5, num_layers=2, residual=True, direction="backward"), dense(2)],
        SQUARED,
        (3, 6, 4),
        set(),
    ),
    "dilation_2": ([lstm(6, dilation=2, **GIVEN), dense(2)], SQUARED, (3, 7, 4), set()),
    "dilation_2_all": ([lstm(4, dilation=2, **ALL), dense(3)], SQUARED, (2, 9, 5), set()),
    "dilation_stack": (
        [lstm(4, num_layers=3, dilation=[1, 2, 4], residual=True, **ALL), dense(2)],
        SQUARED,
        (3, 10, 5),
        set(),
    ),
    "dilation_bidirectional": (
        [lstm(4, dilation=3, direction="bidirectional", **GIVEN), dense(3)],
        SQUARED,
        (2, 8, 5),
        set(),
    ),
    "dilation_learned": ([lstm(5, dilation=2, **LEARNED), dense(2)], SQUARED, (3, 7, 4), set()),
    "normed": ([lstm(5, layer_norm=True), dense(2)], SQUARED, (3, 6, 4), set()),
    "normed_stack": (
        [lstm(3, num_layers=2, layer_norm=True, direction="bidirectional", **ALL, **LEARNED), dense(2)],
        SQUARED,
        (4, 7, 5),
        {"ragged", "weighted"},
    ),
    "normed_dilation": (
        [lstm(6, layer_norm=True, dilation=2, direction="backward", **ALL), dense(3)],
        SQUARED,
        (2, 7, 4),
        set(),
    ),
    "normed_given": ([lstm(7, layer_norm=True, **GIVEN), dense(2)], SQUARED, (5, 4, 3), {"ragged"}),
    "learned": ([lstm(6, **LEARNED), dense(2)], SQUARED, (3, 5, 4), {"weighted"}),
    "learned_deep": (
        [lstm(4, num_layers=2, direction="bidirectional", **ALL, **LEARNED), dense(3)],
        SQUARED,
        (2, 6, 5),
        set(),
    ),
    "ragged_last": ([lstm(6, **GIVEN), dense(2)], SQUARED, (5, 8, 3), {"ragged"}),
    "ragged_all": ([lstm(6, **ALL), dense(2)], SQUARED, (5, 8, 3), {"ragged", "weighted"}),
    "ragged_backward": ([lstm(5, direction="backward", **GIVEN), dense(2)], SQUARED, (4, 7, 3), {"ragged"}),
    "ragged_bidirectional": (
        [lstm(4, num_layers=2, direction="bidirectional", **ALL, **GIVEN), dense(3)],
        SQUARED,
        (5, 7, 6),
        {"ragged", "masked"},
    ),
    "ragged_bidirectional_last": (
        [lstm(4, num_layers=2, direction="bidirectional"), dense(3)],
        SQUARED,
        (6, 7, 5),
        {"ragged"},
    ),
    "ragged_dilation": (
        [lstm(5, num_layers=2, dilation=[2, 3], **GIVEN), dense(2)],
        SQUARED,
        (6, 9, 4),
        {"ragged"},
    ),
    "ragged_residual": (
        [lstm(4, num_layers=3, residual=True, **LEARNED), dense(2)],
        SQUARED,
        (5, 7, 4),
        {"ragged"},
    ),
    "label_steps": (
        [("Embedding", {"input_dim": 11, "output_dim": 5}), lstm(6, **ALL), dense(4)],
        ("SoftmaxCrossEntropy", {}),
        (3, 7, 0),
        {"masked", "weighted"},
    ),
    "label_steps_ragged": (
        [
            ("Embedding", {"input_dim": 9, "output_dim": 4}),
            lstm(5, direction="bidirectional", **ALL),
            dense(3),
        ],
        ("SoftmaxCrossEntropy", {}),
        (4, 8, 0),
        {"ragged", "masked"},
    ),
    "classify_rows": (
        [("Embedding", {"input_dim": 9, "output_dim": 4}), lstm(6), dense(5)],
        ("SoftmaxCrossEntropy", {}),
        (7, 8, 0),
        {"ragged", "weighted"},
    ),
    "tied": (
        [
            ("Embedding", {"input_dim": 11, "output_dim": 5}),
            lstm(7, **ALL),
            lstm(5, **ALL),
            dense(11, tied=True),
        ],
        ("SoftmaxCrossEntropy", {}),
        (4, 8, 0),
        {"ragged", "weighted"},
    ),
    "tied_last": (
        [("Embedding", {"input_dim": 9, "output_dim": 6}), lstm(6), dense(9, tied=True, use_bias=False)],
        SQUARED,
        (3, 7, 0),
        set(),
    ),
    "two_ids_a_step": (
        [("Embedding", {"input_dim": 8, "output_dim": 3}), lstm(5), dense(4)],
        SQUARED,
        (6, 7, 2),
        {"ragged"},
    ),
    "layernorm": (
        [lstm(7, **ALL), ("LayerNorm", {}), dense(3), ("LayerNorm", {"epsilon": 0.01})],
        SQUARED,
        (2, 5, 4),
        set(),
    ),
    "layernorm_inside": (
        [("LayerNorm", {}), lstm(5, **ALL), ("LayerNorm", {}), lstm(6), dense(2)],
        SQUARED,
        (3, 7, 4),
        {"ragged"},
    ),
    "pool": (
        [lstm(6, direction="bidirectional", **ALL), ("Pool", {"functions": ["max", "mean"]}), dense(3)],
        SQUARED,
        (5, 9, 4),
        {"ragged", "weighted"},
    ),
    "pool_mean": (
        [dense(7), ("Pool", {"functions": ["mean"]}), ("LayerNorm", {}), dense(2)],
        SQUARED,
        (4, 6, 3),
        {"ragged"},
    ),
    "sweeps": (  # a grid of 3 x 4: both ways along one axis, then along the other
        [
            lstm(3, direction="bidirectional", dilation=4, **ALL),
            ("Transpose", {"columns": 4}),
            lstm(2, direction="bidirectional", dilation=3, **ALL),
            ("Transpose", {"columns": 3}),
            dense(4),
        ],
        SQUARED,
        (2, 12, 5),
        set(),
    ),
    "transpose_ragged": (
        [dense(5), ("Transpose", {"columns": 3}), lstm(4, **ALL), dense(2)],
        SQUARED,
        (6, 8, 3),
        {"ragged"},
    ),
    "attention_ragged": (
        [
            ("Embedding", {"input_dim": 11, "output_dim": 4}),
            lstm(5, **ALL),
            attention(6, ("Embedding", {"input_dim": 9, "output_dim": 3}), lstm(4, **BOTH, **ALL)),
            lstm(8, **ALL),
            dense(7),
        ],
        ("SoftmaxCrossEntropy", {}),
        (5, 6, 0),
        {"ragged", "weighted", "source of 8"},
    ),
    "attention_to_numbers": (
        [attention(7, lstm(3, num_layers=2, input_shape=[None, 5], **ALL, **LEARNED)), dense(2)],
        SQUARED,
        (3, 9, 4),
        {"masked", "source of 19"},
    ),
    "several_labels": (
        [lstm(4, **ALL), dense(6)],
        ("SoftmaxCrossEntropy", {"classes": 3}),
        (5, 7, 4),
        {"ragged", "weighted", "masked"},
    ),
    "several_labels_of_rows": (
        [lstm(4), dense(8)],
        ("SoftmaxCrossEntropy", {"classes": 2}),
        (6, 5, 3),
        {"weighted"},
    ),
    "dense_stack": (
        [
            dense(6, activation="tanh"),
            lstm(5),
            dense(7, activation="relu"),
            dense(4, activation="sigmoid"),
            dense(3, use_bias=False),
        ],
        SQUARED,
        (2, 8, 4),
        set(),
    ),
    "activations": (
        [
            dense(7),
            ("Activation", {"function": "relu"}),
            lstm(6, **ALL),
            dense(5),
            ("Activation", {"function": "tanh"}),
            dense(3),
            ("Activation", {"function": "sigmoid"}),
        ],
        SQUARED,
        (2, 4, 8),
        set(),
    ),
    # A softmax or sigmoid at the end and its cross-entropy are one function in Karusel, two in PyTorch.
    "softmax_at_the_end": (
        [lstm(5, **ALL), dense(4), ("Activation", {"function": "softmax"})],
        ("SoftmaxCrossEntropy", {}),
        (3, 6, 2),
        {"ragged", "masked"},
    ),
    "softmax_of_dense": (
        [lstm(6), dense(5, activation="softmax")],
        ("SoftmaxCrossEntropy", {}),
        (4, 7, 3),
        set(),
    ),
    "sigmoid_at_the_end": (
        [lstm(5), dense(4, activation="sigmoid")],
        ("BinaryCrossEntropy", {}),
        (7, 6, 2),
        {"weighted"},
    ),
}
LOSSES: dict[str, tuple[str, dict[str, Any], int]] = {  # the last number: outputs
    "squared": ("SquaredError", {}, 3),
    "absolute": ("AbsoluteError", {}, 3),
    "huber": ("Huber", {"delta": 0.7}, 3),
    "pinball": ("Pinball", {"quantiles": [0.1, 0.35, 0.8]}, 6),
    "softmax": ("SoftmaxCrossEntropy", {}, 5),
    "binary": ("BinaryCrossEntropy", {}, 3),
}
for _name, (_kind, _options, _outputs) in LOSSES.items():
    GRADIENT_CASES[f"loss_{_name}_rows"] = (
        [lstm(4), dense(_outputs)],
        (_kind, _options),
        (9, 8, 2),
        {"weighted", "masked"},
    )
    GRADIENT_CASES[f"loss_{_name}_steps"] = (
        [lstm(4, **ALL), dense(_outputs)],
        (_kind, _options),
        (7, 8, 2),
        {"weighted", "masked", "ragged"},
    )


# name: optimizer, its options, learning rate, data flags, rows to a batch (0: all)
TRAINING_STEPS = 10
TRAINING_CASES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": ("Adam", {"learning_rate": 0.02})},
    "adam_constants": {
        "optimizer": ("Adam", {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3})
    },
    "adam_ragged": {
        "optimizer": ("Adam", {"learning_rate": 0.02}),
        "with_rows": {"ragged", "weighted"},
    },
    "adamw": {"optimizer": ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.3})},
    "clipped": {"optimizer": ("Adam", {"learning_rate": 0.05, "epsilon": 0.05, "clip_norm": 1.1})},
    "cosine": {
        "optimizer": (
            "Adam",
            {
                "learning_rate": (
                    "Cosine",
                    {"rate": 0.05, "total_steps": 10, "warmup_steps": 4, "final_rate": 0.004},
                )
            },
        )
    },
    "cosine_ended": {
        "optimizer": (
            "Adam",
            {"learning_rate": ("Cosine", {"rate": 0.05, "total_steps": 7, "final_rate": 0.01})},
        )
    },
    "step": {"optimizer": ("Adam", {"learning_rate": ("Step", {"rate": 0.05, "every": 3, "factor": 0.4})})},
    "average": {"optimizer": ("Adam", {"learning_rate": 0.03, "ema_decay": 0.8})},
    "batches": {"optimizer": ("Adam", {"learning_rate": 0.01}), "batch_size": 3, "with_rows": {"weighted"}},
}

# name: layers, (rows, steps, input width), length of the longest string, what goes with the rows
CTC_CASES: dict[str, tuple[list[tuple[str, dict[str, Any]]], tuple[int, int, int], int, set[str]]] = {
    "one_way": ([lstm(5, **ALL), dense(4)], (3, 9, 2), 3, set()),
    "ragged": (
        [lstm(4, direction="bidirectional", **ALL), dense(6, activation="softmax")],
        (7, 13, 3),
        5,
        {"ragged", "weighted"},
    ),
    "tight": ([lstm(6, **ALL), dense(3)], (5, 7, 4), 4, {"ragged"}),
}
# name: layers, (rows, steps, input width), settings of the loss, what goes with the rows
SURROGATE_CASES: dict[
    str, tuple[list[tuple[str, dict[str, Any]]], tuple[int, int, int], dict[str, float], set[str]]
] = {
    "steps": ([lstm(5, **ALL), dense(4)], (4, 9, 2), {"clip": 0.2}, {"ragged", "masked"}),
    "rows": ([lstm(3), dense(3)], (11, 4, 2), {"clip": 0.1, "value": 0.7, "entropy": 0.05}, {"weighted"}),
}
