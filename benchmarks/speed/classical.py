"""Hand-made features against scikit-image and OpenCV, on one core each unless said otherwise.

    python benchmarks/speed/classical.py [--only NAME ...]

Rendered scenes and smoothed noise throughout.
"""

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from _harness import in_process, in_turn, run_sections
from joblib import cpu_count
from PIL import Image
from sklearn.pipeline import make_pipeline

from mmfeat.datasets import make_scenes
from mmfeat.encoding import FisherVector
from mmfeat.image import HOGFeatures, LocalDescriptors, TextureFeatures


def on_one_core(function, *arguments):
    """Run a function in a process that may use one core, so that no library can use another."""
    return in_process(_bound, function, arguments)[0]


def _bound(function, arguments):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    return function(*arguments)


def make_noise(height, width, seed=0):
    """Smoothed noise, full contrast: key points all over."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def hog():
    """500 images of 128 x 128, against skimage.feature.hog."""
    return on_one_core(_hog)


def _hog():
    from skimage.feature import hog

    rows = {}
    colours = [np.asarray(image) for image in make_scenes(500, image_size=128, random_state=0)["image"]]
    grays = [np.asarray(Image.fromarray(image).convert("L")) for image in colours]
    for name, images, options in (
        ("gray", grays, {}),
        ("gray, 2 x 2 cells, L2", grays, {"cells_per_block": (2, 2), "block_norm": "L2"}),
        ("colour", colours, {"channel_axis": -1}),
        ("gray, square roots", grays, {"transform_sqrt": True}),
    ):
        ours = HOGFeatures(**options).fit(images)
        taken = in_turn(
            {
                "mmfeat": lambda ours=ours, images=images: ours.transform(images),
                "scikit_image": lambda images=images, options=options: [hog(image, **options) for image in images],
            },
            repeats=3,
        )
        expected = np.array([hog(image, **options) for image in images[:50]])
        rows[name] = {
            **taken,
            "ratio": taken["scikit_image"] / taken["mmfeat"],
            "largest_difference": float(np.abs(ours.transform(images[:50]) - expected).max()),
        }
    return rows


def dense_sift():
    """One image of 320 x 240, step 8, one scale at a time, against cv2.SIFT.compute at the same upright key points."""
    return on_one_core(_dense_sift)


def _dense_sift():
    gray = make_noise(240, 320)
    rows = {}
    for scale in (4, 6, 8, 12, 16):
        ours = LocalDescriptors(sampling="dense", scales=(scale,), root=False, coordinates=True, n_jobs=1).fit([gray])
        bag = ours.transform([gray])[0]
        places = bag[:, -3:] * [320, 240, 320] - [0.5, 0.5, 0]
        points = [cv2.KeyPoint(*map(float, (round(x), round(y), scale / 1.5, 0))) for x, y, _ in places]
        sift = cv2.SIFT_create()
        kept, theirs = sift.compute(gray, points)
        cosines = (bag[:, :128] * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
        ours.set_params(coordinates=False).fit([gray])
        taken = in_turn(
            {
                "mmfeat": lambda ours=ours: ours.transform([gray]),
                "opencv": lambda sift=sift, points=points: sift.compute(gray, points),
            },
            repeats=51,
        )
        rows[f"{scale} pixels a bin"] = {
            **taken,
            "ratio": taken["opencv"] / taken["mmfeat"],
            "points": len(kept),
            "mean_cosine": float(cosines.mean()),
            "least_cosine": float(cosines.min()),
        }
    return rows


def keypoint_threads():
    """SIFT at key points of 200 JPEG files of 512 x 512, one thread and one a core."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _write_scenes(folder, 200, 512)
        models = {f"{n} threads": LocalDescriptors(n_jobs=n).fit(paths) for n in (1, cpu_count())}
        taken = in_turn({name: lambda model=model: model.transform(paths) for name, model in models.items()}, repeats=3)
    one, *more = taken.values()
    return {"cores": cpu_count(), "seconds": taken, "ratio": one / (more or [one])[-1]}


def _write_scenes(folder, n, size):
    paths = []
    for row, picture in enumerate(make_scenes(n, image_size=size, random_state=0)["image"]):
        paths.append(str(Path(folder) / f"{row}.jpg"))
        Image.fromarray(np.asarray(picture)).save(paths[-1], quality=90)
    return paths


def surf():
    """Repeatability of SURF's key points over 20 scenes, each shifted and blurred, and the time beside OpenCV's SIFT."""
    return on_one_core(_surf)


def _surf():
    pictures = make_scenes(20, image_size=384, random_state=0)["image"]
    grays = [np.asarray(Image.fromarray(np.asarray(picture)).convert("L")) for picture in pictures]
    rows = {}
    for name, change in {
        "shift of 7 and -4 pixels": lambda gray: _moved(gray, 7, -4),
        "shift of 5.3 and 2.6 pixels": lambda gray: _moved(gray, 5.3, 2.6),
        "blur of 0.8 pixels": lambda gray: (cv2.GaussianBlur(gray, (0, 0), 0.8), (0, 0)),
        "shift of 5.3 and 2.6 pixels, then blur of 0.8": lambda gray: _moved(gray, 5.3, 2.6, 0.8),
    }.items():
        rows[name] = float(np.mean([_repeated(gray, *change(gray)) for gray in grays]))
    ours = LocalDescriptors("surf", n_jobs=1).fit(grays)
    sift = cv2.SIFT_create()
    taken = in_turn(
        {
            "mmfeat_surf": lambda: ours.transform(grays),
            "opencv_sift": lambda: [sift.detectAndCompute(gray, None) for gray in grays],
        }
    )
    n_points = float(np.mean([len(bag) for bag in ours.transform(grays)]))
    return {"repeatability": rows, "seconds": taken, "mean_points": n_points}


def _moved(gray, right, down, blur=0):
    matrix = np.float32([[1, 0, right], [0, 1, down]])
    moved = cv2.warpAffine(gray, matrix, gray.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return (cv2.GaussianBlur(moved, (0, 0), blur) if blur else moved), (right, down)


def _repeated(gray, changed, shift):
    """Correspondences, within 1.5 pixels and a quarter of the scale, by the key points of the poorer picture."""
    model = LocalDescriptors("surf", coordinates=True, n_jobs=1).fit([gray])
    size = max(gray.shape)
    one, other = (bag[:, -3:] * size for bag in model.transform([gray, changed]))
    one[:, :2] += shift
    one, other = (
        found[(found[:, :2] > 20).all(axis=1) & (found[:, :2] < size - 20).all(axis=1)] for found in (one, other)
    )
    distances = np.linalg.norm(one[:, None, :2] - other[:, :2], axis=2)
    ratios = one[:, None, 2] / other[:, 2]
    return ((distances < 1.5) & (ratios < 1.25) & (ratios > 0.8)).any(axis=1).sum() / min(len(one), len(other))


def texture():
    """20 images of 128 x 128: patterns of three radii and 18 Gabor filters, against scikit-image."""
    return on_one_core(_texture)


def _texture():
    from skimage.feature import local_binary_pattern
    from skimage.filters import gabor

    images = [make_noise(128, 128, seed) for seed in range(20)]
    turns = np.pi * np.arange(6) / 6
    peers = {
        "patterns": (
            TextureFeatures(frequencies=()),
            lambda image: [local_binary_pattern(image, 8, radius, "nri_uniform") for radius in (1, 2, 3)],
        ),
        "gabor": (
            TextureFeatures(radii=()),
            lambda image: [gabor(image / 255, f, theta=turn) for f in (0.25, 0.125, 0.0625) for turn in turns],
        ),
    }
    rows = {}
    for name, (model, theirs) in peers.items():
        model.fit(images)
        taken = in_turn(
            {
                "mmfeat": lambda model=model: model.transform(images),
                "scikit_image": lambda theirs=theirs: [theirs(image) for image in images],
            },
            repeats=3,
        )
        rows[name] = {**taken, "ratio": taken["scikit_image"] / taken["mmfeat"]}
    return rows


def memory():
    """Peak memory of 8,000 images of 320 x 320, read from 500 files, through dense SIFT and a Fisher vector in one Pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _write_scenes(folder, 500, 320)
        (seconds, shape, bytes_of_bags), peak = in_process(_encode_many, paths * 16)
    return {
        "seconds": seconds,
        "shape": shape,
        "bytes_of_all_bags": bytes_of_bags,
        "peak_resident_bytes": peak,
        "peak_resident_gib": peak / 2**30,
    }


def _encode_many(paths):
    import time

    start = time.perf_counter()
    pipeline = make_pipeline(LocalDescriptors(sampling="dense"), FisherVector(32, n_pca=64, random_state=0))
    vectors = pipeline.fit_transform(paths)
    bag = pipeline[0].transform(paths[:1])[0]
    return time.perf_counter() - start, vectors.shape, bag.nbytes * len(paths)


SECTIONS = {
    "hog": hog,
    "dense_sift": dense_sift,
    "keypoint_threads": keypoint_threads,
    "surf": surf,
    "texture": texture,
    "memory": memory,
}


if __name__ == "__main__":
    run_sections("speed_classical", SECTIONS, __doc__)
