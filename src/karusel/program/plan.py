"""Where every buffer lies: all memory of a run is known before its first step.

Buffers whose lifetimes do not meet share memory. Sizes are those of one slice: executors cut a batch
into slices of `slice_rows` rows at most, the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from karusel.program.program import Argument, Extent, Parameter, Program, View

__all__ = ["Plan", "plan", "slice_rows"]

LARGE = 1 << 20  # weights that an LSTM reads at each step, beyond what a core's cache holds
ALIGNMENT = 16  # numbers: one 64-byte line of the processor's cache


@dataclass(frozen=True)
class Plan:
    """Offsets in 4-byte numbers of each buffer: of the arena, or of the state for state buffers."""

    offsets: tuple[int, ...]
    arena_size: int
    state_size: int


def slice_rows(program: Program) -> int:
    """The most rows of a slice: twice as many where each step has to fetch the weights from afar."""

    def read(arguments: Mapping[str, Argument]) -> int:
        return sum(w.size for w in (arguments["W"], arguments["U"]) if isinstance(w, Parameter))

    large = any(read(call.arguments) >= LARGE for call in program.calls if call.kernel == "lstm_forward")
    return 32 if large else 16


def plan(program: Program, rows: int, steps: int, source_steps: int = 0) -> Plan:
    """Places the buffers of a program for at most `rows` rows of at most `steps` steps.

    source_steps: the most that a row's source has.

    First fit, largest first, over the intervals of calls in which a buffer is in use.
    """
    each = {Extent.STEPS: steps, Extent.ROWS: 1, Extent.SOURCE: source_steps}

    def size(width: int, extent: Extent) -> int:
        numbers = width * rows * each[extent]
        return -(-numbers // ALIGNMENT) * ALIGNMENT

    index = {buffer: i for i, buffer in enumerate(program.buffers)}
    n_calls = len(program.calls)
    first = [n_calls] * len(index)
    last = [-1] * len(index)
    for at, call in enumerate(program.calls):
        for argument in call.arguments.values():
            if isinstance(argument, View):
                i = index[argument.buffer]
                first[i] = min(first[i], at)
                last[i] = max(last[i], at)
    for buffer in program.inputs.values():  # filled before the first call
        first[index[buffer]] = -1
    for view in program.outputs.values():  # read after the last
        last[index[view.buffer]] = n_calls

    offsets = [0] * len(index)
    state_size = 0
    for buffer in program.states.values():
        offsets[index[buffer]] = state_size
        state_size += size(buffer.width, buffer.extent)

    arena_size = 0
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    arena = [b for b in program.buffers if not b.state]
    for buffer in sorted(arena, key=lambda b: -size(b.width, b.extent)):
        i = index[buffer]
        needed = size(buffer.width, buffer.extent)
        offset = 0
        for begin, end, since, until in sorted(placed):
            meets = since <= last[i] and first[i] <= until
            if meets and begin < offset + needed and offset < end:
                offset = end
        placed.append((offset, offset + needed, first[i], last[i]))
        offsets[i] = offset
        arena_size = max(arena_size, offset + needed)
    return Plan(tuple(offsets), arena_size, state_size)
