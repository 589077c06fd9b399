"""How strongly the loss reaches each LSTM at each step: where gradients vanish, and where they explode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.inspect.trace import lags, require_lstm, run

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Flow", "gradient_flow"]

LEARNED = 1e-6  # of the largest norm: what is smaller, float32 rounds away when it adds up all steps
FAINT = 1e-3  # of the largest norm: what is smaller is learned last
DEEP = 0.01  # of the last layer's norm: below this the first one hardly learns
TOO_LARGE = 100.0  # times the norm where the gradient begins: above this it explodes


@dataclass(frozen=True)
class Flow:
    """The gradient of the loss by every LSTM's hidden state.

    Attributes
    ----------
    loss
        The mean loss.
    norms
        By pass ("lstm_0.0.forward": layer, depth, direction), from the inputs to the outputs: [T] by lag, the
        steps to the end of the pass (of a backward one, to the row's first step). The norm of dL/dh, with all
        that comes back through later steps and layers; the root mean square over the rows that have the lag.
    """

    loss: float
    norms: dict[str, NDArray[np.float64]]

    @property
    def depth(self) -> dict[str, float]:
        """By pass: the norm over all steps together."""
        return {name: float(np.sqrt(np.square(norms).sum())) for name, norms in self.norms.items()}

    @property
    def reading(self) -> str:
        """What this means for training: a sentence on time, at the first LSTM, and one on depth."""
        for name, norms in self.norms.items():
            if not (known := np.isfinite(norms)).all():
                return (
                    f"At {name} the gradient overflows {np.argmin(known)} steps before the end: it explodes "
                    "beyond what clip_norm can mend."
                )
        names = list(self.norms)
        first = [name for name in names if _level(name) == _level(names[0])]
        carrier = max(first, key=lambda name: _reach(self.norms[name]))
        enters = max(norms[0] for name, norms in self.norms.items() if _level(name) == _level(names[-1]))
        sentences = [_over_time(carrier, self.norms[carrier], enters)]
        levels: dict[str, float] = {}
        for name, norm in self.depth.items():
            levels[_level(name)] = max(norm, levels.get(_level(name), 0.0))
        if len(levels) > 1:
            sentences += _over_depth(levels)
        return " ".join(sentences)


def gradient_flow(
    network: Sequential,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    mask: Any = None,
    lengths: Any = None,
    initial_state: Any = None,
    source: Any = None,
) -> Flow:
    """The gradient of the mean loss by each LSTM's hidden state, by layer and step, without dropout.

    dL/dh_t counts every way from h_t to the loss: this step's output, the next step's gates, and the layers
    above (`docs/lstm.md`, "Backward", 1). `karusel.callbacks.GradientFlow` takes it during training. LSTMs in
    the encoder of an Attention, which run over another sequence, are left out.

    Parameters
    ----------
    network
        A compiled network with at least one LSTM; it is built if it is not.
    X, y, sample_weight, mask, lengths, initial_state, source
        As in `Sequential.fit`; all rows are one batch.

    Returns
    -------
    Flow
        Norms by pass and lag, and what they mean.

    Raises
    ------
    UsageError
        For a network without an LSTM or without a loss.
    DataError
        For data that does not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential, inspect
    >>> net = Sequential([LSTM(8, num_layers=2), Dense(1)])
    >>> net.compile(loss="mean_squared_error", optimizer="adam")
    >>> flow = inspect.gradient_flow(net, np.ones((3, 5, 2)), np.ones(3))
    >>> {name: norms.shape for name, norms in flow.norms.items()}
    {'lstm_0.0.forward': (5,), 'lstm_0.1.forward': (5,)}
    """
    require_lstm(network)
    examples = network._examples(X, y, lengths, sample_weight, mask, initial_state, source)
    total, found = run(network, "flow", examples)
    lengths = np.asarray(examples.lengths)
    norms = {}
    for name in network._state_names(given=False):
        lag = lags(lengths, reverse=name.endswith("backward"))
        squares = np.square(found[f"{name}.dh"], dtype=np.float64).sum(axis=1)
        norms[name] = np.sqrt(np.bincount(lag, squares) / np.bincount(lag))
    return Flow(total.mean, norms)


def _level(name: str) -> str:
    """A pass's layer and depth."""
    return name.rpartition(".")[0]


def _reach(norms: NDArray[np.float64]) -> int:
    """The largest lag at which enough of the gradient arrives to learn from."""
    return int(np.flatnonzero(norms >= LEARNED * norms.max())[-1])


def _over_time(name: str, norms: NDArray[np.float64], enters: float) -> str:
    """enters: the norm where the gradient comes in, at the end of the last LSTM."""
    strongest, reach = int(norms.argmax()), _reach(norms)
    largest, behind = norms[strongest], len(norms) - 1 - strongest
    if largest == 0:
        return f"No gradient reaches {name}: the loss does not depend on it."
    if reach < len(norms) - 1:
        fall = f"by {norms[-1] / largest:.0e}" if norms[-1] > 0 else "to nothing"
        return (
            f"At {name} the gradient falls {fall} over {behind} steps: the network cannot learn dependencies "
            f"longer than about {reach} step{'s' if reach != 1 else ''}."
        )
    if 0 < TOO_LARGE * enters < largest:
        return (
            f"At {name} the gradient has grown by {largest / enters:.0e}, {strongest} steps before the end: "
            "it explodes; give the optimizer clip_norm=1.0."
        )
    if len(norms) == 1:
        return f"The gradient reaches {name}; there is only one step."
    share = norms[-1] / largest
    told = (
        "none is too far back to learn from" if share >= FAINT else "what lies so far back is learned slowly"
    )
    return (
        f"At {name} the gradient reaches all {len(norms)} steps, the earliest with {share:.2g} of its "
        f"largest: {told}."
    )


def _over_depth(levels: dict[str, float]) -> list[str]:
    """levels: norms by layer and depth, from the inputs to the outputs."""
    names = list(levels)
    low, high = levels[names[0]], levels[names[-1]]
    if high == 0:
        return []
    ratio = low / high
    across = f"From {names[-1]} down to {names[0]}"
    if ratio < DEEP:
        return [f"{across} it falls by {ratio:.0e}: the first layers hardly learn; residual=True helps."]
    if ratio > TOO_LARGE:
        return [f"{across} it grows by {ratio:.0e}: it explodes; give the optimizer clip_norm=1.0."]
    return [f"{across} it changes by a factor of {ratio:.2g} only: depth is no obstacle."]
