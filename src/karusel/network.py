"""Networks: a list of layers, trained and run by an executor."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.batches import (
    Examples,
    Rows,
    Stream,
    check_finite,
    check_range,
    line_weights,
    read_rows,
    read_sequences,
)
from karusel.errors import DataError, ModelFileError, UsageError
from karusel.layers import LSTM, Activation, Dense, Dropout, Embedding, Layer, LayerNorm
from karusel.layers.base import Shape
from karusel.losses import Loss, get_loss
from karusel.optimizers import Adam, get_optimizer
from karusel.program.executor import (
    EVALUATION_ROWS,
    Executor,
    OptimizerState,
    check_memory,
    default_threads,
    flat_vector,
)
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Extent, Parameter, Program

if TYPE_CHECKING:
    from karusel.callbacks import Callback
    from karusel.streaming import Stepper
    from karusel.streaming import Stream as NetworkStream
    from karusel.training import History

__all__ = ["Sequential", "load"]

LAYERS: dict[str, Callable[..., Layer]] = {
    layer.kind: layer for layer in (LSTM, Activation, Dense, Dropout, Embedding, LayerNorm)
}


class Sequential:
    """A network of layers, one after the other.

    Parameters
    ----------
    layers
        The layers; more can be added with `add` until the network is built.
    random_state
        Seed of initial weights, shuffling and dropout. The same seed gives the same bits on any number of
        threads.
    n_jobs
        Threads. None: as many as this process may use (or KARUSEL_THREADS).
    executor
        "native" (the compiled engine, float32), "reference" (float64 NumPy, slow, the definition), or
        "auto": native where it is built. KARUSEL_EXECUTOR changes what "auto" means.
    precision
        "float32", or "bf16": `fit`, `evaluate`, `gradients`, `predict` of the engine then multiply in bf16,
        which is faster where the processor has instructions for it (AVX-512 BF16). Each factor is off by at
        most 2^-8 of itself; gradients of 256 and 512 units by 0.5 % in norm, as measured. Sums, states,
        gradients and the weights that training changes stay float32; streams and batches of up to 16 steps
        in all are not rounded. Elsewhere float32 is used, with a warning; KARUSEL_BF16=emulate rounds all the
        same, more slowly. The precision is not part of a saved network.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential
    >>> X = np.linspace(0, 1, 40 * 4).reshape(40, 4, 1)
    >>> net = Sequential([LSTM(8), Dense(1)])
    >>> net.compile(loss="mean_squared_error", optimizer="adam")
    >>> history = net.fit(X, X[:, -1, 0], epochs=2)
    >>> net.predict(X).shape
    (40, 1)
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        random_state: int = 0,
        n_jobs: int | None = None,
        executor: str = "auto",
        precision: str = "float32",
    ) -> None:
        if (
            isinstance(random_state, bool)
            or not isinstance(random_state, (int, np.integer))
            or not 0 <= random_state < 2**63
        ):
            raise UsageError(
                f"random_state must be a whole number from 0 up, below 2^63, got {random_state!r}"
            )
        if n_jobs is not None and (isinstance(n_jobs, bool) or int(n_jobs) != n_jobs or n_jobs < 1):
            raise UsageError(f"n_jobs must be None or a whole number from 1 up, got {n_jobs!r}")
        self.layers: list[Layer] = []
        self.random_state = int(random_state)
        self.n_jobs = n_jobs
        self.executor = _choose_executor(executor)
        self.precision = _choose_precision(precision, self.executor)
        self.loss: Loss | None = None
        self.optimizer: Adam | None = None
        self.input_shape: tuple[int | None, int] | None = None
        self._per_step = True
        self._parameters: dict[str, Parameter] = {}
        self._weights: NDArray[Any] = flat_vector(0, self._dtype)
        self._optimizer_state: OptimizerState | None = None
        self._epochs_before = 0
        self._executors: dict[tuple[Any, ...], tuple[Executor, int]] = {}
        for layer in layers:
            self.add(layer)

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.layers))}])"

    @property
    def _dtype(self) -> Any:
        return np.float32 if self.executor == "native" else np.float64

    # -- building --------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        return self.input_shape is not None

    def add(self, layer: Layer) -> None:
        """Adds a layer at the end."""
        if not isinstance(layer, Layer):
            raise UsageError(f"a network is made of karusel layers, got {layer!r}")
        if self.built:
            raise UsageError("the network is built already: add all layers before the first fit")
        if layer.input_shape is not None and self.layers:
            raise UsageError("input_shape belongs to the first layer")
        self.layers.append(layer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the parameters for inputs of shape (T, I), or (I,) for a network without time; T may be None.

        A fit builds the network by itself from its data.
        """
        shape = tuple(input_shape)
        if not self.layers:
            raise UsageError("the network has no layers")
        if len(shape) not in (1, 2) or not isinstance(shape[-1], (int, np.integer)) or shape[-1] < 1:
            raise UsageError(f"input_shape must be (steps, inputs) or (inputs,), got {shape!r}")
        declared = self.layers[0].input_shape
        if declared is not None and (len(declared) != len(shape) or declared[-1] != shape[-1]):
            raise DataError(f"the first layer's input_shape is {declared}, the data's is {shape}")

        self._per_step = len(shape) == 2
        specifications = []
        flow = Shape(int(shape[-1]), self._per_step, self._reads_indices)
        for i, layer in enumerate(self.layers):
            specifications += [(f"{layer.kind}_{i}.{p.name}", p) for p in layer.parameters(flow)]
            flow = layer.output_shape(flow)
        self._output = flow

        total = sum(p.rows * p.cols for _, p in specifications)
        check_memory(
            6 * total,  # weights, gradient, two moments, two layouts in panels
            f"a network of {total:,} parameters, with gradients and the optimizer's memory,",
        )
        self._parameters, offset = {}, 0
        self._weights = flat_vector(total, self._dtype)
        random = np.random.Generator(np.random.Philox(self.random_state))
        for name, p in specifications:
            self._parameters[name] = Parameter(name, offset, p.rows, p.cols, p.vector)
            self._weights[offset : offset + p.rows * p.cols] = p.initial(random).reshape(-1)
            offset += p.rows * p.cols
        self.input_shape = (shape[0] if self._per_step else 1, int(shape[-1]))

    @property
    def _reads_indices(self) -> bool:
        return isinstance(self.layers[0], Embedding)

    @property
    def _needs_time(self) -> bool:
        return any(isinstance(layer, (LSTM, Embedding)) for layer in self.layers)

    @property
    def parameters(self) -> dict[str, NDArray[Any]]:
        """Every parameter by name: arrays that share the network's memory, so writing to one changes it."""
        self._require_built()
        return self._by_name(self._weights)

    def _by_name(self, vector: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {
            name: vector[p.offset : p.offset + p.size].reshape(p.shape)
            for name, p in self._parameters.items()
        }

    def count_params(self) -> int:
        """How many numbers the network learns."""
        self._require_built()
        return len(self._weights)

    def summary(self) -> str:
        """A table of layers, output shapes and parameters."""
        self._require_built()
        assert self.input_shape is not None
        flow = Shape(self.input_shape[1], self._per_step, self._reads_indices)
        lines = [f"{'layer':<44} {'output':<16} {'parameters':>12}", "-" * 74]
        for i, layer in enumerate(self.layers):
            count = sum(p.size for n, p in self._parameters.items() if n.startswith(f"{layer.kind}_{i}."))
            flow = layer.output_shape(flow)
            shape = f"[B, T, {flow.width}]" if flow.per_step else f"[B, {flow.width}]"
            text = repr(layer)
            lines.append(f"{text if len(text) <= 44 else text[:41] + '...':<44} {shape:<16} {count:>12,}")
        lines += ["-" * 74, f"{'all':<44} {'':<16} {self.count_params():>12,}"]
        return "\n".join(lines)

    def _require_built(self) -> None:
        if not self.built and self.layers and self.layers[0].input_shape is not None:
            self.build(self.layers[0].input_shape)
        if not self.built:
            raise UsageError("the network is not built yet: fit it, or call build((steps, inputs))")

    # -- lowering and executors ------------------------------------------------------------------

    def program(self, kind: str = "train", *, weighted: bool = False) -> Program:
        """The network lowered to kernel calls; print it to read it.

        kind: "train" (with loss, backward part and dropout), "gradient" (the same without dropout),
        "loss" (forward with loss), "predict" (forward), "states" (predict, with LSTMs' final states), or
        "stream" (predict, with a state that outlives each run).
        """
        self._require_built()
        assert self.input_shape is not None
        with_loss = kind in ("train", "gradient", "loss")
        if with_loss and self.loss is None:
            raise UsageError("the network is not compiled: call compile(loss=..., optimizer=...) first")
        lowering = Lowering(
            self._parameters,
            training=kind == "train",
            tape=kind in ("train", "gradient"),
            stateful=kind == "stream",
            states=kind == "states",
        )
        extent = Extent.STEPS if self._per_step else Extent.ROWS
        x = lowering.input("x", extent, self.input_shape[1], integer=self._reads_indices)
        y = Signal(x, learns=False)
        for i, layer in enumerate(self._layers_with(self.loss if with_loss else None)):
            lowering.enter(f"{layer.kind}_{i}")
            y = layer.lower(lowering, y)
        if with_loss:
            assert self.loss is not None
            self.loss.lower(lowering, y, weighted)
        else:
            lowering.program.outputs["y"] = y.view
        lowering.backward()
        return lowering.program

    def _layers_with(self, loss: Loss | None) -> list[Layer]:
        """The layers, without a last activation that is part of the loss."""
        layers = list(self.layers)
        last = layers[-1]
        if loss is not None and loss.activation is not None:
            if isinstance(last, Activation) and last.function == loss.activation:
                layers.pop()
            elif isinstance(last, Dense) and last.activation == loss.activation:
                layers[-1] = Dense(last.units, use_bias=last.use_bias)
        return layers

    def _executor(self, kind: str, examples: Examples) -> Executor:
        """An executor for these examples; the last one of its kind is kept while it is long enough."""
        weighted = "weight" in examples.inputs
        steps, threads = examples.max_steps, self.n_jobs or default_threads()
        key = (kind, weighted, threads)
        if key not in self._executors or self._executors[key][1] < steps:
            program = self.program(kind, weighted=weighted)
            made: Executor
            if self.executor == "native":
                from karusel.program.native import NativeExecutor

                made = NativeExecutor(program, steps, threads, half=self.precision == "bf16")
            else:
                from karusel.program.interpreter import ReferenceExecutor

                made = ReferenceExecutor(program, steps, threads)
            self._executors[key] = (made, steps)
        return self._executors[key][0]

    # -- data ------------------------------------------------------------------------------------

    def _read_x(self, X: Any, lengths: Any) -> Rows:
        """Inputs as rows; builds the network when this is its first data."""
        if not self.layers:
            raise UsageError("the network has no layers")
        dtype = np.int32 if self._reads_indices else self._dtype
        per_step = self._per_step if self.built else self._needs_time or _is_deep(X)
        width = self.input_shape[1] if self.input_shape is not None else None
        if per_step:
            rows = read_sequences(X, lengths, what="X", dtype=dtype, width=width)
        elif lengths is not None:
            raise UsageError("lengths= belongs to networks with time steps; this one has none")
        else:
            rows = read_rows(X, what="X", dtype=dtype, width=width, n=None)
        if not self.built:
            self.build((rows.padded_steps, rows.width) if per_step else (rows.width,))
        if isinstance(first := self.layers[0], Embedding):
            check_range(rows, "X", first.input_dim - 1)
        else:
            check_finite(rows, "X")
        return rows

    def _read_target(self, y: Any, x: Rows, sample_weight: Any, mask: Any) -> tuple[Stream, Stream | None]:
        """Targets and their weights."""
        assert self.loss is not None
        loss = self.loss
        width = loss.target_width(self._output.width)
        dtype = np.int32 if loss.integer_target else self._dtype
        if self._output.per_step:
            rows = read_sequences(y, None, what="y", dtype=dtype, width=width, lines_of=x)
        else:
            rows = read_rows(y, what="y", dtype=dtype, width=width, n=len(x))
        weight = line_weights(sample_weight, mask, rows, self._output.per_step, self._dtype)
        if loss.integer_target:
            check_range(rows, "y", self._output.width - 1, weight)
        else:
            check_finite(rows, "y", weight)
            if loss.highest_target is not None:
                check_range(rows, "y", loss.highest_target, weight)
        return rows.stream(), weight

    def _read_state(self, initial_state: Any, n: int) -> dict[str, Stream]:
        """Initial states by role: one (h, c) pair per LSTM, depth and direction, each [n, H]."""
        names = self._state_names(given=True)
        if not names:
            if initial_state is not None:
                raise UsageError("initial_state= needs an LSTM with initial_state='given'")
            return {}
        if initial_state is None:
            raise UsageError(
                f"the network's LSTM has initial_state='given': pass initial_state=, a list of {len(names)} "
                f"(h, c) pairs, for {', '.join(names)}"
            )
        pairs = list(initial_state)
        if len(pairs) != len(names) or any(len(pair) != 2 for pair in pairs):
            raise DataError(
                f"initial_state must be a list of {len(names)} (h, c) pairs, for {', '.join(names)}, "
                f"got {len(pairs)}"
            )
        streams = {}
        for (name, hidden), pair in zip(names.items(), pairs, strict=True):
            for state, values in zip(("h0", "c0"), pair, strict=True):
                what = f"initial_state {name}.{state}"
                rows = read_rows(values, what=what, dtype=self._dtype, width=hidden, n=n)
                check_finite(rows, what)
                streams[f"{name}.{state}"] = rows.stream()
        return streams

    def _state_names(self, given: bool) -> dict[str, int]:
        """Every LSTM pass by name, with its hidden size; only those whose state is given, if so wished."""
        return {
            f"lstm_{i}.{name}": layer.hidden_size
            for i, layer in enumerate(self.layers)
            if isinstance(layer, LSTM) and (not given or layer.initial_state == "given")
            for name in layer.state_names()
        }

    def _examples(
        self, X: Any, y: Any, lengths: Any, sample_weight: Any, mask: Any, initial_state: Any
    ) -> Examples:
        """Everything that a program with a loss reads."""
        if self.loss is None:
            raise UsageError("the network is not compiled: call compile(loss=..., optimizer=...) first")
        x = self._read_x(X, lengths)
        target, weight = self._read_target(y, x, sample_weight, mask)
        inputs = {"x": x.stream(), "target": target} | self._read_state(initial_state, len(x))
        if weight is not None:
            inputs["weight"] = weight
        return Examples(x.lengths, inputs)

    # -- training --------------------------------------------------------------------------------

    def compile(self, loss: str | Loss = "mean_squared_error", optimizer: str | Adam = "adam") -> None:
        """Sets the loss and the optimizer, and forgets the optimizer's state.

        Parameters
        ----------
        loss
            A `karusel.losses` object or a name: "mean_squared_error", "mean_absolute_error", "huber",
            "softmax_cross_entropy" (Keras: sparse_categorical_crossentropy), "binary_crossentropy".
        optimizer
            An `Adam` or `AdamW`, or the name of one, with its defaults.
        """
        self.loss = get_loss(loss)
        self.optimizer = get_optimizer(optimizer)
        self._optimizer_state = None
        self._executors = {}

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_split: float = 0.0,
        validation: str = "last",
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        mask: Any = None,
        lengths: Any = None,
        initial_state: Any = None,
        verbose: int = 0,
        callbacks: Sequence[Callback] = (),
        time_limit: float | None = None,
    ) -> History:
        """Trains the network; called again, it trains on.

        Parameters
        ----------
        X
            [n, T, I], or [n, T] for one input (or indices); a list of arrays [T_k, I] of any lengths; or a
            padded array with `lengths`.
        y
            [n] or [n, O] for one output per row; [n, T, O], [n, T] or a list for one per step. Class numbers
            for softmax cross-entropy.
        epochs
            Passes over the data.
        batch_size
            Rows per training step.
        validation_split
            Share of the rows held out, at the end ("last": right for data in order of time) or at random.
        validation
            "last" or "random".
        validation_data
            (X, y) or (X, y, sample_weight) to hold out instead.
        shuffle
            A new order for each epoch.
        sample_weight, mask
            Weight of each row [n], or of each step [n, T] or a list; a mask's zeros leave targets out.
        lengths
            Steps of each row of a padded array. What lies beyond them is never read.
        initial_state
            For LSTMs with initial_state="given": a list of (h, c) pairs, each [n, H].
        verbose
            0: nothing. 1: one changing line on a terminal's stderr. 2: lines per epoch on stdout.
        callbacks
            `EarlyStopping`, `Checkpoint`, or your own `Callback`.
        time_limit
            Seconds after which training ends.

        Returns
        -------
        History
            Losses per epoch, and why training ended.

        Raises
        ------
        DataError
            For data that breaks a rule, naming its place.
        DivergenceError
            When a loss is not finite; the weights are then those of the last good epoch.
        KeyboardInterrupt
            On Ctrl-C; the network is usable, with the weights reached.
        """
        from karusel.training import Training

        examples = self._examples(X, y, lengths, sample_weight, mask, initial_state)
        held_out = None
        if validation_data is not None:
            if len(validation_data) not in (2, 3):
                raise UsageError("validation_data must be (X, y) or (X, y, sample_weight)")
            weight = validation_data[2] if len(validation_data) == 3 else None
            held_out = self._examples(validation_data[0], validation_data[1], None, weight, None, None)
        training = Training(
            self,
            examples,
            held_out,
            epochs=epochs,
            batch_size=batch_size,
            validation_split=validation_split,
            validation=validation,
            shuffle=shuffle,
            verbose=verbose,
            callbacks=callbacks,
            time_limit=time_limit,
        )
        return training.run()

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        mask: Any = None,
        lengths: Any = None,
        initial_state: Any = None,
    ) -> float:
        """The mean loss, without dropout."""
        examples = self._examples(X, y, lengths, sample_weight, mask, initial_state)
        order = np.arange(len(examples), dtype=np.int64)
        return self._executor("loss", examples).evaluate(self._weights, examples, order, EVALUATION_ROWS).mean

    def gradients(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        mask: Any = None,
        lengths: Any = None,
        initial_state: Any = None,
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """The mean loss over all rows as one batch, and its gradient by every parameter, without dropout."""
        examples = self._examples(X, y, lengths, sample_weight, mask, initial_state)
        order = np.arange(len(examples), dtype=np.int64)
        gradient = flat_vector(len(self._weights), self._dtype)
        total = self._executor("gradient", examples).gradient(self._weights, examples, order, 0, gradient)
        return total.mean, self._by_name(gradient)

    # -- prediction ------------------------------------------------------------------------------

    def predict(
        self,
        X: Any,
        *,
        lengths: Any = None,
        initial_state: Any = None,
        return_state: bool = False,
        verbose: int = 0,
    ) -> Any:
        """The network's outputs, without dropout.

        Parameters
        ----------
        X, lengths, initial_state
            As in `fit`.
        return_state
            Also return each LSTM's final state.
        verbose
            Taken for Keras's sake; nothing is printed.

        Returns
        -------
        array or list
            [n, O], or [n, T, O] with an output per step (zero beyond `lengths`), or a list of [T_k, O] when X
            is a list of sequences. With return_state: that, and a list of (h, c) pairs, each [n, H], one per
            LSTM, depth and direction.
        """
        self._require_built()
        x = self._read_x(X, lengths)
        n = len(x)
        examples = Examples(x.lengths, {"x": x.stream()} | self._read_state(initial_state, n))
        width = self._output.width
        if self._output.per_step:
            starts = x.starts // x.width * width
            lines = len(x.values) // x.width
        else:
            starts, lines = np.arange(n, dtype=np.int64) * width, n
        check_memory(lines * width, "the prediction")
        out = np.zeros(lines * width, dtype=self._dtype)
        examples.outputs["y"] = Stream(out, starts, width)

        states: dict[str, NDArray[Any]] = {}
        if return_state:
            for name, hidden in self._state_names(given=False).items():
                for state in ("hn", "cn"):
                    states[f"{name}.{state}"] = np.zeros((n, hidden), dtype=self._dtype)
                    examples.outputs[f"{name}.{state}"] = Stream(
                        states[f"{name}.{state}"].reshape(-1), np.arange(n, dtype=np.int64) * hidden, hidden
                    )
        order = np.arange(n, dtype=np.int64)
        executor = self._executor("states" if return_state else "predict", examples)
        executor.evaluate(self._weights, examples, order, EVALUATION_ROWS)

        result: Any
        if not self._output.per_step:
            result = out.reshape(n, width)
        elif x.kind == "list":
            result = np.split(out.reshape(-1, width), np.cumsum(x.lengths)[:-1])
        else:
            result = out.reshape(n, x.padded_steps, width)
        if not return_state:
            return result
        names = self._state_names(given=False)
        return result, [(states[f"{name}.hn"], states[f"{name}.cn"]) for name in names]

    def stream(self, rows: int = 1, *, initial_state: Any = None) -> NetworkStream:
        """The network fed step by step, its memory carried along; see `karusel.streaming.Stream`."""
        from karusel.streaming import Stream as NetworkStream

        self._require_built()
        return NetworkStream(self, rows, initial_state)

    def _stepper(self, rows: int, max_steps: int) -> Stepper:
        program = self.program("stream")
        if self.executor == "native":
            from karusel.program.native import NativeStepper

            return NativeStepper(program, self._weights, rows, max_steps)
        from karusel.program.interpreter import ReferenceStepper

        return ReferenceStepper(program, self._weights, rows, max_steps)

    # -- saving ----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Everything but the weights, in types that JSON has."""
        return {
            "layers": [layer.config() for layer in self.layers],
            "loss": None if self.loss is None else self.loss.config(),
            "optimizer": None if self.optimizer is None else self.optimizer.config(),
            "random_state": self.random_state,
            "input_shape": self._shape_for_config(),
        }

    def _shape_for_config(self) -> list[int | None] | None:
        if self.input_shape is None:
            return None
        return list(self.input_shape) if self._per_step else [self.input_shape[1]]

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, executor: str = "auto", precision: str = "float32"
    ) -> Sequential:
        """A network with fresh weights from what `get_config` gave."""
        network = cls(random_state=config["random_state"], executor=executor, precision=precision)
        for entry in config["layers"]:
            settings = dict(entry)
            kind = settings.pop("kind")
            if kind not in LAYERS:
                raise UsageError(f"unknown layer kind {kind!r}; it must be one of {', '.join(LAYERS)}")
            shape = settings.pop("input_shape", None)
            network.add(LAYERS[kind](**settings, input_shape=None if shape is None else tuple(shape)))
        if config["loss"] is not None:
            network.compile(get_loss(config["loss"]), get_optimizer(config["optimizer"]))
        if config["input_shape"] is not None:
            network.build(config["input_shape"])
        return network

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network to one data-only file, whole or not at all; see `docs/model-file.md`."""
        from karusel.saving import save_file

        self._require_built()
        tensors = {name: np.asarray(a, dtype=np.float32) for name, a in self.parameters.items()}
        save_file(path, "network", {"config": self.get_config()}, tensors)


def load(path: str | os.PathLike[str], *, executor: str = "auto", precision: str = "float32") -> Sequential:
    """The network in a file that `save` wrote.

    Raises
    ------
    FileMissingError
        No such file.
    ModelFileError
        The file is damaged, truncated, of another version or no model file.
    """
    from karusel.saving import load_file

    header, tensors = load_file(path, "network")
    try:
        network = Sequential.from_config(header["config"], executor=executor, precision=precision)
        parameters = network.parameters
    except (KeyError, TypeError, ValueError, MemoryError) as error:
        raise ModelFileError(f"{os.fspath(path)}: the header describes no network: {error}") from error
    wanted = {name: array.shape for name, array in parameters.items()}
    found = {name: array.shape for name, array in tensors.items()}
    if wanted != found:
        odd = sorted(set(wanted.items()) ^ set(found.items()))[0]
        raise ModelFileError(
            f"{os.fspath(path)}: the parameters do not fit the layers: {odd[0]} with shape {list(odd[1])}"
        )
    for name, array in parameters.items():
        array[:] = tensors[name]
    return network


def _is_deep(X: Any) -> bool:
    """Whether data has a time axis of its own: three axes, or a list of two-axis arrays."""
    if isinstance(X, np.ndarray):
        return X.ndim >= 3
    return isinstance(X, (list, tuple)) and len(X) > 0 and np.ndim(X[0]) >= 2


def _choose_executor(executor: str) -> str:
    """ "native" or "reference"."""
    if executor == "auto":
        executor = os.environ.get("KARUSEL_EXECUTOR", "") or "auto"
    if executor not in ("auto", "native", "reference"):
        raise UsageError(f"executor must be auto, native or reference, got {executor!r}")
    if executor == "reference":
        return executor
    try:
        importlib.import_module("karusel._engine")
    except ImportError as error:
        if executor == "native":
            raise UsageError(
                f"the compiled engine is not installed ({error}); use executor='reference'"
            ) from error
        _tell_slow()
        return "reference"
    return "native"


def _choose_precision(precision: str, executor: str) -> str:
    """ "float32" or "bf16": what is used here."""
    if precision not in ("float32", "bf16"):
        raise UsageError(f"precision must be float32 or bf16, got {precision!r}")
    if precision == "float32" or executor == "reference":
        return "float32"
    emulate = os.environ.get("KARUSEL_BF16", "")
    if emulate not in ("", "emulate"):
        raise UsageError(f"KARUSEL_BF16 must be empty or emulate, got {emulate!r}")
    from karusel import _engine

    if emulate or _engine.multiplies_bf16():
        return "bf16"
    warnings.warn(
        "this processor has no instructions for bf16 (AVX-512 BF16): float32 is used instead",
        RuntimeWarning,
        stacklevel=3,
    )
    return "float32"


def _tell_slow() -> None:
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "karusel's compiled engine is not installed: the reference executor runs everything, slowly. "
            "Install a C++ compiler (g++) and reinstall karusel.",
            RuntimeWarning,
            stacklevel=4,
        )


_told = False
