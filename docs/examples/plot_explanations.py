"""
Which part of the picture, which of the words
=============================================

A retriever says that a picture and a sentence belong together; a classifier says that a post is glad or sad. Heat maps show
which part of the picture spoke for that, and where the model is linear the words can be told off one by one.
"""

# %%
# A small network of one's own, trained on rendered scenes to tell which colours the things in a picture have: from the
# colours that captions would name, never from where the things stand. ``pretrained_cfg`` says what pictures it takes.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA
from mmfeat.image import CNNFeatures, draw_heat_map
from mmfeat.multimodal import PairFeatures, class_heat_maps, word_contributions
from mmfeat.retrieval import Retriever, explain_pair, pair_heat_maps
from mmfeat.text import tfidf_lsa

COLOURS = ["black", "blue", "brown", "green", "orange", "pink", "purple", "red", "white", "yellow"]


class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        parts = []
        for n_in, n_out, side, stride in ((3, 16, 3, 2), (16, 24, 3, 2), (24, 32, 1, 1)):
            parts += [nn.Conv2d(n_in, n_out, side, stride, side // 2, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.body = nn.Sequential(*parts)
        self.head = nn.Linear(32, len(COLOURS))
        self.pretrained_cfg = {"input_size": (3, 48, 48), "crop_pct": 1.0, "interpolation": "bilinear"}
        self.pretrained_cfg |= {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

    def forward(self, pictures):
        maps = self.body(pictures).clamp(min=1e-6)
        return self.head(maps.pow(3).mean((2, 3)).pow(1 / 3))


train = make_scenes(800, image_size=48, captions_per_image=3, random_state=1)
pixels = torch.tensor(np.stack(train["image"].to_list())).permute(0, 3, 1, 2).float().sub(127.5).div(63.75)
drawn = [{group["colour"] for group in train.attrs["scenes"][name]["groups"]} for name in train.index]
labels = torch.tensor([[float(colour in colours) for colour in COLOURS] for colours in drawn])

torch.manual_seed(0)
network = Colours()
optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, epochs=8, steps_per_epoch=25)
for _ in range(8):
    for batch in torch.randperm(800).split(32):
        loss = nn.functional.binary_cross_entropy_with_logits(network(pixels[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
folder = tempfile.TemporaryDirectory()
weights = Path(folder.name) / "colours.pth"
torch.save(network.state_dict(), weights)

# %%
# The network as image encoder of a retriever, and the maps of its last convolution weighted by what they do for the cosine
# of the picture and a sentence: Grad-CAM. Another sentence about the same picture looks elsewhere.
cnn = CNNFeatures(Colours, weights, layer="body", pooling="gem")
retriever = Retriever(cnn, tfidf_lsa(100, random_state=0), CCA(24, reg=1.0)).fit(train)

test = make_scenes(40, image_size=96, captions_per_image=1, random_state=2)
pictures, sentences = [], []
for name, picture in zip(test.index, test["image"], strict=True):
    groups = test.attrs["scenes"][name]["groups"]
    if len({group["colour"] for group in groups}) == 2 and len(pictures) < 8:
        pictures += [picture] * 2
        sentences += [f"the {group['colour']} {group['kind']}" for group in groups]
heat_maps = pair_heat_maps(retriever, pictures, sentences)

figure, axes = plt.subplots(3, 4, figsize=(9, 7), layout="constrained")
for column in range(4):
    axes[0, column].imshow(pictures[2 * column])
    axes[0, column].set_axis_off()
    for row in range(2):
        place = 2 * column + row
        draw_heat_map(pictures[place], heat_maps[place], ax=axes[row + 1, column], title=sentences[place])
plt.show()

# %%
# The other half of the same pair: the words, as an exact sum.
print(explain_pair(retriever, pictures[0], sentences[0], top=4))

# %%
# Posts whose mood stands in the light of the picture or in the words, or in both. Early fusion and a linear classifier: its
# decision is an intercept, what the picture adds, and what each word adds.
posts = make_scenes(400, image_size=48, captions_per_image=1, task="sentiment", random_state=3)
features = PairFeatures(cnn, TfidfVectorizer(sublinear_tf=True), normalize="l2", weights=(1, 2))
model = make_pipeline(features, LogisticRegression(C=100, max_iter=2000)).fit(posts[:300], posts["label"][:300])
print(f"accuracy {model.score(posts[300:], posts['label'][300:]):.2f}, ceilings {dict(posts.attrs['ceilings'])}")
post = posts.iloc[301]
print(post["text"][0], "-", post["label"])
decision = word_contributions(model, post["text"], post["image"], target="positive", top=6)
print(decision)

# %%
# Drawn beside the part of the picture that speaks for the class (red) and against it (blue).
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
heat = class_heat_maps(model, posts.iloc[301:302], "positive", signed=True)[0]
draw_heat_map(post["image"], heat, ax=left, title=f"the picture {decision.picture:+.2f}")
contributions = decision.words.contributions[::-1]
right.barh(decision.words.names[::-1], contributions, color=np.where(contributions > 0, "tab:red", "tab:blue"))
right.set_title("the words")
plt.show()
