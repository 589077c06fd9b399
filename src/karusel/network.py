"""Networks: a list of layers, trained and run by an executor."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import LARGEST_SEED, choice, whole_number
from karusel.batches import Examples, Stream
from karusel.errors import NOT_DESCRIBED, DataError, KaruselError, ModelFileError, UsageError
from karusel.inputs import (
    Rows,
    check_finite,
    check_range,
    in_pieces,
    line_weights,
    read_rows,
    read_sequences,
    read_strings,
)
from karusel.layers import (
    LSTM,
    Activation,
    Attention,
    Dense,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    Pool,
    Transpose,
)
from karusel.layers.base import Shape, read_shape
from karusel.losses import CTC, ClippedSurrogate, Loss, SoftmaxCrossEntropy, get_loss
from karusel.names import shortened
from karusel.optimizers import Adam, get_optimizer
from karusel.program.executor import (
    EVALUATION_ROWS,
    Executor,
    OptimizerState,
    Total,
    as_flat_vector,
    check_memory,
    choose_executor,
    choose_precision,
    default_threads,
    flat_vector,
)
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Extent, Parameter, Program
from karusel.windows import PIECE, Runs, Windows

if TYPE_CHECKING:
    from karusel.callbacks import Callback
    from karusel.streaming import Stepper
    from karusel.streaming import Stream as NetworkStream
    from karusel.training import History

__all__ = ["Sequential", "load"]

LAYERS: dict[str, Callable[..., Layer]] = {
    layer.kind: layer
    for layer in (LSTM, Activation, Attention, Dense, Dropout, Embedding, LayerNorm, Pool, Transpose)
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
        which is faster where the processor has matrix tiles for it (AMX), and may be with AVX-512 BF16. Each
        factor is off by at most 2^-8 of itself; gradients of 256 and 512 units by 0.5 % in norm, as measured.
        Sums, states, gradients and the weights that training changes stay float32; streams, batches of up to
        16 steps in all, and lines of more than 131,072 numbers are not rounded. Elsewhere float32 is used,
        with a note; KARUSEL_BF16=emulate rounds all the same, more slowly. The precision is not part of a
        saved network.

    Python threads may predict with one network at once: they take turns. It can be copied and pickled.

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
        self.layers: list[Layer] = []
        self.random_state = whole_number("Sequential", "random_state", random_state, 0, LARGEST_SEED)
        self.n_jobs = None if n_jobs is None else whole_number("Sequential", "n_jobs", n_jobs)
        self.executor = choose_executor(executor)
        self.precision = choose_precision(precision, self.executor)
        self.loss: Loss | None = None
        self.optimizer: Adam | None = None
        self.input_shape: tuple[int | None, int] | None = None
        self._per_step = True
        self._parameters: dict[str, Parameter] = {}
        self._weights: NDArray[Any] = flat_vector(0, self._dtype)
        self._optimizer_state: OptimizerState | None = None
        self._epochs_before = 0
        self._executors: dict[tuple[Any, ...], tuple[Executor, int, int]] = {}
        for layer in layers:
            self.add(layer)

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.layers))}])"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_executors": {}}  # made anew when they are needed

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._weights = as_flat_vector(self._weights)
        if (o := self._optimizer_state) is not None:
            average = None if o.average is None else as_flat_vector(o.average)
            m, v = as_flat_vector(o.m), as_flat_vector(o.v)
            self._optimizer_state = replace(o, weights=self._weights, m=m, v=v, average=average)

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
        if isinstance(layer, Attention) and self._attention is not None:
            raise UsageError("a network has one Attention at most: each row has one source")
        self.layers.append(layer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the parameters for inputs of shape (T, I), or (I,) for a network without time; T may be None.

        A fit builds the network by itself from its data.
        """
        self._build(input_shape, None)

    def _build(self, input_shape: Sequence[int | None], given: Mapping[str, NDArray[Any]] | None) -> None:
        """Makes the parameters, as layers draw them, or as they are given.

        Raises `ModelFileError` for given ones that are not the layers'.
        """
        if not self.layers:
            raise UsageError("the network has no layers")
        shape = read_shape(input_shape)
        declared = self.layers[0].input_shape
        if declared is not None and (len(declared) != len(shape) or declared[-1] != shape[-1]):
            raise DataError(f"the first layer's input_shape is {declared}, the data's is {shape}")

        self._per_step = len(shape) == 2
        specifications = []
        flow = Shape(shape[-1], self._per_step, self._reads_indices)
        for i, layer in enumerate(self.layers):
            specifications += [(f"{layer.kind}_{i}.{p.name}", p) for p in layer.parameters(flow)]
            flow = layer.output_shape(flow)
        self._output = flow

        if given is not None:  # before anything of a size that only a file claims is made
            _check_given({name: p.shape for name, p in specifications}, given)
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
            begin = p.initial(random) if given is None else given[name]
            self._weights[offset : offset + p.rows * p.cols] = begin.reshape(-1)
            offset += p.rows * p.cols
        self.input_shape = (shape[0] if self._per_step else 1, shape[-1])

    @property
    def _reads_indices(self) -> bool:
        return isinstance(self.layers[0], Embedding)

    @property
    def _needs_time(self) -> bool:
        return any(isinstance(layer, (LSTM, Embedding, Attention)) for layer in self.layers)

    @property
    def _attention(self) -> tuple[str, Attention] | None:
        """The layer that reads a source, with its name."""
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Attention):
                return f"{layer.kind}_{i}", layer
        return None

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
            lines.append(f"{shortened(repr(layer), 44):<44} {shape:<16} {count:>12,}")
        lines += ["-" * 74, f"{'all':<44} {'':<16} {self.count_params():>12,}"]
        return "\n".join(lines)

    def _require_built(self) -> None:
        if not self.built and self.layers and self.layers[0].input_shape is not None:
            self.build(self.layers[0].input_shape)
        if not self.built:
            raise UsageError("the network is not built yet: fit it, or call build((steps, inputs))")

    # -- lowering and executors ------------------------------------------------------------------

    def program(
        self, kind: str = "train", *, weight_width: int = 0, carried: bool = False, source_steps: int = 0
    ) -> Program:
        """The network lowered to kernel calls; print it to read it.

        kind: "train" (with loss, backward part and dropout), "gradient" (the same without dropout),
        "flow" (gradient, with the gradient by every LSTM's hidden states), "loss" (forward with loss),
        "predict" (forward), "states" (predict, with LSTMs' final states), "gates" (predict, with LSTMs' gates
        and states at all steps), "sensitivity" (predict, and back from a gradient by the outputs to the
        inputs: without a last softmax, and to an Embedding's outputs where the inputs are indices), or
        "stream" (predict, with a state that outlives each run). Of a network with an Attention also "encode"
        (its encoder alone), "step" (predict from what the encoder made, carried) and "weights" (predict, with
        the attention's weights). weight_width: weights per line of the target: 0 (none), 1, or one for each
        of its numbers. carried: LSTMs begin with states that are inputs and leave others as outputs, for
        truncated backpropagation. source_steps: the most that a source has.
        """
        kinds = ["train", "gradient", "flow", "loss", "predict", "states", "gates", "sensitivity", "stream"]
        if self._attention is not None:
            kinds += ["encode", "step", "weights"]
        choice("program", "kind", kind, kinds)
        self._require_built()
        assert self.input_shape is not None
        with_loss = kind in ("train", "gradient", "flow", "loss")
        if with_loss and self.loss is None:
            raise UsageError("the network is not compiled: call compile(loss=..., optimizer=...) first")
        lowering = Lowering(
            self._parameters,
            training=kind == "train",
            tape=kind in ("train", "gradient", "flow", "gates", "sensitivity"),
            stateful=kind == "stream",
            states=kind == "states",
            gates=kind == "gates",
            flow=kind == "flow",
            carried=carried or kind == "step",
            source_steps=source_steps,
            encoded=kind == "step",
            weights=kind == "weights",
        )
        if kind == "encode":
            return self._encoder_program(lowering)
        extent = Extent.STEPS if self._per_step else Extent.ROWS
        x = lowering.input("x", extent, self.input_shape[1], integer=self._reads_indices)
        reads = SoftmaxCrossEntropy() if kind == "sensitivity" else self.loss if with_loss else None
        y = start = Signal(x, learns=kind == "sensitivity" and not self._reads_indices)
        for i, layer in enumerate(self._layers_with(reads)):
            lowering.enter(f"{layer.kind}_{i}")
            y = layer.lower(lowering, y)
            if i == 0 and self._reads_indices:
                start = y
        if with_loss:
            assert self.loss is not None
            self.loss.lower(lowering, y, weight_width)
        else:
            lowering.program.outputs["y"] = y.view
        if kind == "sensitivity":
            lowering.share_gradient(y, lowering.input("dy", y.view.extent, y.width))
        if kind != "gates":
            lowering.backward()
        if kind == "sensitivity":
            lowering.program.outputs["dx"] = lowering.read_gradient(start)
        return lowering.program

    def _encoder_program(self, lowering: Lowering) -> Program:
        assert self._attention is not None
        name, layer = self._attention
        x = lowering.input("x", Extent.STEPS, layer.source.width, integer=layer.source.integer)
        lowering.enter(name)
        lowering.program.outputs["y"] = layer.encode(lowering, Signal(x, False)).view
        return lowering.program

    @property
    def _last_activation(self) -> str | None:
        """The function that makes the outputs, if the last layer ends in one."""
        last = self.layers[-1]
        if isinstance(last, Activation):
            return last.function
        return last.activation if isinstance(last, Dense) else None

    def _layers_with(self, loss: Loss | None) -> list[Layer]:
        """The layers, without a last activation that is part of the loss."""
        layers = list(self.layers)
        last = layers[-1]
        if loss is not None and loss.activation is not None:
            if isinstance(last, Activation) and last.function == loss.activation:
                layers.pop()
            elif isinstance(last, Dense) and last.activation == loss.activation:
                layers[-1] = Dense(last.units, use_bias=last.use_bias, tied=last.tied)
        return layers

    def _executor(self, kind: str, examples: Examples) -> Executor:
        """An executor for these examples; the last one of its kind is kept while it is long enough."""
        steps, source_steps = examples.max_steps, examples.max_source_steps
        threads, carried = self.n_jobs or default_threads(), examples.streams > 0
        key = (kind, examples.weight_width, carried, threads)
        kept, longest, longest_source = self._executors.get(key, (None, 0, 0))
        if kept is not None and steps <= longest and source_steps <= longest_source:
            return kept
        steps, source_steps = max(steps, longest), max(source_steps, longest_source)
        program = self.program(
            kind, weight_width=examples.weight_width, carried=carried, source_steps=source_steps
        )
        made: Executor
        if self.executor == "native":
            from karusel.program.native import NativeExecutor

            bf16 = self.precision == "bf16"
            made = NativeExecutor(program, steps, threads, source_steps=source_steps, bf16=bf16)
        else:
            from karusel.program.interpreter import ReferenceExecutor

            made = ReferenceExecutor(program)
        self._executors[key] = (made, steps, source_steps)
        return made

    # -- data ------------------------------------------------------------------------------------

    def _read_x(self, X: Any, lengths: Any, first: int = 0) -> Rows:
        """Inputs as rows, numbered from `first` on; builds the network when this is its first data."""
        if not self.layers:
            raise UsageError("the network has no layers")
        dtype = np.int32 if self._reads_indices else self._dtype
        per_step = self._per_step if self.built else self._needs_time or _is_deep(X)
        width = self.input_shape[1] if self.input_shape is not None else None
        if per_step:
            rows = read_sequences(X, lengths, what="X", dtype=dtype, width=width, first=first)
        elif lengths is not None:
            raise UsageError("lengths= belongs to networks with time steps; this one has none")
        else:
            rows = read_rows(X, what="X", dtype=dtype, width=width, n=None, first=first)
        if isinstance(layer := self.layers[0], Embedding):
            check_range(rows, "X", layer.input_dim - 1)
        else:
            check_finite(rows, "X")
        if not self.built:
            self.build((rows.padded_steps, rows.width) if per_step else (rows.width,))
        return rows

    def _read_source(self, source: Any, n: int) -> Rows | None:
        """A source for each of n rows, where the network attends to one."""
        if self._attention is None:
            if source is not None:
                raise UsageError("source= needs a network with an Attention layer")
            return None
        if source is None:
            raise UsageError("the network has an Attention: pass source=, a sequence for each row of X")
        shape, encoder = self._attention[1].source, self._attention[1].encoder
        dtype = np.int32 if shape.integer else self._dtype
        rows = read_sequences(source, None, what="source", dtype=dtype, width=shape.width)
        if len(rows) != n:
            raise DataError(
                f"source has {len(rows):,} sequences, X has {n:,} rows: they must be equally many"
            )
        if isinstance(encoder[0], Embedding):
            check_range(rows, "source", encoder[0].input_dim - 1)
        else:
            check_finite(rows, "source")
        return rows

    def _read_target(self, y: Any, x: Rows, sample_weight: Any, mask: Any) -> tuple[Rows, Rows | None]:
        """Targets and their weights."""
        assert self.loss is not None
        loss = self.loss
        width = loss.target_width(self._output.width)
        if not loss.aligned:
            return self._read_strings(y, x, sample_weight, mask)
        dtype = np.int32 if loss.integer_target else self._dtype
        if self._output.per_step:
            rows = read_sequences(y, None, what="y", dtype=dtype, width=width, lines_of=x)
        else:
            rows = read_rows(y, what="y", dtype=dtype, width=width, n=len(x))
        weight = line_weights(sample_weight, mask, rows, self._output.per_step, self._dtype)
        if not loss.integer_target:
            check_finite(rows, "y", weight)
        if (highest := loss.highest_target(self._output.width)) is not None:
            check_range(rows, "y", highest, weight)
        if isinstance(loss, ClippedSurrogate):
            check_range(replace(rows, width=1), "y", self._output.width - 2, weight)  # the action
        return rows, weight

    def _read_strings(self, y: Any, x: Rows, sample_weight: Any, mask: Any) -> tuple[Rows, Rows | None]:
        """Strings of symbols that the loss aligns by itself, and a weight for each row."""
        assert isinstance(self.loss, CTC)
        if mask is not None:
            raise UsageError(
                "mask= leaves out targets of single steps, but CTC has one for each row: use sample_weight="
            )
        rows = read_strings(y, x, highest=self._output.width - 1, longest=self.loss.longest)
        lines = replace(rows, lengths=np.ones(len(rows), dtype=np.int64))
        return rows, line_weights(sample_weight, None, lines, False, self._dtype)

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
        pairs = list(initial_state) if isinstance(initial_state, Iterable) else []
        if len(pairs) != len(names) or any(np.ndim(pair) == 0 or len(pair) != 2 for pair in pairs):
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
        self,
        X: Any,
        y: Any,
        lengths: Any,
        sample_weight: Any,
        mask: Any,
        initial_state: Any,
        source: Any = None,
    ) -> Examples:
        """Everything that a program with a loss reads."""
        if self.loss is None:
            raise UsageError("the network is not compiled: call compile(loss=..., optimizer=...) first")
        built = self.built
        x = self._read_x(X, lengths)
        try:
            target, weight = self._read_target(y, x, sample_weight, mask)
            inputs = {"x": x.stream(), "target": target.stream()} | self._read_state(initial_state, len(x))
            examples = self._with_source(Examples(x.lengths, inputs), self._read_source(source, len(x)))
        except KaruselError:
            if not built:  # by data that are refused
                self.input_shape = None
            raise
        if weight is None:
            return examples
        weighted = examples.inputs | {"weight": weight.stream()}
        return replace(examples, inputs=weighted, weight_width=weight.width)

    def _with_source(self, examples: Examples, source: Rows | None) -> Examples:
        if source is None:
            return examples
        inputs = examples.inputs | {"source": source.stream()}
        return replace(examples, inputs=inputs, source_lengths=source.lengths)

    def _carry(self, examples: Examples, streams: int | None) -> Examples:
        """The examples, each going on from the state that the one `streams` before it left."""
        if streams is None:
            return examples
        whole_number("Sequential", "streams", streams)
        if examples.source_lengths is not None:
            raise UsageError("streams= carries states on: a network with an Attention reads whole rows")
        number = np.arange(len(examples), dtype=np.int64)
        place = number % streams + 1  # of its state; place 0 stays zero
        begin = np.where(number < streams, 0, place)
        inputs, outputs = dict(examples.inputs), dict(examples.outputs)
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, LSTM):
                continue
            if layer.direction != "forward" or layer.initial_state != "zeros":
                raise UsageError(
                    f"streams= carries states forward, from zeros on: it needs LSTMs with "
                    f"direction='forward' and initial_state='zeros', got {layer!r}"
                )
            for name, dilation in zip(layer.state_names(), layer.dilation, strict=True):
                width = layer.hidden_size * dilation
                for state in "hc":
                    values = np.zeros((int(place.max()) + 1) * width, dtype=self._dtype)
                    inputs[f"lstm_{i}.{name}.{state}0"] = Stream(values, begin * width, width)
                    outputs[f"lstm_{i}.{name}.{state}n"] = Stream(values, place * width, width)
        return replace(examples, inputs=inputs, outputs=outputs, streams=int(streams))

    # -- training --------------------------------------------------------------------------------

    def compile(self, loss: str | Loss = "mean_squared_error", optimizer: str | Adam = "adam") -> None:
        """Sets the loss and the optimizer, and forgets the optimizer's state.

        Parameters
        ----------
        loss
            A `karusel.losses` object or a name: "mean_squared_error", "mean_absolute_error", "huber",
            "softmax_cross_entropy" (Keras: sparse_categorical_crossentropy), "binary_crossentropy", "ctc".
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
        validation_data: tuple[Any, ...] | Mapping[str, Any] | None = None,
        shuffle: bool = True,
        steps_per_epoch: int | None = None,
        sample_weight: Any = None,
        mask: Any = None,
        lengths: Any = None,
        initial_state: Any = None,
        source: Any = None,
        streams: int | None = None,
        verbose: int = 0,
        callbacks: Sequence[Callback] = (),
        time_limit: float | None = None,
    ) -> History:
        """Trains the network; called again, it trains on.

        Parameters
        ----------
        X
            [n, T, I], or [n, T] for one input (or indices); a list of arrays [T_k, I] of any lengths; a
            padded array with `lengths`; or `Windows` of a long array. float32 arrays that are C-contiguous
            are read where they lie; a np.memmap may be larger than memory.
        y
            [n] or [n, O] for one output per row; [n, T, O], [n, T] or a list for one per step; or `Windows`.
            Class numbers for softmax cross-entropy; for CTC a list of strings, each an array of symbols.
        epochs
            Passes over the data, or over parts of it: see steps_per_epoch.
        batch_size
            Rows per training step.
        validation_split
            Share of the rows held out, at the end ("last": right for data in order of time) or at random.
        validation
            "last" or "random".
        validation_data
            (X, y), (X, y, sample_weight) or (X, y, sample_weight, source) to hold out instead; or a dict of
            what `evaluate` takes: {"X": .., "y": .., "lengths": ..}.
        shuffle
            A new order for each epoch.
        steps_per_epoch
            Training steps of an epoch; None: as many as all rows need. With fewer, an epoch goes on in the
            order where the last one ended, so that all rows are seen once before a new order begins.
        sample_weight, mask
            Weight of each row [n], of each step [n, T] or a list, of each number of y (in y's shape), or
            `Windows` of a storage of weights; a mask's zeros leave targets out, which may then be NaN, or
            class numbers outside the classes. Rows that have no weight at all cost next to nothing.
        lengths
            Steps of each row of a padded array. What lies beyond them is never read.
        initial_state
            For LSTMs with initial_state="given": a list of (h, c) pairs, each [n, H].
        source
            For a network with an `Attention`: the sequence that each row looks at, in an array [n, S, I] or
            [n, S], or a list of [S_k, I] or [S_k] of any lengths.
        streams
            X holds so many long sequences cut into pieces: row r goes on where row r - streams ended, from
            the state that it left, and the first `streams` rows begin at zero. No gradient passes from piece
            to piece (truncated backpropagation through time; Williams & Peng 1990). Batches are `streams`
            rows, in order; validation_data, too, is so many sequences.
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

        examples = self._examples(X, y, lengths, sample_weight, mask, initial_state, source)
        examples = self._carry(examples, streams)
        if streams is not None:
            if validation_split or steps_per_epoch is not None:
                raise UsageError(
                    "streams= takes whole passes over all rows: give validation_data instead of "
                    "validation_split, and leave steps_per_epoch out"
                )
            batch_size, shuffle = streams, False
        held_out = None
        if validation_data is not None:
            held_out = self._carry(self._examples(**_validation_arguments(validation_data)), streams)
        training = Training(
            self,
            examples,
            held_out,
            epochs=epochs,
            batch_size=batch_size,
            validation_split=validation_split,
            validation=validation,
            shuffle=shuffle,
            steps_per_epoch=steps_per_epoch,
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
        source: Any = None,
        streams: int | None = None,
    ) -> float:
        """The mean loss, without dropout."""
        examples = self._examples(X, y, lengths, sample_weight, mask, initial_state, source)
        examples = self._carry(examples, streams)
        return self._total_loss(examples, Runs.upto(len(examples)), self._weights).mean

    def _total_loss(self, examples: Examples, rows: NDArray[np.int64] | Runs, weights: NDArray[Any]) -> Total:
        executor = self._executor("loss", examples)
        totals = [
            executor.evaluate(weights, some, order, examples.streams or EVALUATION_ROWS)
            for some, order in examples.pieces(rows)
        ]
        return Total(sum(t.loss for t in totals), sum(t.weight for t in totals))

    def gradients(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        mask: Any = None,
        lengths: Any = None,
        initial_state: Any = None,
        source: Any = None,
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """The mean loss over all rows as one batch, and its gradient by every parameter, without dropout."""
        examples = self._examples(X, y, lengths, sample_weight, mask, initial_state, source)
        examples, order = examples.ready(np.arange(len(examples), dtype=np.int64))
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
        source: Any = None,
        return_state: bool = False,
        out: NDArray[Any] | None = None,
        verbose: int = 0,
    ) -> Any:
        """The network's outputs, without dropout.

        X is read, checked and converted piece by piece, so it may be a file larger than memory:
        `net.predict(np.load("x.npy", mmap_mode="r"), out=np.lib.format.open_memmap("y.npy", "w+", ...))`.

        Parameters
        ----------
        X, lengths, initial_state, source
            As in `fit`.
        return_state
            Also return each LSTM's final state.
        out
            An array to fill and return, of the shape below and a type of floating-point numbers; a np.memmap
            will do. When a later row of X breaks a rule, what came before it is filled.
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
        result: Any = out
        given: dict[str, Stream] = {}
        sources: Rows | None = None
        states: dict[str, NDArray[Any]] = {}
        for x, n in self._x_in_pieces(X, lengths):
            if x.first == 0:
                given = self._read_state(initial_state, n)
                sources = self._read_source(source, n)
                states = self._empty_states(n) if return_state else {}
            listed = self._output.per_step and x.kind == "list"
            steps = (x.padded_steps,) if self._output.per_step else ()
            shape = (n, *steps, self._output.width)
            if out is not None:
                _check_out(out, None if listed else shape)
            y = self._outputs(x, given, states, sources)
            if listed:
                result = result or []
                result.extend(y)
            elif out is None and len(x) == n:
                result = y
            else:
                if result is None:
                    check_memory(math.prod(shape), "the prediction")
                    result = np.empty(shape, dtype=self._dtype)
                result[x.first : x.first + len(x)] = y
        if not return_state:
            return result
        names = self._state_names(given=False)
        return result, [(states[f"{name}.hn"], states[f"{name}.cn"]) for name in names]

    def predict_batches(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The network's outputs for data that comes in batches, one after the other, never all at once.

        Parameters
        ----------
        batches
            Anything that yields what `predict` takes as X: chunks of a file, the rows of a query.

        Yields
        ------
        array or list
            What `predict` returns for each batch, as soon as that batch was read.

        Examples
        --------
        >>> import numpy as np
        >>> from karusel import LSTM, Dense, Sequential
        >>> net = Sequential([LSTM(8), Dense(1)])
        >>> net.build((None, 2))
        >>> chunks = (np.full((n, 5, 2), 0.1 * n) for n in (30, 20, 10))
        >>> [len(y) for y in net.predict_batches(chunks)]
        [30, 20, 10]
        """
        for number, X in enumerate(batches):
            try:
                y = self.predict(X)
            except DataError as error:
                raise DataError(f"batch {number}: {error}") from error
            yield y

    def _x_in_pieces(self, X: Any, lengths: Any) -> Iterator[tuple[Rows, int]]:
        """Inputs as rows, read a piece at a time, each with the number of all rows."""
        if isinstance(X, Windows):
            rows = self._read_x(X, lengths)
            size = max(1, PIECE // (rows.padded_steps * rows.width * EVALUATION_ROWS)) * EVALUATION_ROWS
            for first in range(0, len(rows), size):
                yield rows.part(first, min(first + size, len(rows))), len(rows)
        else:
            n, pieces = in_pieces(X, lengths, "X", EVALUATION_ROWS)
            for first, part, counts in pieces:
                rows = self._read_x(part, counts, first)
                yield rows, len(rows) if n is None else n

    def alignment(self, X: Any, *, source: Any, initial_state: Any = None) -> list[NDArray[Any]]:
        """Where each step looks: the weights p [T_k, S_k] of the network's Attention, for each row of X.

        X, source and initial_state as in `predict`.
        """
        self._require_built()
        x = self._read_x(X, None)
        sources = self._read_source(source, len(x))
        if sources is None or self._attention is None:
            raise UsageError("a network without an Attention has no alignment")
        inputs = {"x": x.stream()} | self._read_state(initial_state, len(x))
        examples = self._with_source(Examples(x.lengths, inputs), sources)
        weights, starts = self._lines("weights", f"{self._attention[0]}.weights", examples, "the alignment")
        rows = zip(starts, x.lengths, sources.lengths, strict=True)
        return [weights[first : first + steps, :its] for first, steps, its in rows]

    def _lines(
        self, kind: str, role: str, examples: Examples, what: str
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """An output [N, width] of a program, row after row, and where each row begins; `what` it is."""
        executor = self._executor(kind, examples)
        width, lines = executor.program.outputs[role].width, int(examples.lengths.sum())
        check_memory(lines * width, what)
        values = np.zeros((lines, width), dtype=self._dtype)
        starts = np.cumsum(examples.lengths) - examples.lengths
        examples.outputs[role] = Stream(values.reshape(-1), starts * width, width)
        each = np.arange(len(examples), dtype=np.int64)
        executor.evaluate(self._weights, *examples.ready(each), EVALUATION_ROWS)
        return values, starts

    def _outputs(
        self,
        x: Rows,
        given: dict[str, Stream],
        states: dict[str, NDArray[Any]],
        sources: Rows | None,
    ) -> Any:
        """The outputs of some rows; writes their final states, if any are wanted, to their place."""
        n, width = len(x), self._output.width
        rows = np.arange(x.first, x.first + n, dtype=np.int64)
        examples = self._with_source(
            Examples(x.lengths, {"x": x.stream()} | {name: s.take(rows) for name, s in given.items()}),
            None if sources is None else sources.part(x.first, x.first + n),
        )
        if not self._output.per_step:
            starts, lines = np.arange(n, dtype=np.int64), n
        elif x.kind == "list":
            starts, lines = np.cumsum(x.lengths) - x.lengths, int(x.lengths.sum())
        else:
            starts, lines = np.arange(n, dtype=np.int64) * x.padded_steps, n * x.padded_steps
        check_memory(lines * width, "the prediction")
        y = np.zeros((lines, width), dtype=self._dtype)
        examples.outputs["y"] = Stream(y.reshape(-1), starts * width, width)
        for name, state in states.items():
            hidden = state.shape[1]
            examples.outputs[name] = Stream(state.reshape(-1), rows * hidden, hidden)
        executor = self._executor("states" if states else "predict", examples)
        each = np.arange(n, dtype=np.int64)
        executor.evaluate(self._weights, *examples.ready(each), EVALUATION_ROWS)
        if not self._output.per_step:
            return y
        if x.kind == "list":
            return np.split(y, np.cumsum(x.lengths)[:-1])
        return y.reshape(n, x.padded_steps, width)

    def _empty_states(self, n: int) -> dict[str, NDArray[Any]]:
        """Final states [n, H] to be filled, by role."""
        return {
            f"{name}.{state}": np.zeros((n, hidden), dtype=self._dtype)
            for name, hidden in self._state_names(given=False).items()
            for state in ("hn", "cn")
        }

    def stream(self, rows: int = 1, *, initial_state: Any = None) -> NetworkStream:
        """The network fed step by step, its memory carried along; see `karusel.streaming.Stream`."""
        from karusel.streaming import Stream as NetworkStream

        self._require_built()
        return NetworkStream(self, rows, initial_state)

    def _stepper(self, rows: int, max_steps: int) -> Stepper:
        program = self.program("stream")
        if self.executor == "native":
            from karusel.program.native import NativeStepper

            threads = self.n_jobs or default_threads()
            return NativeStepper(program, self._weights, rows, max_steps, threads)
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
        network = cls._unbuilt(config, executor, precision)
        if config["input_shape"] is not None:
            network.build(config["input_shape"])
        return network

    @classmethod
    def _unbuilt(cls, config: Mapping[str, Any], executor: str, precision: str) -> Sequential:
        network = cls(random_state=config["random_state"], executor=executor, precision=precision)
        for entry in config["layers"]:
            network.add(_layer_of(entry))
        if config["loss"] is not None:
            network.compile(get_loss(config["loss"]), get_optimizer(config["optimizer"]))
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

    executor = choose_executor(executor)
    precision = choose_precision(precision, executor)
    header, tensors = load_file(path, "network")
    try:
        return restored(header.get("config"), tensors, executor=executor, precision=precision)
    except ModelFileError as fault:
        raise ModelFileError(f"{os.fspath(path)}: {fault}") from None


def restored(
    config: Any, tensors: Mapping[str, NDArray[Any]], *, executor: str = "auto", precision: str = "float32"
) -> Sequential:
    """The network that a file holds, from its config and its parameters.

    Raises `ModelFileError` for a config that describes no network, and for parameters of another.
    """
    try:
        network = Sequential._unbuilt(config, executor, precision)
        network._build(config["input_shape"], tensors)
    except ModelFileError:
        raise
    except NOT_DESCRIBED as error:
        raise ModelFileError(f"the header describes no network: {error}") from error
    return network


def _check_given(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, NDArray[Any]]) -> None:
    found = {name: array.shape for name, array in given.items()}
    if wanted != found:
        odd = sorted(set(wanted.items()) ^ set(found.items()))[0]
        raise ModelFileError(f"the parameters do not fit the layers: {odd[0]} with shape {list(odd[1])}")
    for name, array in given.items():
        if array.dtype != np.float32:
            raise ModelFileError(f"the parameters must be float32, {name} is {array.dtype}")


def _validation_arguments(given: Any) -> dict[str, Any]:
    """What fit's validation_data holds, as arguments of `Sequential._examples`."""
    names = ("X", "y", "sample_weight", "source", "mask", "lengths", "initial_state")
    if isinstance(given, Mapping):
        odd = [name for name in given if name not in names]
        if not odd and "X" in given and "y" in given:
            return {name: given.get(name) for name in names}
    elif isinstance(given, (tuple, list)) and len(given) in (2, 3, 4):
        return dict.fromkeys(names) | dict(zip(names, given, strict=False))
    raise UsageError(
        "validation_data must be (X, y), (X, y, sample_weight), (X, y, sample_weight, source), or a dict "
        f"with X and y, and of {', '.join(names[2:])} what is needed"
    )


def _layer_of(config: Mapping[str, Any]) -> Layer:
    """The layer that `config()` of one describes."""
    settings = dict(config)
    kind = choice("Sequential", "the kind of a layer", settings.pop("kind"), LAYERS)
    shape = settings.pop("input_shape", None)
    if "encoder" in settings:
        settings["encoder"] = [_layer_of(one) for one in settings["encoder"]]
    return LAYERS[kind](**settings, input_shape=None if shape is None else tuple(shape))


def _check_out(out: Any, shape: tuple[int, ...] | None) -> None:
    """Raises UsageError unless predictions of this shape can be written there; None: they are a list."""
    if shape is None:
        raise UsageError("out= takes an array, but the outputs for sequences of different lengths are a list")
    if (
        not isinstance(out, np.ndarray)
        or out.shape != shape
        or out.dtype.kind != "f"
        or not out.flags.writeable
    ):
        got = f"{out.dtype} {list(out.shape)}" if isinstance(out, np.ndarray) else type(out).__name__
        raise UsageError(
            f"out= must be an array of floating-point numbers of shape {list(shape)} that can be written, "
            f"got {got}"
        )


def _is_deep(X: Any) -> bool:
    """Whether data has a time axis of its own: three axes, or a list of two-axis arrays."""
    if isinstance(X, np.ndarray):
        return X.ndim >= 3
    return isinstance(X, (list, tuple)) and len(X) > 0 and np.ndim(X[0]) >= 2
