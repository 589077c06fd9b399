"""Makes the golden files of this folder with PyTorch on the processor.

    .venv-rivals/bin/python tests/golden/make_golden.py

Every number that goes in (weights, inputs, targets, states) is drawn in float32 and every result is
computed in float64, so that a float64 executor can be held to about 1e-9 and a float32 one to its own
rounding. The files hold plain arrays and one JSON text, never a pickle; README.md says how they are laid out.

The recurrent layers are `torch.nn.LSTM` (packed sequences where rows differ in length); only what
PyTorch does not have (dilation, residual joins, backward alone, layer norm in the cell, weighted and masked
means) is put around it here. Weights are named and laid out as in Karusel: W [I,4H] is `weight_ih`
transposed, U [H,4H] is `weight_hh` transposed, b [4H] is the sum of PyTorch's two biases, the gate order
i, f, g, o is PyTorch's own.
"""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import (
    CTC_CASES,
    GRADIENT_CASES,
    LEARNED,
    SQUARED,
    SURROGATE_CASES,
    TRAINING_CASES,
    TRAINING_STEPS,
    Case,
    dense,
    lstm,
)
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = pathlib.Path(__file__).parent
SEED = 20261124
Tensors = dict[str, torch.Tensor]
Source = tuple[torch.Tensor, torch.Tensor]  # sequences [B,S,I] or [B,S], and their lengths
States = list[tuple[torch.Tensor, torch.Tensor]]


# --- layers ---------------------------------------------------------------------------------------


def lstm_widths(width: int, hidden_size: int, num_layers: int, directions: int) -> list[int]:
    """Width of the input of each depth."""
    return [width] + [hidden_size * directions] * (num_layers - 1)


def directions_of(options: dict[str, Any]) -> list[str]:
    direction = options.get("direction", "forward")
    return ["forward", "backward"] if direction == "bidirectional" else [direction]


def dilations_of(options: dict[str, Any]) -> list[int]:
    dilation = options.get("dilation", 1)
    return list(dilation) if isinstance(dilation, list) else [dilation] * options.get("num_layers", 1)


def cell_weights(parameters: Tensors, stem: str, suffix: str, layer: int = 0) -> Tensors:
    """The weights of one depth and direction under PyTorch's names. The bias is cut unevenly in two."""
    return {
        f"weight_ih_l{layer}{suffix}": parameters[f"{stem}.W"].T,
        f"weight_hh_l{layer}{suffix}": parameters[f"{stem}.U"].T,
        f"bias_ih_l{layer}{suffix}": 0.25 * parameters[f"{stem}.b"],
        f"bias_hh_l{layer}{suffix}": 0.75 * parameters[f"{stem}.b"],
    }


def whole_lstm(
    parameters: Tensors,
    stem: str,
    options: dict[str, Any],
    x: torch.Tensor,
    lengths: torch.Tensor | None,
    states: States,
) -> tuple[torch.Tensor, torch.Tensor]:
    """All depths and directions in one `torch.nn.LSTM`: (outputs [B,T,D*H], last output [B,D*H])."""
    num_layers = options.get("num_layers", 1)
    directions = directions_of(options)
    module = torch.nn.LSTM(
        x.shape[-1],
        options["hidden_size"],
        num_layers,
        batch_first=True,
        bidirectional=len(directions) == 2,
        dtype=x.dtype,
    )
    weights: Tensors = {}
    for depth, direction in itertools.product(range(num_layers), directions):
        suffix = "_reverse" if direction == "backward" else ""
        weights |= cell_weights(parameters, f"{stem}.{depth}.{direction}", suffix, depth)
    h0 = torch.stack([h for h, _ in states])
    c0 = torch.stack([c for _, c in states])
    source = (
        x if lengths is None else pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    )
    result, (h_last, _) = functional_call(module, weights, (source, (h0, c0)))
    if lengths is not None:
        result, _ = pad_packed_sequence(result, batch_first=True, total_length=x.shape[1])
    return result, torch.cat(list(h_last[-len(directions) :]), dim=-1)


def normed_row(
    weights: Tensors, gain: torch.Tensor, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """Outputs [T,H] of one row [T,I] with a layer norm of what the gates read of the hidden state."""
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    outputs = []
    for step in x:
        z = F.linear(h, weights["weight_hh_l0"])
        a = F.linear(step, weights["weight_ih_l0"]) + F.layer_norm(z, z.shape, gain, bias)
        i, f, g, o = a.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


def one_row(
    weights: Tensors,
    hidden_size: int,
    x: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    backward: bool,
    gain: torch.Tensor | None,
) -> torch.Tensor:
    """Outputs [T,H] of one row [T,I] from state [H], read forward, or backward in its own time order."""
    module = torch.nn.LSTM(x.shape[-1], hidden_size, batch_first=True, dtype=x.dtype)
    if backward:
        x = x.flip(0)
    if gain is None:
        result, _ = functional_call(module, weights, (x[None], (h[None, None], c[None, None])))
        output = result[0]
    else:
        output = normed_row(weights, gain, x, h, c)
    return output.flip(0) if backward else output


def stacked_lstm(
    parameters: Tensors,
    stem: str,
    options: dict[str, Any],
    x: torch.Tensor,
    lengths: torch.Tensor | None,
    states: States,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth by depth, row by row, time cut into `dilation` phases that never meet; joins where asked."""
    rows, steps, _ = x.shape
    hidden_size = options["hidden_size"]
    directions = directions_of(options)
    own_lengths = [steps] * rows if lengths is None else lengths.tolist()
    pairs = iter(states)
    for depth, dilation in zip(range(options.get("num_layers", 1)), dilations_of(options), strict=True):
        parts = []
        for direction in directions:
            weights = cell_weights(parameters, f"{stem}.{depth}.{direction}", "")
            gain = parameters.get(f"{stem}.{depth}.{direction}.gain")
            h, c = next(pairs)
            outputs = []
            for row, length in enumerate(own_lengths):
                output = x.new_zeros(steps, hidden_size)
                for phase in range(min(dilation, length)):
                    times = list(range(phase, length, dilation))
                    found = one_row(
                        weights, hidden_size, x[row, times], h[row], c[row], direction == "backward", gain
                    )
                    output = output.index_put((torch.tensor(times),), found)
                outputs.append(output)
            parts.append(torch.stack(outputs))
        joined = torch.cat(parts, dim=-1)
        if options.get("residual") and joined.shape == x.shape:
            joined = joined + x
        x = joined
    first = torch.zeros(rows, dtype=torch.long)
    last = torch.tensor(own_lengths) - 1
    ends = [x[torch.arange(rows), first if name == "backward" else last] for name in directions]
    cuts = [end[:, k * hidden_size : (k + 1) * hidden_size] for k, end in enumerate(ends)]
    return x, torch.cat(cuts, dim=-1)


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softmax": lambda x: torch.softmax(x, dim=-1),
}


def forward(
    spec: dict[str, Any],
    parameters: Tensors,
    x: torch.Tensor,
    lengths: torch.Tensor | None = None,
    given: States | None = None,
    source: Source | None = None,
) -> torch.Tensor:
    """The output of a whole network."""
    states = list(given or [])
    for number, (kind, options) in enumerate(spec["layers"]):
        if kind == "Embedding":
            x = F.embedding(x.long(), parameters[f"embedding_{number}.E"])
            x = x.flatten(2)  # several ids per step: side by side
        elif kind == "LSTM":
            stem = f"lstm_{number}"
            count = options.get("num_layers", 1) * len(directions_of(options))
            if options.get("initial_state") == "given":
                own, states = states[:count], states[count:]
            elif options.get("initial_state") == "learned":
                own = [
                    (
                        parameters[f"{stem}.{depth}.{direction}.h0"].expand(x.shape[0], -1),
                        parameters[f"{stem}.{depth}.{direction}.c0"].expand(x.shape[0], -1),
                    )
                    for depth in range(options.get("num_layers", 1))
                    for direction in directions_of(options)
                ]
            else:
                zero = x.new_zeros(x.shape[0], options["hidden_size"])
                own = [(zero, zero)] * count
            joined = options.get("residual") or options.get("layer_norm")
            plain = set(dilations_of(options)) == {1} and not joined
            whole = plain and options.get("direction") != "backward"
            result, last = (whole_lstm if whole else stacked_lstm)(parameters, stem, options, x, lengths, own)
            x = result if options.get("return_sequences") else last
        elif kind == "Dense":
            tied = options.get("tied")
            x = x @ (parameters["embedding_0.E"].T if tied else parameters[f"dense_{number}.W"])
            if options.get("use_bias", True):
                x = x + parameters[f"dense_{number}.b"]
            if options.get("activation"):
                x = ACTIVATIONS[options["activation"]](x)
        elif kind == "LayerNorm":
            gain, bias = parameters[f"layernorm_{number}.gain"], parameters[f"layernorm_{number}.bias"]
            x = F.layer_norm(x, (x.shape[-1],), gain, bias, options.get("epsilon", 1e-5))
        elif kind == "Activation":
            x = ACTIVATIONS[options["function"]](x)
        elif kind == "Transpose":
            x = transpose(options["columns"], x, lengths)
        elif kind == "Pool":
            x = pool(options["functions"], x, lengths)
        elif kind == "Attention":
            assert source is not None
            x, _ = attend(options["encoder"], within(parameters, f"attention_{number}"), x, source)
        else:
            raise ValueError(f"no layer {kind!r}")
    return x


def within(arrays: Tensors, name: str) -> Tensors:
    """What belongs to a part, by the names it has there."""
    return {key.removeprefix(f"{name}."): a for key, a in arrays.items() if key.startswith(f"{name}.")}


def attend(
    encoder: list[Any], parameters: Tensors, x: torch.Tensor, source: Source
) -> tuple[torch.Tensor, torch.Tensor]:
    """An attention's output by PyTorch's own attention, and its weights [B,T,S] written out."""
    values, lengths = source
    memory = forward({"layers": encoder}, parameters, values, lengths)
    query = x @ parameters["query.W"]
    there = (torch.arange(values.shape[1]) < lengths[:, None])[:, None]
    context = F.scaled_dot_product_attention(query, memory, memory, attn_mask=there, scale=1.0)
    weights = (query @ memory.transpose(1, 2)).masked_fill(~there, -torch.inf).softmax(dim=-1)
    mixed = F.linear(context, parameters["context.W"].T) + F.linear(x, parameters["own.W"].T)
    return torch.tanh(mixed), weights


def transpose(columns: int, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """A grid [R,C] of steps becomes [C,R]; of a row that fills no grid, step by step."""
    rows, steps, width = x.shape
    if lengths is None:
        return x.reshape(rows, steps // columns, columns, width).transpose(1, 2).reshape(rows, steps, width)
    found = torch.zeros_like(x)
    for row, length in enumerate(lengths.tolist()):
        order = [t for first in range(columns) for t in range(first, length, columns)]
        found = found.index_put((torch.tensor([row]), torch.arange(length)), x[row, order])
    return found


def pool(functions: list[str], x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """The mean and the largest of the steps that each row has, side by side as asked for."""
    if lengths is None:
        lengths = torch.full((x.shape[0],), x.shape[1])
    there = (torch.arange(x.shape[1]) < lengths[:, None])[..., None]
    mean = (x * there).sum(1) / lengths[:, None]
    largest = x.masked_fill(~there, -torch.inf).max(1).values
    return torch.cat([{"mean": mean, "max": largest}[name] for name in functions], dim=-1)


# --- losses ---------------------------------------------------------------------------------------


def loss_terms(spec: dict[str, Any], output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """One term per output, not yet weighted. Classes have one term per target."""
    kind, options = spec["loss"]
    last_options = spec["layers"][-1][1]
    activated = last_options.get("function", last_options.get("activation"))
    if kind == "SoftmaxCrossEntropy":
        if "classes" in options:
            parts = output.reshape(*y.shape, options["classes"]).movedim(-1, 1)
            return F.cross_entropy(parts, y.long(), reduction="none")
        logits = output.log() if activated == "softmax" else output
        flat = F.cross_entropy(logits.flatten(0, -2), y.long().flatten(), reduction="none")
        return flat.reshape(y.shape)[..., None]
    y = y.to(output.dtype)
    if kind == "Pinball":
        quantiles = torch.tensor(options["quantiles"], dtype=output.dtype)
        error = y[..., None] - output.reshape(*y.shape, len(quantiles))
        return torch.maximum(quantiles * error, (quantiles - 1) * error).flatten(-2)
    y = y.reshape(output.shape)
    if kind == "SquaredError":
        return F.mse_loss(output, y, reduction="none")
    if kind == "AbsoluteError":
        return F.l1_loss(output, y, reduction="none")
    if kind == "Huber":
        return F.huber_loss(output, y, reduction="none", delta=options.get("delta", 1.0))
    if kind == "BinaryCrossEntropy" and activated == "sigmoid":
        return F.binary_cross_entropy(output, y, reduction="none")
    if kind == "BinaryCrossEntropy":
        return F.binary_cross_entropy_with_logits(output, y, reduction="none")
    raise ValueError(f"no loss {kind!r}")


def mean_loss(
    spec: dict[str, Any],
    output: torch.Tensor,
    y: torch.Tensor,
    lengths: torch.Tensor | None,
    row_weight: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Sum of weight * term over the sum of the weights: a weighted mean over all outputs that count."""
    terms = loss_terms(spec, output, y)
    weight = torch.ones_like(terms)
    if lengths is not None and terms.ndim == 3:
        weight = weight * (torch.arange(terms.shape[1]) < lengths[:, None])[..., None]
    if mask is not None:
        weight = weight * mask.reshape(*mask.shape, *[1] * (terms.ndim - mask.ndim))
    if row_weight is not None:
        weight = weight * row_weight.reshape(-1, *[1] * (terms.ndim - 1))
    return (weight * terms).sum() / weight.sum()


# --- random cases ---------------------------------------------------------------------------------


def output_width(layers: list[Any]) -> int:
    """Of what comes out of layers that end with an LSTM or a Dense."""
    options = layers[-1][1]
    width: int = options.get("units") or options["hidden_size"]
    return width * (2 if options.get("direction") == "bidirectional" else 1)


def draw_parameters(spec: dict[str, Any], width: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Distinct weights of a size at which no gate saturates and none is idle."""
    found: dict[str, np.ndarray] = {}

    def draw(name: str, *shape: int, scale: float, shift: float = 0.0) -> None:
        found[name] = (shift + scale * random.standard_normal(shape)).astype(np.float32)

    for number, (kind, options) in enumerate(spec["layers"]):
        if kind == "Embedding":
            draw(f"embedding_{number}.E", options["input_dim"], options["output_dim"], scale=0.9)
            width = options["output_dim"] * max(width, 1)
        elif kind == "LSTM":
            hidden = options["hidden_size"]
            directions = directions_of(options)
            widths = lstm_widths(width, hidden, options.get("num_layers", 1), len(directions))
            for (depth, own), direction in itertools.product(enumerate(widths), directions):
                stem = f"lstm_{number}.{depth}.{direction}"
                draw(f"{stem}.W", own, 4 * hidden, scale=1.2 / own**0.5)
                draw(f"{stem}.U", hidden, 4 * hidden, scale=1.2 / hidden**0.5)
                draw(f"{stem}.b", 4 * hidden, scale=0.5)
                if options.get("layer_norm"):
                    draw(f"{stem}.gain", 4 * hidden, scale=0.3, shift=1.0)
                if options.get("initial_state") == "learned":
                    draw(f"{stem}.h0", hidden, scale=0.4)
                    draw(f"{stem}.c0", hidden, scale=0.8)
            width = hidden * len(directions)
        elif kind == "Dense":
            if not options.get("tied"):
                draw(f"dense_{number}.W", width, options["units"], scale=1.3 / width**0.5)
            width = options["units"]
            if options.get("use_bias", True):
                draw(f"dense_{number}.b", width, scale=0.5)
        elif kind == "Attention":
            first = options["encoder"][0][1]
            inner = {"layers": options["encoder"]}
            read = first["input_shape"][-1] if "input_shape" in first else 0
            stem = f"attention_{number}"
            own = draw_parameters(inner, read, random)
            found |= {f"{stem}.{name}": array for name, array in own.items()}
            memory = output_width(options["encoder"])
            units = options["units"]
            draw(f"{stem}.query.W", width, memory, scale=1.5 / width**0.5)
            draw(f"{stem}.context.W", memory, units, scale=1.2 / memory**0.5)
            draw(f"{stem}.own.W", width, units, scale=1.2 / width**0.5)
            width = units
        elif kind == "Pool":
            width *= len(options["functions"])
        elif kind == "LayerNorm":
            draw(f"layernorm_{number}.gain", width, scale=0.3, shift=1.0)
            draw(f"layernorm_{number}.bias", width, scale=0.3)
    return found


def draw_inputs(
    spec: dict[str, Any],
    rows: int,
    steps: int,
    width: int,
    random: np.random.Generator,
    ragged: bool,
    weighted: bool,
    masked: bool,
) -> dict[str, np.ndarray]:
    """Inputs, targets and whatever goes with them; short rows are padded with large numbers."""
    inputs: dict[str, np.ndarray] = {}
    first_kind, first_options = spec["layers"][0]
    lengths = np.full(rows, steps)
    if ragged:
        lengths = random.permutation(np.linspace(1, steps, rows).round().astype(np.int64))
        inputs["lengths"] = lengths
    padding = np.arange(steps) >= lengths[:, None]
    if first_kind == "Embedding":
        inputs["X"] = random.integers(0, first_options["input_dim"], (rows, steps, max(width, 1)))
        inputs["X"] = inputs["X"] if width else inputs["X"][..., 0]
        inputs["X"][padding] = first_options["input_dim"] - 1
    else:
        inputs["X"] = random.standard_normal((rows, steps, width)).astype(np.float32)
        inputs["X"][padding] = 77.0
    sequence = all(
        options.get("return_sequences") if kind == "LSTM" else kind != "Pool"
        for kind, options in spec["layers"]
    )
    outputs = [o.get("units") or o.get("hidden_size") for k, o in spec["layers"] if k in ("Dense", "LSTM")][
        -1
    ]
    if spec["layers"][-1][1].get("direction") == "bidirectional":
        outputs *= 2
    kind, options = spec["loss"]
    lead = (rows, steps) if sequence else (rows,)
    if kind == "SoftmaxCrossEntropy" and "classes" in options:
        inputs["y"] = random.integers(0, options["classes"], (*lead, outputs // options["classes"]))
    elif kind == "SoftmaxCrossEntropy":
        inputs["y"] = random.integers(0, outputs, lead)
    elif kind == "BinaryCrossEntropy":
        chance = random.uniform(-0.5, 1.5, (*lead, outputs))
        inputs["y"] = np.clip(chance, 0, 1).astype(np.float32)
    elif kind == "Pinball":
        inputs["y"] = random.standard_normal((*lead, outputs // len(options["quantiles"]))).astype(np.float32)
    else:
        inputs["y"] = (1.5 * random.standard_normal((*lead, outputs))).astype(np.float32)
    if sequence and ragged and kind != "SoftmaxCrossEntropy":
        inputs["y"][padding] = -55.0
    if weighted:
        inputs["sample_weight"] = random.uniform(0.2, 3.0, rows).astype(np.float32)
        inputs["sample_weight"][rows // 2] = 0.0
    if masked:
        inputs["mask"] = random.uniform(size=lead) < 0.6
        inputs["mask"].flat[0] = True
        inputs["mask"].flat[-1] = False
    for number, (layer, options) in enumerate(spec["layers"]):
        if layer == "LSTM" and options.get("initial_state") == "given":
            for pair in range(options.get("num_layers", 1) * len(directions_of(options))):
                for part, scale in (("h", 0.5), ("c", 1.0)):
                    state = scale * random.standard_normal((rows, options["hidden_size"]))
                    inputs[f"initial_state.{number}.{pair}.{part}"] = state.astype(np.float32)
    return inputs


def draw_source(
    first: tuple[str, dict[str, Any]], rows: int, steps: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Sources for an encoder that begins with this layer, of lengths from 1 up; padded like rows."""
    lengths = random.permutation(np.linspace(1, steps, rows).round().astype(np.int64))
    padding = np.arange(steps) >= lengths[:, None]
    kind, options = first
    if kind == "Embedding":
        source = random.integers(0, options["input_dim"], (rows, steps))
        source[padding] = options["input_dim"] - 1
    else:
        source = random.standard_normal((rows, steps, options["input_shape"][-1])).astype(np.float32)
        source[padding] = 77.0
    return {"source": source, "source_lengths": lengths}


def given_states(inputs: Tensors) -> States:
    names = [name for name in inputs if name.startswith("initial_state.") and name.endswith(".h")]
    return [(inputs[name], inputs[name[:-1] + "c"]) for name in names]


def as_tensors(arrays: dict[str, np.ndarray], dtype: torch.dtype = torch.float64) -> Tensors:
    made = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in made.items()}


def write(name: str, spec: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    about = {**spec, "made_with": f"torch {torch.__version__}, numpy {np.__version__}", "seed": SEED}
    arrays = {"spec": np.array(json.dumps(about)), **arrays}
    np.savez_compressed(HERE / f"{name}.npz", allow_pickle=False, **arrays)


# --- gradient cases -------------------------------------------------------------------------------


def make_gradient_case(name: str, case: Case, random: np.random.Generator) -> None:
    layers, loss, (rows, steps, width), with_rows = case
    spec: dict[str, Any] = {
        "layers": layers,
        "loss": loss,
        "input_shape": [steps, max(width, 1)],
    }
    parameters = draw_parameters(spec, width, random)
    flags = {flag: flag in with_rows for flag in ("ragged", "weighted", "masked")}
    inputs = draw_inputs(spec, rows, steps, width, random, **flags)

    weights = {key: value.requires_grad_() for key, value in as_tensors(parameters).items()}
    tensors = as_tensors(inputs)
    states = given_states(tensors)
    for h, c in states:
        h.requires_grad_()
        c.requires_grad_()
    lengths = tensors.get("lengths")
    source = None
    for number, (kind, options) in enumerate(layers):
        if kind == "Attention":
            steps_of = next(int(flag.split()[-1]) for flag in with_rows if flag.startswith("source"))
            inputs |= draw_source(options["encoder"][0], rows, steps_of, random)
            source = as_tensors(inputs)["source"], torch.from_numpy(inputs["source_lengths"])
            before = {"layers": layers[:number]}
            x = forward(before, weights, tensors["X"], lengths)
            _, alignment = attend(options["encoder"], within(weights, f"attention_{number}"), x, source)
    output = forward(spec, weights, tensors["X"], lengths, states, source)
    loss_value = mean_loss(
        spec, output, tensors["y"], lengths, tensors.get("sample_weight"), tensors.get("mask")
    )
    loss_value.backward()

    arrays = {f"input.{key}": value for key, value in inputs.items()}
    arrays |= {f"parameter.{key}": value for key, value in parameters.items()}
    if source is not None:
        arrays["alignment"] = alignment.detach().numpy()
    arrays["output"] = output.detach().numpy()
    if lengths is not None and output.ndim == 3:
        arrays["output"][np.arange(steps) >= inputs["lengths"][:, None]] = 0.0
    arrays["loss"] = loss_value.detach().numpy()
    for key, value in weights.items():
        assert value.grad is not None, f"{name}: {key} has no gradient"
        assert value.grad.abs().max() > 0, f"{name}: {key} has a zero gradient"
        arrays[f"gradient.{key}"] = value.grad.numpy()
    for key, value in tensors.items():
        if key.startswith("initial_state."):
            assert value.grad is not None
            arrays[f"gradient.{key}"] = value.grad.numpy()
    write(name, spec, arrays)


# --- losses with targets of their own kind ------------------------------------------------------


def drawn_case(
    spec: dict[str, Any], sizes: tuple[int, int, int], with_rows: set[str], random: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Tensors, torch.Tensor, torch.Tensor]:
    """Parameters, inputs, parameters as tensors, outputs, and the lengths of the rows."""
    rows, steps, width = sizes
    parameters = draw_parameters(spec, width, random)
    flags = {flag: flag in with_rows for flag in ("ragged", "weighted", "masked")}
    inputs = draw_inputs({**spec, "loss": SQUARED}, rows, steps, width, random, **flags)
    del inputs["y"]
    weights = {key: value.requires_grad_() for key, value in as_tensors(parameters).items()}
    tensors = as_tensors(inputs)
    lengths = tensors.get("lengths")
    output = forward(spec, weights, tensors["X"], lengths)
    return parameters, inputs, weights, output, torch.full((rows,), steps) if lengths is None else lengths


def write_case(
    name: str,
    spec: dict[str, Any],
    inputs: dict[str, np.ndarray],
    parameters: dict[str, np.ndarray],
    weights: Tensors,
    loss: torch.Tensor,
) -> None:
    loss.backward()
    arrays = {f"input.{key}": value for key, value in inputs.items()}
    arrays |= {f"parameter.{key}": value for key, value in parameters.items()}
    arrays["loss"] = loss.detach().numpy()
    for key, value in weights.items():
        assert value.grad is not None, f"{name}: {key} has no gradient"
        assert value.grad.abs().max() > 0, f"{name}: {key} has a zero gradient"
        arrays[f"gradient.{key}"] = value.grad.numpy()
    write(name, spec, arrays)


def make_ctc_case(name: str, random: np.random.Generator) -> None:
    """Strings of every length that fits, the last row's as tight as its steps allow, one of them empty."""
    layers, sizes, longest, with_rows = CTC_CASES[name]
    spec = {"layers": layers, "loss": ("CTC", {"longest": longest}), "input_shape": list(sizes[1:])}
    parameters, inputs, weights, output, lengths = drawn_case(spec, sizes, with_rows, random)
    symbols = output.shape[-1] - 1
    strings = []
    for row, steps in enumerate(lengths.tolist()):
        wanted = 0 if row == 1 else min(longest, steps)
        string: list[int] = []
        for symbol in random.integers(1, symbols + 1, 99).tolist():
            needed = len(string) + 1 + sum(a == b for a, b in itertools.pairwise([*string, symbol]))
            if len(string) < wanted and needed <= steps:
                string.append(symbol)
        strings.append(string)
    assert any(a == b for string in strings for a, b in itertools.pairwise(string)), "no equal neighbours"
    inputs["string_lengths"] = np.array([len(string) for string in strings])
    inputs["strings"] = np.array([symbol for string in strings for symbol in string])

    if layers[-1][1].get("activation") == "softmax":
        log_p = output.log()
    else:
        log_p = F.log_softmax(output, dim=-1)
    terms = F.ctc_loss(
        log_p.transpose(0, 1),
        torch.from_numpy(inputs["strings"]),
        lengths,
        torch.from_numpy(inputs["string_lengths"]),
        reduction="none",
    )
    weight = torch.from_numpy(inputs.get("sample_weight", np.ones(len(terms)))).to(terms.dtype)
    loss = (weight * terms).sum() / weight.sum()
    write_case(f"ctc_{name}", spec, inputs, parameters, weights, loss)


def make_surrogate_case(name: str, random: np.random.Generator) -> None:
    layers, sizes, settings, with_rows = SURROGATE_CASES[name]
    spec = {"layers": layers, "loss": ("ClippedSurrogate", settings), "input_shape": list(sizes[1:])}
    parameters, inputs, weights, output, lengths = drawn_case(spec, sizes, with_rows, random)
    log_p = torch.log_softmax(output[..., :-1], dim=-1)
    action = random.integers(0, log_p.shape[-1], output.shape[:-1])
    chosen = log_p.gather(-1, torch.from_numpy(action)[..., None])[..., 0]
    # Ratios on both sides of the clip, advantages of both signs.
    before = (chosen.detach().numpy() + 0.3 * random.standard_normal(action.shape)).astype(np.float32)
    advantage, gain = random.standard_normal((2, *action.shape)).astype(np.float32)
    inputs["y"] = np.stack([action.astype(np.float32), before, advantage, gain], axis=-1)

    clip, value, entropy = (settings.get(k, v) for k, v in (("clip", 0.2), ("value", 0.5), ("entropy", 0.01)))
    _, then, a, g = as_tensors({"y": inputs["y"]})["y"].unbind(-1)
    ratio = torch.exp(chosen - then)
    gained = torch.minimum(ratio * a, ratio.clamp(1 - clip, 1 + clip) * a)
    spread = torch.distributions.Categorical(logits=output[..., :-1]).entropy()
    terms = -gained + value * F.mse_loss(output[..., -1], g, reduction="none") - entropy * spread
    weight = torch.ones_like(terms)
    if terms.ndim == 2:
        weight = weight * (torch.arange(terms.shape[1]) < lengths[:, None])
    for key in ("mask", "sample_weight"):
        if key in inputs:
            given = torch.from_numpy(inputs[key])
            weight = weight * given.reshape(*given.shape, *[1] * (weight.ndim - given.ndim))
    loss = (weight * terms).sum() / weight.sum()
    write_case(f"surrogate_{name}", spec, inputs, parameters, weights, loss)


# --- training cases -------------------------------------------------------------------------------

SCHEDULES: dict[str, Callable[[dict[str, Any], int], float]] = {
    "Constant": lambda o, step: o["rate"],
    "Step": lambda o, step: o["rate"] * o["factor"] ** (step // o["every"]),
    "Cosine": lambda o, step: cosine_rate(o, step),
}


def cosine_rate(options: dict[str, Any], step: int) -> float:
    """Linear warm-up to the full rate, then half a cosine down to the final rate, which then holds."""
    rate, total, final = options["rate"], options["total_steps"], options.get("final_rate", 0.0)
    warmup = options.get("warmup_steps", 0)
    if step < warmup:
        return float(rate * (step + 1) / warmup)
    part = min((step - warmup) / (total - warmup), 1.0)
    return float(final + (rate - final) * 0.5 * (1.0 + np.cos(np.pi * part)))


def make_training_case(name: str, case: dict[str, Any], random: np.random.Generator) -> None:
    kind, options = case["optimizer"]
    with_rows = case.get("with_rows", set())
    rows, steps, width = 7, 6, 3
    spec: dict[str, Any] = {
        "layers": [lstm(5, num_layers=2, **LEARNED), dense(2)],
        "loss": SQUARED,
        "input_shape": [steps, width],
        "optimizer": (kind, options),
        "batch_size": case.get("batch_size", rows),
        "epochs": TRAINING_STEPS,
    }
    parameters = draw_parameters(spec, width, random)
    flags = {flag: flag in with_rows for flag in ("ragged", "weighted", "masked")}
    inputs = draw_inputs(spec, rows, steps, width, random, **flags)
    weights = {key: value.requires_grad_() for key, value in as_tensors(parameters).items()}
    tensors = as_tensors(inputs)

    schedule, schedule_options = "Constant", {"rate": options["learning_rate"]}
    if isinstance(options["learning_rate"], tuple):
        schedule, schedule_options = options["learning_rate"]
    known = {
        "betas": (options.get("beta_1", 0.9), options.get("beta_2", 0.999)),
        "eps": options.get("epsilon", 1e-8),
        "lr": 1.0,
    }
    if kind == "AdamW":
        known["weight_decay"] = options["weight_decay"]
    optimizer = getattr(torch.optim, kind)(list(weights.values()), **known)
    average = {key: value.detach().clone() for key, value in weights.items()}

    losses, shares, rates, norms = [], [], [], []
    starts = range(0, rows, spec["batch_size"])
    for step, start in enumerate(itertools.chain.from_iterable([starts] * TRAINING_STEPS)):
        batch = {key: value[start : start + spec["batch_size"]] for key, value in tensors.items()}
        optimizer.param_groups[0]["lr"] = SCHEDULES[schedule](schedule_options, step)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        output = forward(spec, weights, batch["X"], batch.get("lengths"))
        row_weight = batch.get("sample_weight")
        loss = mean_loss(spec, output, batch["y"], batch.get("lengths"), row_weight, None)
        loss.backward()
        if "clip_norm" in options:
            norms.append(torch.nn.utils.clip_grad_norm_(list(weights.values()), options["clip_norm"]).item())
        optimizer.step()
        if "ema_decay" in options:
            decay = options["ema_decay"]
            average = {key: decay * average[key] + (1 - decay) * weights[key].detach() for key in weights}
        losses.append(loss.item())
        shares.append(len(batch["y"]) if row_weight is None else row_weight.sum().item())
    if norms:
        assert min(norms) < options["clip_norm"] < max(norms), f"{name}: clipping never begins or never ends"

    arrays = {f"input.{key}": value for key, value in inputs.items()}
    arrays |= {f"parameter.{key}": value for key, value in parameters.items()}
    arrays["losses"] = np.array(losses)
    arrays["weights"] = np.array(shares)
    arrays["rates"] = np.array(rates)
    arrays |= {f"final.{key}": value.detach().numpy() for key, value in weights.items()}
    if "ema_decay" in options:
        arrays |= {f"average.{key}": value.numpy() for key, value in average.items()}
    write(f"training_{name}", spec, arrays)


# --- sequences in pieces ------------------------------------------------------------------------


def make_streams_case(random: np.random.Generator) -> None:
    """Truncated backpropagation: three sequences in pieces, the last ones shorter, two of them only."""
    streams, rows, steps, width, epochs, rate = 3, 8, 5, 4, 3, 0.02
    spec: dict[str, Any] = {
        "layers": [lstm(6, num_layers=2, return_sequences=True), dense(2)],
        "loss": SQUARED,
        "input_shape": [steps, width],
        "optimizer": ("Adam", {"learning_rate": rate}),
        "streams": streams,
        "epochs": epochs,
    }
    parameters = draw_parameters(spec, width, random)
    inputs = {
        "X": random.standard_normal((rows, steps, width)).astype(np.float32),
        "y": random.standard_normal((rows, steps, 2)).astype(np.float32),
        "lengths": np.array([5, 5, 5, 5, 5, 4, 5, 2]),
    }
    weights = {key: value.requires_grad_() for key, value in as_tensors(parameters).items()}
    tensors = as_tensors(inputs)
    optimizer = torch.optim.Adam(list(weights.values()), lr=rate, eps=1e-8)
    losses = []
    for _ in range(epochs):
        state: list[tuple[torch.Tensor, torch.Tensor]] = []
        for first in range(0, rows, streams):
            batch = {key: value[first : first + streams] for key, value in tensors.items()}
            x, lengths, left = batch["X"], batch["lengths"], []
            for depth in range(2):
                module = torch.nn.LSTM(x.shape[-1], 6, batch_first=True, dtype=x.dtype)
                own = cell_weights(weights, f"lstm_0.{depth}.forward", "")
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                zero = x.new_zeros(streams, 6)
                h, c = state[depth] if state else (zero, zero)
                begin = (h[None, : len(x)].contiguous(), c[None, : len(x)].contiguous())
                result, (h, c) = functional_call(module, own, (packed, begin))
                x, _ = pad_packed_sequence(result, batch_first=True, total_length=steps)
                left.append((h[0].detach(), c[0].detach()))
            state = left
            optimizer.zero_grad()
            output = x @ weights["dense_1.W"] + weights["dense_1.b"]
            loss = mean_loss(spec, output, batch["y"], lengths, None, None)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    arrays = {f"input.{key}": value for key, value in inputs.items()}
    arrays |= {f"parameter.{key}": value for key, value in parameters.items()}
    arrays["losses"] = np.array(losses)
    arrays |= {f"final.{key}": value.detach().numpy() for key, value in weights.items()}
    write("streams", spec, arrays)


# --- the notebook's job ---------------------------------------------------------------------------


def notebook_windows() -> np.ndarray:
    """40 windows of 5 values of y = n (n/2) + n, rounded to two digits: [40,5]."""
    windows = []
    n = 0.0
    for _ in range(40):
        window, m = [round(n * (n / 2) + n, 2)], n
        for _ in range(4):
            m += 0.1
            window.append(round(m * (m / 2) + m, 2))
        windows.append(window)
        n += 0.1
    return np.array(windows)


def make_notebook_case(random: np.random.Generator) -> None:
    """1,000 steps in float32, one row at a time and in order, from Keras-like initial weights."""
    hidden, epochs = 50, 25
    spec: dict[str, Any] = {
        "layers": [lstm(hidden), dense(1)],
        "loss": SQUARED,
        "input_shape": [4, 1],
        "optimizer": ("Adam", {"learning_rate": 0.001}),
        "batch_size": 1,
        "epochs": epochs,
    }
    windows = notebook_windows().astype(np.float32)
    limit_w, limit_dense = (6 / (1 + 4 * hidden)) ** 0.5, (6 / (hidden + 1)) ** 0.5
    orthogonal = np.linalg.qr(random.standard_normal((4 * hidden, hidden)))[0].T
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1.0
    parameters = {
        "lstm_0.0.forward.W": random.uniform(-limit_w, limit_w, (1, 4 * hidden)).astype(np.float32),
        "lstm_0.0.forward.U": orthogonal.astype(np.float32),
        "lstm_0.0.forward.b": bias.astype(np.float32),
        "dense_1.W": random.uniform(-limit_dense, limit_dense, (hidden, 1)).astype(np.float32),
        "dense_1.b": np.zeros(1, np.float32),
    }

    def train(dtype: torch.dtype) -> tuple[np.ndarray, Tensors]:
        weights = {key: value.requires_grad_() for key, value in as_tensors(parameters, dtype).items()}
        data = torch.from_numpy(windows).to(dtype)
        optimizer = torch.optim.Adam(list(weights.values()), lr=0.001, eps=1e-8)
        losses = []
        for _ in range(epochs):
            for row in data:
                optimizer.zero_grad()
                loss = F.mse_loss(forward(spec, weights, row[None, :4, None]), row[None, 4:])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return np.array(losses), weights

    losses, weights = train(torch.float32)
    exact_losses, _ = train(torch.float64)
    print(f"notebook: float32 and float64 differ by {np.abs(losses - exact_losses).max():.1e} in loss")
    arrays = {"input.X": windows[:, :4, None], "input.y": windows[:, 4:]}
    arrays |= {f"parameter.{key}": value for key, value in parameters.items()}
    arrays["losses"] = losses.astype(np.float32)
    arrays |= {f"final.{key}": value.detach().numpy() for key, value in weights.items()}
    write("notebook", spec, arrays)


def stream(name: str) -> np.random.Generator:
    """Each case draws from a stream of its own name, so that a new case changes no other file."""
    return np.random.default_rng([SEED, *name.encode()])


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for old in HERE.glob("*.npz"):
        old.unlink()
    for name, case in GRADIENT_CASES.items():
        make_gradient_case(name, case, stream(name))
    for name, training in TRAINING_CASES.items():
        make_training_case(name, training, stream(name))
    make_streams_case(stream("streams"))
    for name in CTC_CASES:
        make_ctc_case(name, stream(f"ctc_{name}"))
    for name in SURROGATE_CASES:
        make_surrogate_case(name, stream(f"surrogate_{name}"))
    make_notebook_case(stream("notebook"))
    files = sorted(HERE.glob("*.npz"))
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
