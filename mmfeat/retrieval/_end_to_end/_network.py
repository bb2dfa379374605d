"""The network of an end-to-end training: without its classifier, as torch to train and as numpy to keep."""

from dataclasses import replace
from math import ceil

from mmfeat.fusion._learning._heads import LayersHead
from mmfeat.image._architecture import Preset, check_model, construct, is_timm, model_name, preset_of
from mmfeat.image._crops import factors, normalise
from mmfeat.image._cut import head_name, probe
from mmfeat.image._pool import pool, pooled_width
from mmfeat.image._weights import digest, find_weights, load_weights, published, read_weights
from mmfeat.retrieval._end_to_end._random import seeded

# Of the layers with weights: in a ResNet about its last stage.
_LAST = 0.25
_AUXILIARY = ("AuxLogits", "aux1", "aux2")


def open_network(model, weights, image_size, seed, *, verbose=False):
    """Build a network with its weights and without its classifier.

    Parameters
    ----------
    model : str or callable
        Name of a network of torchvision, or of timm after ``"timm/"``; or a function that returns one, whose output is used
        as it is.
    weights : str, os.PathLike or None
        Names of weights, a file, or None for a random network.
    image_size : int or None
        Side of the pictures; None is that of the weights.
    seed : int
        Of random weights.
    verbose : bool, default=False
        Show the progress of a download.

    Returns
    -------
    network : torch.nn.Module
    preset : Preset
    weights_digest : str or None
        Of the file of weights.

    Raises
    ------
    ValueError
        If the model or the weights are unknown, or do not fit.
    OSError
        If weights cannot be downloaded.
    """
    check_model(model)
    path = find_weights(model, weights, verbose=verbose)
    with seeded(seed):
        network = _filled(model, weights, path)
    preset = preset_of(network, published(model, weights, fallback=True))
    if image_size is not None:
        preset = replace(preset, crop_size=[image_size], resize_size=[image_size])
    return without_classifier(network, model), preset, digest(path)


class ImageTower:
    """A network, of which some layers are trained, and a linear head on the mean of what it gives.

    Parameters
    ----------
    network : torch.nn.Module
        Without its classifier.
    preset : Preset
    trainable : {"none", "last", "all"}
    fixed : bool
        Whether batch norms that are trained keep their statistics, and learn factors and summands alone.
    n_components : int
    generator : torch.Generator
        Of the head.
    device : str

    Raises
    ------
    ValueError
        If the network cannot take pictures of that size, or gives no features.
    """

    def __init__(self, network, preset, trainable, fixed, n_components, generator, device):
        import torch

        self.preset, self.trainable, self.fixed, self.device = preset, trainable, fixed, device
        self.network = network.to(device=device, memory_format=torch.channels_last).requires_grad_(False)
        self.layers = _trained_layers(network, trainable)
        self.factors = factors(preset, device)
        self.evaluate()
        self.width = self._probe()
        self.head = LayersHead(self.width, (n_components,), "relu", generator, device)
        self.n_components = n_components
        for part in self.weights():
            part.requires_grad_()

    def weights(self):
        """Tensors of the network that are trained."""
        return [part for layer in self.layers.values() for part in layer.parameters(recurse=False)]

    def statistics(self):
        """Tensors of the network that training changes without a gradient: those of its trained batch norms."""
        return [part for layer in self.layers.values() for part in layer.buffers(recurse=False)]

    def parameters(self):
        """All tensors that training changes, in a fixed order."""
        return [*self.weights(), *self.statistics(), *self.head.parameters()]

    def train(self):
        """Let the layers that are trained, and no others, behave as in training."""
        from torch.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d

        self.network.train(self.trainable == "all")
        for layer in self.layers.values():
            layer.training = not (self.fixed and isinstance(layer, (BatchNorm1d, BatchNorm2d, BatchNorm3d)))

    def evaluate(self):
        """Let all layers behave as in use."""
        self.network.eval()

    def __call__(self, crops, dropout, noise):
        """Rows of the common space of 8-bit pictures of shape (n, side, side, 3)."""
        import torch
        from torch.nn.functional import layer_norm

        features = pool(self.network(normalise(crops, self.factors, torch.float32)), "avg")
        # Networks differ in the size of what they give; the head is to meet one.
        return self.head(layer_norm(features, (self.width,)), dropout, noise)

    def export(self, model):
        """Everything as plain values and numpy arrays: what :func:`rebuild` takes."""
        preset = self.preset
        return {
            "model": model,
            "side": preset.crop_size[0],
            "resized": preset.resize_size[0],
            "mean": [float(value) for value in preset.mean],
            "std": [float(value) for value in preset.std],
            "interpolation": preset.interpolation.name,
            "network": {name: part.detach().cpu().numpy().copy() for name, part in self.network.state_dict().items()},
            "head": self.head.export(),
        }

    def _probe(self):
        import torch

        side = self.preset.crop_size[0]
        inputs = torch.zeros(1, 3, side, side, device=self.device)
        try:
            (shape,) = probe(lambda batch: {"output": self.network(batch)}, ["output"], inputs)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"The network cannot take pictures of {side}x{side} pixels ({reason}). Set `image_size` to what it takes."
            ) from error
        return pooled_width(shape, "avg")


def rebuild(tower, device):
    """Build a trained tower from what :meth:`ImageTower.export` gave.

    Parameters
    ----------
    tower : dict
    device : str

    Returns
    -------
    tower : ImageTower
        In evaluation mode; nothing of it is trained.
    """
    import torch
    from torchvision.transforms import InterpolationMode

    with seeded(0):
        network = without_classifier(construct(tower["model"], init_weights=False), tower["model"])
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tower["network"].items()})
    preset = Preset(
        [tower["side"]], [tower["resized"]], tower["mean"], tower["std"], InterpolationMode[tower["interpolation"]]
    )
    parameters = tower["head"]["parameters"]
    built = ImageTower(network, preset, "none", True, parameters[-1].shape[0], torch.Generator(), device)
    with torch.no_grad():
        for part, value in zip(built.head.parameters(), parameters, strict=True):
            part.copy_(torch.from_numpy(value))
    return built


def _filled(model, weights, path):
    if path is None:
        return construct(model, pretrained=is_timm(model) and weights is not None)
    state = read_weights(path)
    network = construct(model, init_weights=False)
    if not callable(model):
        name = f"{head_name(network)}.weight"
        stored = state.get(name, state.get("module." + name))
        if stored is not None and stored.ndim > 0 and len(stored) != len(network.get_parameter(name)):
            network = construct(model, init_weights=False, num_classes=len(stored))  # tuned for other classes
    load_weights(network, state, path, model_name(model))
    return network


def without_classifier(network, model):
    """Put nothing in the place of the last layer of a named network; its auxiliary classifiers go, too."""
    from torch import nn

    if callable(model):
        return network
    network.set_submodule(head_name(network), nn.Identity())
    for name in _AUXILIARY:
        if isinstance(getattr(network, name, None), nn.Module):
            setattr(network, name, None)
            network.aux_logits = False
    return network


def _trained_layers(network, trainable):
    """Modules with weights or statistics of their own that are trained, by name, in the order they were made."""
    layers = {
        name: part
        for name, part in network.named_modules()
        if [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    }
    count = {"none": 0, "last": ceil(_LAST * len(layers)), "all": len(layers)}[trainable]
    return dict(list(layers.items())[len(layers) - count :])
