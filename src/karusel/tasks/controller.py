"""Controller: a process learned from its records, and held where it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import number_from_zero, whole_number
from karusel.errors import DataError, UsageError
from karusel.layers import LSTM, Dense
from karusel.losses import SquaredError
from karusel.network import Sequential
from karusel.tasks.arx import Arx, Record
from karusel.tasks.fitting import (
    Progress,
    check_learning,
    check_share,
    check_whole,
    fit_network,
    no_progress,
)
from karusel.tasks.sequences import by_example, spread_of, step_array
from karusel.tasks.task import Task, all_or_nothing, finite

__all__ = ["Controller", "ControllerStream"]

_WINDOWS = 4096  # most windows to train on
_MOST_STEPS = 10_000  # to plan, to know or to simulate: each is computed one by one
_SETTLED = 5  # steps over which the model's error is averaged
_BLOCKS = (1, 1, 2, 4, 8, 16, 32)  # steps for which a planned input is held, the last for all that remain
_NUDGE = 0.01  # of the limits' distance: the step of differences
_ROUNDS = 2  # of planning anew around the plan found
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.0])  # of a change of plan that are tried

Numbers = NDArray[np.float64]


class Controller(Task):
    """Holds a process at set points, by an LSTM model that was learned from records of it.

    A linear model of the records is fitted first. Given the outputs of the first `known` steps it simulates
    `ahead` more from the inputs alone; the network reads the inputs and what the linear model says of each
    step, and learns what is missing. To control, both simulate from what was measured `known` + `ahead` steps
    ago up to now, and what they are off by is added to all that they say of the future (Cutler & Ramaker
    1980), so that no error stays at rest. The next `horizon` inputs are planned so that

        sum_j |y_{t+j} - target|^2 + caution sum_j |u_{t+j} - u_{t+j-1}|^2

    is least within the limits, in units of the records' spread, by Gauss-Newton steps whose quadratic
    programs are solved within the limits; the first of the plan is used, then all is planned anew (model
    predictive control; Rawlings, Mayne & Diehl 2017).

    Parameters
    ----------
    low, high : limits of the inputs, one for all or one for each; no planned input ever lies outside.
    horizon : steps planned ahead; 30 by default.
    caution : how much changes of the input cost; 0.05 by default.
    known : steps whose outputs the model is given; 20 by default.
    ahead : steps that it learns to simulate; 150 by default.
    hidden_size : hidden units; 16 by default.
    epochs : most epochs; 100 by default.
    batch_size : windows per optimiser step; 32 by default.
    learning_rate : of Adam with a cosine schedule; 0.005 by default.
    validation_share : share held out at the end of each record; 0.2 by default.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    arx_, network_ : the linear model, and the network that corrects it.
    u_mean_, u_spread_, y_mean_, y_spread_ : of each input and output in the records.
    y_low_, y_high_ : the least and the largest of each output in the records.
    history_ : losses by epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel.tasks import Controller
    >>> random = np.random.default_rng(0)
    >>> u = np.repeat(random.uniform(0, 1, 60), 10)
    >>> y = np.zeros(600)
    >>> for t in range(1, 600):
    ...     y[t] = 0.8 * y[t - 1] + 0.4 * u[t - 1]
    >>> model = Controller(low=0, high=1, hidden_size=8, ahead=30, epochs=30).fit(u, y)
    >>> hand, level = model.stream(), 0.0
    >>> for _ in range(60):
    ...     level = 0.8 * level + 0.4 * hand.step(level, target=1.2)
    >>> bool(abs(level - 1.2) < 0.03)
    True
    """

    task = "controller"
    fits = "fit(u, y)"

    def __init__(
        self,
        *,
        low: Any,
        high: Any,
        horizon: int = 30,
        caution: float = 0.05,
        known: int = 20,
        ahead: int = 150,
        hidden_size: int = 16,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 0.005,
        validation_share: float = 0.2,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.low = low
        self.high = high
        self.horizon = horizon
        self.caution = caution
        self.known = known
        self.ahead = ahead
        self.hidden_size = hidden_size
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_share = validation_share
        self.random_state = random_state
        self.n_jobs = n_jobs

    @all_or_nothing
    def fit(
        self,
        u: Any,
        y: Any,
        *,
        time_limit: float | None = None,
        progress: Progress = no_progress,
    ) -> Controller:
        """Learn from records of inputs u [T, m] or [T] and outputs y [T, k] or [T], or lists of such.

        Inputs act from the next step on. `time_limit` is in seconds; `progress` is told each epoch and its
        losses.
        """
        self._check()
        records = _records(u, y)
        self._limits(records[0][0].shape[1])
        train, held_out = [], []
        window = self.known + self.ahead
        for number, (own_u, own_y) in enumerate(records):
            cut = round((1 - self.validation_share) * len(own_u))
            if cut < window or len(own_u) - cut <= self.known:
                raise DataError(
                    f"record {number} has {len(own_u):,} steps, {cut:,} of them to train on; at least "
                    f"{window:,} are needed there and {self.known + 1:,} after them: shorten known "
                    f"({self.known}) or ahead "
                    f"({self.ahead}), or record longer"
                )
            train.append((own_u[:cut], own_y[:cut]))
            held_out.append((own_u[cut:], own_y[cut:]))
        all_u, all_y = (np.concatenate(parts) for parts in zip(*train, strict=True))
        self.u_mean_, self.u_spread_ = all_u.mean(axis=0), spread_of(all_u)
        self.y_mean_, self.y_spread_ = all_y.mean(axis=0), spread_of(all_y)
        self.y_low_, self.y_high_ = all_y.min(axis=0), all_y.max(axis=0)
        for what, spread in (("input", self.u_spread_), ("output", self.y_spread_)):
            if (spread == 0).any():
                raise DataError(
                    f"{what} {int(np.argmin(spread))} never changes in the training part: "
                    "nothing can be learned of it"
                )

        self.arx_ = Arx.fit(train, held_out, self.known)
        X, Y = self._examples(*self._windows(train))
        tested = [self._examples(*one) for one in held_out]
        network = Sequential(
            [LSTM(self.hidden_size, return_sequences=True), Dense(all_y.shape[1])],
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        self.history_ = fit_network(
            network,
            SquaredError(),
            (X, Y),
            ([x for x, _ in tested], [y for _, y in tested]),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            progress=progress,
            mask=np.tile(np.arange(window) >= self.known, (len(X), 1)),
            time_limit=time_limit,
        )
        self.network_ = network
        return self

    def predict(self, u: Any, y: Any) -> Numbers:
        """The simulated outputs [T, k] for inputs u [T, m]: y's own in its first `known` steps, which is all
        that is read of y, from then on what the model says."""
        return self._simulate(self._learned, u, y)

    def predict_linear(self, u: Any, y: Any) -> Numbers:
        """The same by the linear model."""
        return self._simulate(self.arx_.simulate, u, y)

    def score(self, u: Any, y: Any) -> float:
        """The root of the mean squared error of the simulation, in units of y, after its known steps."""
        return self._error(self.predict(u, y), y)

    def score_linear(self, u: Any, y: Any) -> float:
        """The same of the linear model."""
        return self._error(self.predict_linear(u, y), y)

    def stream(self) -> ControllerStream:
        """Control, step by step."""
        self._fitted()
        return ControllerStream(self)

    def _kept(self) -> dict[str, Any]:
        return {
            "scales": {name: getattr(self, name).tolist() for name in _SCALES},
            "arx": {"order": self.arx_.order, "weights": self.arx_.weights.tolist()},
        }

    def _take(self, header: dict[str, Any]) -> None:
        for name in _SCALES:
            setattr(self, name, finite(header["scales"][name]))
        self._limits(len(self.u_mean_))
        self.arx_ = arx = Arx(int(header["arx"]["order"]), finite(header["arx"]["weights"]))
        inputs, outputs = self.u_mean_.size, self.y_mean_.size
        shapes = [getattr(self, name).shape for name in _SCALES]
        if shapes != [(inputs,)] * 2 + [(outputs,)] * 4:
            raise ValueError(f"its scales are of shapes {shapes}")
        if not ((self.u_spread_ > 0).all() and (self.y_spread_ > 0).all()):
            raise ValueError("a spread in it is not above 0")
        if not 1 <= arx.order <= self.known or arx.weights.shape != (
            1 + arx.order * (inputs + outputs),
            outputs,
        ):
            raise ValueError(f"its linear model has order {arx.order}, weights {list(arx.weights.shape)}")
        self._check_outputs(outputs)

    # -- the model -------------------------------------------------------------------------------

    def _read(self, u: Numbers, linear: Numbers) -> NDArray[np.float32]:
        """What the network reads for inputs u [.., T, m] and the linear model's outputs [.., T, k].

        At each step the last input, the last output and 1 while outputs are known (0 and 0 later), and the
        linear model's output [.., T, m + k + 1 + k].
        """
        scaled = (linear - self.y_mean_) / self.y_spread_
        before = np.maximum(np.arange(u.shape[-2]) - 1, 0)
        last = np.zeros((*u.shape[:-1], linear.shape[-1] + 1))
        last[..., : self.known + 1, :-1] = scaled[..., before[: self.known + 1], :]
        last[..., : self.known + 1, -1] = 1
        inputs = ((u - self.u_mean_) / self.u_spread_)[..., before, :]
        return np.asarray(np.concatenate([inputs, last, scaled], axis=-1), np.float32)

    def _windows(self, records: list[Record]) -> Record:
        """Windows [n, known + ahead, ..] of the records, evenly spread where there are too many."""
        window = self.known + self.ahead
        places = [(k, t) for k, (u, _) in enumerate(records) for t in range(len(u) - window + 1)]
        places = [places[i] for i in np.linspace(0, len(places) - 1, min(len(places), _WINDOWS)).astype(int)]
        u, y = (np.stack([records[k][side][t : t + window] for k, t in places]) for side in (0, 1))
        return u, y

    def _examples(self, u: Numbers, y: Numbers) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the network reads, and what it is to say: how far off the linear model is."""
        linear = self.arx_.simulate(u, y, self.known)
        return self._read(u, linear), np.asarray((y - linear) / self.y_spread_, np.float32)

    def _corrected(self, u: Numbers, linear: Numbers) -> Numbers:
        """Outputs [n, T, k]: the linear model's, corrected after the known steps."""
        said: Numbers = linear + self.network_.predict(self._read(u, linear)) * self.y_spread_
        said[..., : self.known, :] = linear[..., : self.known, :]
        return said

    def _learned(self, u: Numbers, y: Numbers, known: int) -> Numbers:
        return self._corrected(u, self.arx_.simulate(u, y, known))

    def _simulate(self, model: Callable[[Numbers, Numbers, int], Numbers], u: Any, y: Any) -> Numbers:
        self._fitted()
        [(own_u, own_y)] = _records([u], [y], same=False)
        for what, array, wanted in (("u", own_u, self.u_mean_), ("y", own_y, self.y_mean_)):
            if array.shape[1] != len(wanted):
                raise DataError(f"{what} has {array.shape[1]} columns, {len(wanted)} were learned from")
        if min(len(own_y), len(own_u)) < self.known:
            raise DataError(
                f"u has {len(own_u):,} steps and y {len(own_y):,}; y must have the first {self.known}, and u "
                "no fewer"
            )
        return np.asarray(model(own_u[None], own_y[None], self.known)[0])

    def _error(self, simulated: Numbers, y: Any) -> float:
        [(truth, _)] = _records([y], [y])
        if len(truth) != len(simulated) or len(truth) <= self.known:
            raise DataError(
                f"u has {len(simulated):,} steps and y {len(truth):,}; they must be equally many, more than "
                f"the {self.known} that are known"
            )
        return float(np.sqrt(np.mean((simulated - truth)[self.known :] ** 2)))

    # -- rules -----------------------------------------------------------------------------------

    def _limits(self, inputs: int) -> None:
        try:
            limits = [np.asarray(limit) for limit in (self.low, self.high)]
            if not all(limit.dtype.kind in "iuf" for limit in limits):
                raise TypeError
            self._low, self._high = (np.broadcast_to(limit.astype(np.float64), inputs) for limit in limits)
        except (TypeError, ValueError):
            raise UsageError(
                f"low and high must be one number, or one for each of {inputs} inputs, got {self.low!r} and "
                f"{self.high!r}"
            ) from None
        if not (
            np.isfinite(self._low).all() and np.isfinite(self._high).all() and (self._low < self._high).all()
        ):
            raise UsageError(f"low must be below high, both finite, got {self.low!r} and {self.high!r}")

    def _check(self) -> None:
        check_share(self)
        number_from_zero("Controller", "caution", self.caution)
        check_learning(self)
        check_whole(self, "batch_size")
        for name in ("horizon", "known", "ahead"):
            whole_number("Controller", name, getattr(self, name), 1, _MOST_STEPS)


_SCALES = ("u_mean_", "u_spread_", "y_mean_", "y_spread_", "y_low_", "y_high_")


class ControllerStream:
    """Control of one process: `model.stream()`.

    Attributes
    ----------
    plan : the inputs planned last [horizon, m], the one returned first.
    expected : the outputs expected from them [horizon, k].
    """

    def __init__(self, model: Controller) -> None:
        self._model = model
        held, last = [], 0
        for length in _BLOCKS:
            held += [last] * length
            last += 1
        held = (held + [last - 1] * model.horizon)[: model.horizon]
        self._held = np.array(held)  # which of the planned inputs each step has
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next measurement is the first."""
        model = self._model
        self._u = np.clip(model.u_mean_, model._low, model._high)[None]
        self._y = np.empty((0, len(model.y_mean_)))
        self._blocks = np.tile(self._u, (self._held[-1] + 1, 1))
        self.plan = self.expected = np.empty((0, 0))

    def step(self, y: Any, target: Any) -> Any:
        """The input to apply now, after measuring outputs y [k], to bring them to `target` [k].

        With one output, y and target may be numbers; with one input, so is the answer.
        """
        model = self._model
        measured, wanted = self._read(y, "y"), self._read(target, "target")
        outside = (wanted < model.y_low_) | (wanted > model.y_high_)
        if outside.any():
            k = int(np.argmax(outside))
            raise DataError(
                f"target {wanted[k]:g} lies outside of what the records held of output {k}, "
                f"{model.y_low_[k]:g} to {model.y_high_[k]:g}: the model knows nothing there"
            )
        whole = model.known + model.ahead
        if len(self._y) == 0:  # as if it had been so for long
            self._y = np.tile(measured, (whole - 1, 1))
            self._u = np.tile(self._u, (whole - 1, 1))
        self._y = np.concatenate([self._y, measured[None]])[-whole:]
        self._plan(wanted)
        now = self.plan[0]
        self._u = np.concatenate([self._u, now[None]])[-(whole - 1) :]
        return float(now[0]) if len(now) == 1 else now.copy()

    def _plan(self, target: Numbers) -> None:
        """Improves the plan by Gauss-Newton steps within the limits."""
        model = self._model
        past = np.concatenate([self._u, self._u[-1:]])  # the input of now is not known yet, nor read
        self._linear = model.arx_.simulate(past, self._y, model.known)
        low, high = np.tile(model._low, len(self._blocks)), np.tile(model._high, len(self._blocks))
        plan = self._blocks.reshape(-1)
        size = np.tile(model._high - model._low, len(self._blocks)) * _NUDGE
        for _ in range(_ROUNDS):
            nudge = np.where(plan + size <= high, size, -size)
            errors = self._errors(np.concatenate([plan[None], plan + np.diag(nudge)]), target)
            slopes = (errors[1:] - errors[0]) / nudge[:, None]
            change = _bounded_least_squares(slopes.T, -errors[0], low - plan, high - plan)
            tried = np.clip(plan + _LENGTHS[:, None] * change, low, high)
            plan = tried[int(np.argmin((self._errors(tried, target) ** 2).sum(axis=1)))]
        self._blocks = plan.reshape(self._blocks.shape)
        self.plan = self._blocks[self._held]
        self.expected = self._expected(plan[None])[0]

    def _expected(self, plans: Numbers) -> Numbers:
        """The outputs [n, horizon, k] that plans [n, blocks m] lead to."""
        model, n, now = self._model, len(plans), len(self._y)
        inputs = plans.reshape(n, *self._blocks.shape)[:, self._held]
        past = np.broadcast_to(self._u, (n, *self._u.shape))
        u = np.concatenate([past, inputs, inputs[:, -1:]], axis=1)
        linear = model.arx_.simulate(u, np.broadcast_to(self._linear, (n, *self._linear.shape)), now)
        said = model._corrected(u, linear)
        off = (self._y - said[0, :now])[-_SETTLED:].mean(axis=0)
        return np.asarray(said[:, now : now + model.horizon] + off)

    def _errors(self, plans: Numbers, target: Numbers) -> Numbers:
        """Everything whose squares are to be small [n, numbers]."""
        model = self._model
        off = (self._expected(plans) - target) / model.y_spread_
        inputs = plans.reshape(len(plans), *self._blocks.shape)
        first = np.broadcast_to(self._u[-1], (len(plans), 1, inputs.shape[2]))
        moves = np.diff(np.concatenate([first, inputs], axis=1), axis=1) / model.u_spread_
        n = len(plans)
        return np.concatenate([off.reshape(n, -1), np.sqrt(model.caution) * moves.reshape(n, -1)], axis=1)

    def _read(self, values: Any, what: str) -> Numbers:
        try:
            array = np.atleast_1d(np.asarray(values, np.float64))
        except (TypeError, ValueError):
            raise DataError(f"{what} holds something that is no number: {values!r}") from None
        if array.shape != self._model.y_mean_.shape or not np.isfinite(array).all():
            raise DataError(
                f"{what} must be a finite number for each of {len(self._model.y_mean_)} outputs, "
                f"got {values!r}"
            )
        return array


def _bounded_least_squares(A: Numbers, b: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """x within low .. high with the least |A x - b|^2: one coordinate after the other, until none moves."""
    H, g = A.T @ A + 1e-9 * np.eye(A.shape[1]), A.T @ b
    x = np.clip(np.linalg.solve(H, g), low, high)
    for _ in range(200):
        before = x.copy()
        for k in range(len(x)):
            x[k] = np.clip(x[k] + (g[k] - H[k] @ x) / H[k, k], low[k], high[k])
        if np.abs(x - before).max() <= 1e-9 * np.abs(high - low).max():
            break
    return x


def _records(u: Any, y: Any, same: bool = True) -> list[Record]:
    """Records as arrays of two axes; a single one may come by itself."""
    u, y = by_example(u), by_example(y)
    single = len(u) == 0 or np.ndim(u[0]) == 0 or (isinstance(u, np.ndarray) and u.ndim == 2)
    us, ys = ([u], [y]) if single else (list(u), list(y))
    if len(us) != len(ys):
        raise DataError(f"there are {len(us)} records of inputs and {len(ys)} of outputs; they must be equal")
    records: list[Record] = []
    for number, pair in enumerate(zip(us, ys, strict=True)):
        arrays: list[Numbers] = []
        for what, one in zip(("u", "y"), pair, strict=True):
            array = step_array(one, f"record {number} of {what}", "cut the record there")
            if records and array.shape[1] != records[0][len(arrays)].shape[1]:
                raise DataError(
                    f"record {number} of {what} has {array.shape[1]} columns, record 0 has "
                    f"{records[0][len(arrays)].shape[1]}"
                )
            arrays.append(array)
        if same and len(arrays[0]) != len(arrays[1]):
            raise DataError(
                f"record {number} has {len(arrays[0]):,} inputs and {len(arrays[1]):,} outputs; "
                "they must be equally many"
            )
        records.append((arrays[0], arrays[1]))
    return records
