"""
Look into a linear fusion
=========================

What the ridge does, how many components are real, and which words and which part of a picture speak for a pair.
"""

# %%
# The data: 1,200 rendered pictures, three captions each; the last 300 are held out. The encoders are fitted once, so that
# only the fusion changes below.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_union

from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA, PLS, permutation_test
from mmfeat.image import ColorHistogram, HOGFeatures
from mmfeat.metrics import recall_at_k
from mmfeat.retrieval import Retriever, explain_pair
from mmfeat.text import tfidf_lsa

pairs = make_scenes(1200, captions_per_image=3, random_state=0)
train, test = pairs[:900], pairs[900:]
hog = HOGFeatures(size=(96, 96), pixels_per_cell=(12, 12))
images = make_union(ColorHistogram(bins=6, joint=True, grid=2), hog)
retriever = Retriever(images, tfidf_lsa(120, ngram_range=(1, 1), random_state=0), CCA(64, reg=1)).fit(train)


def encode(table):
    captions = [caption for group in table["text"] for caption in group]
    owner = np.repeat(np.arange(len(table)), 3)
    return retriever.image_encoder_.transform(table["image"])[owner], retriever.text_encoder_.transform(captions), owner


X, Y, owner = encode(train)
X_new, Y_new, owner_new = encode(test)

# %%
# The ridge
# ---------
# Without enough ridge the training rows correlate nearly perfectly, which says nothing: on new rows the correlations are
# gone. A larger ridge gives up correlation on the training rows for correlation on the others; too large a one leaves PLS.


def correlations(fusion, x, y):
    a, b = fusion.transform(x), fusion.transform_y(y)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)


def recall(fusion):
    """Share of held-out sentences whose picture is among the first ten of 300."""
    a, b = fusion.transform(X_new[::3]), fusion.transform_y(Y_new)
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    return recall_at_k(b @ a.T, k=10, positions=owner_new)


ridges = [1e-3, 1e-2, 0.1, 0.3, 1, 3, 10, 100]
fusions = {reg: CCA(64, reg=reg).fit(X, Y, groups=owner) for reg in ridges}
recalls = [recall(fusion) for fusion in fusions.values()]
recall_of_pls = recall(PLS(64).fit(X, Y, groups=owner))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for reg, color in ((1e-3, "tab:red"), (1, "tab:blue"), (100, "tab:green")):
    left.plot(correlations(fusions[reg], X, Y), "--", color=color, lw=1)
    left.plot(correlations(fusions[reg], X_new, Y_new), color=color, label=f"reg={reg:g}")
left.axhline(0, color="0.7", lw=0.8)
left.set(xlabel="component", ylabel="correlation", title="training (dashed) and held-out rows", ylim=(-0.2, 1.25))
left.legend(loc="upper center", ncols=3)
right.semilogx(ridges, recalls, "o-", label="CCA")
right.axhline(recall_of_pls, color="0.5", ls="--", label="PLS")
right.axhline(10 / 300, color="0.8", ls=":", label="chance")
right.set(xlabel="reg", ylabel="recall at 10", title="held-out sentences look for pictures", ylim=(0, None))
right.legend()
plt.show()

# %%
# How many components are real?
# -----------------------------
# The test breaks the pairs again and again: the captions of one picture move together to another one. A component is real
# where the observed correlation lies above what chance reaches. Compare the held-out correlations above: they fade at about the
# same number.
test_result = permutation_test(CCA(48, reg=1), X, Y, groups=owner, n_permutations=99, random_state=0)
n_real = int((test_result.p_values <= 0.05).sum())
print(f"{n_real} of 48 components are significant at 5 %")

figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
components = np.arange(1, 49)
low, high = np.quantile(test_result.null_distribution, [0.05, 0.95], axis=0)
axis.fill_between(components, low, high, color="0.85", label="pairs broken, 5 to 95 %")
axis.plot(components, test_result.statistics, "o-", ms=3, label="pairs as they are")
axis.axvline(n_real + 0.5, color="tab:red", lw=1, label="last significant one")
axis.set(xlabel="component", ylabel="canonical correlation", ylim=(0, None))
axis.legend()
plt.show()

# %%
# Why this pair?
# --------------
# The cosine of a held-out picture and its longest caption, taken apart. Each of the three tables sums up to it.
row = test["text"].map(lambda captions: max(map(len, captions))).argmax()
image, sentence = test["image"].iloc[row], max(test["text"].iloc[row], key=len)
print(sentence, end="\n\n")
print(explain_pair(retriever, image, sentence, top=8))

# %%
# All features of the picture, not only the strongest: those of the gradients have a place, so their contributions can be laid
# over it. Red speaks for the sentence, blue against it. The words beside are coloured alike.
explanation = explain_pair(retriever, image, sentence, top=None)
shares = dict(zip(explanation.x_features.names, explanation.x_features.contributions, strict=True))
cells = np.zeros((8, 8))
for name, share in shares.items():
    if name.startswith("hogfeatures__"):
        block_row, block_column, cell_row, cell_column, _ = map(int, name.split("_hog_")[1].split("_"))
        cells[block_row + cell_row, block_column + cell_column] += share
print(f"shape {cells.sum():+.3f}, colour {sum(shares.values()) - cells.sum():+.3f}, cosine {explanation.cosine:+.3f}")

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
axes[0].imshow(image)
axes[1].imshow(image)
bound = np.abs(cells).max()
axes[1].imshow(cells, extent=(-0.5, 95.5, 95.5, -0.5), cmap="bwr", vmin=-bound, vmax=bound, alpha=0.6)
axes[0].set_title("picture")
axes[1].set_title("shape speaks")
for axis in axes[:2]:
    axis.set_axis_off()
words, values = explanation.y_features.names[:12], explanation.y_features.contributions[:12]
axes[2].barh(words[::-1], values[::-1], color=np.where(values[::-1] > 0, "tab:red", "tab:blue"))
axes[2].set(title="words speak", xlabel="part of the cosine")
figure.suptitle(sentence, fontsize=10)
plt.show()
