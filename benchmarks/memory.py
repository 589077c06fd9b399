"""How far back an LSTM can learn to remember, and how deep it can be: what fails, and what helps.

    python benchmarks/memory.py           # everything: tables, pictures, the page docs/memory.md
    python benchmarks/memory.py copy --dry

adding  Each step brings a number from [0, 1) and a mark; two of T steps are marked, one in each half, and the
        answer is the sum of their numbers (Hochreiter & Schmidhuber 1997). Guessing the mean has an error of
        .167.
copy    Ten symbols out of eight, T blanks, and the symbols are to be said again (Arjovsky et al. 2016). Who
        remembers nothing has a loss of 10 ln 8 / (T + 20).
depth   The adding problem over fewer steps, by networks of 1 to 12 LSTMs one above the other: as they are,
        and with what is said to help.

In `adding` and `copy` the network with long-memory initialisation goes first, and the plain one gets as many
training steps of the same batches. Times are of the processor, so that a busy machine may measure.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import machine
import numpy as np
import results

from karusel import LSTM, Adam, Callback, Cosine, Dense, LayerNorm, Sequential, inspect
from karusel.plots import new_figure

Data = tuple[np.ndarray, np.ndarray]

EPOCH = 100  # training steps between two looks at the error
TEST_ROWS = 1_000
IMAGES = results.PAGE.parent / "images"
PAGE = results.PAGE.parent / "memory.md"
LINES = ("-", "--", ":", "-.", (0, (1, 1, 4, 1, 1, 1)), "-", (0, (1, 3)))  # told apart without colour


@dataclass
class Run:
    """One fit: the held-out error after every `EPOCH` training steps, and what it came to."""

    name: str
    seconds: float = 0.0  # of the processor
    losses: list[float] = field(default_factory=list)
    error: float = np.nan  # on test data
    flow: inspect.Flow | None = None  # before training

    @property
    def steps(self) -> int:
        """Training steps."""
        return EPOCH * len(self.losses)


class Until(Callback):
    """Ends training when the held-out error is small enough."""

    def __init__(self, error: float) -> None:
        self.error = error

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_loss"] < self.error:
            training.stop()


def fit(
    name: str,
    net: Sequential,
    make: Callable[[int, int], Data],
    *,
    steps: int,
    batch: int,
    until: float = 0.0,
    minutes: float | None = None,
    rows: int = 20_000,
) -> Run:
    """Train a compiled network on `make(rows, seed)` for so many steps, or until its error is small."""
    test = make(TEST_ROWS, 3)
    some = test[0][:64], test[1][:64]
    wanted = some[1] > 0 if some[1].ndim > 1 else None  # of a copy: the symbols, not the blanks
    found = Run(name, flow=inspect.gradient_flow(net, *some, mask=wanted))
    begun = time.process_time()
    history = net.fit(
        *make(rows, 1),
        epochs=steps // EPOCH,
        batch_size=batch,
        steps_per_epoch=EPOCH,
        validation_data=make(TEST_ROWS // 2, 2),
        callbacks=[Until(until)],
        time_limit=None if minutes is None else 60 * minutes,
    )
    found.seconds = time.process_time() - begun
    found.losses, found.error = history.history["val_loss"], float(net.evaluate(*test))
    print(f"{name}: error {found.error:.5f} after {found.steps:,} steps, {found.seconds:.0f} s", flush=True)
    return found


# -- problems ----------------------------------------------------------------------------------------


def adding(steps: int) -> Callable[[int, int], Data]:
    """X [rows, steps, 2] and the sums [rows]."""

    def make(rows: int, seed: int) -> Data:
        random = np.random.default_rng(seed)
        X = np.zeros((rows, steps, 2), np.float32)
        X[:, :, 0] = random.random((rows, steps))
        every, half = np.arange(rows), steps // 2
        for marked in (random.integers(0, half, rows), random.integers(half, steps, rows)):
            X[every, marked, 1] = 1
        return X, (X[:, :, 0] * X[:, :, 1]).sum(axis=1)

    return make


def copy(steps: int) -> Callable[[int, int], Data]:
    """Symbols as one of ten inputs that is 1, X [rows, steps + 20, 10]; y [rows, steps + 20] from 0 to 8.

    0 is the blank, 1 to 8 are symbols, 9 says that they are to be said now.
    """

    def make(rows: int, seed: int) -> Data:
        symbols = np.random.default_rng(seed).integers(1, 9, (rows, 10))
        shown, wanted = np.zeros((2, rows, steps + 20), np.int64)
        shown[:, :10], shown[:, steps + 9], wanted[:, -10:] = symbols, 9, symbols
        return np.eye(10, dtype=np.float32)[shown], wanted

    return make


# -- remembering ---------------------------------------------------------------------------------------


@dataclass
class Memory:
    """Long-memory initialisation against none on one problem."""

    problem: str
    settings: str
    forgetful: float  # the loss of who remembers nothing
    goal: float
    runs: list[Run] = field(default_factory=list)


def remember(problem: str, options: argparse.Namespace) -> Memory:
    """Both networks on the same batches."""
    if problem == "adding":
        T = options.steps or 500
        make, units, rate, steps, rows = adding(T), 32, 0.003, 30_000, 32_000
        forgetful, goal = 1 / 6, 1e-3
        last, loss = [Dense(1)], "mean_squared_error"
    else:
        T = options.steps or 200
        make, units, rate, steps, rows = copy(T), 64, 0.005, 40_000, 20_000
        forgetful = 10 * np.log(8) / (T + 20)
        goal = forgetful / 10
        last, loss = [Dense(9, activation="softmax")], "sparse_categorical_crossentropy"
    words = f"T = {T}, LSTM({units}), Adam at {rate:g}, gradients clipped at 1, batches of 32"
    found = Memory(problem, words, forgetful, goal)
    most = options.most or steps
    for name, settings in {"chrono": {"init": "chrono", "chrono_length": T}, "plain": {}}.items():
        layer = LSTM(units, return_sequences=problem == "copy", **settings)
        net = Sequential([layer, *last], random_state=options.seed, n_jobs=options.threads)
        net.compile(loss=loss, optimizer=Adam(rate, clip_norm=1.0))
        found.runs.append(fit(name, net, make, steps=most, batch=32, rows=rows, until=0.8 * goal))
        most = found.runs[0].steps
    return found


def memory_table(found: Memory) -> str:
    """What both came to, and what the gradient flow had said."""
    rows = [
        [
            run.name,
            f"{run.error:.5f}",
            "yes" if run.error < found.goal else "no",
            f"{run.steps:,}",
            f"{run.seconds:.0f} s",
            run.flow.reading,
        ]
        for run in found.runs
    ]
    head = ["initialisation", "test loss", "solved", "training steps", "processor time", "before training"]
    rule = f"Remembering nothing: {found.forgetful:.4f}; solved: below {found.goal:.4f}."
    return f"{found.settings}. {rule}\n\n{results.markdown(head, rows)}"


def draw_memory(found: Memory, path: pathlib.Path) -> None:
    """Loss by training steps."""
    figure = new_figure(9, 4)
    axes = figure.subplots()
    for run, line in zip(found.runs, LINES, strict=False):
        steps = EPOCH * np.arange(1, len(run.losses) + 1)
        axes.plot(steps, run.losses, color="black", linestyle=line, linewidth=1.5, label=run.name)
    axes.axhline(found.forgetful, color="0.6", linewidth=1, label="remembering nothing")
    axes.axhline(found.goal, color="0.6", linewidth=1, linestyle=":", label="solved")
    axes.set_yscale("log")
    axes.set_xlabel("training steps")
    axes.set_ylabel("held-out loss")
    axes.set_title(f"{found.problem}: {found.settings.split(',')[0]}", loc="left")
    finish(figure, [axes], path)


# -- depth -------------------------------------------------------------------------------------------

DEPTHS = (1, 3, 6, 10, 12)
REMEDIES = ("plain", "forget bias 0", "not clipped", "chrono", "layer norm", "residual")
DEEP_STEPS, DEEP_UNITS, DEEP_SEEDS = 50, 16, 3


def stack(remedy: str, depth: int, seed: int, options: argparse.Namespace) -> Sequential:
    """LSTMs one above the other with one remedy, or with what makes it worse."""
    layers: list[Any] = []
    if remedy == "layer norm":  # between the LSTMs
        for _ in range(depth - 1):
            layers += [LSTM(DEEP_UNITS, return_sequences=True), LayerNorm()]
        layers.append(LSTM(DEEP_UNITS))
    else:
        init = {"init": "chrono", "chrono_length": DEEP_STEPS} if remedy == "chrono" else {}
        layers = [LSTM(DEEP_UNITS, num_layers=depth, residual=remedy == "residual", **init)]
    net = Sequential([*layers, Dense(1)], random_state=seed, n_jobs=options.threads)
    clip = None if remedy == "not clipped" else 1.0
    rate = Cosine(0.003, options.most or 1_500, warmup_steps=100)
    net.compile(loss="mean_squared_error", optimizer=Adam(rate, clip_norm=clip))
    net.build((DEEP_STEPS, 2))
    if remedy == "forget bias 0":
        for name, values in net.parameters.items():
            if name.startswith("lstm") and name.endswith(".b"):
                values[DEEP_UNITS : 2 * DEEP_UNITS] = 0
    return net


def deepen(options: argparse.Namespace) -> dict[tuple[str, int], list[Run]]:
    """Every remedy at every depth, once for each seed."""
    return {
        (remedy, depth): [
            fit(
                f"{remedy}, {depth}",
                stack(remedy, depth, options.seed + seed, options),
                adding(DEEP_STEPS),
                steps=options.most or 1_500,
                batch=32,
            )
            for seed in range(DEEP_SEEDS)
        ]
        for remedy in REMEDIES
        for depth in DEPTHS
    }


def middle(runs: list[Run]) -> float:
    """The median error of several seeds."""
    return float(np.median([run.error for run in runs]))


def depth_table(found: dict[tuple[str, int], list[Run]], most: int) -> str:
    """Median errors by remedy and depth."""
    rows = [[remedy, *(f"{middle(found[remedy, depth]):.4f}" for depth in DEPTHS)] for remedy in REMEDIES]
    seconds = sum(run.seconds for runs in found.values() for run in runs)
    words = (
        f"Adding problem, T = {DEEP_STEPS}, stacks of LSTM({DEEP_UNITS}), {most:,} steps of Adam from 0.003 "
        f"along a cosine, gradients clipped at 1, batches of 32; the median test error of {DEEP_SEEDS} seeds "
        f"(guessing the mean: .167). All fits: {seconds:.0f} s of processor time."
    )
    return f"{words}\n\n{results.markdown(['', *(f'{depth} deep' for depth in DEPTHS)], rows)}"


def draw_depth(found: dict[tuple[str, int], list[Run]], path: pathlib.Path) -> None:
    """Errors by depth; each seed a dot, the line through their medians."""
    figure = new_figure(9, 4.5)
    axes = figure.subplots()
    for number, remedy in enumerate(REMEDIES):
        medians = [middle(found[remedy, depth]) for depth in DEPTHS]
        style = {"color": ("0", "0.5")[number % 2], "linestyle": LINES[number], "marker": "osv^Dx"[number]}
        axes.plot(DEPTHS, medians, linewidth=1.5, markersize=5, label=remedy, **style)
    axes.axhline(1 / 6, color="0.6", linewidth=1)
    axes.annotate("guessing the mean", (1, 1 / 6), (0, 4), textcoords="offset points", fontsize="small")
    axes.set_yscale("log")
    axes.set_xticks(DEPTHS)
    axes.set_xlabel("LSTMs one above the other")
    axes.set_ylabel("test error")
    axes.set_title(f"Adding problem, T = {DEEP_STEPS}: error by depth", loc="left")
    finish(figure, [axes], path)


def draw_flows(found: dict[tuple[str, int], list[Run]], path: pathlib.Path) -> None:
    """Why: the gradient before training, by depth, and at the first of ten LSTMs by step."""
    figure = new_figure(11, 4.5)
    by_depth, by_step = figure.subplots(1, 2)
    depth = 10
    for number, remedy in enumerate(REMEDIES):
        if remedy == "not clipped":  # begins as the plain one does
            continue
        flow = found[remedy, depth][0].flow
        whole, first = np.array(list(flow.depth.values())), flow.norms["lstm_0.0.forward"]
        style = {"color": ("0", "0.5")[number % 2], "linestyle": LINES[number], "linewidth": 1.5}
        by_depth.plot(np.arange(1, depth + 1), whole, label=remedy, **style)
        by_step.plot(np.arange(len(first)), first, label=remedy, **style)
    by_depth.set_xticks(range(1, depth + 1))
    by_depth.set_xlabel("LSTM, the first one at the inputs")
    by_depth.set_ylabel("norm of d loss / d h")
    by_depth.set_title(f"Gradient in {depth} LSTMs, all steps", loc="left")
    by_step.set_xlim(len(first) - 0.5, -0.5)
    by_step.set_xlabel("steps before the end")
    by_step.set_title("At the first of them, by step", loc="left")
    for axes in (by_depth, by_step):
        axes.set_yscale("log")
    finish(figure, (by_depth, by_step), path)


# -- pictures and page ---------------------------------------------------------------------------------


def finish(figure: Any, panels: Sequence[Any], path: pathlib.Path) -> None:
    """The look that all have in common; the legend stands beside the last panel."""
    for axes in panels:
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    figure.savefig(path)


def run(options: argparse.Namespace) -> None:
    """The problems asked for; keeps tables and pictures unless it is a dry run."""
    for problem in PROBLEMS if options.problem == "all" else (options.problem,):
        print(problem, flush=True)
        if problem == "depth":
            stacks = deepen(options)
            table = depth_table(stacks, options.most or 1_500)
            if not options.dry:
                draw_depth(stacks, IMAGES / "memory-depth.png")
                draw_flows(stacks, IMAGES / "memory-flow.png")
        else:
            memory = remember(problem, options)
            table = memory_table(memory)
            if not options.dry:
                draw_memory(memory, IMAGES / f"memory-{problem}.png")
        print(f"\n{table}\n", flush=True)
        if not options.dry:
            keep(problem, table)


def keep(problem: str, table: str) -> None:
    """Puts a table into the results and the page."""
    today = datetime.date.today().isoformat()
    command = f"`python benchmarks/memory.py {problem}`"
    text = f"{command}, {today}, {machine.processor()}. {table}"
    (results.RESULTS / f"{today}-memory-{problem}.md").write_text(text + "\n")
    PAGE.write_text(results.between_markers(PAGE.read_text(), problem, text))


PROBLEMS = ("adding", "copy", "depth")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem", nargs="?", choices=("all", *PROBLEMS), default="all")
    parser.add_argument("--steps", type=int, help="T of adding (default 500) and copy (200)")
    parser.add_argument("--most", type=int, help="training steps at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    run(parser.parse_args())
