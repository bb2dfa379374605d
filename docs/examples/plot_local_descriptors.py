"""
What hand-made features see
===========================

Key points, a dense grid, visual words and the cells of HOG, drawn on rendered scenes.
"""

# %%
# A scene, and a few hundred others to learn a vocabulary from.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.patches import Circle, Rectangle

from mmfeat.datasets import make_scenes
from mmfeat.encoding import BagOfWords
from mmfeat.image import HOGFeatures, LocalDescriptors

scenes = make_scenes(200, image_size=224, random_state=3)
images = [np.asarray(image) for image in scenes["image"]]
image = images[1]
print(scenes["text"].iloc[1][0])


def show(axis, title):
    axis.imshow(image)
    axis.set(title=title, xticks=[], yticks=[], xlim=(0, 223), ylim=(223, 0))


def places(bag):
    """Columns, rows and sides of the patches, in pixels, from the three last columns of a bag."""
    return bag[:, -3:] * [224, 224, 224] - [0.5, 0.5, 0]


# %%
# Key points
# ----------
# With `coordinates=True` each descriptor says where it comes from. The circles have the diameter of the patch described. SIFT and
# SURF look for blobs, ORB for corners; the strongest come first.
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for axis, kind in zip(axes, ("sift", "surf", "orb"), strict=True):
    bag = LocalDescriptors(kind, coordinates=True, max_keypoints=60).fit_transform([image])[0]
    circles = [Circle((x, y), side / 2) for x, y, side in places(bag)]
    axis.add_collection(PatchCollection(circles, facecolor="none", edgecolor="yellow", linewidth=0.8))
    show(axis, f"{kind}: the {len(bag)} strongest")
plt.show()

# %%
# A dense grid and its visual words
# ---------------------------------
# On a grid nothing is left out. Twelve visual words, learned from all scenes, name the patches: flat ground, edges of each
# direction, corners. Patches of one colour have the same word.
dense = LocalDescriptors(sampling="dense", step=8, scales=(4,), coordinates=True)
bags = dense.fit_transform(images)
words = BagOfWords(12, coordinates="layout", random_state=0).fit(bags)
grid = places(bags[1])
nearest = ((bags[1][:, None, :128] - words.vocabulary_) ** 2).sum(axis=2).argmin(axis=1)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
axes[0].scatter(grid[:, 0], grid[:, 1], s=4, color="yellow")
for x, y, side in grid[:3]:
    axes[0].add_patch(Rectangle((x - side / 2, y - side / 2), side, side, facecolor="none", edgecolor="red"))
show(axes[0], f"{len(grid)} points, three patches in red")
squares = [Rectangle((x - 4, y - 4), 8, 8) for x, y, _ in grid]
axes[1].add_collection(PatchCollection(squares, facecolor=plt.cm.tab20(nearest), alpha=0.7))
show(axes[1], "the word of each patch")
axes[2].bar(range(12), words.transform(bags[1:2])[0], color=plt.cm.tab20(range(12)))
axes[2].set(title="the bag of words", xlabel="word", ylabel="weight")
plt.show()

# %%
# The cells of HOG
# ----------------
# A histogram of orientations for each cell, here 14 by 14 of 16 pixels. Each line runs along an edge, as bright as the gradients
# across it are strong within the cell; where there is only noise, all directions are alike.
n_cells, n_orientations = 14, 9
hog = HOGFeatures(n_orientations, pixels_per_cell=(16, 16), cells_per_block=(1, 1), channel_axis=-1, size=(224, 224))
histograms = hog.fit_transform([image]).reshape(n_cells, n_cells, n_orientations)
lines, widths = [], []
for row, column, turn in np.ndindex(histograms.shape):
    angle = np.pi * (turn + 0.5) / n_orientations + np.pi / 2  # along the edge, across the gradient
    reach = 7 * np.array([np.cos(angle), np.sin(angle)])
    centre = 16 * np.array([column, row]) + 7.5
    lines.append([centre - reach, centre + reach])
    widths.append(histograms[row, column, turn])

figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
show(axes[0], "scene")
axes[1].imshow(np.zeros_like(image))
axes[1].add_collection(LineCollection(lines, colors="white", alpha=np.array(widths), linewidths=1.5))
axes[1].set(title="orientations of its edges", xticks=[], yticks=[], xlim=(0, 223), ylim=(223, 0))
plt.show()
