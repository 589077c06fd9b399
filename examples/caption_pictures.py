"""What does a picture show, and where does each word look?

A captioner writes a sentence about an image; each word looks at patches of it. The pictures here are made up:
two shapes, each bright or dark, beside or above one another. `caption_pictures.py FILE.png` draws where the
words of some captions looked.
"""

import sys

import numpy as np

from karusel.tasks import Captioner

SIDE = 32
LIGHT = {"dark": 30, "bright": 240}
NAMES = ("square", "circle", "cross")
PLACES = {"left of": ((16, 8), (16, 24)), "above": ((8, 16), (24, 16))}


def shape(name, row, column, size):
    """Which pixels a shape covers."""
    y, x = np.abs(np.mgrid[:SIDE, :SIDE] - np.array([row, column])[:, None, None])
    if name == "square":
        return np.maximum(x, y) < size
    if name == "circle":
        return x**2 + y**2 < (size + 0.7) ** 2
    return np.minimum(x, y) < size / 3


def pictures(count, seed):
    """Images [count, SIDE, SIDE] and a caption of each."""
    random = np.random.default_rng(seed)
    images = 130 + 6 * random.normal(size=(count, SIDE, SIDE))
    captions = []
    for image in images:
        lights, names = random.choice(list(LIGHT), 2), random.choice(NAMES, 2)
        place = str(random.choice(list(PLACES)))
        for light, name, (row, column) in zip(lights, names, PLACES[place], strict=True):
            at, size = (row, column) + random.integers(-2, 3, 2), random.integers(4, 6)
            y, x = np.abs(np.mgrid[:SIDE, :SIDE] - at[:, None, None])
            inside = shape(name, *at, size) & (np.maximum(x, y) < size + 1)
            image[inside] = LIGHT[light]
        captions.append(f"a {lights[0]} {names[0]} {place} a {lights[1]} {names[1]}")
    return images.clip(0, 255).astype(np.uint8), captions


model = Captioner(patch=4, hidden_size=32, dropout=0.1, epochs=40, learning_rate=0.01)
model.fit(*pictures(800, seed=0))
images, captions = pictures(100, seed=1)
found = model.predict(images)
right = np.mean([a == b for a, b in zip(found, captions, strict=True)])
print(f"{100 * right:.0f} % of 100 new pictures get their caption, such as")
for caption in found[:3]:
    print(f"  {caption}")
