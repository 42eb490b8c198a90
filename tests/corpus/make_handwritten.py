"""Makes tests/corpus/onnx/*.onnx other than torch_*: the idioms of exporters that cannot be had here, written by
hand with python3-onnx from their documentation, and files that must be refused.

    /usr/bin/python3 tests/corpus/make_handwritten.py

The expected outputs are computed with torch's functions from the same weights, not from the graph.
"""
import os

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from corpus import path, save_io

rng = np.random.default_rng(3)


def w(*shape, scale=0.5):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def t(a):
    return torch.from_numpy(np.ascontiguousarray(a))


def init(name, a):
    return numpy_helper.from_array(np.array(a, order="C"), name)


def ints(name, *v):
    return init(name, np.array(v, dtype=np.int64))


def n(op, inputs, outputs, name="", **attrs):
    domain = attrs.pop("domain", "")
    return h.make_node(op, inputs.split(","), outputs.split(","), name=name or outputs + "_node", domain=domain,
                       **attrs)


def model(nodes, inits, x, y, opset=13, producer="", ir=7, as_inputs=False, more_inputs=(), functions=(),
          imports=(), value_info=()):
    inputs = [h.make_tensor_value_info(x[0], x[2] if len(x) > 2 else T.FLOAT, x[1]), *more_inputs]
    if as_inputs:
        inputs += [h.make_tensor_value_info(i.name, i.data_type, i.dims) for i in inits]
    outputs = [h.make_tensor_value_info(o, T.FLOAT, None) for o in y]
    g = h.make_graph(nodes, "graph", inputs, outputs, inits, value_info=list(value_info))
    m = h.make_model(g, producer_name=producer, opset_imports=[h.make_opsetid("", opset), *imports],
                     functions=list(functions))
    m.ir_version = ir
    return m


def save(name, m, x=None, y=None):
    with open(path(name + ".onnx"), "wb") as f:
        f.write(m.SerializeToString())
    if x is not None:
        save_io(name, x, y.detach().numpy() if isinstance(y, torch.Tensor) else y)


def rand(*shape):
    return rng.random(shape, dtype=np.float32)


def nchw(x):
    return t(x).permute(0, 3, 1, 2)


def same(x, k, s, lower=False, value=0.0):
    """Pads the last two dimensions as SAME_UPPER or SAME_LOWER do."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        small = total // 2
        pads += [total - small, small] if lower else [small, total - small]
    return F.pad(x, pads, value=value)


# --- tf2onnx: NHWC with transposes, SAME_UPPER, Reshape head, MatMul + Add, Softmax
def tf2onnx_cnn():
    k1, b1, k2, b2, d, db = w(4, 2, 3, 3), w(4), w(5, 4, 2, 2), w(5), w(20, 3), w(3)
    nodes = [n("Transpose", "conv2d_input:0", "t1", perm=[0, 3, 1, 2]),
             n("Conv", "t1,k1,b1", "c1", "sequential/conv2d/Conv2D", auto_pad="SAME_UPPER", kernel_shape=[3, 3],
               strides=[2, 2], dilations=[1, 1], group=1),
             n("Relu", "c1", "r1"),
             n("Conv", "r1,k2,b2", "c2", auto_pad="SAME_UPPER", kernel_shape=[2, 2], strides=[1, 1]),
             n("Relu", "c2", "r2"),
             n("MaxPool", "r2", "p2", kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"),
             n("Transpose", "p2", "t2", perm=[0, 2, 3, 1]),
             n("Reshape", "t2,shape", "flat"),
             n("MatMul", "flat,d", "mm"), n("Add", "mm,db", "logits"),
             n("Softmax", "logits", "Identity:0", axis=-1)]
    m = model(nodes, [init("k1", k1), init("b1", b1), init("k2", k2), init("b2", b2), init("d", d),
                      init("db", db), ints("shape", -1, 20)],
              ("conv2d_input:0", ["unk__21", 8, 8, 2]), ["Identity:0"], 13, "tf2onnx")
    x = rand(2, 8, 8, 2)
    y = F.relu(F.conv2d(same(nchw(x), 3, 2), t(k1), t(b1), 2))
    y = F.max_pool2d(F.relu(F.conv2d(same(y, 2, 1), t(k2), t(b2))), 2)
    y = torch.softmax(y.permute(0, 2, 3, 1).reshape(2, 20) @ t(d) + t(db), -1)
    save("tf2onnx_cnn_op13", m, x, y)


# --- tf2onnx: Pad in NHWC, kernels transposed in the graph, Relu6 as Min and Max, ReduceMean, Squeeze head
def tf2onnx_pad():
    k, b, k2, b2 = w(3, 3, 1, 4), w(4), w(1, 1, 4, 6), w(6)
    nodes = [n("Pad", "x,pads", "padded"),
             n("Transpose", "padded", "t1", perm=[0, 3, 1, 2]),
             n("Transpose", "k", "kt", perm=[3, 2, 0, 1]),
             n("Conv", "t1,kt,b", "c1", auto_pad="VALID", kernel_shape=[3, 3], strides=[2, 2]),
             n("Max", "c1,zero", "m1"), n("Min", "m1,six", "m2"),
             n("Transpose", "k2", "k2t", perm=[3, 2, 0, 1]),
             n("Conv", "m2,k2t", "c2", kernel_shape=[1, 1]),
             n("Transpose", "c2", "t2", perm=[0, 2, 3, 1]),
             n("Add", "t2,b2", "a2"), n("Relu", "a2", "r2"),
             n("ReduceMean", "r2", "mean", axes=[1, 2], keepdims=1),
             n("Squeeze", "mean", "y", axes=[1, 2])]
    m = model(nodes, [init("k", k), init("b", b), init("k2", k2), init("b2", b2),
                      ints("pads", 0, 0, 0, 0, 0, 1, 1, 0), init("zero", np.float32(0)),
                      init("six", np.float32(0.4))],
              ("x", ["N", 8, 8, 1]), ["y"], 12, "tf2onnx")
    x = rand(2, 8, 8, 1)
    y = F.conv2d(F.pad(nchw(x), (0, 1, 0, 1)), t(k).permute(3, 2, 0, 1), t(b), 2).clamp(0, 0.4)
    y = F.relu(F.conv2d(y, t(k2).permute(3, 2, 0, 1), t(b2))).mean([2, 3])
    save("tf2onnx_pad_op12", m, x, y)


# --- tf2onnx: residual and concatenation along the channels of NHWC
def tf2onnx_branches():
    k1, k2, k3, d, db = w(4, 3, 3, 3), w(4, 4, 3, 3), w(2, 4, 1, 1), w(6, 3), w(3)
    nodes = [n("Transpose", "x", "t0", perm=[0, 3, 1, 2]),
             n("Conv", "t0,k1", "c1", auto_pad="SAME_UPPER"), n("Relu", "c1", "r1"),
             n("Conv", "r1,k2", "c2", auto_pad="SAME_UPPER"),
             n("Add", "r1,c2", "sum"), n("Relu", "sum", "r2"),
             n("Conv", "r2,k3", "c3"),
             n("Transpose", "r2", "r2t", perm=[0, 2, 3, 1]), n("Transpose", "c3", "c3t", perm=[0, 2, 3, 1]),
             n("Concat", "r2t,c3t", "cat", axis=3),
             n("Transpose", "cat", "catt", perm=[0, 3, 1, 2]),
             n("GlobalAveragePool", "catt", "gap"),
             n("Squeeze", "gap,sq", "flat"),
             n("MatMul", "flat,d", "mm"), n("Add", "db,mm", "y")]
    m = model(nodes, [init("k1", k1), init("k2", k2), init("k3", k3), init("d", d), init("db", db),
                      ints("sq", 2, 3)],
              ("x", ["unk__1", 6, 6, 3]), ["y"], 13, "tf2onnx")
    x = rand(2, 6, 6, 3)
    r1 = F.relu(F.conv2d(nchw(x), t(k1), padding=1))
    r2 = F.relu(r1 + F.conv2d(r1, t(k2), padding=1))
    y = torch.cat([r2, F.conv2d(r2, t(k3))], 1).mean([2, 3]) @ t(d) + t(db)
    save("tf2onnx_branches_op13", m, x, y)


# --- keras2onnx: transposes around every layer, BatchNormalization unfused, AveragePool, Gemm by MatMul and Add
def keras2onnx_cnn():
    k, b, g, beta, mean, var = w(3, 1, 3, 3), w(3), w(3) + 1, w(3), w(3), np.abs(w(3)) + 0.5
    d, db = w(27, 4), w(4)
    nodes = [n("Transpose", "input_1", "adj1", "Transpose6", perm=[0, 3, 1, 2]),
             n("Conv", "adj1,k,b", "c1", "conv2d", auto_pad="VALID", dilations=[1, 1], group=1,
               kernel_shape=[3, 3], strides=[1, 1]),
             n("Transpose", "c1", "c1t", "Transpose7", perm=[0, 2, 3, 1]),
             n("Sub", "c1t,mean", "sub"), n("Add", "var,eps", "vareps"), n("Sqrt", "vareps", "std"),
             n("Div", "sub,std", "div"), n("Mul", "g,div", "mul"), n("Add", "mul,beta", "bn"),
             n("Elu", "bn", "act", alpha=1.0),
             n("Transpose", "act", "actt", perm=[0, 3, 1, 2]),
             n("AveragePool", "actt", "pool", kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"),
             n("Transpose", "pool", "poolt", perm=[0, 2, 3, 1]),
             n("Flatten", "poolt", "flat"),
             n("MatMul", "flat,d", "mm"), n("Add", "mm,db", "pre"), n("Sigmoid", "pre", "dense")]
    m = model(nodes, [init("k", k), init("b", b), init("g", g), init("beta", beta), init("mean", mean),
                      init("var", var.astype(np.float32)), init("eps", np.float32(1e-3)), init("d", d),
                      init("db", db)],
              ("input_1", ["N", 8, 8, 1]), ["dense"], 11, "keras2onnx", ir=6,
              imports=[h.make_opsetid("ai.onnx.ml", 1)])
    x = rand(2, 8, 8, 1)
    y = F.conv2d(nchw(x), t(k), t(b))
    y = F.batch_norm(y, t(mean), t(var).float(), t(g), t(beta), False, 0, 1e-3)
    y = F.avg_pool2d(F.elu(y), 2).permute(0, 2, 3, 1).reshape(2, 27)
    save("keras2onnx_cnn_op11", m, x, torch.sigmoid(y @ t(d) + t(db)))


def keras2onnx_bn():
    """BatchNormalization as a node between transposes, LeakyReLU, GlobalMaxPool-less head by Reshape [0, -1]."""
    k, b, g, beta, mean, var = w(2, 2, 3, 3), w(2), w(2) + 1, w(2), w(2), np.abs(w(2)) + 0.5
    d, db = w(32, 3), w(3)
    nodes = [n("Transpose", "in", "t1", perm=[0, 3, 1, 2]),
             n("Conv", "t1,k,b", "c1", auto_pad="SAME_LOWER", strides=[2, 2], kernel_shape=[3, 3]),
             n("BatchNormalization", "c1,g,beta,mean,var", "bn", epsilon=0.001, momentum=0.99),
             n("LeakyRelu", "bn", "lr", alpha=0.3),
             n("Transpose", "lr", "t2", perm=[0, 2, 3, 1]),
             n("Reshape", "t2,shape", "flat"), n("Gemm", "flat,d,db", "out", alpha=0.5, beta=2.0)]
    m = model(nodes, [init("k", k), init("b", b), init("g", g), init("beta", beta), init("mean", mean),
                      init("var", var.astype(np.float32)), init("d", d), init("db", db), ints("shape", 0, -1)],
              ("in", ["N", 8, 8, 2]), ["out"], 8, "keras2onnx", ir=4)
    x = rand(2, 8, 8, 2)
    y = F.conv2d(same(nchw(x), 3, 2, lower=True), t(k), t(b), 2)
    y = F.leaky_relu(F.batch_norm(y, t(mean), t(var).float(), t(g), t(beta), False, 0, 1e-3), 0.3)
    save("keras2onnx_bn_op8", m, x, 0.5 * (y.permute(0, 2, 3, 1).reshape(2, 32) @ t(d)) + 2 * t(db))


# --- CNTK: opset 7, weights listed as inputs, Plus with broadcast, Times as MatMul of reshaped weights
def cntk_mnist():
    k1, b1, k2, b2, d, db = w(4, 1, 5, 5), w(4, 1, 1), w(6, 4, 5, 5), w(6, 1, 1), w(6, 2, 2, 10), w(1, 10)
    nodes = [n("Reshape", "Parameter193,Parameter193_reshape1_shape", "Parameter193_reshape1", "Times212_reshape1"),
             n("Conv", "Input3,Parameter5", "Convolution28_Output_0", "Convolution28", kernel_shape=[5, 5],
               strides=[1, 1], auto_pad="SAME_UPPER", group=1, dilations=[1, 1]),
             n("Add", "Convolution28_Output_0,Parameter6", "Plus30_Output_0", "Plus30"),
             n("Relu", "Plus30_Output_0", "ReLU32_Output_0", "ReLU32"),
             n("MaxPool", "ReLU32_Output_0", "Pooling66_Output_0", "Pooling66", kernel_shape=[2, 2],
               strides=[2, 2], auto_pad="NOTSET", pads=[0, 0, 0, 0]),
             n("Conv", "Pooling66_Output_0,Parameter87", "Convolution110_Output_0", "Convolution110",
               kernel_shape=[5, 5], strides=[1, 1], auto_pad="SAME_UPPER", group=1, dilations=[1, 1]),
             n("Add", "Convolution110_Output_0,Parameter88", "Plus112_Output_0", "Plus112"),
             n("Relu", "Plus112_Output_0", "ReLU114_Output_0", "ReLU114"),
             n("MaxPool", "ReLU114_Output_0", "Pooling160_Output_0", "Pooling160", kernel_shape=[3, 3],
               strides=[3, 3], auto_pad="NOTSET", pads=[0, 0, 0, 0]),
             n("Reshape", "Pooling160_Output_0,Pooling160_Output_0_reshape0_shape",
               "Pooling160_Output_0_reshape0", "Times212_reshape0"),
             n("MatMul", "Pooling160_Output_0_reshape0,Parameter193_reshape1", "Times212_Output_0", "Times212"),
             n("Add", "Times212_Output_0,Parameter194", "Plus214_Output_0", "Plus214")]
    inits = [init("Parameter193", d), init("Parameter87", k2), init("Parameter5", k1), init("Parameter6", b1),
             init("Parameter88", b2), ints("Pooling160_Output_0_reshape0_shape", 1, 24),
             ints("Parameter193_reshape1_shape", 24, 10), init("Parameter194", db)]
    m = model(nodes, inits, ("Input3", [1, 1, 14, 14]), ["Plus214_Output_0"], 7, "CNTK", ir=3, as_inputs=True)
    m.graph.input.insert(4, m.graph.input[0])  # not the first of the list
    del m.graph.input[0]
    x = rand(1, 1, 14, 14)
    y = F.max_pool2d(F.relu(F.conv2d(t(x), t(k1), padding=2) + t(b1)), 2)
    y = F.max_pool2d(F.relu(F.conv2d(y, t(k2), padding=2) + t(b2)), 3)
    save("cntk_mnist_op7", m, x, y.reshape(1, 24) @ t(d).reshape(24, 10) + t(db))


def cntk_mlp():
    """Scaling of the input by constants, dense layers as MatMul with a flattened image, odd names."""
    a, b, c, e = w(36, 7), w(7), w(7, 3), w(3)
    nodes = [n("Mul", "x,scale", "ElementTimes5_Output_0"),
             n("Sub", "ElementTimes5_Output_0,shift", "Minus7 Output.0"),
             n("Reshape", "Minus7 Output.0,s", "Reshape9"),
             n("MatMul", "Reshape9,a", "Times11"), n("Add", "b,Times11", "Plus12"), n("Tanh", "Plus12", "T13"),
             n("MatMul", "T13,c", "Times14"), n("Add", "Times14,e", "z")]
    m = model(nodes, [init("scale", np.array([1 / 3], np.float32)), init("shift", np.float32(0.25)), init("a", a),
                      init("b", b), init("c", c), init("e", e), ints("s", 1, 36)],
              ("x", [1, 1, 6, 6]), ["z"], 7, "CNTK", ir=3, as_inputs=True)
    x = rand(1, 1, 6, 6)
    y = torch.tanh((t(x) / 3 - 0.25).reshape(1, 36) @ t(a) + t(b)) @ t(c) + t(e)
    save("cntk_mlp_op7", m, x, y)


# --- dynamo: functions of the model's own, with attributes that refer to the caller's; opset 18
def dynamo_functions():
    k, b, d, db = w(3, 1, 3, 3), w(3), w(4, 3), w(4)
    lib, pkg = "pkg.onnxscript.torch_lib", "pkg.torch.2.1.0"
    relu = h.make_function(lib, "aten_relu", ["self"], ["result"], [n("Relu", "self", "result", "n0")],
                           [h.make_opsetid("", 18)])
    leaky_node = n("LeakyRelu", "self", "result", "n0")
    ref = leaky_node.attribute.add()
    ref.name, ref.ref_attr_name, ref.type = "alpha", "negative_slope", onnx.AttributeProto.FLOAT
    leaky = h.make_function(lib, "aten_leaky_relu", ["self"], ["result"], [leaky_node],
                            [h.make_opsetid("", 18)], ["negative_slope"])
    mean = h.make_function(lib, "aten_mean_dim", ["self", "dim"], ["result"],
                           [n("Constant", "", "minus1", "c0", value_ints=[-1]),
                            n("Reshape", "dim,minus1", "axes"),
                            n("ReduceMean", "self,axes", "result", "n1", keepdims=0)],
                           [h.make_opsetid("", 18)])
    for f in (mean,):
        f.node[0].input.pop()
    linear = h.make_function(lib, "aten_linear", ["input", "weight", "bias"], ["result"],
                             [n("Transpose", "weight", "wt", perm=[1, 0]), n("MatMul", "input,wt", "mm"),
                              n("Add", "mm,bias", "result")], [h.make_opsetid("", 18)])
    conv = h.make_function(lib, "aten_conv2d", ["input", "weight", "bias"], ["result"],
                           [n("Conv", "input,weight,bias", "result", "n0", strides=[1, 1], pads=[1, 1, 1, 1],
                              dilations=[1, 1], group=1)], [h.make_opsetid("", 18)])
    block = h.make_function(pkg, "torch_nn_modules_Block", ["x", "w", "b"], ["out"],
                            [n("aten_conv2d", "x,w,b", "conv", "aten_conv2d_0", domain=lib),
                             n("aten_leaky_relu", "conv", "act", "aten_leaky_relu_1", domain=lib,
                               negative_slope=0.2),
                             n("aten_relu", "act", "out", "aten_relu_2", domain=lib)],
                            [h.make_opsetid("", 18), h.make_opsetid(lib, 1)])
    nodes = [n("torch_nn_modules_Block", "l_x_,p_block_weight,p_block_bias", "/block/conv", "/block/0",
               domain=pkg),
             n("Constant", "", "dims", "_const", value_ints=[2, 3]),
             n("aten_mean_dim", "/block/conv,dims", "mean", "/mean", domain=lib),
             n("aten_linear", "mean,p_fc_weight,p_fc_bias", "linear", "/fc", domain=lib)]
    nodes[1].input.pop()
    d = w(4, 3)
    m = model(nodes, [init("p_block_weight", k), init("p_block_bias", b), init("p_fc_weight", d),
                      init("p_fc_bias", db)],
              ("l_x_", [1, 1, 6, 6]), ["linear"], 18, "pytorch", ir=8,
              functions=[relu, leaky, mean, linear, conv, block],
              imports=[h.make_opsetid(lib, 1), h.make_opsetid(pkg, 1)])
    x = rand(1, 1, 6, 6)
    y = F.relu(F.leaky_relu(F.conv2d(t(x), t(k), t(b), padding=1), 0.2)).mean([2, 3])
    save("dynamo_functions_op18", m, x, F.linear(y, t(d), t(db)))


def dynamo_inlined():
    """What optimised dynamo exports look like: Pad and Clip by inputs, Shape with start and end, val_3 names."""
    k, b, d, db = w(4, 2, 3, 3), w(4), w(3, 36), w(3)
    nodes = [n("Pad", "x,val_0,val_1,val_2", "constant_pad_nd", "node_constant_pad_nd", mode="constant"),
             n("Conv", "constant_pad_nd,conv.weight,conv.bias", "conv2d", "node_conv2d", auto_pad="NOTSET",
               dilations=[1, 1], group=1, pads=[0, 0, 0, 0], strides=[2, 2]),
             n("CastLike", "val_3,conv2d", "val_5"), n("CastLike", "val_4,conv2d", "val_6"),
             n("Clip", "conv2d,val_5,val_6", "hardtanh", "node_hardtanh"),
             n("Shape", "hardtanh", "val_7", start=0, end=1),
             n("Concat", "val_7,val_8", "val_9", axis=0),
             n("Reshape", "hardtanh,val_9", "view", "node_view", allowzero=0),
             n("Gemm", "view,fc.weight,fc.bias", "linear", "node_linear", transB=1, alpha=1.0, beta=1.0)]
    m = model(nodes, [init("conv.weight", k), init("conv.bias", b), init("fc.weight", d), init("fc.bias", db),
                      ints("val_0", 1, 1, 1, 1), init("val_1", np.float32(0)), ints("val_2", 2, 3),
                      ints("val_8", 36), init("val_3", np.array(0, np.int64)), init("val_4", np.float32(0.5))],
              ("x", ["s0", 2, 6, 6]), ["linear"], 18, "pytorch", ir=10)
    x = rand(2, 2, 6, 6)
    y = F.conv2d(F.pad(t(x), (1, 1, 1, 1)), t(k), t(b), 2).clamp(0, 0.5).reshape(2, 36)
    save("dynamo_inlined_op18", m, x, F.linear(y, t(d), t(db)))


# --- external data
def external():
    a, b, c = w(8, 6), w(6), w(6, 4)
    nodes = [n("MatMul", "x,a", "m"), n("Add", "m,b", "s"), n("Relu", "s", "r"), n("MatMul", "r,c", "y")]
    m = model(nodes, [init("a", a), init("b", b), init("c", c)], ("x", ["N", 8]), ["y"], 17, "pytorch", ir=8)
    x = rand(2, 8)
    y = F.relu(t(x) @ t(a) + t(b)) @ t(c)
    data, places = b"", {}
    for name, v in (("a", a), ("b", b), ("c", c)):
        data += b"\0" * (-len(data) % 64)
        places[name] = (len(data), v.nbytes)
        data += v.tobytes()
    with open(path("external_op17.onnx.data"), "wb") as f:
        f.write(data)

    def place(to, tensor, location, offset=None, length=None):
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            if value is not None:
                tensor.external_data.add(key=key, value=str(value))

    for i in m.graph.initializer:
        place(m, i, "external_op17.onnx.data", *places[i.name])
    save("external_op17", m, x, y)
    for name, location, offset, length in (
            ("up", "../onnx/external_op17.onnx.data", 0, 192), ("absolute", "/etc/passwd", 0, 192),
            ("inner_up", "sub/../../EXPECT", 0, 192), ("long", "external_op17.onnx.data", 400, 192),
            ("length", "external_op17.onnx.data", 0, 1 << 40), ("missing", "no_such_file", 0, 192),
            ("negative", "external_op17.onnx.data", -5, 192), ("folder", ".", 0, 192)):
        r = onnx.ModelProto()
        r.CopyFrom(m)
        r.graph.initializer[0].ClearField("external_data")
        place(r, r.graph.initializer[0], location, offset, length)
        save("refused_external_" + name, r)


# --- hand-written: types, order, typed data, opset 21
def types():
    a, b, c, d = w(6, 5), w(5), w(5, 4), w(4)
    b16 = (np.frombuffer(d.tobytes(), np.uint32) >> 16).astype(np.uint16)
    bf = h.make_tensor("d16", T.BFLOAT16, [4], b16.tobytes(), raw=True)
    d_used = (b16.astype(np.uint32) << 16).view(np.float32)
    half = h.make_tensor("a16", T.FLOAT16, [6, 5],
                         [int(v) for v in a.astype(np.float16).reshape(-1).view(np.uint16)], raw=False)
    if len(half.int32_data) != 30:
        raise SystemExit("unexpected form of half data")
    del half.int32_data[:]
    half.int32_data.extend(int(v) for v in a.astype(np.float16).reshape(-1).view(np.uint16))
    typed = h.make_tensor("b64", T.DOUBLE, [5], b.astype(np.float64))
    nodes = [n("Cast", "a16", "a", to=T.FLOAT), n("Cast", "b64", "b", to=T.FLOAT), n("Cast", "d16", "d", to=T.FLOAT),
             n("Cast", "shape32", "shape", to=T.INT64), n("Reshape", "x,shape", "flat"),
             n("Gemm", "flat,a,b", "g1"), n("Relu", "g1", "r1"), n("Gemm", "r1,c,d", "y")]
    m = model(nodes, [half, typed, bf, init("c", c), h.make_tensor("shape32", T.INT32, [2], [-1, 6])],
              ("x", ["N", 2, 3]), ["y"], 21, "hand", ir=10)
    x = rand(3, 2, 3)
    y = F.relu(t(x).reshape(3, 6) @ t(a.astype(np.float16).astype(np.float32)) + t(b)) @ t(c) + t(d_used)
    save("types_op21", m, x, y)


def unsorted():
    a, b, c = w(5, 4), w(4), w(4, 3)
    nodes = [n("Add", "mm2,bias2", "out"), n("MatMul", "drop,ct", "mm2"), n("Dropout", "r,,training", "drop,mask"),
             n("Relu", "s", "r"), n("Identity", "c", "ct"), n("Add", "b,mm", "s"), n("MatMul", "flat,a", "mm"),
             n("Flatten", "x", "flat", axis=-2),
             h.make_node("Constant", [], ["bias2"], name="k", value_floats=[0.5, -0.25, 1.0]),
             h.make_node("Constant", [], ["training"], name="k2", value=h.make_tensor("v", T.BOOL, [], [False])),
             n("Erf", "x", "unused")]
    m = model(nodes, [init("a", a), init("b", b), init("c", c), init("never", w(2))], ("x", ["N", 1, 5]), ["out"],
              13, "hand")
    x = rand(2, 1, 5)
    y = F.relu(t(x).reshape(2, 5) @ t(a) + t(b)) @ t(c) + torch.tensor([0.5, -0.25, 1.0])
    save("unsorted_op13", m, x, y)


def shape_chain():
    """ReduceProd of a slice of the shape; a constant filled, expanded and compared; Range and Gather."""
    k, d = w(3, 2, 3, 3), w(48, 4)
    nodes = [n("Conv", "x,k", "c"), n("Relu", "c", "r"), n("Shape", "r", "s"),
             n("Slice", "s,one,big,zero", "tail"), n("ReduceProd", "tail", "prod", keepdims=1),
             n("Slice", "s,zero,one,zero", "head"), n("Concat", "head,prod", "to", axis=0),
             n("Reshape", "r,to", "flat"), n("MatMul", "flat,d", "mm"),
             n("ConstantOfShape", "four", "bias", value=h.make_tensor("v", T.FLOAT, [1], [0.125])),
             n("Range", "start,limit,delta", "index"), n("Gather", "table,index", "picked", axis=0),
             n("Equal", "picked,picked", "same"), n("Where", "same,picked,bias", "chosen"),
             n("Add", "mm,bias", "a1"), n("Add", "a1,chosen", "y")]
    m = model(nodes, [init("k", k), init("d", d), ints("one", 1), ints("big", 2**63 - 1), ints("zero", 0),
                      ints("four", 4), init("start", np.array(3, np.int64)), init("limit", np.array(-1, np.int64)),
                      init("delta", np.array(-1, np.int64)), init("table", np.arange(4, dtype=np.float32))],
              ("x", ["N", 2, 6, 6]), ["y"], 13, "hand")
    x = rand(2, 2, 6, 6)
    y = F.relu(F.conv2d(t(x), t(k))).reshape(2, 48) @ t(d) + 0.125 + torch.tensor([3.0, 2.0, 1.0, 0.0])
    save("shape_chain_op13", m, x, y)


def pools():
    """SAME_LOWER pooling, uneven padding, GlobalMaxPool, Sum of three, rank kept by Reshape [0, -1]."""
    k = w(3, 1, 2, 2)
    nodes = [n("Conv", "x,k", "c", auto_pad="SAME_LOWER", kernel_shape=[2, 2]),
             n("MaxPool", "c", "m", auto_pad="SAME_LOWER", kernel_shape=[2, 2], strides=[1, 1]),
             n("AveragePool", "c", "a", pads=[1, 0, 0, 1], kernel_shape=[2, 2], strides=[1, 1],
               count_include_pad=1),
             n("Sum", "m,a,c", "s"), n("GlobalMaxPool", "s", "g"), n("Reshape", "g,shape", "y")]
    m = model(nodes, [init("k", k), ints("shape", 0, -1)], ("x", ["N", 1, 5, 5]), ["y"], 11, "hand")
    x = rand(2, 1, 5, 5)
    c = F.conv2d(same(t(x), 2, 1, lower=True), t(k))
    mp = F.max_pool2d(same(c, 2, 1, lower=True, value=-1e9), 2, 1)
    ap = F.avg_pool2d(F.pad(c, (0, 1, 1, 0)), 2, 1)
    save("pools_op11", m, x, (c + mp + ap).amax([2, 3]))


# --- what must be refused
def refused():
    a, b = w(6, 4), w(4)
    x = ("x", ["N", 6])
    good = [n("Gemm", "x,a,b", "h", "dense"), n("Relu", "h", "y", "relu")]
    inits = [init("a", a), init("b", b)]
    save("refused_unknown", model([good[0], n("Frobnicate", "h", "f", "odd one"), n("GridSample", "f", "y", "grid")],
                                  inits, x, ["y"]))
    save("refused_domains", model([good[0], n("Normalizer", "h", "f", "scaler", domain="ai.onnx.ml"),
                                   n("FusedGelu", "f", "y", "fused", domain="com.microsoft")], inits, x, ["y"],
                                  imports=[h.make_opsetid("ai.onnx.ml", 2), h.make_opsetid("com.microsoft", 1)]))
    nan = a.copy()
    nan[2, 3] = np.nan
    save("refused_nan", model(good, [init("a", nan), init("b", b)], x, ["y"]))
    save("refused_missing", model(good, inits[:1], x, ["y"]))
    save("refused_opset6", model(good, inits, x, ["y"], 6))
    save("refused_opset22", model(good, inits, x, ["y"], 22))
    save("refused_outputs", model(good, inits, x, ["y", "h"]))
    save("refused_inputs", model([*good[:1], n("Add", "h,z", "y")], inits, x, ["y"],
                                 more_inputs=[h.make_tensor_value_info("z", T.FLOAT, ["N", 4])]))
    save("refused_cycle", model([n("Add", "x,q", "p", "first"), n("Relu", "p", "q", "second"),
                                 n("Relu", "q", "y", "third")], [], x, ["y"]))
    f = h.make_function("own", "again", ["x"], ["y"], [n("again", "x", "y", "inner", domain="own")],
                        [h.make_opsetid("", 13), h.make_opsetid("own", 1)])
    save("refused_recursion", model([n("again", "x", "y", "outer", domain="own")], [], x, ["y"], functions=[f],
                                    imports=[h.make_opsetid("own", 1)], ir=8))
    branch = h.make_graph([n("Relu", "x", "b")], "branch", [], [h.make_tensor_value_info("b", T.FLOAT, None)])
    save("refused_if", model([n("If", "cond", "y", "choice", then_branch=branch, else_branch=branch)],
                             [init("cond", np.array(True))], x, ["y"]))
    save("refused_conv1d", model([n("Conv", "x,k", "y", "conv1", kernel_shape=[3])], [init("k", w(2, 1, 3))],
                                 ("x", ["N", 1, 6]), ["y"]))
    save("refused_training", model([n("BatchNormalization", "x,s,s,s,s", "y", "bn", training_mode=1)],
                                   [init("s", np.ones(6, np.float32))], x, ["y"], 15))
    save("refused_mask", model([n("Dropout", "x", "d,mask", "drop"), n("Relu", "mask", "y", "reader")], [], x,
                               ["y"]))
    save("refused_bomb", model([n("ConstantOfShape", "dims", "big", "bomb"), n("Add", "x,big", "y", "add")],
                               [ints("dims", 1 << 14, 1 << 14)], x, ["y"]))
    save("refused_infinite", model([n("Div", "a,zero", "inf", "div"), n("MatMul", "x,inf", "y", "mm")],
                                   [init("a", a), init("zero", np.float32(0))], x, ["y"]))
    save("refused_mixed_batch", model([n("Reshape", "x,s", "r", "mixer"), n("MatMul", "r,m", "y", "mm")],
                                      [ints("s", -1, 3), init("m", w(3, 2))], x, ["y"]))
    save("refused_reflect", model([n("Pad", "x,p", "q", "mirror", mode="reflect"), n("Conv", "q,k", "y", "conv")],
                                  [ints("p", 0, 0, 1, 1, 0, 0, 1, 1), init("k", w(1, 1, 3, 3))],
                                  ("x", ["N", 1, 5, 5]), ["y"]))
    save("refused_product", model([good[0], n("Mul", "h,h", "y", "square")], inits, x, ["y"]))
    m = model(good, inits, x, ["y"])
    m.graph.initializer[0].raw_data = m.graph.initializer[0].raw_data[:-4]
    save("refused_short", m)
    with open(path("refused_text.onnx"), "wb") as out:
        out.write(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 26454\n")


if __name__ == "__main__":
    os.makedirs(path(""), exist_ok=True)
    for make in (tf2onnx_cnn, tf2onnx_pad, tf2onnx_branches, keras2onnx_cnn, keras2onnx_bn, cntk_mnist, cntk_mlp,
                 dynamo_functions, dynamo_inlined, external, types, unsorted, shape_chain, pools, refused):
        make()
