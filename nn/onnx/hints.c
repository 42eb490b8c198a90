/* What a user can do about an operator that we do not have. */
#include <string.h>

#include "nn/onnx/onnx_internal.h"

#define TRAIN_AGAIN "replace it by Relu, LeakyRelu, Elu, Sigmoid or Tanh and train again"
#define FLOAT32 "export the network in float32, without quantisation"
#define NO_CONTROL_FLOW "export without control flow: trace the network with a fixed input shape"
#define FIXED_SHAPE "export with a fixed input shape, so that the exporter folds it away"
#define RECURRENT "recurrent layers cannot be run; use convolutions and dense layers"
#define ATTENTION "attention cannot be run; use convolutions and dense layers"

/* A prefix match on the operator's name. */
static const struct {
    const char *op, *hint;
} hints[] = {
    {"Selu", TRAIN_AGAIN},
    {"Celu", TRAIN_AGAIN},
    {"Gelu", TRAIN_AGAIN},
    {"Mish", TRAIN_AGAIN},
    {"HardSwish", TRAIN_AGAIN},
    {"Softplus", TRAIN_AGAIN},
    {"Softsign", TRAIN_AGAIN},
    {"ThresholdedRelu", TRAIN_AGAIN},
    {"Erf", TRAIN_AGAIN},
    {"Expand", FIXED_SHAPE},
    {"Exp", TRAIN_AGAIN},
    {"Log", TRAIN_AGAIN},
    {"Abs", TRAIN_AGAIN},
    {"Sqrt", TRAIN_AGAIN},
    {"Pow", TRAIN_AGAIN},
    {"Sin", TRAIN_AGAIN},
    {"Cos", TRAIN_AGAIN},
    {"ArgMax", "remove it: ask for the label only when the network is run (--reveal label)"},
    {"TopK", "remove it: the client receives the logits and sorts them"},
    {"Hardmax", "remove it: ask for the label only when the network is run (--reveal label)"},
    {"ConvTranspose", "transposed convolutions cannot be run; use Conv"},
    {"ConvInteger", FLOAT32},
    {"MatMulInteger", FLOAT32},
    {"QLinear", FLOAT32},
    {"QuantizeLinear", FLOAT32},
    {"DequantizeLinear", FLOAT32},
    {"DynamicQuantizeLinear", FLOAT32},
    {"LSTM", RECURRENT},
    {"GRU", RECURRENT},
    {"RNN", RECURRENT},
    {"Attention", ATTENTION},
    {"MultiHeadAttention", ATTENTION},
    {"Einsum", "write it as MatMul or Gemm with a constant weight matrix"},
    {"LayerNormalization", "use BatchNormalization: its statistics are fixed and cost nothing"},
    {"InstanceNormalization", "use BatchNormalization: its statistics are fixed and cost nothing"},
    {"GroupNormalization", "use BatchNormalization: its statistics are fixed and cost nothing"},
    {"LpNormalization", "use BatchNormalization: its statistics are fixed and cost nothing"},
    {"MeanVarianceNormalization", "use BatchNormalization: its statistics are fixed and cost nothing"},
    {"LRN", "use BatchNormalization: its statistics are fixed and cost nothing"},
    {"LpPool", "use AveragePool or MaxPool"},
    {"GlobalLpPool", "use GlobalAveragePool or GlobalMaxPool"},
    {"ReduceMax", "use GlobalMaxPool or MaxPool"},
    {"Reduce", "use ReduceMean over height and width, or GlobalAveragePool"},
    {"Resize", "scale the images before they are given as input"},
    {"Upsample", "scale the images before they are given as input"},
    {"Split", "write the branches as separate convolutions"},
    {"If", NO_CONTROL_FLOW},
    {"Loop", NO_CONTROL_FLOW},
    {"Scan", NO_CONTROL_FLOW},
    {"Sequence", NO_CONTROL_FLOW},
    {"Where", FIXED_SHAPE},
    {"Equal", FIXED_SHAPE},
    {"Range", FIXED_SHAPE},
    {"Tile", FIXED_SHAPE},
    {"NonZero", FIXED_SHAPE},
    {"Min", "only a Min with one constant number can be run; it is a Clip"},
    {"Max", "only a Max with one constant number can be run; it is a Clip"},
};

const char *csl__onnx_hint(const char *op) {
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strncmp(op, hints[i].op, strlen(hints[i].op)) == 0) {
            return hints[i].hint;
        }
    }
    return "convolutional and dense networks can be run: Conv, Gemm, MatMul, MaxPool, AveragePool, "
           "BatchNormalization, Add, Concat, Relu and its kin, Flatten, Reshape, final Softmax";
}
