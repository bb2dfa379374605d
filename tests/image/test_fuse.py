"""Convolutions that add and rectify themselves: the same outputs, fewer passes over memory."""

import copy
import platform

import pytest
import torch
from torch import fx, nn
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops import Conv2dNormActivation

from mmfeat.image import _fuse
from mmfeat.image._fold import fold_batch_norm
from mmfeat.image._fuse import fuse_convolutions

ON_X86 = platform.machine().lower() in ("x86_64", "amd64") and torch.backends.mkldnn.is_available()


class Everything(nn.Module):
    """Sums and activations behind convolutions, where they may be taken over and where they may not."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = Conv2dNormActivation(8, 8, 3, groups=8, activation_layer=nn.ReLU6)
        self.one = nn.Conv2d(8, 8, 1, bias=False)
        self.two = nn.Conv2d(8, 8, 1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.silu = nn.Conv2d(8, 8, 1)
        self.swish = nn.SiLU()
        self.hard = nn.Hardswish()
        self.same = nn.Conv2d(8, 8, 3, padding="same")
        self.mirrored = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.last = nn.Conv2d(8, 8, 3, stride=2, dilation=2, groups=2)
        self.pooled = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.block(x)
        shortcut = x
        x = self.one(x)
        x += shortcut  # taken over, with the activation
        x = self.relu(x)
        x = torch.relu(self.two(x) + shortcut)  # and again
        x = self.swish(self.silu(x))
        twice = self.gate(x)  # used twice: stays
        x = torch.sigmoid(twice) * x + self.hard(twice)
        x = self.two(x) + self.gate(x)  # one of both sums, and a weight used in two places
        x = self.one(x) + 1.0  # no sum of maps
        x = self.one(self.pooled(x)) + x  # nor is this: of two sizes
        return self.last(self.mirrored(self.same(x)))


@pytest.fixture(scope="module")
def graph():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Everything().eval().requires_grad_(False)
    nodes = {"last": "last", "swish": "middle", "relu": "first"}
    return fold_batch_norm(create_feature_extractor(network, return_nodes=nodes, suppress_diff_warning=True).eval())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 5])
def test_outputs_stay(graph, dtype, n):
    network = copy.deepcopy(graph).to(dtype)
    inputs = torch.randn(n, 3, 21, 21, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        expected = network(inputs.clone())
        exact = graph(inputs.float())
        fused = fuse_convolutions(network, inputs[:1])
        got = fused(inputs.clone())
        again = network(inputs.clone())
    for name, value in expected.items():
        assert torch.equal(again[name], value)  # the network itself is left as it was
        scale = exact[name].abs().max()
        error = (got[name].float() - exact[name]).abs().max() / scale
        assert error <= (1e-5 if dtype == torch.float32 else 2 * (value.float() - exact[name]).abs().max() / scale)


@pytest.mark.skipif(not ON_X86, reason="kernels of oneDNN for x86")
def test_what_is_taken_over(graph):
    fused = fuse_convolutions(graph, torch.zeros(1, 3, 21, 21))
    kinds = [type(module).__name__ for module in fused.modules()]
    assert kinds.count("FusedConvolution") == 11  # each use is one; the two with other paddings stay
    assert kinds.count("Conv2d") == 2
    assert "ReLU" not in kinds
    assert "SiLU" not in kinds
    assert "Conv2dNormActivation" not in kinds


def test_where_torch_has_no_such_kernels_the_network_stays(graph, monkeypatch):
    def missing(*arguments):
        raise AttributeError("no such operation")

    monkeypatch.setattr(_fuse, "_make", missing)
    assert fuse_convolutions(graph, torch.zeros(1, 3, 21, 21)) is graph
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert fuse_convolutions(graph, torch.zeros(1, 3, 21, 21)) is graph


def test_batch_norms_that_do_more_are_not_folded():
    class Rectifying(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    class Keeping(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), norm

        def forward(self, x):
            return self.norm(self.conv(x))

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module, name):
            return True

    inputs = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    for norm in (Rectifying(4), nn.BatchNorm2d(4, track_running_stats=False)):
        network = Keeping(norm).eval()
        graph = fx.GraphModule(network, Tracer().trace(network))
        with torch.inference_mode():
            expected = network(inputs)
            torch.testing.assert_close(fold_batch_norm(graph)(inputs), expected)
