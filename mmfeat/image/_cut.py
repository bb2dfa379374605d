"""Networks cut at their layers: by tracing, or by hooks where a network cannot be traced."""

import threading

from mmfeat.image._fold import fold_batch_norm
from mmfeat.image._weights import near_matches

_UNTRACEABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
_INPUT = ":input"


class SameOutputError(ValueError):
    """Two names of one output; `first` is the one that was given first."""

    def __init__(self, message, first):
        super().__init__(message, first)
        self.first = first

    def __str__(self):
        return self.args[0]


def extract_layers(module, model, layers):
    """Cut a network at some of its layers.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode.
    model : str
        What messages call it.
    layers : str, tuple of str or None
        Names of nodes or modules; None is the input of the last linear or convolution layer.

    Returns
    -------
    extractor : torch.fx.GraphModule or callable
        From a batch to a dict of name and output. A graph where the network can be traced.
    names : tuple of str
        Of the layers, in order.

    Raises
    ------
    ValueError
        If a layer is unknown, or two name one output.
    """
    from torchvision.models.feature_extraction import get_graph_node_names

    try:
        known = get_graph_node_names(module, suppress_diff_warning=True)[1]
    except _UNTRACEABLE:  # what the code of a network does with the stand-ins of tracing is anybody's guess
        # The attempt leaves the network in training mode.
        return _hook_layers(module.eval(), model, layers)
    nodes = find_nodes(module, model, layers, known)
    return cut(module, nodes), tuple(nodes.values())


def find_nodes(module, model, layers, known):
    """Map the nodes of the graph that are wanted to the names they were asked for by.

    Parameters
    ----------
    module : torch.nn.Module
    model : str
    layers : str, tuple of str or None
    known : list of str
        Nodes of the graph, in order.

    Returns
    -------
    nodes : dict of str to str

    Raises
    ------
    ValueError
        As :func:`extract_layers`.
    """
    if layers is None:
        node = _input_of_head(module, model, known)
        return {node: node}
    nodes: dict = {}
    for name in (layers,) if isinstance(layers, str) else layers:
        inside = [node for node in known if node == name or node.startswith(f"{name}.")]
        if not inside:
            modules = {node.rsplit(".", depth)[0] for node in known for depth in range(node.count(".") + 1)}
            raise _unknown(name, model, sorted(modules), known)
        if inside[-1] in nodes:
            raise _twice(model, nodes[inside[-1]], name)
        nodes[inside[-1]] = name
    return nodes


def cut(module, nodes):
    """Return a graph of the network up to some nodes, batch norms folded into the convolutions before them."""
    from torchvision.models.feature_extraction import create_feature_extractor

    extractor = create_feature_extractor(module, return_nodes=dict(nodes), suppress_diff_warning=True).eval()
    _keep_outputs(extractor.graph)
    return fold_batch_norm(extractor)


def _keep_outputs(graph):
    """Copy each output that the network goes on with: a later layer may overwrite it in place, as rectifiers do."""
    wanted = _outputs_of(graph)
    for name, node in wanted.items():
        if len(node.users) > 1:
            with graph.inserting_after(node):
                wanted[name] = graph.call_function(copied, (node,))
    (output,) = (node for node in graph.nodes if node.op == "output")
    output.args = (wanted,)


def copied(value):
    import torch

    return value.clone() if isinstance(value, torch.Tensor) else value


def head_name(module):
    """Name of the last linear or convolution layer; None if there is none."""
    from torch import nn

    names = [name for name, part in module.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    return names[-1] if names else None


def _input_of_head(module, model, known):
    """Name of the node whose output the last linear or convolution layer takes."""
    from torchvision.models.feature_extraction import create_feature_extractor

    head = head_name(module)
    if head not in known:
        raise _headless(model, known)
    before = known[: known.index(head)]
    # Nearly always the node before; not where another branch of the network is computed in between.
    for names in (before[-1:], before):
        wanted = {name: name for name in (*names, head)}
        graph = create_feature_extractor(module, return_nodes=wanted, suppress_diff_warning=True).eval().graph
        nodes = _outputs_of(graph)
        source = nodes[head].all_input_nodes[0]
        found = [name for name in names if nodes.get(name) is source]
        if found:
            return found[0]
    raise _headless(model, known)


def _outputs_of(graph):
    (output,) = (node for node in graph.nodes if node.op == "output")
    return dict(output.args[0])


def probe(extractor, names, inputs):
    """Return the shape of each layer's output for one picture.

    Parameters
    ----------
    extractor : callable
    names : sequence of str
    inputs : torch.Tensor of shape (1, 3, side, side)

    Returns
    -------
    shapes : tuple of tuple of int

    Raises
    ------
    ValueError
        If one is neither a map nor tokens nor a vector.
    """
    import torch

    with torch.inference_mode():
        outputs = extractor(inputs)
    shapes = []
    for name in names:
        output = outputs[name]
        if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3, 4) or output.shape[0] != 1:
            got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ValueError(
                f"The layer {name!r} gives {got} for one picture. Choose one that gives (1, channels), "
                f"(1, tokens, channels) or (1, channels, height, width)."
            )
        shapes.append(tuple(output.shape[1:]))
    return tuple(shapes)


class Hooked:
    """A network run as it is, the outputs of some of its modules caught on the way; threads do not mix.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode.
    names : sequence of str
        Of modules; one that ends in ``:input`` means the input of the module.
    """

    def __init__(self, module, names):
        self.module = module
        self._caught = threading.local()
        for name in names:
            part = module.get_submodule(name.removesuffix(_INPUT))
            if name.endswith(_INPUT):
                part.register_forward_pre_hook(lambda _, inputs, name=name: self._catch(name, inputs[0]))
            else:
                part.register_forward_hook(lambda _, inputs, output, name=name: self._catch(name, output))

    def __call__(self, inputs):
        """Return a dict of name and output."""
        self._caught.outputs = {}
        try:
            self.module(inputs)
            return self._caught.outputs
        finally:
            del self._caught.outputs

    def to(self, *arguments, **options):
        """Move the network, as a module moves."""
        self.module.to(*arguments, **options)
        return self

    def _catch(self, name, value):
        # A later layer may overwrite the output in place, as rectifiers do.
        self._caught.outputs[name] = copied(value)


def _hook_layers(module, model, layers):
    known = [name for name, _ in module.named_modules() if name]
    if layers is None:
        if head_name(module) is None:
            raise _headless(model, known)
        names: tuple = (head_name(module) + _INPUT,)
    else:
        names = (layers,) if isinstance(layers, str) else layers
        for place, name in enumerate(names):
            if name.removesuffix(_INPUT) not in known:
                raise _unknown(name, model, known, known)
            if name in names[:place]:
                raise _twice(model, name, name)
    return Hooked(module, names), names


def _unknown(name, model, choices, known):
    near = near_matches(str(name), choices) or f". Layers near its end: {', '.join(known[-6:])}."
    return ValueError(f"`layer`={name!r} is no layer of {model}{near}")


def _headless(model, known):
    return ValueError(
        f"`layer`=None is the input of the last linear or convolution layer, but {model} calls none that could be found. "
        f"Name a layer; near its end: {', '.join(known[-6:])}."
    )


def _twice(model, first, second):
    return SameOutputError(f"`layer` names one output of {model} twice: {first!r} and {second!r}.", first)
