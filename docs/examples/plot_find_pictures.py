"""
Find pictures by a sentence
===========================

Colours and shapes on one side, words on the other, and canonical correlation between them: enough to find many a
rendered picture by what is said about it, and not enough for all of them.
"""

# %%
# The data: 1,600 pictures, five captions each. The last 100 are kept for the search.
import matplotlib.pyplot as plt
from sklearn.pipeline import make_union

from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA
from mmfeat.image import ColorHistogram, HOGFeatures
from mmfeat.metrics import retrieval_scorer
from mmfeat.retrieval import EmbeddingIndex, Retriever
from mmfeat.text import tfidf_lsa

pairs = make_scenes(1600, random_state=0)
train, test = pairs[:-100], pairs[-100:]
for caption in test["text"].iloc[0]:
    print(caption)

# %%
# The model. All that is learned comes from the training table alone: the vocabulary, its weights and singular vectors,
# and the directions of the two views that correlate.
images = make_union(ColorHistogram(bins=6, joint=True, grid=2), HOGFeatures(size=(96, 96), pixels_per_cell=(12, 12)))
retriever = Retriever(images, tfidf_lsa(200, random_state=0), CCA(64, reg=1)).fit(train)

# %%
# Recall: the share of queries with a right answer among the first k, for sentences of the 100 pictures (chance at rank
# 10 is 0.1), for pictures of their 500 captions (chance is nearly the same).
for name, value in retrieval_scorer(retriever, test).items():
    print(f"{name:20s} {value:6.3f}")

# %%
# Three sentences that the model has not seen, and the five pictures that it finds for each. The frame marks the picture
# that the sentence was written for.
rows = [3, 20, 41]
sentences = [max(test["text"].iloc[row], key=len) for row in rows]
index = EmbeddingIndex(retriever.encode_image(test["image"]), ids=test.index)
scores, image_ids = index.search(retriever.encode_text(sentences), k=5)

figure, axes = plt.subplots(len(rows), 5, figsize=(9, 2.3 * len(rows)), gridspec_kw={"hspace": 0.3, "wspace": 0.05})
for row, sentence, found, score, line in zip(rows, sentences, image_ids, scores, axes, strict=True):
    line[0].set_title(sentence, loc="left", fontsize=9)
    for axis, image_id, value in zip(line, found, score, strict=True):
        axis.imshow(test.loc[image_id, "image"])
        axis.set_xlabel(f"{value:.2f}")
        axis.set_xticks([])
        axis.set_yticks([])
        right = image_id == test.index[row]
        axis.spines[:].set(color="tab:green" if right else "0.8", linewidth=4 if right else 1)
plt.show()
