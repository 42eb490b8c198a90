"""What both generators share: where files go, and how inputs and outputs are stored.

NAME.io is text: "batch n_inputs n_outputs", then all inputs, then all outputs, row-major, nine digits each.
"""
import os

import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnx")


def path(name):
    return os.path.join(HERE, name)


def save_io(name, x, y):
    x, y = np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)
    batch = x.shape[0]
    with open(path(name + ".io"), "w", encoding="ascii") as f:
        f.write(f"{batch} {x.size // batch} {y.size // batch}\n")
        for v in (x, y):
            for row in v.reshape(batch, -1):
                f.write(" ".join(f"{e:.9g}" for e in row) + "\n")
