"""Worker: ONNX Runtime, on model files built node by node. See worker.py."""

from __future__ import annotations

import numpy as np
import onnxruntime
import worker
from onnx import TensorProto, helper, numpy_helper

OPSET, FORMAT = 17, 10  # of operators and of the file


def session(
    threads: int,
    nodes: list,
    inputs: dict[str, list],
    outputs: dict[str, list],
    constants: dict[str, np.ndarray],
) -> onnxruntime.InferenceSession:
    """The model in memory, optimized by the runtime as it does by default."""
    given = [
        helper.make_tensor_value_info(
            name, TensorProto.INT32 if name == "lengths" else TensorProto.FLOAT, shape
        )
        for name, shape in inputs.items()
    ]
    wanted = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()
    ]
    initial = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "model", given, wanted, initial),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=FORMAT,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def constants(inputs: int, hidden: int) -> dict[str, np.ndarray]:
    """The weights that all share, as ONNX has them: [1,4H,.] with gates i, o, f, c, two biases in a row."""
    given = worker.weights(inputs, hidden)

    def gates(array: np.ndarray) -> np.ndarray:
        i, f, g, o = np.split(array.T, 4)
        return np.concatenate([i, o, f, g])[None]

    bias = np.concatenate([gates(given["b"]), np.zeros((1, 4 * hidden), np.float32)], axis=1)
    return {"W": gates(given["W"]), "R": gates(given["U"]), "B": bias, "V": given["V"], "d": given["d"]}


class Step:
    """One step at a time, the states as inputs and outputs."""

    def __init__(self, threads: int, inputs: int, hidden: int, steps: int) -> None:
        self.x = worker.data(1, steps, inputs).reshape(steps, 1, inputs)
        self.steps = [self.x[t : t + 1] for t in range(steps)]
        self.zeros = np.zeros((1, 1, hidden), np.float32)
        lstm = helper.make_node(
            "LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y", "h2", "c2"], hidden_size=hidden
        )
        state = [1, 1, hidden]
        weights = {name: array for name, array in constants(inputs, hidden).items() if name in "WRB"}
        self.session = session(
            threads,
            [lstm],
            {"x": [None, 1, inputs], "h": state, "c": state},
            {"y": [None, 1, 1, hidden], "h2": state, "c2": state},
            weights,
        )

    def walk(self) -> None:
        run, h, c = self.session.run, self.zeros, self.zeros
        for x in self.steps:
            h, c = run(["h2", "c2"], {"x": x, "h": h, "c": c})

    def run(self, repeats: int) -> float:
        return worker.clock(self.walk, repeats)

    def outputs(self) -> list[float]:
        found, h, c = [], self.zeros, self.zeros
        for x in self.steps[:3]:
            h, c = self.session.run(["h2", "c2"], {"x": x, "h": h, "c": c})
            found.append(float(h[0, 0, 0]))
        return found


class Loop(Step):
    """All steps in one call."""

    def whole(self) -> np.ndarray:
        return self.session.run(["y"], {"x": self.x, "h": self.zeros, "c": self.zeros})[0]

    def run(self, repeats: int) -> float:
        return worker.clock(self.whole, repeats)

    def outputs(self) -> list[float]:
        return self.whole()[-3:, 0, 0, 0].tolist()


class Predict:
    """256 sequences a call; ragged ones padded, with their lengths."""

    def __init__(
        self, threads: int, sequences: int, steps: int, inputs: int, hidden: int, shortest: int
    ) -> None:
        given = {"x": worker.data(sequences, steps, inputs)}
        shapes: dict[str, list] = {"x": [None, None, inputs]}
        if shortest < steps:
            given["lengths"] = worker.lengths(sequences, 1, shortest, steps).astype(np.int32)
            shapes["lengths"] = [None]
        lengths = "lengths" if "lengths" in shapes else ""
        nodes = [
            helper.make_node("Transpose", ["x"], ["by_time"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["by_time", "W", "R", "B", lengths], ["", "h"], hidden_size=hidden),
            helper.make_node("Squeeze", ["h", "axes"], ["last"]),
            helper.make_node("Gemm", ["last", "V", "d"], ["y"]),
        ]
        self.pieces = [
            {name: array[piece] for name, array in given.items()} for piece in worker.pieces(sequences)
        ]
        weights = {**constants(inputs, hidden), "axes": np.array([0], np.int64)}
        self.session = session(threads, nodes, shapes, {"y": [None, 1]}, weights)

    def predict(self) -> np.ndarray:
        return np.concatenate([self.session.run(["y"], piece)[0] for piece in self.pieces])

    def run(self, repeats: int) -> float:
        return worker.clock(self.predict, repeats)

    def outputs(self) -> list[float]:
        return self.predict()[:20, 0].tolist()


worker.serve({"step": Step, "loop": Loop, "predict": Predict})
