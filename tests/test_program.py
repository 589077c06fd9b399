"""Programs: what is lowered, printed and planned."""

from __future__ import annotations

import numpy as np
import pytest

from karusel import LSTM, Dense, Sequential
from karusel.program.kernels import KERNELS
from karusel.program.plan import plan
from karusel.program.program import Extent, View
from karusel.reference import KERNEL_FUNCTIONS


@pytest.fixture
def network() -> Sequential:
    made = Sequential(
        [LSTM(7, num_layers=2, direction="bidirectional", residual=True, dropout=0.1), Dense(3)]
    )
    made.compile("mse")
    made.build((5, 2))
    return made


def test_every_kernel_has_a_reference() -> None:
    assert set(KERNELS) == set(KERNEL_FUNCTIONS)


def test_program_prints_one_line_per_call_with_shapes_and_flops(network: Sequential) -> None:
    program = network.program()
    lines = str(program).splitlines()
    assert lines[0] == f"program: {program.n_parameters:,} parameters, {len(program.calls)} calls"
    assert len(lines) == 1 + 2 + len(program.calls)
    first = next(line for line in lines if "lstm_forward" in line)
    assert "x=x[N,2]" in first
    assert "W=lstm_0.0.forward.W[2,28]" in first
    # 8 H (I + H) for the products, 30 H for the gates
    assert f"{8 * 7 * (2 + 7) + 30 * 7:,} FLOP/step" in first


def test_first_layer_computes_no_gradient_of_the_data(network: Sequential) -> None:
    first = [c for c in network.program().backward if c.kernel == "lstm_backward"][-2:]
    assert all(call.arguments["dx"] is None for call in first)


def test_inference_keeps_no_tape(network: Sequential) -> None:
    def gates(kind: str) -> set[Extent]:
        return {b.extent for b in network.program(kind).buffers if b.name.endswith("gates")}

    assert gates("predict") == {Extent.ROWS}
    assert gates("train") == {Extent.STEPS}


@pytest.mark.parametrize(
    "kind", ["train", "gradient", "flow", "loss", "predict", "states", "gates", "sensitivity"]
)
def test_buffers_that_live_together_do_not_overlap(network: Sequential, kind: str) -> None:
    program = network.program(kind)
    placed = plan(program, rows=16, steps=5)
    uses: dict[str, list[int]] = {}
    for at, call in enumerate(program.calls):
        for argument in call.arguments.values():
            if isinstance(argument, View):
                uses.setdefault(argument.buffer.name, []).append(at)
    for buffer in program.inputs.values():
        uses.setdefault(buffer.name, []).append(-1)
    for view in program.outputs.values():
        uses.setdefault(view.buffer.name, []).append(len(program.calls))

    def interval(i: int) -> tuple[int, int]:
        buffer = program.buffers[i]
        size = buffer.width * 16 * (5 if buffer.extent is Extent.STEPS else 1)
        return placed.offsets[i], placed.offsets[i] + size

    shared = 0
    for i, one in enumerate(program.buffers):
        assert interval(i)[1] <= placed.arena_size
        for j, other in enumerate(program.buffers[:i]):
            a, b = uses[one.name], uses[other.name]
            memory = interval(i)[0] < interval(j)[1] and interval(j)[0] < interval(i)[1]
            time = min(a) <= max(b) and min(b) <= max(a)
            assert not (memory and time), (one.name, other.name)
            shared += memory
    assert shared > 0, "the plan never shares memory"


def test_memory_of_the_plan_grows_with_steps_alone(network: Sequential) -> None:
    program = network.program()
    small, large = plan(program, 16, 10).arena_size, plan(program, 16, 1000).arena_size
    assert 80 < large / small < 101


@pytest.mark.parametrize(("rows", "steps", "shared"), [(8, 24, True), (1, 200, False), (8, 4, False)])
def test_threads_share_few_rows_if_each_has_enough_to_do(rows: int, steps: int, shared: bool) -> None:
    """A thread that works has taken memory of its own."""
    pytest.importorskip("karusel._engine")
    random = np.random.default_rng(0)
    X, y = random.normal(size=(rows, steps, 3)), random.normal(size=rows)
    taken = {}
    for n_jobs in (1, 2):
        network = Sequential([LSTM(64), Dense(1)], n_jobs=n_jobs)
        network.compile("mse")
        network.fit(X, y, epochs=1, batch_size=rows)
        taken[n_jobs] = next(iter(network._executors.values()))[0].allocations
    assert (taken[2] > taken[1]) == shared


def test_training_takes_no_memory_after_its_first_step() -> None:
    pytest.importorskip("karusel._engine")
    random = np.random.default_rng(0)
    X, y = random.normal(size=(96, 6, 2)), random.normal(size=96)
    network = Sequential([LSTM(8), Dense(1)], n_jobs=2)
    network.compile("mse")
    network.fit(X, y, epochs=1, batch_size=48)
    executor = next(iter(network._executors.values()))[0]
    before = executor.allocations
    network.fit(X, y, epochs=5, batch_size=48)
    assert before > 0
    assert executor.allocations == before
