"""CNN features from files, against the bare network, bare decoding and other packages, in one run.

    python benchmarks/speed/cnn.py [--only NAME ...] [--out FOLDER]

Makes its own JPEGs (seeded, with the spectrum of photographs) in a temporary folder, and networks with random weights:
needs nothing but the repository and its extra ``bench``. The environment variable ``IMAGES`` sets the number of files
of the bounds (2,000). Every record tells the device and the threads.
"""

import atexit
import os
import shutil
import statistics
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from unittest import mock

import numpy as np
from _harness import in_process, run_sections
from joblib import cpu_count
from PIL import Image

from mmfeat.image import CNNFeatures

N_IMAGES = int(os.environ.get("IMAGES", "2000"))
N_SLOW = min(160, N_IMAGES)
NETWORK = "resnet50"


# Files


@lru_cache(maxsize=1)
def folder():
    """A temporary folder, gone when the run ends."""
    path = tempfile.mkdtemp(prefix="mmfeat-cnn-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


@lru_cache(maxsize=1)
def fields(n=24, side=768):
    """Random colour fields whose amplitudes fall with frequency as those of photographs do."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    pictures = []
    for _ in range(n):
        gray, *colour = (np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) / frequency) for _ in range(3))
        channels = [gray + 0.3 * colour[0], gray, gray + 0.3 * colour[1]]
        picture = np.stack([channel / channel.std() for channel in channels], axis=-1)
        pictures.append(np.clip(118 + 52 * picture, 0, 255).astype(np.uint8))
    return pictures


def make_files(name, n, sizes):
    """Write JPEGs of quality 90; `sizes` gives (width, height) for a generator. Returns their paths."""
    rng = np.random.default_rng(1)
    target = folder() / name
    target.mkdir(exist_ok=True)
    paths = [target / f"{number}.jpg" for number in range(n)]
    for path in paths:
        width, height = sizes(rng)
        field = fields()[rng.integers(len(fields()))]
        if max(width, height) > len(field):
            field = np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))
        top, left = (rng.integers(0, have - want + 1) for have, want in zip(field.shape, (height, width), strict=False))
        if not path.exists():
            Image.fromarray(field[top : top + height, left : left + width]).save(path, quality=90)
    return [str(path) for path in paths]


def mixed(rng):
    """Sides of 224 to 640 pixels."""
    return tuple(int(side) for side in rng.integers(224, 641, 2))


def square(rng):
    """224 pixels square."""
    return 224, 224


# Measuring


def rounds(functions, repeats=3):
    """Median seconds of functions run in turn; warm-up is up to the caller, since a call may take minutes."""
    taken = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def described(**arguments):
    """A fitted CNNFeatures; that its weights are random is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CNNFeatures(**arguments).fit([np.zeros((8, 8, 3), np.uint8)])


def setting(cnn):
    """Where and how a network runs."""
    import torch

    network = cnn._network()
    where = torch.cuda.get_device_name() if network.device.startswith("cuda") else "processor"
    threads = {"torch_threads": torch.get_num_threads(), "decoding_threads": cpu_count()}
    kinds = {
        "model": str(cnn.model),
        "precision": str(network.dtype).removeprefix("torch."),
        "batch_size": cnn.batch_size,
    }
    return {**kinds, "device": where, **threads}


def cosine(one, other):
    """Smallest cosine between rows of two matrices."""
    one, other = (np.asarray(rows, np.float64) for rows in (one, other))
    return float(((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)).min())


def decode(paths, cnn):
    """Bare decoding: Pillow and the resizing of torchvision in as many threads as there are cores; returns nothing."""
    from torchvision.transforms import functional

    preset = cnn._network().preset

    def one(path):
        with Image.open(path) as picture:
            resized = functional.resize(picture.convert("RGB"), preset.resize_size, interpolation=preset.interpolation)
        np.asarray(functional.center_crop(resized, preset.crop_size))

    with ThreadPoolExecutor(cpu_count()) as threads:
        for _ in threads.map(one, paths):
            pass


def run_network(cnn, n):
    """The bare network: `n` normalised pictures that lie in the memory of the device, results left there.

    In batches of the size that is quickest, which on a processor is eight a thread.
    """
    import torch

    network = cnn._network()
    side = network.preset.crop_size[0]
    generator = torch.Generator().manual_seed(0)
    batch = cnn.batch_size if network.device != "cpu" else min(cnn.batch_size, 8 * torch.get_num_threads())
    pictures = torch.randn(batch, 3, side, side, generator=generator)
    pictures = pictures.to(network.device, network.dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for start in range(0, n, batch):
            network.module(pictures[: n - start])
        if network.device.startswith("cuda"):
            torch.cuda.synchronize()


# Sections


def bounds():
    """Files to features against the bare network plus bare decoding on the same cores, and against the network alone."""
    cnn = described(model=NETWORK, weights=None, precision="auto", device="cpu")
    results = {"setting": setting(cnn), "images": N_IMAGES}
    for name, sizes in {"224-640 pixels": mixed, "224 pixels": square}.items():
        paths = make_files(name.replace(" ", "_"), N_IMAGES, sizes)
        cnn.transform(paths[:64])
        run_network(cnn, 64)
        taken = rounds(
            {
                "files_to_features": lambda paths=paths: cnn.transform(paths),
                "network": lambda: run_network(cnn, N_IMAGES),
                "decoding": lambda paths=paths: decode(paths, cnn),
            }
        )
        results[name] = {
            "seconds": taken,
            "images_per_s": N_IMAGES / taken["files_to_features"],
            "share_of_network_and_decoding": (taken["network"] + taken["decoding"]) / taken["files_to_features"],
            "share_of_network_alone": taken["network"] / taken["files_to_features"],
        }
    return results


def plain_loop():
    """`precision="auto"` against a plain loop in float32, one picture at a time."""
    import torch
    from torchvision import models

    cnn = described(model=NETWORK, weights=None, precision="auto", device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = models.get_model(NETWORK, weights=None).eval()
    plain.fc = torch.nn.Identity()
    transforms = models.get_model_weights(NETWORK).DEFAULT.transforms()
    paths = make_files("224-640_pixels", N_SLOW, mixed)
    rows = {}

    def loop():
        with torch.no_grad():
            rows["plain"] = np.stack(
                [plain(transforms(Image.open(path).convert("RGB"))[None])[0].numpy() for path in paths]
            )

    def ours():
        rows["mmfeat"] = cnn.transform(paths)

    cnn.transform(paths[:32])
    taken = rounds({"mmfeat": ours, "plain": loop})
    exact = described(model=NETWORK, weights=None, precision="float32", device="cpu")
    again = [exact.transform(paths) for _ in range(2)]
    return {
        "setting": setting(cnn),
        "images": len(paths),
        "seconds": taken,
        "ratio": taken["plain"] / taken["mmfeat"],
        "smallest_cosine_to_float32": cosine(rows["mmfeat"], rows["plain"]),
        "float32_runs_equal_bit_for_bit": bool(np.array_equal(*again)),
        "float32_largest_difference_to_plain": float(np.abs(again[0] - rows["plain"]).max() / rows["plain"].max()),
    }


def peers():
    """embetter's TimmEncoder, and img2vec fed in batches: the same network and the same files."""
    import timm
    import torch
    from embetter.vision import ImageLoader, TimmEncoder
    from img2vec_pytorch import Img2Vec
    from torchvision import models

    paths = make_files("224-640_pixels", N_SLOW, mixed)
    batch = 32
    create = timm.create_model
    # Both download weights when they are made; random ones take as long.
    with mock.patch("timm.create_model", lambda name, pretrained, **options: create(name, pretrained=False, **options)):
        embetter = TimmEncoder(f"{NETWORK}.tv_in1k")
    embetter.model.eval()  # it leaves the network in training mode: rows of others would change a row
    with mock.patch("img2vec_pytorch.img_to_vec.resnet50", return_value=models.resnet50(weights=None)):
        img2vec = Img2Vec(model=NETWORK, layer_output_size=2048)
    torch.save(embetter.model.state_dict(), folder() / "timm.pth")
    torch.save(img2vec.model.state_dict(), folder() / "torchvision.pth")
    ours_timm = described(
        model=_headless, weights=folder() / "timm.pth", layer="global_pool", precision="auto", device="cpu"
    )
    ours = described(
        model=NETWORK, weights=folder() / "torchvision.pth", resize="squash", precision="auto", device="cpu"
    )
    rows = {}

    def run_embetter():
        rows["embetter"] = embetter.transform(ImageLoader().transform(paths))

    def run_img2vec():
        parts = [paths[start : start + batch] for start in range(0, len(paths), batch)]
        rows["img2vec"] = np.concatenate(
            [img2vec.get_vec([Image.open(path).convert("RGB") for path in part]) for part in parts]
        )

    for cnn in (ours_timm, ours):
        cnn.transform(paths[:32])
    taken = rounds(
        {
            "mmfeat, network of embetter": lambda: rows.update(timm=ours_timm.transform(paths)),
            "embetter": run_embetter,
            "mmfeat, network of img2vec": lambda: rows.update(torchvision=ours.transform(paths)),
            "img2vec": run_img2vec,
        }
    )
    return {
        "setting": setting(ours),
        "images": len(paths),
        "seconds": taken,
        "ratio_to_embetter": taken["embetter"] / taken["mmfeat, network of embetter"],
        "ratio_to_img2vec": taken["img2vec"] / taken["mmfeat, network of img2vec"],
        "smallest_cosine_to_embetter": cosine(rows["timm"], rows["embetter"]),
        "smallest_cosine_to_img2vec": cosine(rows["torchvision"], rows["img2vec"]),
    }


def _headless():
    import timm

    return timm.create_model(f"{NETWORK}.tv_in1k", pretrained=False, num_classes=0)


def device():
    """The device that "auto" takes: files to features against the slower of decoding and the network."""
    import torch

    large = torch.cuda.is_available()
    cnn = described(model=NETWORK, weights=None, precision="auto", batch_size=256 if large else 32)
    n = max(N_IMAGES, 4000) if large else N_SLOW
    paths = make_files("224-640_pixels", N_IMAGES, mixed)
    paths = (paths * (n // len(paths) + 1))[:n]
    cnn.transform(paths[: 2 * cnn.batch_size])
    run_network(cnn, 2 * cnn.batch_size)
    taken = rounds(
        {
            "files_to_features": lambda: cnn.transform(paths),
            "network": lambda: run_network(cnn, n),
            "decoding": lambda: decode(paths, cnn),
        }
    )
    rates = {name: n / value for name, value in taken.items()}
    return {
        "setting": setting(cnn),
        "images": n,
        "images_per_s": rates,
        "share_of_the_slower": rates["files_to_features"] / min(rates["network"], rates["decoding"]),
        "on": "CUDA: decoding and network overlap" if large else "processor: both take turns on the same cores",
    }


def precisions():
    """What bfloat16 gains and loses with each family of networks, random weights."""
    paths = make_files("224-640_pixels", 32, mixed)
    results = {}
    for name in ("resnet50", "vgg16", "inception_v3", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "vit_b_16"):
        exact = described(model=name, weights=None, precision="float32", batch_size=16)
        half = described(model=name, weights=None, precision="bfloat16", batch_size=16)
        rows = exact.transform(paths), half.transform(paths)
        taken = rounds({"float32": partial(run_network, exact, 32), "bfloat16": partial(run_network, half, 32)}, 5)
        results[name] = {
            "seconds": taken,
            "gain": taken["float32"] / taken["bfloat16"],
            "smallest_cosine": cosine(*rows),
        }
    return {"setting": setting(half), "networks": results}


def large_files():
    """Photographs of twelve megapixels, decoded at a fraction of their size against in full."""
    from mmfeat.image._io import load_image

    paths = make_files("large", 8, lambda rng: (4000, 3000))
    cnn = described(model=NETWORK, weights=None, precision="float32")

    def in_full():
        return [load_image(path, row) for row, path in enumerate(paths)]

    def reduced():
        return [load_image(path, row, min_size=2 * 256) for row, path in enumerate(paths)]

    taken = rounds({"reduced": reduced, "in_full": in_full})
    return {
        "seconds": taken,
        "gain": taken["in_full"] / taken["reduced"],
        "smallest_cosine_of_features": cosine(cnn.transform(paths), cnn.transform(in_full())),
    }


def memory():
    """Peak memory of a process that describes 500 pictures, and 4,000."""
    paths = make_files("224-640_pixels", 500, mixed)
    small, large = (in_process(_describe, paths, n)[1] for n in (500, 4000))
    rows = 4 * 576 * 3500
    return {
        "peak_bytes_500": small,
        "peak_bytes_4000": large,
        "of_which_result_bytes": rows,
        "growth_besides_result_bytes": large - small - rows,
    }


def _describe(paths, n):
    described(model="mobilenet_v3_small", weights=None, layer="features").transform((paths * (n // len(paths)))[:n])


def faults():
    """A thousand damaged JPEG and PNG files: a row or an error each."""
    rng = np.random.default_rng(0)
    contents = []
    for number in range(1000):
        path = folder() / f"fault.{'jpg' if number % 2 else 'png'}"
        Image.fromarray(fields()[number % len(fields())][:120, :160]).save(path)
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, len(content), rng.integers(1, 8)):
            content[place] = rng.integers(256)
        contents.append(bytes(content[: rng.integers(len(content))] if number % 3 == 0 else content))
    cnn = described(model="mobilenet_v3_small", weights=None, on_error="warn")
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = cnn.transform(contents)
    failed = {row for row, _, _ in cnn.errors_}
    missing = set(np.flatnonzero(np.isnan(rows).any(1)).tolist())
    return {
        "files": len(contents),
        "rows": len(contents) - len(missing),
        "errors": len(failed),
        "errors_are_the_rows_of_nan": failed == missing,
        "seconds": time.perf_counter() - start,
    }


SECTIONS = {
    "bounds": bounds,
    "plain_loop": plain_loop,
    "peers": peers,
    "device": device,
    "precisions": precisions,
    "large_files": large_files,
    "memory": memory,
    "faults": faults,
}

if __name__ == "__main__":
    run_sections("speed_cnn", SECTIONS, __doc__)
