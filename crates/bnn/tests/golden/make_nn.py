"""Makes nn.json: layers and a small network computed by PyTorch, for tests/nn_golden.rs.

    python make_nn.py            (needs torch)

Inputs and parameters are rounded first, so both sides start from the same numbers; PyTorch then works in float64.
Tensors are stored flat in PyTorch's own order (images outermost, NCHW).
"""

import json
import pathlib

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(20240607)
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def flat(tensor):
    """All values, six significant digits."""
    return [float(f"{v + 0.0:.6g}") for v in tensor.detach().reshape(-1).tolist()]


def rounded(*shape, digits=2, scale=1.0):
    return torch.round(torch.randn(*shape) * scale, decimals=digits)


def off_corners(*shape, scale=1.0):
    """Values that end in 5 thousandths: never 0, 1, -1 or another corner of an activation."""
    return torch.round(torch.randn(*shape) * scale, decimals=2) + 0.005


def distinct(*shape):
    """Values of which no two are equal, so that every window has one largest."""
    count = torch.Size(shape).numel()
    return (torch.randperm(count).reshape(shape) - count // 2) / 50


def parameters_of(modules):
    """Rounded parameters of `{layer name: module}`, by the names that qbnn gives its tensors."""
    found = {}
    for layer, module in modules.items():
        with torch.no_grad():
            fan_in = module.weight[0].numel()
            module.weight.copy_(rounded(*module.weight.shape, scale=fan_in**-0.5))
            module.bias.copy_(rounded(*module.bias.shape, scale=0.5))
        found[f"{layer}.weight"] = module.weight
        found[f"{layer}.bias"] = module.bias
    return found


def case(name, layers, x, forward, modules=None, labels=None):
    modules = modules or {}
    parameters = parameters_of(modules)
    x.requires_grad_(True)
    y = forward(x)
    record = {
        "name": name,
        "layers": layers,
        "batch": x.shape[0],
        "input_shape": list(x.shape[1:]),
        "input": flat(x),
        "parameters": {key: flat(p) for key, p in parameters.items()},
        "output": flat(y),
    }
    if labels is None:
        upstream = rounded(*y.shape)
        record["upstream"] = flat(upstream)
        y.backward(upstream)
    else:
        loss = F.cross_entropy(y, labels)
        record["labels"] = labels.tolist()
        record["loss"] = loss.item()
        loss.backward()
    if len(layers) == 1:  # whole networks do not compute it
        record["input_gradient"] = flat(x.grad)
    record["gradients"] = {key: flat(p.grad) for key, p in parameters.items()}
    return record


def dense_case():
    m = nn.Linear(7, 5)
    return case("dense", [{"type": "dense", "out": 5}], rounded(4, 7, 1, 1), lambda x: m(x.flatten(1)), {"dense1": m})


def conv_case(name, channels, out, kernel, side, batch, **options):
    m = nn.Conv2d(channels, out, kernel, **options)
    layer = {"type": "conv", "out": out, "kernel": kernel, **options}
    return case(name, [layer], rounded(batch, channels, *side), m, {"conv1": m})


def pool_case(name, kind, size, stride, side):
    pool = {"max-pool": F.max_pool2d, "average-pool": F.avg_pool2d}[kind]
    layer = {"type": kind, "size": size} | ({} if stride is None else {"stride": stride})
    return case(name, [layer], distinct(3, 2, *side), lambda x: pool(x, size, stride))


def activation_case(name, layer, function, scale):
    return case(name, [layer], off_corners(3, 2, 3, 4, scale=scale), function)


def residual_case():
    """conv -> relu -> conv, a 1x1 conv beside it that reads the first one, their sum, relu, dense."""
    c1, c2, c3 = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
    d = nn.Linear(4 * 4 * 5, 3)

    def forward(x):
        stem = c1(x)
        return d(F.relu(c2(F.relu(stem)) + c3(stem)).flatten(1))

    layers = [
        {"type": "conv", "out": 3, "kernel": 3, "padding": 1, "name": "stem"},
        {"type": "relu"},
        {"type": "conv", "out": 4, "kernel": 3, "padding": 1, "name": "main"},
        {"type": "conv", "out": 4, "kernel": 1, "name": "skip", "input": "stem"},
        {"type": "add", "from": "main"},
        {"type": "relu"},
        {"type": "flatten"},
        {"type": "dense", "out": 3, "name": "head"},
    ]
    return case("residual", layers, rounded(2, 2, 4, 5), forward, {"stem": c1, "main": c2, "skip": c3, "head": d})


def lenet_case():
    c1, c2 = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3)
    d1, d2 = nn.Linear(4 * 2 * 2, 8), nn.Linear(8, 5)

    def forward(x):
        h = F.max_pool2d(F.relu(c1(x)), 2)
        h = F.avg_pool2d(F.leaky_relu(c2(h), 0.1), 2)
        return d2(F.hardtanh(d1(h.flatten(1))))

    layers = [
        {"type": "conv", "out": 3, "kernel": 3, "padding": 1},
        {"type": "relu"},
        {"type": "max-pool", "size": 2},
        {"type": "conv", "out": 4, "kernel": 3},
        {"type": "leaky-relu", "slope": 0.1},
        {"type": "average-pool", "size": 2},
        {"type": "flatten"},
        {"type": "dense", "out": 8},
        {"type": "hardtanh"},
        {"type": "dense", "out": 5},
    ]
    modules = {"conv1": c1, "conv2": c2, "dense1": d1, "dense2": d2}
    labels = torch.tensor([0, 4, 2])
    return case("lenet-like", layers, rounded(3, 1, 12, 12), forward, modules, labels)


cases = [
    dense_case(),
    conv_case("conv", 2, 3, 3, (5, 4), 3),
    conv_case("conv stride", 2, 3, 3, (7, 6), 2, stride=2),
    conv_case("conv padding", 2, 3, 3, (4, 5), 2, padding=2),
    conv_case("conv groups", 4, 6, 2, (4, 3), 2, groups=2),
    conv_case("conv depthwise, stride, padding", 3, 3, 3, (6, 5), 2, groups=3, stride=2, padding=1),
    conv_case("conv all at once", 4, 4, 5, (3, 8), 2, groups=2, stride=3, padding=2),
    conv_case("conv wider than its input", 2, 2, 5, (2, 1), 3, padding=2),
    pool_case("max-pool", "max-pool", 2, None, (4, 5)),
    pool_case("max-pool, windows overlap", "max-pool", 3, 2, (5, 7)),
    pool_case("average-pool", "average-pool", 2, None, (5, 4)),
    pool_case("average-pool, windows overlap", "average-pool", 3, 1, (4, 5)),
    pool_case("average-pool, gaps", "average-pool", 2, 3, (5, 6)),
    activation_case("relu", {"type": "relu"}, F.relu, 1.0),
    activation_case("leaky-relu", {"type": "leaky-relu", "slope": 0.2}, lambda x: F.leaky_relu(x, 0.2), 1.0),
    activation_case("clipped-relu", {"type": "clipped-relu"}, F.relu6, 6.0),
    activation_case("clipped-relu at 1.5", {"type": "clipped-relu", "max": 1.5}, lambda x: F.hardtanh(x, 0, 1.5), 1.5),
    activation_case("hardtanh", {"type": "hardtanh"}, F.hardtanh, 1.2),
    residual_case(),
    lenet_case(),
]
lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
text = f'{{"torch":"{torch.__version__}","cases":[\n{lines}\n]}}\n'
(pathlib.Path(__file__).parent / "nn.json").write_text(text)
