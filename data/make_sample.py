"""Render ``data/sample``: the layout of the 2024 Teddy Cup, problem B, filled with scenes of our own.

Run from the root of the repository; the same version of the library and of Pillow gives the same files::

    python data/make_sample.py
"""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mmfeat.datasets import make_scenes

SEED = 2024
IMAGE_SIZE = 80
QUALITY = 85
# Scenes are numbered through: training pairs, a gallery whose first half is searched for, picture queries, and texts
# without a picture.
TRAIN, GALLERY, QUERIES, EXTRA_TEXTS = range(550), range(550, 650), range(650, 700), range(700, 750)


def main(folder):
    """Write the sample into a folder, replacing what is there."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "ImageData").mkdir(parents=True)
    pairs = make_scenes(750, language="zh", image_size=IMAGE_SIZE, random_state=SEED)
    # The longest of five captions says most.
    captions = [max(texts, key=len) for texts in pairs["text"]]
    for number in (*TRAIN, *GALLERY, *QUERIES):
        Image.fromarray(pairs["image"].iloc[number]).save(
            folder / "ImageData" / image_id(number), quality=QUALITY, optimize=True
        )

    rng = np.random.default_rng(SEED)
    searched = list(GALLERY)[: len(GALLERY) // 2]
    # Numbers of texts are dealt out by lot, so that they tell nothing of the pictures.
    words = dict(
        zip(
            (*searched, *QUERIES, *EXTRA_TEXTS),
            rng.permutation(len(searched) + len(QUERIES) + len(EXTRA_TEXTS)),
            strict=True,
        )
    )
    text_ids = {number: f"Word-{1000000001 + int(place)}" for number, place in words.items()}

    def texts(numbers):
        return sorted((text_ids[number], captions[number]) for number in numbers)

    # The byte order mark is what spreadsheets write.
    write(
        folder / "ImageWordData.csv", ("image_id", "caption"), [(image_id(i), captions[i]) for i in TRAIN], "utf-8-sig"
    )
    write(folder / "word_test.csv", ("text_id", "caption"), texts(searched))
    write(folder / "image_data.csv", ("image_id",), [(image_id(i),) for i in rng.permutation(GALLERY)])
    write(folder / "image_test.csv", ("image_id",), [(image_id(i),) for i in QUERIES])
    write(folder / "word_data.csv", ("text_id", "caption"), texts((*QUERIES, *EXTRA_TEXTS)))
    write(
        folder / "truth.csv", ("text_id", "image_id"), sorted((text_ids[i], image_id(i)) for i in (*searched, *QUERIES))
    )


def image_id(number):
    """Name of the file of a scene."""
    return f"Image00000-{int(number) + 1:04d}.jpg"


def write(path, header, rows, encoding="utf-8"):
    """Write one CSV table."""
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "sample")
