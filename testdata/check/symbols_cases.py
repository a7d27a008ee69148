"""The cases of symbols.py: functions that make one random node each."""

import dataclasses
import random
import typing

import numpy as np
from onnx import TensorProto as T


@dataclasses.dataclass
class In:
    """An input: symbolic dims, or a constant. `fill` makes the value from sizes and shape."""

    dims: list = dataclasses.field(default_factory=list)
    type: int = T.FLOAT
    value: object = None
    fill: typing.Callable = None


def x(dims, type=T.FLOAT, fill=None):
    dims = dims.split() if isinstance(dims, str) else dims
    return In([int(d) if str(d).isdigit() else d for d in dims], type, None, fill)


def const(value, dtype=None):
    return In(value=np.asarray(value, dtype))


@dataclasses.dataclass
class Case:
    op: str
    inputs: list
    attributes: dict = dataclasses.field(default_factory=dict)
    outputs: object = 1
    opset: int = 21
    domain: str = ""
    ranges: dict = dataclasses.field(default_factory=dict)
    told: int = 0

    @property
    def name(self):
        return f"{self.domain}::{self.op}"

    def output_names(self):
        outputs = range(self.outputs) if isinstance(self.outputs, int) else self.outputs
        return [f"y{k}" if k is not None else "" for k in outputs]

    def symbols(self):
        import re

        dims = [str(d) for i in self.inputs if i is not None for d in i.dims]
        return sorted({s for d in dims for s in re.findall(r"[A-Za-z_]\w*", d)})

    def sizes(self, zeros=False):
        sizes = {s: random.randint(*self.ranges.get(s, (1, 9))) for s in self.symbols()}
        if zeros:
            sizes = {s: n if s in self.ranges or random.randint(0, 2) else 0 for s, n in sizes.items()}
        return sizes

    def __str__(self):
        dims = [None if i is None else i.dims if i.value is None else np.asarray(i.value).tolist() for i in self.inputs]
        return f"{self.name}-{self.opset} {dims} {self.attributes}"


MAKERS = []


def maker(function):
    MAKERS.append(function)
    return function


def ms(op, inputs, outputs=1, ranges=None, **attributes):
    attributes = {k: v for k, v in attributes.items() if v is not None}
    return Case(op, inputs, attributes, outputs, 21, "com.microsoft", ranges or {})


def pick(*choices):
    return random.choice(choices)


def number(low, high):
    return random.randint(low, high)


def window(pads=True, ceil=False, dilate=True):
    kernel = number(1, 4)
    a = {"kernel_shape": [kernel, number(1, 3)], "strides": [number(1, 4), number(1, 3)]}
    auto = pick("NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    if auto != "NOTSET":
        a["auto_pad"] = auto
    elif pads:
        a["pads"] = [number(0, k - 1) for k in a["kernel_shape"]] + [number(0, k - 1) for k in a["kernel_shape"]]
    if dilate and auto == "NOTSET":
        a["dilations"] = [number(1, 2), number(1, 2)]
    if ceil:
        a["ceil_mode"] = number(0, 1)
    return a


SPATIAL = {"h": (6, 12), "w": (6, 12)}


@maker
def conv():
    a = window()
    k = a["kernel_shape"]
    if number(0, 1):
        del a["kernel_shape"]
    group = pick(1, 2)
    return Case("Conv", [x("b 4 h w"), x([6, 4 // group, *k])], dict(a, group=group), ranges=SPATIAL)


@maker
def conv_transpose():
    a = window(pads=False)
    k = a["kernel_shape"]
    a["output_padding"] = [number(0, s - 1) for s in a["strides"]]
    return Case("ConvTranspose", [x("b 4 h w"), x([4, 3, *k])], dict(a, group=2), ranges=SPATIAL)


@maker
def pool():
    op = pick("MaxPool", "AveragePool", "LpPool")
    return Case(op, [x("b c h w")], window(ceil=True), 2 if op == "MaxPool" else 1, ranges=SPATIAL)


@maker
def global_pool():
    return Case(pick("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), [x("b c h w")])


@maker
def resize_scales():
    s = np.array([1, 1, pick(2, 0.5, 1.5, 0.25, 3, 0.3, 0.7, 1.1), pick(1, 2, 0.75, 0.9)], np.float32)
    mode = pick("nearest", "linear")
    return Case("Resize", [x("b c h w"), None, const(s)], {"mode": mode}, opset=pick(13, 18, 19), ranges=SPATIAL)


@maker
def resize_numbers():
    s = np.array([1, 1, round(random.uniform(0.1, 3), pick(1, 2)), random.uniform(0.2, 2)], np.float32)
    return Case("Resize", [x([1, 1, number(2, 60), number(2, 60)]), None, const(s)], {"mode": "nearest"}, opset=13)


@maker
def resize_sizes():
    policy = pick("stretch", "not_larger", "not_smaller")
    data = x([1, 2, number(2, 20), number(2, 20)]) if policy != "stretch" else x("b c h w")
    a = {"axes": pick([2, 3], [3, 2], [-1, -2]), "keep_aspect_ratio_policy": policy, "mode": "nearest"}
    return Case("Resize", [data, None, None, const([number(1, 20), number(1, 20)], np.int64)], a, opset=19)


@maker
def upsample():
    return Case("Upsample", [x("b c h w"), const([1, 1, pick(1, 2, 3), pick(1.5, 2)], np.float32)], opset=9)


@maker
def pad():
    pads = [number(0, 2) for _ in range(4)]
    axes = pick(None, const([0, 2], np.int64), const([-1, 1], np.int64))
    pads = pads if axes is not None else [number(-1, 2) for _ in range(6)]
    inputs = [x("a b c"), const(pads, np.int64)] + ([None, axes] if axes is not None else [])
    return Case("Pad", inputs, opset=18, ranges={k: (3, 7) for k in "abc"})


@maker
def space_depth():
    b = pick(1, 2, 3)
    if number(0, 1):
        return Case("DepthToSpace", [x(["n", b * b * 2, "h", "w"])], {"blocksize": b}, opset=13)
    return Case("SpaceToDepth", [x(["n", 3, f"{b}*h", f"{b}*w"])], {"blocksize": b}, opset=13)


@maker
def col2im():
    k = [number(1, 2), number(1, 3)]
    image = [number(4, 6), number(4, 6)]
    windows = (image[0] - k[0] + 1) * (image[1] - k[1] + 1)
    data = x(["n", 3 * k[0] * k[1], windows])
    return Case("Col2Im", [data, const(image, np.int64), const(k, np.int64)], opset=18)


@maker
def center_crop_pad():
    shape = const([number(1, 9), number(1, 9)], np.int64)
    return Case("CenterCropPad", [x("a b c"), shape], {"axes": pick([0, 1], [-1, 0])}, opset=18)


@maker
def one_hot():
    depth = pick(const(5, np.int64), const([4], np.int32), const(3.0, np.float32))
    return Case("OneHot", [x("a b", T.INT64), depth, const([0, 1], np.float32)], {"axis": pick(-1, 0, 1, -2)}, opset=11)


@maker
def compress():
    n = number(1, 4)
    condition = const([bool(number(0, 1)) for _ in range(n)])
    return Case("Compress", [x(pick("a b", "a+4 b+4", "3 2")), condition], pick({}, {"axis": 1}, {"axis": -2}))


@maker
def unique():
    return Case("Unique", [x("a b")], pick({}, {"axis": 0}, {"axis": -1}), 4, opset=11)


@maker
def einsum():
    equation, shapes = pick(
        ("bhid,bhjd->bhij", ["b h i d", "b h j d"]),
        ("ij,jk", ["i j", "j k"]),
        ("...ij,...jk->...ik", ["b 1 i j", "c j k"]),
        ("ii->i", ["i i"]),
        ("ij->ji", ["i j"]),
        ("ij,ij->ij", ["1 j", "i j"]),
        ("i,j->ij", ["i", "j"]),
        ("ij->", ["i j"]),
        ("bn,anm,bm->ba", ["b n", "a n m", "b m"]),
    )
    return Case("Einsum", [x(s) for s in shapes], {"equation": equation}, opset=12)


@maker
def recurrent():
    op, gates = pick(("LSTM", 4), ("GRU", 3), ("RNN", 1))
    direction, n = pick(("forward", 1), ("bidirectional", 2), ("reverse", 1))
    activations = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[op] * n
    inputs = [x("s b 5"), x([n, gates * 4, 5]), x([n, gates * 4, 4])]
    a = {"direction": direction, "hidden_size": 4, "activations": activations}
    return Case(op, inputs, a, 3 if op == "LSTM" else 2, opset=14)


@maker
def normalize():
    op = pick("InstanceNormalization", "BatchNormalization", "LRN", "LpNormalization", "Dropout", "GroupNormalization")
    c = [x("4"), x("4")]
    return {
        "InstanceNormalization": Case(op, [x("b 4 h"), *c]),
        "BatchNormalization": Case(op, [x("b 4 h"), *c, x("4"), x("4")], opset=15),
        "LRN": Case(op, [x("b c h w")], {"size": 3}),
        "LpNormalization": Case(op, [x("b c h")]),
        "Dropout": Case(op, [x("b c h")], outputs=2, opset=13),
        "GroupNormalization": Case(op, [x("b 4 h"), *c], {"num_groups": 2}),
    }[op]


@maker
def quantize():
    zero = pick(None, const(0, np.int8), const(0, np.uint8))
    data = x("a b")
    if number(0, 1):
        return Case("QuantizeLinear", [data, const(0.1, np.float32)] + ([zero] if zero else []))
    return pick(
        Case("DynamicQuantizeLinear", [data], outputs=3),
        Case("DequantizeLinear", [x("a b", T.INT8), const(0.1, np.float32)]),
        Case("MatMulInteger", [x("a i k", T.UINT8), x("k j", T.INT8)]),
    )


@maker
def q_linear_matmul():
    s, z = const(0.1, np.float32), const(0, np.uint8)
    return Case("QLinearMatMul", [x("b i k", T.UINT8), s, z, x("k j", T.UINT8), s, z, s, z])


@maker
def detection():
    op = pick("RoiAlign", "MaxRoiPool", "NonMaxSuppression")
    return {
        "RoiAlign": Case(op, [x("1 c 9 9"), x("r 4"), x("r", T.INT64)], {"output_height": 3, "output_width": 2}, opset=16),
        "MaxRoiPool": Case(op, [x("1 c 9 9"), x("r 5", fill=lambda _, s: np.zeros(s))], {"pooled_shape": [2, 3]}, opset=16),
        "NonMaxSuppression": Case(op, [x("1 n 4"), x("1 c n"), const(3, np.int64)], opset=11),
    }[op]


@maker
def grid():
    if number(0, 1):
        return Case("GridSample", [x("b c h w"), x("b p q 2")], opset=16)
    return Case("AffineGrid", [x("b 2 3"), x("4", T.INT64, lambda z, _: [z["b"], 3, 4, 5])], opset=20)


@maker
def randoms():
    return pick(
        Case("RandomNormal", [], {"shape": [2, 3]}),
        Case("RandomUniformLike", [x("a b")], {"dtype": T.DOUBLE}),
        Case("Multinomial", [x("b c")], {"sample_size": 5}),
        Case("Bernoulli", [x("a b")], {"dtype": T.INT32}),
        Case("EyeLike", [x("a b")], {"dtype": T.INT64}),
    )


@maker
def signals():
    length = pick(None, const(number(1, 9), np.int64))
    axis = const(pick(1, -2), np.int64)
    return pick(
        Case("DFT", [x("b n 1"), length, axis], {"onesided": number(0, 1)}, opset=20, ranges={"n": (2, 9)}),
        Case("DFT", [x("b n 2"), length, axis], {"inverse": 1}, opset=20, ranges={"n": (2, 9)}),
        Case("STFT", [x("b n 1"), const(pick(1, 2, 3), np.int64), None, const(4, np.int64)], {"onesided": number(0, 1)}, ranges={"n": (6, 12)}),
        Case("STFT", [x("b n 1"), const(2, np.int64), x("5")], ranges={"n": (6, 12)}),
        Case(pick("HannWindow", "HammingWindow", "BlackmanWindow"), [const(7, np.int64)]),
        Case("MelWeightMatrix", [const(4, np.int64), const(pick(9, 16), np.int64), const(8000, np.int64), const(0, np.float32), const(4000, np.float32)]),
    )


@maker
def losses():
    reduction = pick("none", "mean", "sum")
    data = [x("b 5 d"), x("b d", T.INT64)]
    return pick(
        Case("NegativeLogLikelihoodLoss", data, {"reduction": reduction}, opset=13),
        Case("SoftmaxCrossEntropyLoss", data, {"reduction": reduction}, 2, opset=13),
    )


@maker
def attention():
    past = number(0, 1)
    if number(0, 1):
        inputs, a = [x("b 4 q 8"), x("b 2 k 8"), x("b 2 k 6")], {}
    else:
        inputs, a = [x("b q 32"), x("b k 16"), x("b k 12")], {"q_num_heads": 4, "kv_num_heads": 2}
    if past:
        inputs += [None, x("b 2 p 8"), x("b 2 p 6")]
    return Case("Attention", inputs, a, [0, 1, 2, 3], opset=23)


@maker
def machine_learning():
    return pick(
        Case("Normalizer", [x("n f")], {"norm": "L2"}, domain="ai.onnx.ml"),
        Case("Scaler", [x("n 2")], {"offset": [0.0, 1.0], "scale": [1.0, 2.0]}, domain="ai.onnx.ml"),
        Case("LinearRegressor", [x("n 2")], {"targets": 3, "coefficients": [1.0] * 6}, domain="ai.onnx.ml"),
        Case("LinearClassifier", [x("n 2")], {"coefficients": [1.0] * 6, "intercepts": [0.0] * 3, "classlabels_ints": [0, 1, 2]}, 2, domain="ai.onnx.ml"),
        Case("OneHotEncoder", [x("n 2")], {"cats_int64s": [0, 1, 2]}, domain="ai.onnx.ml"),
        Case("ArrayFeatureExtractor", [x("n 4"), const([0, 2], np.int64)], domain="ai.onnx.ml"),
        Case("ArrayFeatureExtractor", [x("4"), const([0, 2, 1], np.int64)], domain="ai.onnx.ml"),
        Case("FeatureVectorizer", [x("n 2"), x("n 3")], {"inputdimensions": [2, 3]}, domain="ai.onnx.ml"),
        Case("Binarizer", [x("n f")], domain="ai.onnx.ml"),
        Case("Imputer", [x("n 2")], {"imputed_value_floats": [1.0, 2.0], "replaced_value_float": 0.5}, domain="ai.onnx.ml"),
        Case("LabelEncoder", [x("n f", T.INT64)], {"keys_int64s": [0, 1], "values_floats": [1.0, 2.0]}, domain="ai.onnx.ml"),
    )


@maker
def ms_products():
    i8, u8 = T.INT8, T.UINT8
    f = lambda v: const(v, np.float32)
    return pick(
        ms("FusedMatMul", [x("b k i"), x("b j k")], transA=1, transB=1),
        ms("FusedMatMul", [x("i b k"), x("b k j")], transBatchA=1),
        ms("FusedMatMul", [x("k b i"), x("j b k")], transBatchA=1, transA=1, transB=1, transBatchB=1),
        ms("FusedMatMul", [x("b i k"), x("k j")], alpha=0.5),
        ms("FusedGemm", [x("i k"), x("j k"), x("j")], transB=1, activation="Relu"),
        ms("MatMulNBits", [x("b s 64"), const(np.zeros((10, 2, 16)), np.uint8), const(np.ones((10, 2)), np.float32)], K=64, N=10, bits=4, block_size=32),
        ms("MatMulBnb4", [x("b s 64"), const(np.zeros(320), np.uint8), const(np.ones(40), np.float32)], K=64, N=10, block_size=16, quant_type=1),
        ms("DynamicQuantizeMatMul", [x("b s k"), x("k n", i8), f(0.1)]),
        ms("MatMulIntegerToFloat", [x("b s k", u8), x("k n", i8), f(0.1), f(0.1)]),
        ms("QGemm", [x("i k", u8), f(0.1), const(0, np.uint8), x("k j", u8), f(0.1), const(0, np.uint8)]),
        ms("TransposeMatMul", [x("b k i"), x("b k j")], transA=1),
        ms("GemmFastGelu", [x("b i k"), x("k j")]),
    )


@maker
def ms_simple():
    return pick(
        ms("BiasGelu", [x("b s 8"), x("8")]),
        ms("FastGelu", [x("b s 8"), x("8")]),
        ms("QuickGelu", [x("b s h")]),
        ms("Gelu", [x("b s h")]),
        ms("BiasSplitGelu", [x("b s 8"), x("8")]),
        ms("SkipLayerNormalization", [x("b s 8"), x("b s 8"), x("8"), x("8")], [0, None, None, 3]),
        ms("SkipSimplifiedLayerNormalization", [x("b s 8"), x("b s 8"), x("8")], [0, None, None, 3]),
        Case("SimplifiedLayerNormalization", [x("b s 8"), x("8")], {"axis": -1}, 1),
        Case("SimplifiedLayerNormalization", [x("b s 8"), x("8")], {"axis": -1, "stash_type": 1}, 2),
        ms("EmbedLayerNormalization", [x("b s", T.INT32), x("b s", T.INT32), x("9 8"), x("9 8"), x("2 8"), x("8"), x("8"), x("b s", T.INT32)], 3),
        ms("CDist", [x("m n"), x("k n")], metric="euclidean"),
        ms("ExpandDims", [x("a b"), const(pick(0, 1, -1, 2), np.int32)]),
        ms("Unique", [x("n")], 3),
        ms("Inverse", [x("b 3 3", fill=lambda _, s: np.broadcast_to(np.eye(3), s))]),
        ms("Range", [const(2, np.int64), const(11, np.int64), const(3, np.int64)]),
        ms("Trilu", [x("b i j")]),
        ms("GatherND", [x("a b c"), x("q 2", T.INT64)]),
        ms("GridSample", [x("b c h w"), x("b p q 2")]),
        ms("CropAndResize", [x("1 c 9 9"), x("r 4"), x("r", T.INT32), const([3, 4], np.int32)]),
        ms("NGramRepeatBlock", [x("b s", T.INT64), x("b v")], ngram_size=2),
        ms("Pad", [x("a b"), const([0, 1, 2, 3], np.int64)]),
        ms("IsAllFinite", [x("a b")]),
        ms("BiasDropout", [x("a b"), x("b")], 2),
        ms("MurmurHash3", [x("a b", T.INT32)]),
        ms("FusedConv", [x("b 4 h w"), x("6 4 3 3")], ranges=SPATIAL, activation="Relu", strides=[2, 2]),
        ms("MaxpoolWithMask", [x("1 c h w"), x("1 c h w", T.INT32)], ranges=SPATIAL, kernel_shape=[2, 2], strides=[2, 2]),
    )


@maker
def ms_quantized():
    s, z, u8 = const(0.1, np.float32), const(0, np.uint8), T.UINT8
    return pick(
        ms("QLinearAdd", [x("b 1 c", u8), s, z, x("d 1", u8), s, z, s, z]),
        ms("QLinearMul", [x("b c", u8), s, z, x("c", u8), s, z, s, z]),
        ms("QLinearSigmoid", [x("b c", u8), s, z, s, z]),
        ms("QLinearLeakyRelu", [x("b c", u8), s, z, s, z]),
        ms("QLinearConcat", [s, z, x("a b", u8), s, z, x("a c", u8), s, z], axis=1),
        ms("QLinearAveragePool", [x("b c h w", u8), s, z, s, z], ranges=SPATIAL, kernel_shape=[3, 2], ceil_mode=number(0, 1), strides=[2, 2]),
        ms("QLinearAveragePool", [x("b h w c", u8), s, z, s, z], ranges=SPATIAL, kernel_shape=[3, 2], strides=[2, 2], channels_last=1),
        ms("QLinearGlobalAveragePool", [x("b c h w", u8), s, z, s, z], channels_last=number(0, 1)),
        ms("QLinearReduceMean", [x("b c h", u8), s, z, s, z], axes=[1], keepdims=number(0, 1)),
        ms("QLinearSoftmax", [x("b c", u8), s, z, s, z], axis=1, opset=13),
        ms("QLinearWhere", [x("b c", T.BOOL), x("b c", u8), s, z, x("c", u8), s, z, s, z]),
        ms("QLinearConv", [x("b 4 h w", u8), s, z, const(np.zeros((6, 4, 3, 3)), np.uint8), s, z, s, z], ranges=SPATIAL, pads=[1, 1, 0, 0]),
        ms("NhwcMaxPool", [x("b h w 4", u8)], ranges=SPATIAL, kernel_shape=[2, 3], strides=[2, 1]),
        ms("QuantizeLinear", [x("a b"), s, const(0, np.int8)]),
        ms("DequantizeLinear", [x("a b", u8), s, z]),
        ms("GatherBlockQuantized", [const(np.zeros((6, 16)), np.uint8), x("a b", T.INT64), const(np.ones((6, 2)), np.float32)], bits=4, block_size=16, quantize_axis=1, gather_axis=0),
        ms("GatherBlockQuantized", [const(np.zeros((6, 32)), np.uint8), x("a", T.INT64), const(np.ones((6, 2)), np.float32)], bits=8, block_size=16, quantize_axis=1, gather_axis=0),
        ms("MulInteger", [x("b c", T.INT8), const(0, np.int8), x("c", T.INT8), const(0, np.int8)]),
    )


def lengths(of):
    return lambda sizes, shape: np.full(shape, of(sizes))


@maker
def ms_attention():
    i32 = T.INT32
    return pick(
        ms("Attention", [x("b s 8"), x("8 24"), x("24")], 2, num_heads=2),
        ms("Attention", [x("b s 8"), x("8 24"), x("24"), None, x("2 b 2 p 4")], 2, num_heads=2, unidirectional=1),
        ms("Attention", [x("b s 8"), x("8 22"), x("22")], 1, num_heads=2, qkv_hidden_sizes=[8, 8, 6]),
        ms("MultiHeadAttention", [x("b s 8"), x("b k 8"), x("b k 6")], num_heads=2),
        ms("MultiHeadAttention", [x("b s 8"), x("b s 8"), x("b s 8")], 3, num_heads=2),
        ms("MultiHeadAttention", [x("b s 8"), x("b s 8"), x("b s 8"), None, None, None, x("b 2 p 4"), x("b 2 p 4")], 3, num_heads=2),
        ms("MultiHeadAttention", [x("b s 8"), x("b 2 k 4"), x("b 2 k 4")], 1, num_heads=2),
        ms("QAttention", [x("b s 8", T.UINT8), x("8 24", T.UINT8), x("24"), const(0.1, np.float32), const(0.1, np.float32), None, const(0, np.uint8), const(0, np.uint8)], 1, num_heads=2),
        ms("DecoderMaskedMultiHeadAttention", [x("b 1 8"), x("b 1 8"), x("b 1 8"), None, None, x("b 2 12 4"), x("b 2 12 4"), const([3], np.int32)], 3, num_heads=2, past_present_share_buffer=1),
        ms("GroupQueryAttention", [x("b s 32"), x("b s 16"), x("b s 16"), x("b 2 p 8"), x("b 2 p 8"), x("b", i32, lengths(lambda z: z["p"] + z["s"] - 1)), x("1", i32, lengths(lambda z: z["p"] + z["s"]))], 3, num_heads=4, kv_num_heads=2),
        ms("GroupQueryAttention", [x("b s 32"), x("b s 16"), x("b s 16"), None, None, x("b", i32, lengths(lambda z: z["s"] - 1)), x("1", i32, lengths(lambda z: z["s"]))], 3, num_heads=4, kv_num_heads=2),
        ms("GroupQueryAttention", [x("b s 64"), None, None, x("b 2 p 8"), x("b 2 p 8"), x("b", i32, lengths(lambda z: z["p"] + z["s"] - 1)), x("1", i32, lengths(lambda z: z["p"] + z["s"]))], 3, num_heads=4, kv_num_heads=2),
        ms("RotaryEmbedding", [x("b s 16"), x("b s", T.INT64), x("9 4"), x("9 4")], num_heads=2, rotary_embedding_dim=8),
        ms("RotaryEmbedding", [x("b 2 s 8"), x("1", T.INT64), x("9 4"), x("9 4")]),
        ms("CausalConvWithState", [x("b 4 s"), x("4 1 3"), None, x("b 4 2")], 2),
        ms("CausalConvWithState", [x("b 4 s"), x("4 1 3"), x("4")], 2, activation="silu"),
        ms("LinearAttention", [x("b s 16"), x("b s 8"), x("b s 6"), x("b 2 4 3"), x("b s 2"), x("b s 2")], 2, q_num_heads=4, kv_num_heads=2),
        ms("LinearAttention", [x("b s 8"), x("b s 8"), x("b s 6")], 2, q_num_heads=2, kv_num_heads=2, update_rule="linear"),
        ms("MoE", [x("b s 8"), x("b*s 2"), x("2 8 8"), None, x("2 8 8")], k=1),
        ms("SparseAttention", [x("b s 32"), x("b s 16"), x("b s 16"), x("b 2 16 8"), x("b 2 16 8"), const([[0, 1]], np.int32), const([[0]], np.int32), x("1", i32, lengths(lambda z: z["s"])), x("b", i32, lengths(lambda z: z["s"]))], 3, num_heads=4, kv_num_heads=2, sparse_block_size=16),
    )
