"""Look inside a network: gates, memory, gradients, and what an output owes to which input.

Every number comes from the network's own program, run once with its intermediate values kept, in the engine
or in the reference executor; nothing here computes an LSTM by itself. Inputs are what `Sequential.predict`
takes: an array [n, T, I], one with `lengths`, a list of arrays [T_k, I], or `Windows`. Results with a line
per step are arrays [n, T, ...], or lists of arrays [T_k, ...] where rows may differ in length.

    gates                 what each gate, cell and hidden unit did at each step
    memory_horizon        how strongly each past input still moves the output
    gradient_flow         how strongly the loss reaches each layer at each step
    input_gradients       d output / d input
    integrated_gradients  the change of an output, shared out among all inputs

With the `plot` extra `draw_gates`, `draw_time_constants`, `draw_horizon` and `draw_flow` write each as a PNG.
"""

from karusel.inspect.attribution import Attribution, integrated_gradients
from karusel.inspect.cell import Gates, gates
from karusel.inspect.flow import Flow, gradient_flow
from karusel.inspect.horizon import Horizon, input_gradients, memory_horizon
from karusel.inspect.plots import draw_flow, draw_gates, draw_horizon, draw_time_constants

__all__ = [
    "Attribution",
    "Flow",
    "Gates",
    "Horizon",
    "draw_flow",
    "draw_gates",
    "draw_horizon",
    "draw_time_constants",
    "gates",
    "gradient_flow",
    "input_gradients",
    "integrated_gradients",
    "memory_horizon",
]
