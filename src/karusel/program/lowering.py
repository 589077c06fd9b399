"""The builder that layers and losses lower themselves with.

A layer emits its forward calls at once and registers what to emit for its gradient; `backward()` then
runs the registrations in reverse order. A `Signal` is a value on its way from layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from karusel.program.kernels import KERNELS
from karusel.program.program import (
    Argument,
    Attributes,
    Buffer,
    Call,
    Extent,
    Gradient,
    Parameter,
    Program,
    View,
)

__all__ = ["Lowering", "Signal"]


@dataclass
class Signal:
    """A value: its view, and whether anything that can be learned lies before it."""

    view: View
    learns: bool

    @property
    def width(self) -> int:
        return self.view.width


class Lowering:
    """Collects a program.

    training: dropout is active.
    tape: intermediate values are kept for a backward part.
    stateful: LSTMs start from, and leave, a state that outlives the run.
    states: final states of LSTMs are outputs.
    gates: gates, cell states and hidden states of LSTMs at all steps are outputs; needs a tape, and no
        backward part, which overwrites the gates.
    flow: the gradients by LSTMs' hidden states at all steps are outputs.
    carried: LSTMs begin with a state that is an input and leave one as an output, as a stream does.
    source_steps: of the longest source, a second sequence of each row that an attention reads; 0: none.
    encoded: the source is given as what its encoder made of it.
    weights: attention weights are outputs.
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        *,
        training: bool = False,
        tape: bool = False,
        stateful: bool = False,
        states: bool = False,
        gates: bool = False,
        flow: bool = False,
        carried: bool = False,
        source_steps: int = 0,
        encoded: bool = False,
        weights: bool = False,
    ) -> None:
        self.program = Program(parameters=list(parameters.values()))
        self.training = training
        self.tape = tape
        self.stateful = stateful
        self.states = states
        self.gates = gates
        self.flow = flow
        self.carried = carried
        self.source_steps = source_steps
        self.encoded = encoded
        self.weights = weights
        self._parameters = parameters
        self._scope = ""
        self._names: set[str] = set()
        self._gradients: dict[tuple[Buffer, int, int], View] = {}
        self._written: set[View] = set()
        self._tape: list[Callable[[], None]] = []
        self._dropouts = 0

    # -- names ---------------------------------------------------------------------------------

    def enter(self, scope: str) -> None:
        """All names until the next call belong to this layer."""
        self._scope = scope

    @property
    def scope(self) -> str:
        return self._scope

    def parameter(self, name: str) -> Parameter:
        return self._parameters[f"{self._scope}.{name}"]

    @property
    def embedding(self) -> Parameter | None:
        """The weights of the network's Embedding, which is its first layer if there is one."""
        return self._parameters.get("embedding_0.E")

    def buffer(
        self,
        name: str,
        extent: Extent,
        width: int,
        *,
        integer: bool = False,
        state: bool = False,
    ) -> View:
        """A new buffer, whole, named after the layer."""
        full = f"{self._scope}.{name}" if self._scope else name
        unique, n = full, 2
        while unique in self._names:
            unique, n = f"{full}.{n}", n + 1
        self._names.add(unique)
        buffer = Buffer(unique, extent, width, integer, state)
        self.program.buffers.append(buffer)
        if state:
            self.program.states[unique] = buffer
        return View(buffer, 0, width)

    def input(self, role: str, extent: Extent, width: int, *, integer: bool = False) -> View:
        """A buffer that examples fill."""
        scope, self._scope = self._scope, ""
        view = self.buffer(role, extent, width, integer=integer)
        self._scope = scope
        self.program.inputs[role] = view.buffer
        return view

    # -- calls ---------------------------------------------------------------------------------

    def call(
        self,
        kernel: str,
        arguments: dict[str, Argument],
        attributes: Attributes | None = None,
    ) -> Call:
        """A call with all arguments in the kernel's order; those not named are not given."""
        signature = KERNELS[kernel]
        unknown = set(arguments) - set(signature.arguments)
        if unknown:
            raise TypeError(f"{kernel} has no argument {', '.join(sorted(unknown))}")
        given = attributes or {}
        names = [name.removeprefix("*") for name in signature.attributes]
        return Call(
            kernel,
            {name: arguments.get(name) for name in signature.arguments},
            {name: given.get(name, 0) for name in names},
        )

    def emit(
        self,
        kernel: str,
        arguments: dict[str, Argument],
        attributes: Attributes | None = None,
    ) -> None:
        """Adds a call to the forward part."""
        self.program.forward.append(self.call(kernel, arguments, attributes))

    def emit_backward(
        self,
        kernel: str,
        arguments: dict[str, Argument],
        attributes: Attributes | None = None,
    ) -> None:
        """Adds a call to the backward part."""
        self.program.backward.append(self.call(kernel, arguments, attributes))

    def dropout_salt(self) -> int:
        """A number that tells the masks of one program apart."""
        self._dropouts += 1
        return self._dropouts

    # -- gradients -----------------------------------------------------------------------------

    def on_backward(self, emit: Callable[[], None]) -> None:
        """Registers what emits a layer's backward calls, if the program has a backward part."""
        if self.tape:
            scope = self._scope

            def scoped() -> None:
                self._scope = scope
                emit()

            self._tape.append(scoped)

    def backward(self) -> None:
        for emit in reversed(self._tape):
            emit()

    def gradient(self, parameter: Parameter) -> Gradient:
        return Gradient(parameter)

    def read_gradient(self, signal: Signal) -> View:
        """The gradient of the loss by a signal, complete at this point of the backward part."""
        return self._gradient_view(signal.view)

    def write_gradient(self, signal: Signal) -> tuple[View | None, int]:
        """Where to write the gradient by a signal, and whether to add to what is there.

        Nowhere if nothing before the signal learns.
        """
        if not signal.learns:
            return None, 0
        view = self._gradient_view(signal.view)
        accumulate = int(view in self._written)
        self._written.add(view)
        return view, accumulate

    def share_gradient(self, signal: Signal, view: View) -> None:
        """Declares that the gradient by a signal is what `view` holds, without a copy."""
        self._gradients[(signal.view.buffer, signal.view.first, signal.view.width)] = view
        self._written.add(view)

    def _gradient_view(self, view: View) -> View:
        """The gradient's view; parts of a wider buffer are parts of its gradient's buffer."""
        key = (view.buffer, view.first, view.width)
        if key not in self._gradients:
            whole = (view.buffer, 0, view.buffer.width)
            if whole not in self._gradients:
                scope, self._scope = self._scope, ""
                self._gradients[whole] = self.buffer(
                    f"d{view.buffer.name}", view.buffer.extent, view.buffer.width
                )
                self._scope = scope
            if key != whole:
                self._gradients[key] = self._gradients[whole].columns(view.first, view.width)
        return self._gradients[key]
