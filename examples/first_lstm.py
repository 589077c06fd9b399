"""A first LSTM: the code of a teaching notebook written for Keras; only its imports are Karusel's.

The table's last column repeats the notebook's slip: it shows the value after the one that follows.
`karusel demo` does the same job with the true continuation, and outside the training range.
"""

# ruff: noqa: UP032 - the notebook's code stands as its author wrote it
import numpy as np

from karusel import LSTM, Dense, Sequential

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

data = sequences
data = np.array(data)

X = data[:, :4]
y = data[:, 4]

X = np.reshape(X, (X.shape[0], X.shape[1], 1))

model = Sequential()
model.add(LSTM(50, input_shape=(4, 1)))
model.add(Dense(1))

model.compile(loss="mean_squared_error", optimizer="adam")

model.fit(X, y, epochs=100, batch_size=1, verbose=2)

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

print("\n")

test_data = test_sequences
test_data = np.array(test_data)
test_data = np.reshape(test_data, (test_data.shape[0], test_data.shape[1], 1))
predictions = model.predict(test_data)

temp = 0

for i in range(len(sequences)):
    if sequences[i][4] < predictions[0][0]:
        temp += 1

print("-" * 72)
print("|{:^7s}|{:^30s}|{:^15s}|{:^15s}|".format("№", "Input", "Prediction", "True value"))
print("-" * 72)

for i in range(len(predictions)):
    input_sequence = test_sequences[i]
    prediction = np.round(predictions[i][0], 2)
    true_value = np.round(sequences[temp], 2)
    temp += 1

    print(
        "|{:^7.0f}|{:^30s}|{:^15.2f}|{:^15.2f}|".format(
            (i + 1), str(input_sequence), prediction, true_value[-1]
        )
    )
print("-" * 72)
