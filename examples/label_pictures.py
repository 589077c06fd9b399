"""Which pixels are sky, hill, water, or the sun?

A labeller gives each pixel of an image a label: LSTMs sweep down, up, right and left over patches, so that
every patch knows what lies above, below and beside it. The pictures here are made up so that this is needed:
water has nearly the colour of the sky. `label_pictures.py FILE.png` draws one of them.
"""

import sys

import numpy as np

from karusel.tasks import Labeller

NAMES = np.array(["sky", "sun", "hill", "water"])
ROWS, COLUMNS = 48, 64


def pictures(count, seed):
    """Images [count, ROWS, COLUMNS, 3] and the number of each pixel's name."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:ROWS, :COLUMNS]
    images, labels = np.zeros((count, ROWS, COLUMNS, 3)), np.zeros((count, ROWS, COLUMNS), int)
    for image, label in zip(images, labels, strict=True):
        shore = random.uniform(28, 40)
        hills = shore - 6 - 5 * np.sin(column / random.uniform(4, 9) + random.uniform(0, 6))
        hills -= random.uniform(0, 8)
        sun = (row - random.uniform(4, 14)) ** 2 + (column - random.uniform(8, 56)) ** 2 < random.uniform(
            9, 25
        )
        label[sun] = 1
        label[(row > hills) & (row <= shore)] = 2
        label[row > shore] = 3
        light = random.uniform(0.7, 1.0)
        colours = np.array([[120, 170, 230], [250, 220, 120], [90, 120, 70], [115, 165, 225]])
        image[:] = light * colours[label] + 18 * random.normal(size=(ROWS, COLUMNS, 3))
    return images.clip(0, 255).astype(np.uint8), labels


X, y = pictures(150, seed=0)
model = Labeller(kind="images", hidden_size=24, epochs=25).fit(X, NAMES[y])
X, y = pictures(50, seed=1)
print(f"{100 * model.score(X, NAMES[y]):.1f} % of the pixels of 50 new pictures get their label")
print(f"mean IoU {model.score(X, NAMES[y], 'mean_iou'):.3f}")
found = model.predict(X[:1])[0]
for line in found[::6, ::3]:
    print(" ".join(name[:1] for name in line))

if len(sys.argv) > 1:
    from matplotlib import pyplot

    shades = np.array([[158, 202, 225], [253, 208, 96], [116, 160, 90], [49, 110, 170]], np.uint8)
    number = np.searchsorted(np.sort(NAMES), found)
    drawn = shades[np.argsort(NAMES)][number]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.imshow(X[0])
    left.set_title("a picture that it has not seen")
    right.imshow(drawn)
    right.set_title("what it says each pixel is")
    for axes in (left, right):
        axes.axis("off")
    for name, shade in zip(NAMES, shades / 255, strict=True):
        right.plot([], [], "s", color=shade, label=name)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(sys.argv[1], dpi=110)
