#!/usr/bin/env python3
"""Trains the example network (784-128-128-10, ReLU) on MNIST and exports it to ONNX.

    /usr/bin/python3 train.py [DATA_DIR] [-o mnist_a.onnx]

Needs PyTorch and numpy (Debian: apt install python3-torch python3-numpy python3-onnx) and the four IDX files
in DATA_DIR, data/mnist by default (`make mnist` fetches them). An ordinary training script but for two lines:
the weight decay, and the report of interval bounds at the end. Secure evaluation compares every number
that goes into a ReLU on as many bits as the layer can produce for ANY picture, so small weights make it
cheaper.
"""
import argparse
import gzip
import math
import pathlib

import numpy as np
import torch
from torch import nn

FRAC_BITS = 16  # fractional bits of the secure evaluation, for the report only


def read_idx(folder, name):
    """One IDX file of unsigned bytes, plain or gzipped."""
    path = pathlib.Path(folder) / name
    if path.exists():
        raw = path.read_bytes()
    else:
        raw = gzip.decompress((path.parent / (name + ".gz")).read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path}: not an IDX file of unsigned bytes")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def load(folder, part):
    """Pictures as floats in 0..1 (`--normalize unit`), and labels."""
    x = read_idx(folder, f"{part}-images-idx3-ubyte").reshape(-1, 784).astype(np.float32) / 255
    y = read_idx(folder, f"{part}-labels-idx1-ubyte").astype(np.int64)
    return torch.from_numpy(x), torch.from_numpy(y)


def accuracy(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def train(net, x, y, epochs, batch, rate, decay):
    opt = torch.optim.Adam(net.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs * (len(x) // batch))
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(x)).split(batch)[: len(x) // batch]:
            opt.zero_grad()
            loss = loss_of(net(x[rows]), y[rows])
            loss.backward()
            opt.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d}  loss {total / (len(x) // batch):.4f}", flush=True)


def report_bounds(net):
    """The largest |z| of each layer over all inputs in 0..1, and the comparison bits k that it needs."""
    lo, hi = torch.zeros(784, dtype=torch.float64), torch.ones(784, dtype=torch.float64)
    for layer in net:
        if isinstance(layer, nn.ReLU):
            lo, hi = lo.clamp(min=0), hi.clamp(min=0)
            continue
        w, b = layer.weight.detach().double(), layer.bias.detach().double()
        lo, hi = (w.clamp(min=0) @ lo + w.clamp(max=0) @ hi + b, w.clamp(min=0) @ hi + w.clamp(max=0) @ lo + b)
        bound = max(-lo.min().item(), hi.max().item())
        k = FRAC_BITS + 1 + math.ceil(math.log2(bound))
        print(f"layer {layer.in_features}x{layer.out_features}: |z| <= {bound:.1f}, k = {k} at f = {FRAC_BITS}")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("data", nargs="?", default="data/mnist", help="folder of the IDX files")
    args.add_argument("-o", "--out", default=str(pathlib.Path(__file__).with_name("mnist_a.onnx")))
    args.add_argument("--epochs", type=int, default=15)
    args.add_argument("--decay", type=float, default=5e-5)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # the same sums in the same order on every run
    x, y = load(args.data, "train")
    x_test, y_test = load(args.data, "t10k")
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    train(net, x, y, args.epochs, batch=128, rate=1e-3, decay=args.decay)
    print(f"test accuracy {100 * accuracy(net, x_test, y_test):.2f} % of {len(y_test)}")
    report_bounds(net)
    torch.onnx.export(net, torch.zeros(1, 784), args.out, opset_version=13, input_names=["image"],
                      output_names=["logits"], dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
