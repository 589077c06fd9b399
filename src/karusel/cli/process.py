"""What `karusel control` does: learn a process or a policy, control or play, and say how well."""

from __future__ import annotations

import json as json_module
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.cli.control import Columns, Learning, Limits
from karusel.cli.document import print_document, versions
from karusel.cli.files import check_output, files_read
from karusel.cli.options import Printing, Running
from karusel.cli.progress import Progress
from karusel.cli.show import print_lines
from karusel.cli.work import naming, short_name
from karusel.errors import DataError, UsageError
from karusel.sources import read_table
from karusel.sources.origin import find_files
from karusel.tasks.controller import Controller
from karusel.tasks.policy import Policy

__all__ = ["run_run", "run_score", "run_train"]

_SCORED = 100  # episodes whose mean is the score


def run_train(
    records: list[str],
    environment: str | None,
    columns: Columns,
    limits: Limits,
    learning: Learning,
    running: Running,
    out: Path,
    printing: Printing,
) -> None:
    """Learn, and write the model to `out`."""
    check_output(out, files_read(printing, find_files(records)))
    _one_of(records, environment)
    started = time.perf_counter()
    of_process = {name: getattr(learning, name) for name in ("known", "ahead", "horizon", "caution")}
    given = {"hidden_size": learning.hidden_size, "epochs": learning.epochs}
    given |= {} if environment is not None else of_process
    settings: dict[str, Any] = {"random_state": running.seed, "n_jobs": running.threads}
    settings |= {name: value for name, value in given.items() if value is not None}
    with Progress() as progress:
        if environment is not None:
            _refuse("of a process", {**asdict(columns), **asdict(limits), **of_process})
            found = _train_policy(environment, learning, settings, out, progress)
        else:
            _refuse("of an environment", {"observe": learning.observe, "goal": learning.goal})
            found = _train_controller(records, columns, limits, learning, settings, out, progress)
    seconds = time.perf_counter() - started
    lines = found.pop("lines")
    if printing.json:
        print_document({**found, "out": str(out), "seconds": round(seconds, 3), "versions": versions()})
        return
    after = f"--environment {environment} plays" if environment else "--target VALUE controls"
    print_lines([*lines, f"{out} holds the model after {seconds:.1f} s; karusel control run {out} {after}"])


def _train_policy(
    environment: str, learning: Learning, settings: dict[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    policy = Policy(observe=_numbers(learning.observe), **settings)

    def played(number: int, logs: dict[str, float]) -> None:
        progress(f"{logs['steps']:,.0f} steps played, mean return {logs['return']:.1f}")

    progress(f"playing {environment}")
    goal = math.inf if learning.goal is None else learning.goal
    if goal == math.inf and learning.time_limit is None:
        raise UsageError("a policy learns until --goal or --time-limit; give one of them")
    policy.fit(environment, goal=goal, time_limit=learning.time_limit, progress=played)
    policy.save(out)
    last = float(np.mean(policy.returns_[-100:]))
    return {
        "environment": environment,
        "episodes": len(policy.returns_),
        "steps": policy.steps_,
        "mean_return": last,
        "lines": [
            f"{environment}: {policy.steps_:,} steps in {len(policy.returns_):,} episodes; "
            f"mean return of the last 100 {last:.1f}"
        ],
    }


def _train_controller(
    records: list[str],
    columns: Columns,
    limits: Limits,
    learning: Learning,
    settings: dict[str, Any],
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    if not limits.low or not limits.high:
        raise UsageError("--low and --high, the limits of the inputs, are needed")
    u, y = _read(records, columns, progress)
    model = Controller(
        low=limits.low if len(limits.low) > 1 else limits.low[0],
        high=limits.high if len(limits.high) > 1 else limits.high[0],
        **settings,
    )

    def epoch(number: int, logs: dict[str, float]) -> None:
        progress(f"epoch {number + 2}/{model.epochs}")

    progress(f"epoch 1/{model.epochs}")
    with naming(short_name(records)):
        model.fit(u, y, time_limit=learning.time_limit, progress=epoch)
    held_out = round((1 - model.validation_share) * len(u))
    error, linear = (score(u[held_out:], y[held_out:]) for score in (model.score, model.score_linear))
    progress(f"writing {out}")
    model.save(out)
    return {
        "file": short_name(records),
        "steps": len(u),
        "held_out": {"steps": len(u) - held_out, "error": error, "linear_error": linear},
        "lines": [
            f"{short_name(records)}: {len(u):,} steps",
            f"simulation of the last {len(u) - held_out:,}, which were held out: off by {error:.4g} "
            f"(root mean square), a linear model by {linear:.4g}",
        ],
    }


def run_run(
    path: Path, target: list[float], environment: str | None, episodes: int | None, json: bool
) -> None:
    """Control by lines of standard input, or play."""
    if environment is not None:
        _refuse("of a process", {"target": target})
        returns = Policy.load(path).play(environment, episodes=episodes or 1)
        if json:
            print_document({"model": str(path), "environment": environment, "returns": returns})
        else:
            print("\n".join(f"episode {number}: return {one:g}" for number, one in enumerate(returns, 1)))
        return
    _refuse("of an environment", {"episodes": episodes})
    model = Controller.load(path)
    outputs, stream = len(model.y_mean_), model.stream()
    if target and len(target) != outputs:
        raise UsageError(f"--target must be given once for each of {outputs} outputs, got {len(target)}")
    for number, line in enumerate(sys.stdin, 1):
        line = line.removeprefix("\ufeff")  # a mark (BOM) that some programs put before text
        if not line.strip():
            continue
        try:
            given = [float(cell) for cell in line.replace(",", " ").split()]
        except ValueError:
            raise DataError(f"line {number} of the input is {line.strip()!r}, not numbers") from None
        wanted = given[outputs:] or target
        if len(given) < outputs or len(wanted) != outputs:
            raise DataError(
                f"line {number} of the input has {len(given)} numbers; it must have {outputs} outputs, and "
                "behind them as many set points unless --target is given"
            )
        with naming(f"line {number} of the input"):
            answer = np.atleast_1d(stream.step(given[:outputs], wanted))
        if json:
            expected = stream.expected[0].tolist()
            print(json_module.dumps({"input": answer.tolist(), "expected": expected}), flush=True)
        else:
            print(",".join(f"{one:.6g}" for one in answer), flush=True)


def run_score(
    path: Path,
    records: list[str],
    environment: str | None,
    columns: Columns,
    episodes: int | None,
    json: bool,
) -> None:
    """Say how good a model is."""
    _one_of(records, environment)
    found: dict[str, Any] = {"model": str(path)}
    with Progress() as progress:
        if environment is not None:
            _refuse("of a process", asdict(columns))
            episodes = episodes or _SCORED
            progress(f"playing {episodes} episodes")
            returns = Policy.load(path).play(environment, episodes=episodes)
            mean = float(np.mean(returns))
            found |= {"environment": environment, "episodes": episodes, "mean_return": mean}
            line = f"{environment}: mean return of {episodes} episodes {mean:.1f}, least {min(returns):g}"
        else:
            _refuse("of an environment", {"episodes": episodes})
            model = Controller.load(path)
            u, y = _read(records, columns, progress)
            with naming(short_name(records)):
                error, linear = model.score(u, y), model.score_linear(u, y)
            found |= {"file": short_name(records), "steps": len(u), "error": error, "linear_error": linear}
            line = (
                f"{short_name(records)}: simulation of {len(u):,} steps off by {error:.4g} (root mean "
                f"square), a linear model by {linear:.4g}"
            )
    if json:
        print_document({**found, "versions": versions()})
    else:
        print_lines([line])


def _one_of(records: list[str], environment: str | None) -> None:
    if bool(records) == (environment is not None):
        raise UsageError("give either RECORDS of a process, or --environment")


def _refuse(what: str, options: Mapping[str, Any]) -> None:
    """Raise `UsageError` for the first option that is given; none does anything here, being `what` it is."""
    for name, value in options.items():
        if value is not None and value != []:
            raise UsageError(f"--{name.replace('_', '-')} is {what}; leave it out")


def _read(records: list[str], columns: Columns, progress: Progress) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs and outputs of a table."""
    inputs, outputs = columns.input_col or [], columns.output_col or []
    if not inputs or not outputs:
        raise UsageError("--input-col and --output-col, the columns of inputs and outputs, are needed")
    progress(f"reading {short_name(records)}")
    table = read_table(records, time_col="none", target_cols=(*inputs, *outputs))
    return table.values[:, : len(inputs)], table.values[:, len(inputs) :]


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--observe {text!r} is not a list of numbers; write one such as 0,2") from None
