"""The notebook's data and its table, the same lines for every rival; only NumPy is needed."""

from __future__ import annotations

import numpy as np


def windows(start: float, count: int, length: int) -> list[list[float]]:
    """`count` windows of `length` values of y = n (n/2) + n, n in steps of 0.1, rounded to two digits."""
    found = []
    n = start
    for _ in range(count):
        window, m = [round(n * (n / 2) + n, 2)], n
        for _ in range(length - 1):
            m += 0.1
            window.append(round(m * (m / 2) + m, 2))
        found.append(window)
        n += 0.1
    return found


def training_data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs [40,4,1] and targets [40]."""
    data = np.array(windows(0.0, 40, 5))
    return data[:, :4].reshape(40, 4, 1), data[:, 4]


def test_data() -> np.ndarray:
    """The notebook's ten new inputs [10,4,1]."""
    return np.array(windows(1.0, 10, 4)).reshape(10, 4, 1)


def print_table(predictions: np.ndarray) -> None:
    """The notebook's table, beside the value that really follows."""
    print("-" * 72)
    print("|{:^7s}|{:^30s}|{:^15s}|{:^15s}|".format("№", "Input", "Prediction", "True value"))
    print("-" * 72)
    for number, (window, prediction) in enumerate(zip(windows(1.0, 10, 5), predictions, strict=True), 1):
        value = float(np.round(prediction[0], 2))
        print(f"|{number:^7d}|{window[:4]!s:^30s}|{value:^15.2f}|{window[4]:^15.2f}|")
    print("-" * 72)
