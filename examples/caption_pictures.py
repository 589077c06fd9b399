"""What does a picture show, and where does each word look?

A captioner writes a sentence about an image; each word looks at patches of it. The pictures here are made up:
two shapes, black or grey, one above or left of the other. `caption_pictures.py FILE.png` draws where the
words of two captions looked.
"""

import sys

import numpy as np

from karusel.tasks import Captioner

SIDE, CELL = 48, 16
SHADES = {"black": 20, "grey": 130}
NAMES = ("square", "circle", "cross")
PLACES = ("above", "left of")


def shape(name, row, column, size):
    """Which pixels a shape covers."""
    y, x = np.abs(np.mgrid[:SIDE, :SIDE] - np.array([row, column])[:, None, None])
    if name == "circle":
        return x**2 + y**2 < (size + 0.5) ** 2
    square = np.maximum(x, y) < size
    return square if name == "square" else square & (np.minimum(x, y) < size / 3)


def pictures(count, seed):
    """Images [count, SIDE, SIDE], a caption of each, and in which row and column of cells its shapes are."""
    random = np.random.default_rng(seed)
    images = 235 + 6 * random.normal(size=(count, SIDE, SIDE))
    captions, places = [], np.empty((count, 2, 2), int)
    for image, cells in zip(images, places, strict=True):
        shades, names = random.choice(list(SHADES), 2), random.choice(NAMES, 2)
        cells[:] = random.integers(SIDE // CELL)
        axis = random.integers(2)
        cells[:, axis] = np.sort(random.choice(SIDE // CELL, 2, replace=False))
        for shade, name, cell in zip(shades, names, cells, strict=True):
            row, column = CELL * cell + CELL // 2 + random.integers(-1, 2, 2)
            image[shape(name, row, column, random.integers(6, 8))] = SHADES[shade]
        captions.append(f"a {shades[0]} {names[0]} {PLACES[axis]} a {shades[1]} {names[1]}")
    return images.clip(0, 255).astype(np.uint8), captions, places


model = Captioner(patch=CELL, hidden_size=64, dropout=0.5, epochs=90, learning_rate=0.003, random_state=1)
images, captions, _ = pictures(3000, seed=0)
model.fit(images, captions)
images, captions, places = pictures(100, seed=1)
found = model.predict(images)
right = np.mean([a == b for a, b in zip(found, captions, strict=True)])
print(f"{100 * right:.0f} % of 100 new pictures get their caption, such as")
for caption in found[:3]:
    print(f"  {caption}")
looks = model.attention(images)
words = np.array([[1, -2], [2, -1]])  # the shade and the name of either shape
seen = [
    look.weights[words, cells[:, 0], cells[:, 1]].max(0) for look, cells in zip(looks, places, strict=True)
]
print(f"one of a shape's two words looks at the shape itself for {100 * np.mean(seen):.0f} %")

if len(sys.argv) > 1:
    from karusel.plots import draw_attention

    shown = [next(k for k, one in enumerate(captions) if place in one) for place in PLACES]
    draw_attention(images[shown], [looks[k] for k in shown], sys.argv[1])
