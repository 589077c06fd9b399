"""Ridge regression with the penalty of least generalised cross-validation (Golub, Heath and Wahba, 1979).

It needs the products of inputs and targets alone, so that rows may come in pieces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_ridge"]

_PENALTIES = np.logspace(-6, 2, 17)  # tried, as shares of the mean squared singular value
_NEGLIGIBLE = 1e-13  # of the largest squared singular value: rounding


def fit_ridge(products: NDArray[np.float64], inputs: int, rows: int) -> tuple[NDArray[np.float64], float]:
    """Weights [inputs, targets] and their cross-validation error, sum e^2 / (rows - 1 - trace)^2.

    `products` [inputs + targets] squared are those of `rows` centred rows. The eigenvalues of the inputs' own
    products are the squared singular values of the design.
    """
    squared, vectors = np.linalg.eigh(products[:inputs, :inputs])
    squared = np.maximum(squared, 0.0)
    there = squared > _NEGLIGIBLE * squared[-1]
    singular = np.sqrt(np.where(there, squared, 1.0))[:, None]
    projected = np.where(there[:, None], vectors.T @ products[:inputs, inputs:] / singular, 0.0)
    residual = max(float(np.trace(products[inputs:, inputs:]) - np.sum(projected**2)), 0.0)
    least, kept = np.inf, np.zeros((inputs, 1))
    for penalty in _PENALTIES * (float(np.mean(squared)) + 1e-300):
        shrunk = squared / (squared + penalty)
        error = residual + float(np.sum(((1 - shrunk)[:, None] * projected) ** 2))
        score = error / max(rows - 1 - float(shrunk.sum()), 1e-3) ** 2
        if score < least:
            least, kept = score, singular / (squared + penalty)[:, None]
    return np.asarray(vectors @ (kept * projected)), least
