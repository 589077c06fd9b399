"""The kernels in float64 NumPy: the definition that the engine is tested against.

Each function has the arguments and attributes that `karusel.program.kernels` lists; arrays are lines
of a packed ragged batch and outputs are written in place. `docs/lstm.md` derives the gradients.

The LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000), gate order
i, f, g, o, as rows:

    a_t = x_t W + h_{t-1} U + b
    i = sigmoid(a_i)    f = sigmoid(a_f)    g = tanh(a_g)    o = sigmoid(a_o)
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)

With layer norm (after Ba, Kiros & Hinton 2016), a_t = x_t W + gain * normalised(h_{t-1} U) + b.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.randomness import call_key, uniform

__all__ = ["KERNEL_FUNCTIONS", "Packing", "pack"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Packing:
    """How a ragged batch lies in memory: rows sorted by length, longest first; time-major.

    Step t of row r is line offset[t] + r, and the first active[t] rows have a step t. `name` is each
    row's place in the batch before sorting.
    """

    length: Index
    active: Index
    offset: Index
    name: Index

    @property
    def rows(self) -> int:
        return len(self.length)

    @property
    def steps(self) -> int:
        return len(self.active)

    @property
    def total(self) -> int:
        return int(self.offset[-1])

    def lines(self, t: int, first: int, last: int) -> slice:
        """Lines of rows [first, last) at step t."""
        return slice(int(self.offset[t]) + first, int(self.offset[t]) + last)

    def row(self, row: int) -> Index:
        """The lines of a row's steps."""
        return self.offset[: self.length[row]] + row

    def last(self, reverse: bool) -> Index:
        """The line at which each row ends, in the direction of the pass."""
        rows = np.arange(self.rows)
        return rows if reverse else self.offset[self.length - 1] + rows


def pack(lengths: Index) -> Packing:
    """The packing of rows with these lengths, which need not be sorted."""
    name = np.argsort(-lengths, kind="stable")
    length = lengths[name]
    active = np.array([int((length > t).sum()) for t in range(int(length[0]))], dtype=np.int64)
    offset = np.concatenate([[0], np.cumsum(active)]).astype(np.int64)
    return Packing(length, active, offset, name)


def sigmoid(a: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * a))


def cell(a: Array, c: Array, keep: Array | float = 1.0) -> tuple[Array, Array, Array]:
    """One step of the LSTM: gates (i, f, g, o side by side), new cell state, new hidden state.

    keep: what g is multiplied by as it is written (recurrent dropout; Semeniuta et al. 2016).
    """
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c = f * c + i * g * keep
    return np.concatenate([i, f, g, o], axis=1), c, o * np.tanh(c)


def cell_backward(
    gates: Array, c_before: Array, c: Array, dh: Array, dc: Array, keep: Array | float = 1.0
) -> tuple[Array, Array]:
    """Gradient of the loss by a, and by the cell state before, from those by h and c."""
    i, f, g, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    di, df, dg = dc * keep * g, dc * c_before, dc * keep * i
    da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
    return da, dc * f


def normalised(z: Array, epsilon: float) -> tuple[Array, Array]:
    """(z - mean) / sqrt(variance + epsilon) of each line, and the 1 / sqrt(...) [lines, 1]."""
    scale: Array = 1 / np.sqrt(z.var(axis=1, keepdims=True) + epsilon)
    normal: Array = (z - z.mean(axis=1, keepdims=True)) * scale
    return normal, scale


def normalised_backward(normal: Array, scale: Array, dnormal: Array) -> Array:
    """Gradient of the loss by z."""
    centred = dnormal - dnormal.mean(axis=1, keepdims=True)
    dz: Array = (centred - normal * (dnormal * normal).mean(axis=1, keepdims=True)) * scale
    return dz


def _order(packing: Packing, reverse: bool) -> range:
    return range(packing.steps - 1, -1, -1) if reverse else range(packing.steps)


def _following(packing: Packing, t: int, before: int) -> int:
    """How many rows of step t have the step `before` too, and so continue from it."""
    if not 0 <= before < packing.steps:
        return 0
    return int(packing.active[max(t, before)])


def _initial(state: Array | None, hidden: int, t: int, rows: slice) -> Array:
    """The state that rows begin from at step t: slot (t mod slots), or zero."""
    if state is None:
        return np.zeros((rows.stop - rows.start, hidden))
    first = (t % (state.shape[1] // hidden)) * hidden
    return state[rows, first : first + hidden]


def _before(packing: Packing, t: int, step: int, values: Array, initial: Array | None) -> Array:
    """The state (h or c) that each row of step t continues or begins from."""
    n, hidden = int(packing.active[t]), values.shape[1]
    m = _following(packing, t, t - step)
    begin = _initial(initial, hidden, t, slice(m, n))
    return np.concatenate([values[packing.lines(t - step, 0, m)], begin]) if m else begin


def lstm_forward(
    packing: Packing,
    *,
    x: Array,
    W: Array,
    U: Array,
    b: Array,
    gain: Array | None,
    h0: Array | None,
    c0: Array | None,
    keep: Array | None,
    gates: Array,
    normal: Array | None,
    scale: Array | None,
    c: Array,
    h: Array,
    hn: Array | None,
    cn: Array | None,
    reverse: float,
    dilation: float,
    tape: float,
    epsilon: float,
) -> None:
    """The LSTM over a ragged batch. With dilation d, t-1 in the equations is t-d."""
    step = -int(dilation) if reverse else int(dilation)
    for t in _order(packing, bool(reverse)):
        now = packing.lines(t, 0, int(packing.active[t]))
        h_before = _before(packing, t, step, h, h0)
        c_before = _before(packing, t, step, c, c0)
        z = h_before @ U
        if gain is not None:
            normal_now, scale_now = normalised(z, epsilon)
            if tape:
                assert normal is not None
                assert scale is not None
                normal[now], scale[now] = normal_now, scale_now
            z = gain * normal_now
        a = x[now] @ W + z + b
        gates_now, c[now], h[now] = cell(a, c_before, 1.0 if keep is None else keep[now])
        if tape:
            gates[now] = gates_now

    for last, values, initial in ((hn, h, h0), (cn, c, c0)):
        if last is not None:
            last[:] = _final(packing, values, initial, last.shape[1] // values.shape[1], bool(reverse))


def _final(packing: Packing, values: Array, initial: Array | None, slots: int, reverse: bool) -> Array:
    """The last `slots` states of each row, oldest first, side by side."""
    if slots == 1:
        return values[packing.last(reverse)]
    hidden = values.shape[1]
    final = np.zeros((packing.rows, slots * hidden))
    for row in range(packing.rows):
        old = np.zeros((slots, hidden)) if initial is None else initial[row].reshape(slots, hidden)
        new = values[packing.row(row)]
        final[row] = np.concatenate([old, new])[-slots:].reshape(-1)
    return final


def lstm_backward(
    packing: Packing,
    *,
    x: Array,
    W: Array,
    U: Array,
    gain: Array | None,
    h0: Array | None,
    c0: Array | None,
    keep: Array | None,
    scale: Array | None,
    gates: Array,
    normal: Array | None,
    c: Array,
    h: Array,
    dh: Array | None,
    dhn: Array | None,
    sum: Array,
    carry: Array,
    dx: Array | None,
    dW: Array,
    dU: Array,
    db: Array,
    dgain: Array | None,
    dh0: Array | None,
    dc0: Array | None,
    reverse: float,
    dilation: float,
    accumulate: float,
) -> None:
    """Backpropagation through time.

    `gates` holds the gates before, their gradient by a after; `normal` the normalised h U and its gradient.
    """
    hidden = c.shape[1]
    step = -int(dilation) if reverse else int(dilation)
    dh_all = np.zeros_like(c) if dh is None else dh.copy()
    dh_back = np.zeros_like(c)  # what comes back through U
    dc_all = np.zeros_like(c)
    if dhn is not None:
        dh_all[packing.last(bool(reverse))] += dhn
    dh_begin, dc_begin = np.zeros((packing.rows, hidden)), np.zeros((packing.rows, hidden))

    for t in reversed(_order(packing, bool(reverse))):
        n = int(packing.active[t])
        now = packing.lines(t, 0, n)
        m = _following(packing, t, t - step)
        h_before = _before(packing, t, step, h, h0)
        c_before = _before(packing, t, step, c, c0)
        kept = 1.0 if keep is None else keep[now]
        dh_now = dh_all[now] + dh_back[now]
        da, dc_before = cell_backward(gates[now], c_before, c[now], dh_now, dc_all[now], kept)
        gates[now] = dz = da
        if gain is not None:
            assert normal is not None
            assert scale is not None
            assert dgain is not None
            dgain += (da * normal[now]).sum(axis=0)
            normal[now] = dz = normalised_backward(normal[now], scale[now], da * gain)
        dU += h_before.T @ dz
        dh_before = dz @ U.T
        if m:
            dh_back[packing.lines(t - step, 0, m)] = dh_before[:m]
            dc_all[packing.lines(t - step, 0, m)] += dc_before[:m]
        dh_begin[m:n] += dh_before[m:]
        dc_begin[m:n] += dc_before[m:]

    if len(sum) == packing.total:
        sum[:] = dh_back
    dW += x.T @ gates
    db += gates.sum(axis=0)
    _write(dx, gates @ W.T, accumulate)
    _write(dh0, dh_begin, False)
    _write(dc0, dc_begin, False)


def _write(target: Array | None, value: Array, accumulate: float | bool) -> None:
    if target is not None:
        target[:] = target + value if accumulate else value


def dense_forward(
    packing: Packing, *, x: Array, W: Array, b: Array | None, y: Array, transposed: float
) -> None:
    """y = x W + b, or with the transpose of W."""
    product = x @ (W.T if transposed else W)
    y[:] = product if b is None else product + b


def dense_backward(
    packing: Packing,
    *,
    x: Array,
    W: Array,
    dy: Array,
    dx: Array | None,
    dW: Array,
    db: Array | None,
    accumulate: float,
    transposed: float,
) -> None:
    dW += dy.T @ x if transposed else x.T @ dy
    if db is not None:
        db += dy.sum(axis=0)
    _write(dx, dy @ (W if transposed else W.T), accumulate)


def embedding_forward(packing: Packing, *, index: Index, E: Array, y: Array) -> None:
    """y = E[index], side by side."""
    y[:] = E[index].reshape(len(index), -1)


def embedding_backward(packing: Packing, *, index: Index, dy: Array, dE: Array) -> None:
    np.add.at(dE, index.reshape(-1), dy.reshape(-1, dE.shape[1]))


def layer_norm_forward(
    packing: Packing, *, x: Array, gain: Array, bias: Array, y: Array, stats: Array, epsilon: float
) -> None:
    """y = gain (x - mean) / sqrt(variance + epsilon) + bias (Ba, Kiros & Hinton 2016)."""
    normal, stats[:, 1:] = normalised(x, epsilon)
    stats[:, 0] = x.mean(axis=1)
    y[:] = gain * normal + bias


def layer_norm_backward(
    packing: Packing,
    *,
    x: Array,
    gain: Array,
    stats: Array,
    dy: Array,
    dx: Array | None,
    dgain: Array,
    dbias: Array,
    accumulate: float,
) -> None:
    normal = (x - stats[:, :1]) * stats[:, 1:]
    _write(dx, normalised_backward(normal, stats[:, 1:], dy * gain), accumulate)
    dgain += (dy * normal).sum(axis=0)
    dbias += dy.sum(axis=0)


def _keep(packing: Packing, shape: tuple[int, ...], rate: float, key: int, shared: float) -> Array:
    """Zero for dropped units, 1 / (1 - rate) for kept ones: inverted dropout (Srivastava et al. 2014).

    Shared: all steps of a row have what is drawn for its first (Gal & Ghahramani 2016).
    """
    lines, width = shape
    row = np.arange(packing.rows)
    t = np.zeros(packing.rows, dtype=np.int64)
    if lines == packing.total and packing.total != packing.rows:
        row = np.concatenate([np.arange(n) for n in packing.active])
        t = np.repeat(np.arange(packing.steps), packing.active)
    first = (packing.name[row] * packing.steps + (0 if shared else t)) * width
    drawn = uniform(key, first[:, None] + np.arange(width))
    return np.asarray((drawn >= np.float32(rate)) / (1.0 - rate))


def dropout_forward(
    packing: Packing, *, x: Array | None, y: Array, rate: float, salt: float, shared: float, seed: int
) -> None:
    """Without x the mask itself."""
    y[:] = (1.0 if x is None else x) * _keep(packing, y.shape, rate, call_key(seed, int(salt)), shared)


def dropout_backward(
    packing: Packing,
    *,
    dy: Array,
    dx: Array,
    rate: float,
    salt: float,
    shared: float,
    accumulate: float,
    seed: int,
) -> None:
    _write(dx, dy * _keep(packing, dy.shape, rate, call_key(seed, int(salt)), shared), accumulate)


def weight_drop_forward(packing: Packing, *, W: Array, rate: float, salt: float, seed: int) -> None:
    """A weight without some of its numbers, the same for a whole batch: DropConnect (Wan et al. 2013)."""
    drawn = uniform(call_key(seed, int(salt)), np.arange(W.size)).reshape(W.shape)
    W *= (drawn >= np.float32(rate)) / (1.0 - rate)


def weight_drop_backward(packing: Packing, *, dW: Array, rate: float, salt: float, seed: int) -> None:
    weight_drop_forward(packing, W=dW, rate=rate, salt=salt, seed=seed)


def activation_forward(packing: Packing, *, x: Array, y: Array, function: float) -> None:
    y[:] = (np.tanh, sigmoid, lambda a: np.maximum(a, 0.0))[int(function)](x)


def activation_backward(
    packing: Packing, *, y: Array, dy: Array, dx: Array, function: float, accumulate: float
) -> None:
    slope = (1 - y**2, y * (1 - y), (y > 0).astype(y.dtype))[int(function)]
    _write(dx, dy * slope, accumulate)


def softmax_forward(packing: Packing, *, x: Array, y: Array) -> None:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y[:] = e / e.sum(axis=1, keepdims=True)


def add(packing: Packing, *, a: Array, b: Array, y: Array) -> None:
    y[:] = a + b


def broadcast_forward(packing: Packing, *, p: Array, y: Array) -> None:
    y[:] = p


def broadcast_backward(packing: Packing, *, dy: Array, dp: Array) -> None:
    dp += dy.sum(axis=0)


def last_forward(packing: Packing, *, x: Array, y: Array, reverse: float) -> None:
    y[:] = x[packing.last(bool(reverse))]


def last_backward(packing: Packing, *, dy: Array, dx: Array, reverse: float, accumulate: float) -> None:
    if not accumulate:
        dx[:] = 0
    dx[packing.last(bool(reverse))] += dy


def mean_forward(packing: Packing, *, x: Array, y: Array) -> None:
    """y_j = sum_t x_tj / T."""
    y[:] = 0
    for t, n in enumerate(packing.active):
        y[:n] += x[packing.lines(t, 0, int(n))]
    y /= packing.length[:, None]


def mean_backward(packing: Packing, *, dy: Array, dx: Array, accumulate: float) -> None:
    for t, n in enumerate(packing.active):
        _write(dx[packing.lines(t, 0, int(n))], dy[:n] / packing.length[:n, None], accumulate)


def max_forward(packing: Packing, *, x: Array, y: Array, at: Array) -> None:
    """y_j = max_t x_tj; `at` is the first t that has it."""
    y[:], at[:] = -np.inf, 0
    for t, n in enumerate(packing.active):
        line = x[packing.lines(t, 0, int(n))]
        at[:n] = np.where(line > y[:n], t, at[:n])
        y[:n] = np.maximum(line, y[:n])


def max_backward(packing: Packing, *, dy: Array, at: Array, dx: Array, accumulate: float) -> None:
    for t, n in enumerate(packing.active):
        _write(dx[packing.lines(t, 0, int(n))], np.where(at[:n] == t, dy[:n], 0.0), accumulate)


def _by_column(packing: Packing, row: int, columns: float) -> Index:
    """The lines of a row's steps in the order 0, C, 2C, ..., 1, C + 1, ..."""
    steps = np.arange(packing.length[row])
    return packing.offset[np.argsort(steps % int(columns), kind="stable")] + row


def transpose_forward(packing: Packing, *, x: Array, y: Array, columns: float) -> None:
    """A grid of C columns, written row by row, read column by column."""
    for row in range(packing.rows):
        y[packing.row(row)] = x[_by_column(packing, row, columns)]


def transpose_backward(packing: Packing, *, dy: Array, dx: Array, columns: float, accumulate: float) -> None:
    for row in range(packing.rows):
        lines = _by_column(packing, row, columns)
        dx[lines] = (dx[lines] if accumulate else 0) + dy[packing.row(row)]


def _each_row(packing: Packing, source: Packing) -> Iterator[tuple[Index, Index]]:
    """The lines of each row, and those of its source."""
    place = np.argsort(source.name)
    for row, name in enumerate(packing.name):
        yield packing.row(row), source.row(int(place[name]))


def attention_forward(
    packing: Packing,
    *,
    source: Packing,
    queries: Array,
    keys: Array,
    values: Array,
    context: Array,
    weights: Array,
    scale: float,
) -> None:
    """context_t = sum_s p_ts values_s, p_t = softmax_s(scale queries_t . keys_s) (Luong et al. 2015)."""
    for own, its in _each_row(packing, source):
        scores = scale * queries[own] @ keys[its].T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        weights[own, : len(its)] = p
        context[own] = p @ values[its]


def attention_backward(
    packing: Packing,
    *,
    source: Packing,
    queries: Array,
    keys: Array,
    values: Array,
    context: Array,
    dcontext: Array,
    weights: Array,
    dqueries: Array | None,
    dkeys: Array | None,
    dvalues: Array | None,
    scale: float,
    accumulate_queries: float,
    accumulate_keys: float,
    accumulate_values: float,
) -> None:
    """The gradient of the scores takes the place of the weights."""
    for target, accumulate in (
        (dqueries, accumulate_queries),
        (dkeys, accumulate_keys),
        (dvalues, accumulate_values),
    ):
        if target is not None and not accumulate:
            target[:] = 0
    for own, its in _each_row(packing, source):
        p = weights[own, : len(its)]
        dp = dcontext[own] @ values[its].T
        dscores = p * (dp - (dcontext[own] * context[own]).sum(axis=1, keepdims=True))
        weights[own, : len(its)] = dscores
        if dvalues is not None:
            dvalues[its] += p.T @ dcontext[own]
        if dqueries is not None:
            dqueries[own] += scale * dscores @ keys[its]
        if dkeys is not None:
            dkeys[its] += scale * dscores.T @ queries[own]


# Losses return sum_r w_r sum_o l(y, target), not divided, and write dy = scale w dl/dy. Lines of weight
# zero are left out, whatever their target.


def _loss(
    y: Array, weight: Array | None, dy: Array | None, scale: float, value: Array, slope: Array
) -> float:
    if weight is None:
        w = np.ones((len(y), 1))
    else:
        # One weight per line, or one per target: several predictions each with the pinball loss.
        w = weight if weight.shape[1] == 1 else np.repeat(weight, value.shape[1] // weight.shape[1], axis=1)
        value, slope = np.where(w == 0, 0, value), np.where(w == 0, 0, slope)
    if dy is not None:
        dy[:] = scale * w * slope
    return float((w * value).sum())


def squared_loss(
    packing: Packing,
    *,
    y: Array,
    target: Array,
    weight: Array | None,
    dy: Array | None,
    scale: float,
) -> float:
    """(y - target)^2."""
    e = y - target
    return _loss(y, weight, dy, scale, e**2, 2 * e)


def absolute_loss(
    packing: Packing,
    *,
    y: Array,
    target: Array,
    weight: Array | None,
    dy: Array | None,
    scale: float,
) -> float:
    """|y - target|."""
    e = y - target
    return _loss(y, weight, dy, scale, np.abs(e), np.sign(e))


def huber_loss(
    packing: Packing,
    *,
    y: Array,
    target: Array,
    weight: Array | None,
    dy: Array | None,
    scale: float,
    delta: float,
) -> float:
    """e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2) (Huber 1964)."""
    e = y - target
    small = np.abs(e) <= delta
    value = np.where(small, e**2 / 2, delta * (np.abs(e) - delta / 2))
    return _loss(y, weight, dy, scale, value, np.where(small, e, delta * np.sign(e)))


def pinball_loss(
    packing: Packing,
    *,
    y: Array,
    target: Array,
    weight: Array | None,
    dy: Array | None,
    scale: float,
    quantiles: tuple[float, ...],
) -> float:
    """max(q e, (q - 1) e), e = target - y (Koenker & Bassett 1978)."""
    q = np.tile(np.asarray(quantiles), target.shape[1])
    e = np.repeat(target, len(quantiles), axis=1) - y
    slope = np.where(e > 0, -q, np.where(e < 0, 1 - q, 0))
    return _loss(y, weight, dy, scale, np.maximum(q * e, (q - 1) * e), slope)


def binary_cross_entropy(
    packing: Packing,
    *,
    y: Array,
    target: Array,
    weight: Array | None,
    dy: Array | None,
    scale: float,
) -> float:
    """-target log p - (1 - target) log(1 - p), p = sigmoid(y)."""
    return _loss(y, weight, dy, scale, np.logaddexp(0, y) - target * y, sigmoid(y) - target)


def softmax_cross_entropy(
    packing: Packing,
    *,
    y: Array,
    target: Index,
    weight: Array | None,
    dy: Array | None,
    scale: float,
) -> float:
    """-log p[target], p = softmax(y); the K targets of a line have as many equal parts of y."""
    own = (target if weight is None else np.where(weight == 0, 0, target))[..., None]
    parts = y.reshape(*target.shape, -1)
    p = np.exp(parts - parts.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    found = np.take_along_axis(p, own, axis=2)
    value = -np.log(np.maximum(found, np.finfo(np.float64).tiny))[..., 0]
    slope = p.copy()
    np.put_along_axis(slope, own, found - 1, axis=2)
    w = np.ones((len(y), 1)) if weight is None else weight
    if dy is not None:
        dy[:] = (scale * np.where(w == 0, 0, 1)[..., None] * w[..., None] * slope).reshape(y.shape)
    return float((w * value).sum(where=w != 0))


def ctc_loss(
    packing: Packing,
    *,
    y: Array,
    target: Index,
    weight: Array | None,
    dy: Array | None,
    work: Array,
    scale: float,
) -> float:
    """-log P(string | softmax(y_1), softmax(y_2), ...), over all alignments (Graves et al. 2006).

    The string of a row stands in the targets of its first steps, -1 after it. With blanks (0) around each
    symbol it has S states; alpha_t(s) sums all ways to state s at t, beta_t(s) all ways on from it.
    """
    total = 0.0
    for row in range(packing.rows):
        lines = packing.row(row)
        w = 1.0 if weight is None else float(weight[row, 0])
        if w == 0:
            if dy is not None:
                dy[lines] = 0
            continue
        string = target[lines, 0]
        states = np.zeros(2 * int((string >= 0).sum()) + 1, dtype=np.int64)
        states[1::2] = string[string >= 0]
        shifted = y[lines] - y[lines].max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        emitted = log_p[:, states]
        alpha = _all_ways(emitted, states)
        beta = _all_ways(emitted[::-1, ::-1], states[::-1])[::-1, ::-1]
        ways = np.logaddexp.reduce(alpha[-1, -2:])
        total -= w * float(ways)
        if dy is not None:
            likely = np.exp(alpha + beta - emitted - ways)
            slope = np.exp(log_p)
            for s, symbol in enumerate(states):
                slope[:, symbol] -= likely[:, s]
            dy[lines] = scale * w * slope
    return total


def _all_ways(emitted: Array, states: Index) -> Array:
    """The log of the summed probability of all alignments up to each step that end in each state [T, S]."""
    never = np.full(2, -np.inf)
    skips = np.concatenate([[False, False], (states[2:] != 0) & (states[2:] != states[:-2])])[: len(states)]
    ways = np.full(emitted.shape, -np.inf)
    ways[0, :2] = emitted[0, :2]
    for t in range(1, len(emitted)):
        before = np.concatenate([never, ways[t - 1]])
        stay = np.logaddexp(before[2:], before[1:-1])
        ways[t] = np.logaddexp(stay, np.where(skips, before[:-2], -np.inf)) + emitted[t]
    return ways


def surrogate_loss(
    packing: Packing,
    *,
    y: Array,
    target: Array,
    weight: Array | None,
    dy: Array | None,
    scale: float,
    clip: float,
    value: float,
    entropy: float,
) -> float:
    """-min(r a, clip(r) a) + value (v - gain)^2 - entropy H(p) (Schulman et al. 2017)."""
    if weight is not None:
        target = np.where(weight == 0, 0, target)
    rows, action = np.arange(len(y)), target[:, 0].astype(np.int64)
    before, advantage, gain = target[:, 1], target[:, 2], target[:, 3]
    shifted = y[:, :-1] - y[:, :-1].max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    spread = -(p * log_p).sum(axis=1, keepdims=True)
    ratio = np.exp(log_p[rows, action] - before)
    clipped = np.clip(ratio, 1 - clip, 1 + clip)
    free = ratio * advantage <= clipped * advantage
    error = y[:, -1] - gain
    gained = np.where(free, ratio, clipped) * advantage
    chosen = np.zeros_like(p)
    chosen[rows, action] = 1
    slope = np.where(free, ratio * advantage, 0)[:, None] * (p - chosen) + entropy * p * (log_p + spread)
    return _loss(
        y,
        weight,
        dy,
        scale,
        -gained[:, None] + value * error[:, None] ** 2 - entropy * spread,
        np.concatenate([slope, 2 * value * error[:, None]], axis=1),
    )


KERNEL_FUNCTIONS = {
    function.__name__: function
    for function in (
        lstm_forward,
        lstm_backward,
        dense_forward,
        dense_backward,
        embedding_forward,
        embedding_backward,
        layer_norm_forward,
        layer_norm_backward,
        dropout_forward,
        dropout_backward,
        weight_drop_forward,
        weight_drop_backward,
        activation_forward,
        activation_backward,
        softmax_forward,
        add,
        broadcast_forward,
        broadcast_backward,
        last_forward,
        last_backward,
        mean_forward,
        mean_backward,
        max_forward,
        max_backward,
        transpose_forward,
        transpose_backward,
        attention_forward,
        attention_backward,
        squared_loss,
        absolute_loss,
        huber_loss,
        pinball_loss,
        binary_cross_entropy,
        softmax_cross_entropy,
        ctc_loss,
        surrogate_loss,
    )
}
