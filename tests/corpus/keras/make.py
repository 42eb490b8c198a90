#!/usr/bin/env python3
"""Writes the Keras corpus: model files of several versions, and what they must give.

    make.py [FOLDER]

Needs python3-h5py and python3-numpy, not Keras: the files are written to the structures of
keras/engine/saving.py (2.2), keras/saving/legacy/hdf5_format.py (2.4 to 2.15), keras/src/saving/
saving_lib.py (2.13 to 3.x) and the layers' get_config(). The expected outputs are computed here in float64
from the definitions of the layers; expected.txt holds, for each file, a line "name batch inputs outputs", then
the inputs and outputs of the network before its final softmax.
"""
import io
import json
import os
import sys
import zipfile
import zlib

import h5py
import numpy as np

rng = np.random.default_rng(20240607)


def weights(*shape, scale=None):
    fan = np.prod(shape[:-1]) if len(shape) > 1 else 4
    return (rng.standard_normal(shape) * (scale or 1.2 / np.sqrt(fan))).astype(np.float32)


# ---- Layers: configuration, weights, and what they compute (channels last) ----


class Layer:
    def __init__(self, cls, name, config, ws, run, inputs=None):
        self.cls, self.name, self.config, self.ws, self.run = cls, name, config, ws, run
        self.inputs = inputs  # names, or (name, call); None: the layer before
        self.calls = 1


def act(name):
    return {
        None: lambda x: x,
        "linear": lambda x: x,
        "softmax": lambda x: x,  # the last one is the client's
        "relu": lambda x: np.maximum(x, 0),
        "relu6": lambda x: np.clip(x, 0, 6),
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
        "hard_sigmoid2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
        "hard_sigmoid3": lambda x: np.clip(x / 6 + 0.5, 0, 1),
        "leaky": lambda x: np.where(x > 0, x, 0.2 * x),
    }[name]


def Input(name, shape):
    return Layer("InputLayer", name, {"shape": list(shape)}, [], lambda x: x, [])


def Dense(name, n_in, units, activation="linear", bias=True, inputs=None, run_as=None, kernel=None):
    k = weights(n_in, units) if kernel is None else kernel
    b = weights(units)
    f = act(run_as or activation)
    ws = [("kernel", k)] + ([("bias", b)] if bias else [])
    return Layer("Dense", name, {"units": units, "activation": activation, "use_bias": bias}, ws,
                 lambda x: f(x @ k.astype(float) + (b if bias else 0)), inputs)


def pads(size, k, s, d, same):
    if not same:
        return 0, 0, (size - (k - 1) * d - 1) // s + 1
    out = -(-size // s)
    total = max((out - 1) * s + (k - 1) * d + 1 - size, 0)
    return total // 2, total - total // 2, out


def windows(x, kernel, strides, dilation, padding, fill):
    """n, oh, ow, kh, kw, c"""
    t, b, oh = pads(x.shape[1], kernel[0], strides[0], dilation[0], padding == "same")
    l, r, ow = pads(x.shape[2], kernel[1], strides[1], dilation[1], padding == "same")
    x = np.pad(x, ((0, 0), (t, b), (l, r), (0, 0)), constant_values=fill)
    out = np.zeros((x.shape[0], oh, ow, kernel[0], kernel[1], x.shape[3]))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y0, x0 = i * dilation[0], j * dilation[1]
            out[:, :, :, i, j] = x[:, y0:y0 + (oh - 1) * strides[0] + 1:strides[0],
                                   x0:x0 + (ow - 1) * strides[1] + 1:strides[1]]
    return out


def first(f):  # a channels_first layer around a channels_last function
    return lambda x: np.moveaxis(f(np.moveaxis(x, 1, 3)), 3, 1)


def Conv2D(name, n_in, filters, kernel, strides=(1, 1), padding="valid", dilation=(1, 1), activation="linear",
           bias=True, groups=1, inputs=None, last=True, run_as=None, cls="Conv2D", multiplier=1):
    depthwise = cls == "DepthwiseConv2D"
    groups = n_in if depthwise else groups
    k = weights(kernel[0], kernel[1], n_in if depthwise else n_in // groups, multiplier if depthwise else filters)
    filters = n_in * multiplier if depthwise else filters
    b = weights(filters)
    f = act(run_as or activation)

    def run(x):
        w = windows(x, kernel, strides, dilation, padding, 0)
        if depthwise:
            y = np.einsum("nhwijc,ijcm->nhwcm", w, k.astype(float)).reshape(*w.shape[:3], -1)
        else:
            a, o = n_in // groups, filters // groups
            y = np.concatenate([np.einsum("nhwijc,ijco->nhwo", w[..., g * a:(g + 1) * a],
                                          k[..., g * o:(g + 1) * o].astype(float)) for g in range(groups)], -1)
        return f(y + (b if bias else 0))

    config = {"kernel_size": list(kernel), "strides": list(strides), "padding": padding,
              "data_format": "channels_last" if last else "channels_first", "dilation_rate": list(dilation),
              "activation": activation, "use_bias": bias}
    config.update({"depth_multiplier": multiplier} if depthwise else {"filters": filters, "groups": groups})
    role = "depthwise_kernel" if depthwise else "kernel"
    ws = [(role, k)] + ([("bias", b)] if bias else [])
    return Layer(cls, name, config, ws, run if last else first(run), inputs)


def Separable(name, n_in, filters, kernel, multiplier=1, padding="valid", activation="linear", inputs=None):
    d, p, b = weights(*kernel, n_in, multiplier), weights(1, 1, n_in * multiplier, filters), weights(filters)

    def run(x):
        w = windows(x, kernel, (1, 1), (1, 1), padding, 0)
        y = np.einsum("nhwijc,ijcm->nhwcm", w, d.astype(float)).reshape(*w.shape[:3], -1)
        return act(activation)(y @ p[0, 0].astype(float) + b)

    return Layer("SeparableConv2D", name,
                 {"filters": filters, "kernel_size": list(kernel), "strides": [1, 1], "padding": padding,
                  "data_format": "channels_last", "dilation_rate": [1, 1], "depth_multiplier": multiplier,
                  "activation": activation, "use_bias": True},
                 [("depthwise_kernel", d), ("pointwise_kernel", p), ("bias", b)], run, inputs)


def Pool(kind, name, size, strides=None, padding="valid", last=True, inputs=None):
    def run(x):
        fill = -np.inf if kind == "Max" else np.nan
        w = windows(x, size, strides or size, (1, 1), padding, fill)
        return w.max((3, 4)) if kind == "Max" else np.nanmean(w, (3, 4))

    return Layer(kind + ("Pooling2D"), name,
                 {"pool_size": list(size), "padding": padding, "strides": list(strides or size),
                  "data_format": "channels_last" if last else "channels_first"}, [],
                 run if last else first(run), inputs)


def Batch(name, n, scale=True, center=True, axis=(3,), inputs=None, last=True):
    g, b, m, v = 1 + 0.3 * weights(n), weights(n), weights(n), (0.5 + rng.random(n)).astype(np.float32)
    ws = ([("gamma", g)] if scale else []) + ([("beta", b)] if center else [])
    ws += [("moving_mean", m), ("moving_variance", v)]

    def run(x):
        y = (x - m) / np.sqrt(v.astype(float) + 1e-3)
        return y * (g if scale else 1) + (b if center else 0)

    return Layer("BatchNormalization", name,
                 {"axis": list(axis) if isinstance(axis, tuple) else axis, "momentum": 0.99, "epsilon": 1e-3,
                  "center": center, "scale": scale}, ws, run if last else first(run), inputs)


def Simple(cls, name, config, run, inputs=None):
    return Layer(cls, name, config, [], run, inputs)


def Flatten(name="flatten", inputs=None, last=True):
    return Simple("Flatten", name, {"data_format": "channels_last" if last else "channels_first"},
                  lambda x: (x if last else np.moveaxis(x, 1, 3)).reshape(len(x), -1), inputs)


def Activation(name, activation, inputs=None, run_as=None):
    return Simple("Activation", name, {"activation": activation}, act(run_as or activation), inputs)


def Dropout(name, inputs=None):
    return Simple("Dropout", name, {"rate": 0.25, "noise_shape": None, "seed": None}, lambda x: x, inputs)


class Model:
    def __init__(self, name, layers, functional=False, output=None):
        self.name, self.layers, self.functional = name, layers, functional
        self.output = output or layers[-1].name
        self.cls = "Functional" if functional else "Sequential"
        self.inputs, self.calls, self.ws = None, 1, []

    def run(self, x):
        values = {}
        for layer in self.layers:
            if not self.functional:
                x = layer.run(x)
            elif layer.cls == "InputLayer":
                values[layer.name, 0] = x
            else:
                for call in range(layer.calls):
                    ins = layer.inputs[call] if layer.calls > 1 else layer.inputs
                    values[layer.name, call] = layer.run(*[values[ref(i)] for i in ins])
        return values[ref(self.output)] if self.functional else x

    def flat(self):
        """trainable weights first, as model.weights has them: [(path, array)]"""
        out = []
        for layer in self.layers:
            inner = layer.flat() if isinstance(layer, Model) else layer.ws
            out += [(layer.name + "/" + role, w) for role, w in inner]
        return [w for w in out if "moving" not in w[0]] + [w for w in out if "moving" in w[0]]


def ref(i):
    return i if isinstance(i, tuple) else (i, 0)


# ---- Configurations in the style of a version ----


def config_of(layer, v, top_shape=None):
    if isinstance(layer, Model):
        return model_config(layer, v)["config"]
    c = dict(layer.config)
    shape = c.pop("shape", None) if layer.cls == "InputLayer" else None
    if v >= 3:
        head = {"name": layer.name, "trainable": True,
                "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"},
                          "registered_name": None}}
    else:
        head = {"name": layer.name, "trainable": True, "dtype": "float32"}
    if layer.cls == "InputLayer":
        key = "batch_shape" if v >= 3 else "batch_input_shape"
        return {key: [None] + shape, "dtype": "float32", "sparse": False, "name": layer.name}
    if top_shape is not None and v < 3:
        head["batch_input_shape"] = [None] + list(top_shape)
    for key in ("groups",):  # came with 2.3
        if v < 2.3:
            c.pop(key, None)
    return {**head, **c}


def entry(layer, v, inbound=None, top_shape=None):
    cls = "Model" if layer.cls == "Functional" and v < 2.4 else layer.cls
    e = {"class_name": cls, "config": config_of(layer, v, top_shape)}
    if v >= 2.12:
        e = {"module": "keras.layers", **e, "registered_name": None}
        if isinstance(layer, Model):
            e["module"] = "keras"
    if inbound is not None:
        e["name"] = layer.name
        e["inbound_nodes"] = inbound
    return e


def tensor3(name, call):
    return {"class_name": "__keras_tensor__", "config": {"shape": [None, 1], "dtype": "float32",
                                                         "keras_history": [name, call, 0]}}


def inbound_of(model, layer, v):
    if layer.cls == "InputLayer":
        return []
    nodes = []
    kinds = {l.name: l for l in model.layers}

    def call_of(i):
        name, call = ref(i)
        inner = kinds[name]
        own = isinstance(inner, Model) and not (v >= 3 and inner.cls == "Sequential")
        return name, call + (1 if own else 0)  # models have a node of their own first

    for call in range(layer.calls):
        ins = [call_of(i) for i in (layer.inputs[call] if layer.calls > 1 else layer.inputs)]
        if v >= 3:
            ts = [tensor3(*i) for i in ins]
            nodes.append({"args": [ts] if len(ts) > 1 else ts, "kwargs": {}})
        else:
            nodes.append([[name, c, 0, {}] for name, c in ins])
    return nodes


def model_config(model, v):
    shape = model.layers[0].config.get("shape")
    if not model.functional:
        layers = [entry(l, v) for l in model.layers]
        if v < 2.3:  # no input layer in the list: the first layer has the shape
            layers = [entry(l, v, top_shape=shape if i == 0 else None) for i, l in enumerate(model.layers[1:])]
        config = {"name": model.name, "layers": layers}
        if 2.1 < v < 2.2:
            config = layers
    else:
        out = ref(model.output)
        inner = {l.name: l for l in model.layers}[out[0]]
        own = isinstance(inner, Model) and not (v >= 3 and inner.cls == "Sequential")
        ends = [model.layers[0].name, 0, 0], [out[0], out[1] + (1 if own else 0), 0]
        config = {"name": model.name, "layers": [entry(l, v, inbound_of(model, l, v)) for l in model.layers],
                  "input_layers": ends[0] if v >= 3 else [ends[0]],
                  "output_layers": ends[1] if v >= 3 else [ends[1]]}
        if v >= 3:
            config["trainable"] = True
    cls = "Model" if model.functional and v < 2.4 else model.cls
    out = {"class_name": cls, "config": config}
    if v >= 3:
        out = {"module": "keras", **out, "registered_name": model.cls, "build_config": {"input_shape": None}}
    return out


# ---- Files ----

VERSIONS = {2.15: "2.1.6", 2.2: "2.2.4", 2.3: "2.3.0-tf", 2.4: "2.4.0", 2.12: "2.12.0", 2.13: "2.13.1",
            3.0: "3.0.5", 3.8: "3.8.0"}


def put_list(group, name, values, parts=False):
    data = [s.encode() for s in values]
    if parts:  # the header limit of HDF5: long lists are split
        for i, d in enumerate(np.array_split(data, 2)):
            group.attrs["%s%d" % (name, i)] = d
    else:
        group.attrs[name] = np.asarray(data) if data else np.asarray([], dtype="S1")


def write_weights(f, model, v, compress=None, parts=False):
    layers = [l for l in model.layers if v >= 2.4 or model.functional or l.cls != "InputLayer"]
    put_list(f, "layer_names", [l.name for l in layers], parts)
    f.attrs["backend"] = b"tensorflow"
    f.attrs["keras_version"] = VERSIONS[v].encode()
    for l in sorted(layers, key=lambda l: l.name) if v >= 2.4 else layers:
        g = f.create_group(l.name)
        ws = l.flat() if isinstance(l, Model) else l.ws
        tail = "" if v >= 3 else ":0"
        if v >= 3 and not isinstance(l, Model):
            names = [model.name + "/" + l.name + "/" + role.replace("depthwise_kernel", "kernel") for role, _ in ws]
        elif isinstance(l, Model):
            names = [path + tail for path, _ in ws]
        else:
            names = [l.name + "/" + role + tail for role, _ in ws]
        put_list(g, "weight_names", names, parts and len(names) > 1)
        for name, (_, w) in zip(names, ws):
            kind = {"chunks": w.shape, "compression": "gzip", "shuffle": True} if compress and w.ndim > 1 else {}
            g.create_dataset(name, data=w, **kind)
    if v >= 3:
        put_list(f.create_group("top_level_model_weights"), "weight_names", [])


def save_h5(path, model, v, fixed=False, compress=None, parts=False, libver=None, edit=None, no_weights=False):
    config = model_config(model, v)
    with h5py.File(path, "w", libver=libver) as f:
        f.attrs["keras_version"] = VERSIONS[v].encode()
        f.attrs["backend"] = b"tensorflow"
        text = json.dumps(config)
        if edit:
            text = edit(text)
        f.attrs["model_config"] = np.bytes_(text) if fixed else text
        f.attrs["training_config"] = json.dumps({"loss": "categorical_crossentropy"})
        if not no_weights:
            write_weights(f.create_group("model_weights"), model, v, compress, parts)
        g = f.create_group("optimizer_weights")
        g.create_dataset("Adam/iterations:0", data=np.int64(3))


def snake(name):
    import re
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def write_store(f, path, model, container, names, doubled):
    """model.weights.h5: <container>/<class>_<n>/vars/<i>"""
    used = {}
    for l in model.layers:
        if l.cls == "InputLayer" and not model.functional:
            continue
        key = snake(l.cls)
        used[key] = used.get(key, -1) + 1
        here = path + container + "/" + key + ("_%d" % used[key] if used[key] else "")
        used[key] += 1 if doubled and l.ws else 0
        g = f.create_group(here + "/vars")
        if names:
            g.attrs["name"] = l.name
        for i, (_, w) in enumerate([] if isinstance(l, Model) else l.ws):
            g.create_dataset(str(i), data=w)
        if l.cls == "Dropout":
            f.create_dataset(here + "/seed_generator/vars/0", data=np.array([1, 2], np.uint32))
        if isinstance(l, Model):
            write_store(f, here + "/", l, container, names, doubled)


def save_keras(path, model, v, container="layers", names=False, doubled=False, method=zipfile.ZIP_STORED,
               weights_name="model.weights.h5"):
    store = io.BytesIO()
    with h5py.File(store, "w") as f:
        write_store(f, "", model, container, names, doubled)
        f.create_dataset("optimizer/vars/0", data=np.int64(7))
        f.create_group("vars")
    with zipfile.ZipFile(path, "w", method) as z:
        for name, data in (("metadata.json", json.dumps({"keras_version": VERSIONS[v],
                                                         "date_saved": "2024-06-07@08:09:10"})),
                           ("config.json", json.dumps(model_config(model, v))),
                           (weights_name, store.getvalue())):
            z.writestr(zipfile.ZipInfo(name, (2024, 6, 7, 8, 9, 10)), data, method)


# ---- Networks ----

SHAPE = (8, 8, 1)


def mlp(name="sequential_1", v=2):
    hard = "hard_sigmoid3" if v >= 3 else "hard_sigmoid2"
    return Model(name, [Input("dense_1_input", (20,)), Dense("dense_1", 20, 12, "relu"), Dropout("dropout_1"),
                        Dense("dense_2", 12, 9, "hard_sigmoid", run_as=hard), Dense("dense_3", 9, 7, "tanh"),
                        Dense("dense_4", 7, 4, "softmax", bias=False)])


def lenet():
    return Model("sequential", [
        Input("conv2d_input", SHAPE), Conv2D("conv2d", 1, 4, (3, 3), padding="same", activation="relu"),
        Pool("Max", "max_pooling2d", (2, 2)), Conv2D("conv2d_1", 4, 6, (3, 3), activation="elu"),
        Flatten(), Dense("dense", 24, 10, "sigmoid"), Dropout("dropout"), Dense("dense_1", 10, 5),
        Activation("activation", "softmax")])


def windows_net():
    return Model("windows", [
        Input("input_1", (9, 10, 2)),
        Conv2D("conv_a", 2, 4, (3, 2), strides=(2, 1), padding="same", activation="relu", bias=False),
        Simple("ZeroPadding2D", "zero_padding2d", {"padding": [[1, 0], [2, 1]], "data_format": "channels_last"},
               lambda x: np.pad(x, ((0, 0), (1, 0), (2, 1), (0, 0)))),
        Conv2D("conv_b", 4, 4, (2, 2), dilation=(2, 2), groups=2, activation="linear"),
        Simple("LeakyReLU", "leaky_re_lu", {"alpha": 0.1}, lambda x: np.where(x > 0, x, 0.1 * x)),
        Pool("Average", "average_pooling2d", (3, 3), (2, 2), "same"),
        Conv2D("depthwise_conv2d", 4, 8, (2, 2), cls="DepthwiseConv2D", multiplier=2, padding="same"),
        Simple("ReLU", "re_lu", {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0},
               lambda x: np.clip(x, 0, 6)),
        Pool("Max", "max_pooling2d", (3, 2), (1, 2), "same"),
        Separable("separable_conv2d", 8, 6, (2, 2), padding="same", activation="relu"),
        Batch("batch_normalization", 6, scale=False),
        Simple("GlobalAveragePooling2D", "global_average_pooling2d", {"data_format": "channels_last"},
               lambda x: x.mean((1, 2))),
        Dense("dense", 6, 3)])


def residual(v):
    dense = Dense("shared", 12, 12, "relu", inputs=[["pool"], [("shared", 0)]])
    dense.calls = 2
    pool = Simple("GlobalMaxPooling2D", "pool", {"data_format": "channels_last", "keepdims": False},
                  lambda x: x.max((1, 2)), ["join"])
    return Model("model", [
        Input("input_1", SHAPE), Conv2D("stem", 1, 6, (3, 3), padding="same", bias=False, inputs=["input_1"]),
        Batch("bn", 6, inputs=["stem"]), Activation("relu", "relu", ["bn"]),
        Conv2D("branch", 6, 6, (3, 3), padding="same", inputs=["relu"]),
        Batch("bn_1", 6, center=False, axis=(3,) if v < 3 else -1, inputs=["branch"]),
        Simple("Add", "add", {}, lambda a, b: a + b, ["bn_1", "relu"]),
        Simple("ReLU", "re_lu", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
               lambda x: np.maximum(x, 0), ["add"]),
        Simple("Concatenate", "join", {"axis": -1}, lambda a, b: np.concatenate([a, b], -1), ["re_lu", "relu"]),
        pool, dense, Dense("logits", 12, 5, inputs=[("shared", 1)])], True)


def nested():
    inner = Model("features", [
        Input("conv_input", SHAPE), Conv2D("conv", 1, 3, (3, 3), strides=(2, 2), activation="relu"),
        Batch("bn", 3)])
    head = Model("head", [Input("input_2", (3, 3, 3)), Flatten("flatten", ["input_2"]),
                          Dense("conv", 27, 8, "relu", inputs=["flatten"])], True)
    inner.inputs, head.inputs = ["rescaling"], ["features"]
    return Model("outer", [
        Input("input_1", SHAPE),
        Simple("Rescaling", "rescaling", {"scale": 0.5, "offset": -0.25}, lambda x: x * 0.5 - 0.25, ["input_1"]),
        inner, head, Dense("dense", 8, 4, "softmax", inputs=["head"])], True)


def channels_first():
    return Model("sequential", [
        Input("conv2d_input", (2, 6, 5)),
        Conv2D("conv2d", 2, 3, (3, 3), activation="relu", last=False),
        Batch("bn", 3, axis=1, last=False), Pool("Average", "average_pooling2d", (2, 1), last=False),
        Flatten(last=False), Dense("dense", 18, 4)])


def shapes():
    serialised = {"module": "keras.layers", "class_name": "LeakyReLU", "registered_name": None,
                  "config": {"name": "leaky_re_lu", "negative_slope": 0.2}}
    function = {"module": "builtins", "class_name": "function", "config": "relu6", "registered_name": "function"}
    return Model("sequential_2", [
        Input("input_layer", (64,)),
        Simple("Reshape", "reshape", {"target_shape": [8, -1, 1]}, lambda x: x.reshape(len(x), 8, 8, 1)),
        Conv2D("c1", 1, 3, (3, 3), activation=serialised, run_as="leaky"),
        Conv2D("c2", 3, 2, (3, 3), activation=function, run_as="relu6"), Dropout("dropout"),
        Simple("Permute", "permute", {"dims": [3, 2, 1]}, lambda x: x.transpose(0, 3, 2, 1)), Flatten(),
        Dense("d", 32, 6, "elu"),
        Simple("ELU", "elu", {"alpha": 0.5}, lambda x: np.where(x > 0, x, 0.5 * (np.exp(np.minimum(x, 0)) - 1))),
        Dense("dense", 6, 3), Simple("Softmax", "softmax", {"axis": -1}, lambda x: x)])


def write_good(folder):
    files = [
        ("mlp_keras22_fixed.h5", save_h5, mlp(), 2.2, {"fixed": True}),
        ("mlp_keras216_list.h5", save_h5, mlp(), 2.15, {}),
        ("lenet_keras22.h5", save_h5, lenet(), 2.2, {}),
        ("lenet_keras24_gzip.h5", save_h5, lenet(), 2.4, {"compress": True}),
        ("windows_keras24_latest.h5", save_h5, windows_net(), 2.4, {"libver": "latest"}),
        ("residual_keras212_parts.h5", save_h5, residual(2.12), 2.12, {"parts": True}),
        ("nested_keras23.h5", save_h5, nested(), 2.3, {}),
        ("nested_keras212.h5", save_h5, nested(), 2.12, {}),
        ("channels_first_keras24.h5", save_h5, channels_first(), 2.4, {}),
        ("mlp_keras3.h5", save_h5, mlp(v=3), 3.0, {}),
        ("lenet_keras213.keras", save_keras, lenet(), 2.13, {"container": "_layer_checkpoint_dependencies"}),
        ("lenet_keras213_gaps.keras", save_keras, lenet(), 2.13,
         {"container": "_layer_checkpoint_dependencies", "doubled": True}),
        ("residual_keras3.keras", save_keras, residual(3.0), 3.0, {}),
        ("nested_keras3_names.keras", save_keras, nested(), 3.8, {"names": True}),
        ("shapes_keras3_deflate.keras", save_keras, shapes(), 3.8,
         {"names": True, "method": zipfile.ZIP_DEFLATED}),
    ]
    with open(os.path.join(folder, "expected.txt"), "w") as out:
        for name, save, model, v, options in files:
            save(os.path.join(folder, name), model, v, **options)
            shape = model.layers[0].config["shape"]
            x = rng.random((2, *shape)).astype(np.float32)
            y = model.run(x.astype(float))
            x, y = x.reshape(2, -1), y.reshape(2, -1)
            out.write("%s 2 %d %d\n" % (name, x.shape[1], y.shape[1]))
            for values in (*x, *y):
                out.write(" ".join("%.9g" % value for value in values) + "\n")


def write_bad(folder):
    def at(name):
        return os.path.join(folder, name)

    def with_layer(cls, name, config):
        m = mlp()
        m.layers.insert(2, Simple(cls, name, config, None))
        return m

    save_h5(at("bad_lambda.h5"), with_layer("Lambda", "lambda_1", {"function": ["4wEAAA==", None, None]}), 2.4)
    m = with_layer("LSTM", "lstm_1", {"units": 4})
    m.layers.insert(5, Simple("Activation", "act_1", {"activation": "gelu"}, None))
    save_h5(at("bad_several.h5"), m, 2.4)
    with h5py.File(at("bad_weights_only.h5"), "w") as f:
        write_weights(f, mlp(), 2.4)
    with h5py.File(at("bad_weights_only_keras3.h5"), "w") as f:
        write_store(f, "", mlp(), "layers", True, False)
    with h5py.File(at("bad_other.h5"), "w") as f:
        f.attrs["title"] = "measurements"
    save_h5(at("bad_no_weights.h5"), mlp(), 2.4, no_weights=True)
    m = mlp()
    m.layers[3].ws = m.layers[3].ws[:1]
    save_h5(at("bad_bias_missing.h5"), m, 2.4)
    m = mlp()
    m.layers[1].ws[0] = ("kernel", weights(20, 11))
    save_h5(at("bad_shape.h5"), m, 2.4)
    m = mlp()
    m.layers[1].ws[0][1][3, 4] = np.nan
    save_h5(at("bad_nan.h5"), m, 2.4)
    save_h5(at("bad_json.h5"), mlp(), 2.4, edit=lambda text: text[:-20])
    save_h5(at("bad_subclass.h5"), mlp(), 2.4,
            edit=lambda text: text.replace('"class_name": "Sequential"', '"class_name": "MyNetwork"'))
    save_h5(at("bad_keras1.h5"), mlp(), 2.2)
    with h5py.File(at("bad_keras1.h5"), "r+") as f:
        f.attrs["keras_version"] = b"1.2.2"
    m = residual(2.4)
    save_h5(at("bad_two_outputs.h5"), m, 2.4,
            edit=lambda text: text.replace('"output_layers": [', '"output_layers": [["shared", 1, 0], '))
    with h5py.File(at("bad_bomb.h5"), "w") as f:  # claims 1 GiB
        save = mlp()
        f.attrs["model_config"] = json.dumps(model_config(save, 2.4))
        g = f.create_group("model_weights")
        d = g.create_dataset("dense_1/dense_1/kernel:0", (1 << 14, 1 << 14), "f4", chunks=(1 << 11, 1 << 11),
                             compression="gzip")
        d.id.write_direct_chunk((0, 0), zlib.compress(bytes(4 << 22), 9))
    data = open(at("lenet_keras22.h5"), "rb").read()
    open(at("bad_truncated.h5"), "wb").write(data[:len(data) * 2 // 3])
    data = open(at("residual_keras3.keras"), "rb").read()
    open(at("bad_truncated.keras"), "wb").write(data[:len(data) * 2 // 3])
    save_keras(at("bad_entry.keras"), mlp(v=3), 3.0, weights_name="../model.weights.h5")
    with zipfile.ZipFile(at("bad_zip_bomb.keras"), "w") as z:
        z.writestr(zipfile.ZipInfo("config.json", (2024, 6, 7, 8, 9, 10)), b" " * (9 << 20), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    write_good(where)
    write_bad(where)
