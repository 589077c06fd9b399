"""What an output owes to which input: integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.errors import DataError, UsageError
from karusel.inputs import read_numbers
from karusel.inspect.horizon import output_gradient
from karusel.inspect.trace import Sequences, Steps, lags, read

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Attribution", "integrated_gradients"]

MOST = 0.8  # of all attribution: what the reading calls most of it
_NOTHING = 1e-6  # of the change: shares that are left of gates which are all but shut


@dataclass(frozen=True)
class Attribution:
    """The change of one output from a baseline to the inputs, shared out among steps and features.

    Attributes
    ----------
    values
        Each input's share, in units of the output: [n, T, I] or a list of [T_k, I].
    difference
        Output at the inputs minus output at the baseline, [n].
    error
        The sum of `values` over a row minus `difference`, [n]: 0 but for the points of the integral and
        rounding.
    by_feature
        `values` summed over steps, [n, I].
    by_lag
        The mean over all rows that have the lag (steps before the row's last) of |values|, [T, I].
    points
        Where the gradient was taken between baseline and input.
    """

    values: Steps
    difference: NDArray[np.float64]
    error: NDArray[np.float64]
    by_feature: NDArray[np.float64]
    by_lag: NDArray[np.float64]
    points: int

    @property
    def reading(self) -> str:
        """What this means, in two or three sentences."""
        whole = self.by_lag.sum()
        if not np.isfinite(whole):
            return "The gradient overflows between baseline and inputs: it explodes, and no share is known."
        change = float(np.abs(self.difference).max())
        if whole <= _NOTHING * change:
            if change == 0:
                return "There is no change to share out: the output is the same as at the baseline."
            return (
                f"The output changes by up to {change:.2g}, but at none of the {self.points} points between "
                "baseline and inputs does any input move it: the network is saturated, and no share is known."
            )
        steps, features = self.by_lag.shape
        last = int(np.searchsorted(np.cumsum(self.by_lag.sum(axis=1)), MOST * whole)) + 1
        last = min(last, steps)
        carrier = f"The last {last} of {steps} steps carry" if last > 1 else "The last step carries"
        sentences = [f"{carrier} {MOST:.0%} of what moves the output."]
        if steps == 1:
            sentences = ["There is only one step."]
        if features > 1:
            shares = self.by_lag.sum(axis=0) / whole
            feature = int(shares.argmax())
            sentences.append(
                f"Of the {features} features number {feature} carries most, {shares[feature]:.0%}."
            )
        worst = float(np.abs(self.error).max())
        sentences.append(f"The shares add up to the output's change with an error of {worst:.1g} at most.")
        return " ".join(sentences)


def integrated_gradients(
    network: Sequential,
    X: Any,
    *,
    output: int = 0,
    baseline: Any = 0.0,
    points: int = 32,
    lengths: Any = None,
    initial_state: Any = None,
    source: Any = None,
) -> Attribution:
    """Integrated gradients (Sundararajan, Taly & Yan 2017) of one output.

    With F the output, x the inputs and x' the baseline, input k's share is

        (x_k - x'_k) * integral over a from 0 to 1 of dF/dx_k at x' + a (x - x'),

    by Gauss-Legendre's rule. All shares of a row add up to F(x) - F(x'); `error` says how nearly.

    Parameters
    ----------
    network
        A built network with at least one LSTM whose inputs are numbers; dropout is off. Of a network that
        ends in a softmax the values before it are taken for outputs.
    X, lengths, initial_state, source
        As in `Sequential.predict`.
    output
        Which of the network's outputs, from 0; of the row's last step where there is an output for each.
    baseline
        What stands for "nothing known": a number, one per feature [I], or sequences as long as X's. Default
        0, which is right for inputs scaled around 0.
    points
        Points of the integral, each a pass forward and back. Default 32.

    Returns
    -------
    Attribution
        Shares by step and feature, how nearly they add up, and what they mean.

    Raises
    ------
    UsageError
        For a network without an LSTM, one that is not built or reads indices, and settings outside their
        rules.
    DataError
        For inputs or a baseline that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential, inspect
    >>> net = Sequential([LSTM(8), Dense(1)])
    >>> net.build((None, 2))
    >>> found = inspect.integrated_gradients(net, np.ones((3, 5, 2)))
    >>> found.values.shape, bool(abs(found.error).max() < 1e-5)
    ((3, 5, 2), True)
    """
    whole_number("integrated_gradients", "points", points)
    if network.layers and network._reads_indices:
        raise UsageError(
            "integrated gradients need inputs between which there are others; this network reads indices: "
            "use memory_horizon, which begins behind the Embedding"
        )
    sequences = read(network, X, lengths, initial_state, source)
    x, start = sequences.lines, _read_baseline(network, sequences, baseline, lengths, initial_state, source)
    total = np.zeros(x.shape)
    nodes, weights = np.polynomial.legendre.leggauss(int(points))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        between = (start + node * (x - start)).astype(x.dtype)
        total += weight * output_gradient(network, sequences, between, output)[1]
    values = total * (x - start)
    ends = (output_gradient(network, sequences, lines, output)[0].astype(np.float64) for lines in (x, start))
    difference = np.subtract(*ends)
    by_feature = sequences.per_row(values)
    lag = lags(sequences.lengths)
    by_lag = np.stack([np.bincount(lag, column) for column in np.abs(values).T], axis=1)
    return Attribution(
        values=sequences.rows(values),
        difference=difference,
        error=by_feature.sum(axis=1) - difference,
        by_feature=by_feature,
        by_lag=by_lag / np.bincount(lag)[:, None],
        points=int(points),
    )


def _read_baseline(
    network: Sequential, sequences: Sequences, baseline: Any, lengths: Any, initial_state: Any, source: Any
) -> NDArray[Any]:
    """The baseline as lines [N, I]."""
    lines = sequences.lines
    if all(np.ndim(part) == 0 for part in (baseline if np.iterable(baseline) else [baseline])):
        numbers = read_numbers(baseline, "baseline", lines.dtype)
        if numbers.size not in (1, lines.shape[1]):
            raise DataError(
                f"baseline must be one number, one for each of the {lines.shape[1]} features, or sequences "
                f"like X; got {len(numbers)} numbers"
            )
        if not np.isfinite(numbers).all():
            raise DataError("baseline must hold finite numbers only")
        return np.full(lines.shape, numbers, dtype=lines.dtype)
    other = read(network, baseline, lengths, initial_state, source)
    if not np.array_equal(other.lengths, sequences.lengths):
        raise DataError("baseline must have as many rows as X, each as long as X's")
    return other.lines
