"""A teaching notebook written for Keras runs with only its import lines changed."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

# The three cells as the notebook has them.
DATA = """\
sequences = []
n = 0.0

for _ in range(40):
    sequence = [round(n * (n / 2) + n, 2)]
    m = n

    for _ in range(4):
        m += 0.1
        sequence.append(round(m * (m / 2) + m, 2))

    sequences.append(sequence)
    n += 0.1

for sequence in sequences:
    print(sequence)
"""

NETWORK = """\
from keras.models import Sequential
from keras.layers import LSTM, Dense
import numpy as np

# Создание примера данных для обучения LSTM
data = sequences
data = np.array(data)

# Разделение данных на входные и выходные последовательности
X = data[:, :4]  # входные последовательности
y = data[:, 4]   # выходная последовательность

# Преобразование данных в требуемый формат для LSTM
X = np.reshape(X, (X.shape[0], X.shape[1], 1))

# Создание модели LSTM
model = Sequential()
model.add(LSTM(50, input_shape=(4, 1)))
model.add(Dense(1))

# Компиляция модели
model.compile(loss='mean_squared_error', optimizer='adam')

# Обучение модели
model.fit(X, y, epochs=100, batch_size=1, verbose=2)

# Пример использования обученной модели для предсказания
test_sequences = []
n = 1

for _ in range(10):
    test_sequence = [round(n * (n / 2) + n, 2)]
    m = n

    for _ in range(3):
        m += 0.1
        test_sequence.append(round(m * (m / 2) + m, 2))

    test_sequences.append(test_sequence)
    n += 0.1

print("\\n")

test_data = test_sequences
test_data = np.array(test_data)
test_data = np.reshape(test_data, (test_data.shape[0], test_data.shape[1], 1))
predictions = model.predict(test_data)
"""

TABLE = """\
# Вывод предсказаний

temp = 0

for i in range(len(sequences)):
    if (sequences[i][4] < predictions[0][0]):
        temp += 1

# Заголовки столбцов
print('-' * 72)
print("|{:^7s}|{:^30s}|{:^15s}|{:^15s}|".format("№", "Input", "Prediction", "True value"))
print('-' * 72)

# Вывод значений
for i in range(len(predictions)):
    input_sequence = test_sequences[i]
    prediction = np.round(predictions[i][0], 2)
    true_value = np.round(sequences[temp], 2)
    temp += 1

    print("|{:^7.0f}|{:^30s}|{:^15.2f}|{:^15.2f}|".format((i+1), str(input_sequence), prediction, true_value[-1]))
print('-' * 72)
"""  # noqa: E501

IMPORTS = {
    "from keras.models import Sequential": "from karusel import Sequential",
    "from keras.layers import LSTM, Dense": "from karusel import LSTM, Dense",
}


@pytest.fixture(scope="module")
def printed():
    """What each cell printed, and the variables at the end."""
    namespace = {"__name__": "__main__"}
    outputs = []
    for cell in (DATA, NETWORK, TABLE):
        code = "\n".join(IMPORTS.get(line, line) for line in cell.splitlines())
        assert "keras" not in code
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, namespace)
        outputs.append(out.getvalue())
    return outputs, namespace


def test_the_data_are_printed(printed):
    lines = printed[0][0].splitlines()
    assert len(lines) == 40
    assert lines[0] == "[0.0, 0.11, 0.22, 0.35, 0.48]"
    assert lines[10] == "[1.5, 1.7, 1.92, 2.15, 2.38]"


def test_the_log_has_keras_two_lines_for_each_epoch(printed):
    lines = printed[0][1].splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == [f"Epoch {k}/100" for k in range(1, 101)]
    pattern = r"40/40 - \d+s - loss: (\d+\.\d{4}) - \d+ms/epoch - [\d.]+ms/step"
    losses = [float(found[1]) for line in lines if (found := re.fullmatch(pattern, line))]
    assert len(losses) == 100
    assert losses[0] > 10
    assert max(losses[-3:]) < 0.1
    assert len(lines) == 2 * 100 + 2  # the cell ends with an empty print of its own


def test_the_table_has_ten_rows_with_good_predictions(printed):
    outputs, namespace = printed
    rule, head, _, *rows, last = outputs[2].splitlines()
    assert rule == last == "-" * 72
    assert head == "|   №   |            Input             |  Prediction   |  True value   |"
    assert len(rows) == 10
    assert {len(row) for row in rows} == {72}
    assert rows[0].startswith("|   1   |   [1.5, 1.71, 1.92, 2.15]    |")
    assert namespace["predictions"].shape == (10, 1)
    for row, window in zip(rows, namespace["test_sequences"], strict=True):
        n = window[-1]  # y = n(n/2) + n, solved for n, then a step on
        n = (1 + 2 * n) ** 0.5 - 1 + 0.1
        assert float(row.split("|")[3]) == pytest.approx(n * n / 2 + n, abs=0.1)
