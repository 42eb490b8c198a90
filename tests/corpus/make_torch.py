"""Makes tests/corpus/onnx/torch_*.onnx with torch 1.13 (old exporter): random weights, tiny networks.

    /usr/bin/python3 tests/corpus/make_torch.py

Each file gets the inputs and the outputs that torch itself computes for them, in float32 (or, for the network
in double, in double).
"""
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from corpus import path, save_io

warnings.filterwarnings("ignore")


def statistics(m):
    """Running statistics as after training: not zero and one."""
    for b in m.modules():
        if isinstance(b, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.uniform_(b.running_mean, -0.5, 0.5)
            nn.init.uniform_(b.running_var, 0.5, 2.0)
            nn.init.uniform_(b.weight, 0.5, 1.5)
            nn.init.uniform_(b.bias, -0.5, 0.5)


def export(name, model, shape, opset, dynamic=False, batch=1, dtype=torch.float32, **how):
    torch.manual_seed(sum(map(ord, name)))
    model = model()
    statistics(model)
    model = model.to(dtype).eval()
    example = torch.rand((1 if not dynamic else 2, *shape), dtype=dtype)
    axes = {"input": {0: "batch"}, "output": {0: "batch"}} if dynamic else None
    torch.onnx.export(model, example, path(name + ".onnx"), opset_version=opset, input_names=["input"],
                      output_names=["output"], dynamic_axes=axes, **how)
    x = torch.rand((batch, *shape), dtype=dtype)
    with torch.no_grad():
        save_io(name, x.numpy(), model(x).numpy())


class Lenet(nn.Module):
    """Padding, two poolings, view with a batch that is passed on."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6 * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        return F.log_softmax(self.fc(x), dim=1)


class SizeArithmetic(Lenet):
    """The shape of the Reshape is computed in the graph, with products and slices."""

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])
        return self.fc(x)


class FlattenSlices(Lenet):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, x.size(1) * x.size(-1) ** 2)
        return self.fc(x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.a = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn_a = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False)
        self.bn_b = nn.BatchNorm2d(8)
        self.short = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(self.bn_a(self.a(x)) + x)
        x = F.relu(self.bn_b(self.b(x)) + self.short(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 3, 1)
        self.b = nn.Conv2d(2, 2, 3, padding=1)
        self.c = nn.Conv2d(2, 2, 5, padding=2)
        self.fc = nn.Linear(9 * 16, 4)

    def forward(self, x):
        p = F.max_pool2d(x, 3, stride=1, padding=1)
        x = torch.cat([F.relu(self.a(x)), F.relu(self.b(x)), F.relu(self.c(x)), p], dim=1)
        return self.fc(torch.flatten(F.avg_pool2d(x, 2), 1))


class Mobile(nn.Module):
    """Depthwise and pointwise convolutions, ReLU6, dilation, unequal strides and padding, groups."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=(2, 1), padding=(1, 2), bias=False), nn.BatchNorm2d(4), nn.ReLU6(),
            nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4), nn.ReLU6(),
            nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(),
            nn.Conv2d(6, 4, 3, padding=2, dilation=2, groups=2), nn.ReLU6())
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.net(x).mean([2, 3]))


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(12, 10), nn.LeakyReLU(0.1), nn.Dropout(0.3), nn.Linear(10, 9), nn.ELU(0.7),
            nn.Linear(9, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.PReLU(8),
            nn.Linear(8, 4))

    def forward(self, x):
        return self.net(x)


class Odd(nn.Module):
    """Selu, Hardtanh, clamp on one side, Hardsigmoid."""

    def __init__(self):
        super().__init__()
        self.l = nn.ModuleList([nn.Linear(6, 6) for _ in range(4)])

    def forward(self, x):
        x = F.selu(self.l[0](x))
        x = F.hardtanh(self.l[1](x), -0.5, 0.75)
        x = self.l[2](x).clamp(min=-0.1)
        return F.softmax(self.l[3](F.hardsigmoid(x)), dim=-1)


def mlp():
    return nn.Sequential(nn.Linear(9, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 4))


class Image3(nn.Module):
    """An input of rank 3: [batch, height, width]."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.fc = nn.Linear(3 * 16, 4)

    def forward(self, x):
        x = F.relu(self.conv(x.unsqueeze(1)))
        return self.fc(x.flatten(1))


class Normalised(nn.Module):
    """Input scaling inside, a factor behind a convolution, pooling with padding and without counting it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.last = nn.AvgPool2d(2, stride=2, padding=1)
        self.fc = nn.Linear(3 * 9, 3)

    def forward(self, x):
        x = (x - 0.1307) / 0.3081
        x = self.pool(F.relu(self.conv(x)) * 0.5)
        return self.fc(self.last(-x).flatten(1))


class CeilMode(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2)
        self.fc = nn.Linear(2 * 16, 3)

    def forward(self, x):
        x = F.max_pool2d(self.conv(x), 3, stride=2, ceil_mode=True)
        return self.fc(torch.flatten(F.relu(x), 1))


class PadFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.pad = nn.ZeroPad2d((1, 2, 0, 1))
        self.conv = nn.Conv2d(2, 3, 3, stride=2)
        self.fc = nn.Linear(3 * 3 * 4, 3)

    def forward(self, x):
        return self.fc(F.relu(self.conv(self.pad(x))).flatten(1))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0][:, -1]


class InnerSoftmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.b(torch.softmax(self.a(x), dim=1))


class Gelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.b(F.gelu(self.a(x)))


raw = {"do_constant_folding": False}
export("torch_lenet_op7", Lenet, (1, 14, 14), 7)
export("torch_lenet_dynamic_op9", Lenet, (1, 14, 14), 9, dynamic=True, batch=3)
export("torch_lenet_dynamic_op11", Lenet, (1, 14, 14), 11, dynamic=True, batch=3, **raw)
export("torch_lenet_dynamic_op17", Lenet, (1, 14, 14), 17, dynamic=True, batch=3)
export("torch_sizes_op10", SizeArithmetic, (1, 14, 14), 10, dynamic=True, batch=2, **raw)
export("torch_sizes_op13", SizeArithmetic, (1, 14, 14), 13, dynamic=True, batch=2)
export("torch_slices_op12", FlattenSlices, (1, 14, 14), 12, dynamic=True, batch=2, **raw)
export("torch_residual_op13", Residual, (3, 8, 8), 13, dynamic=True, batch=2)
export("torch_residual_inputs_op9", Residual, (3, 8, 8), 9, keep_initializers_as_inputs=True)
export("torch_residual_unfused_op11", Residual, (3, 8, 8), 11, dynamic=True, batch=2,
       training=torch.onnx.TrainingMode.PRESERVE, **raw)
export("torch_inception_op12", Inception, (2, 8, 8), 12, batch=1)
export("torch_mobile_op8", Mobile, (2, 8, 8), 8)
export("torch_mobile_op16", Mobile, (2, 8, 8), 16, dynamic=True, batch=2)
export("torch_activations_op7", Activations, (12,), 7)
export("torch_activations_op14", Activations, (12,), 14, dynamic=True, batch=3)
export("torch_odd_op13", Odd, (6,), 13, dynamic=True, batch=2)
export("torch_mlp_double_op13", mlp, (9,), 13, dynamic=True, batch=2, dtype=torch.float64)
export("torch_image3_op13", Image3, (6, 6), 13, dynamic=True, batch=2)
export("torch_normalised_op15", Normalised, (1, 8, 8), 15, dynamic=True, batch=2)
export("torch_ceil_op11", CeilMode, (1, 9, 9), 11)
export("torch_pad_op10", PadFirst, (2, 6, 6), 10)
export("torch_pad_op17", PadFirst, (2, 6, 6), 17, dynamic=True, batch=2)
export("torch_pad_unfolded_op11", PadFirst, (2, 6, 6), 11, dynamic=True, batch=2, **raw)
export("torch_activations_unfolded_op13", Activations, (12,), 13, dynamic=True, batch=2,
       training=torch.onnx.TrainingMode.PRESERVE, **raw)
export("torch_refused_lstm_op13", Lstm, (5, 4), 13)
export("torch_refused_softmax_op13", InnerSoftmax, (6,), 13)
export("torch_refused_gelu_op14", Gelu, (6,), 14)
