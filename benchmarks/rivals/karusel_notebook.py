"""The notebook's job in Karusel: the Keras script with its import lines changed."""

from __future__ import annotations

import job

from karusel import LSTM, Dense, Sequential

X, y = job.training_data()
model = Sequential()
model.add(LSTM(50, input_shape=(4, 1)))
model.add(Dense(1))
model.compile(loss="mean_squared_error", optimizer="adam")
model.fit(X, y, epochs=100, batch_size=1, verbose=2)
job.print_table(model.predict(job.test_data()))
