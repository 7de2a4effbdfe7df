#!/usr/bin/env python3
"""Makes the tiny models of the tests: graphs shaped like those that people bring, a few kilobytes each.

    python3 -m venv v && v/bin/pip install onnx numpy
    v/bin/python make_models.py

Each folder holds what a user would give to `imgidx model add`. The weights are fixed, so that the files come out
the same each time.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HERE = Path(__file__).parent
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def weights(name, *shape):
    random = np.random.default_rng(sum(name.encode()))
    return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)


def model(folder, nodes, initializers, inputs, outputs, opset=17):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        folder,
        [value(name, kind, shape) for name, kind, shape in inputs],
        [value(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        initializers,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(proto)
    (HERE / folder).mkdir(exist_ok=True)
    save(proto, HERE / folder / "model.onnx")


def spec(folder, file="spec.json", **fields):
    (HERE / folder / file).write_text(json.dumps(fields, indent=2) + "\n")


def patches(size, width):
    """Patch embedding of a vision transformer: a convolution whose stride is its size."""
    return helper.make_node("Conv", ["pixels", "patch"], ["map"], strides=[size, size], kernel_shape=[size, size]), weights(
        "patch", width, 3, size, size
    )


def clip():
    """Like CLIP's image tower: float NCHW, normalised, shortest edge and crop, one pooled output beside the tokens."""
    conv, kernel = patches(8, 6)
    nodes = [
        conv,
        helper.make_node("Flatten", ["map"], ["flat"]),
        helper.make_node("MatMul", ["flat", "projection"], ["image_embeds"]),
        helper.make_node("Reshape", ["map", "tokens_shape"], ["channels"]),
        helper.make_node("Transpose", ["channels"], ["last_hidden_state"], perm=[0, 2, 1]),
    ]
    shape = numpy_helper.from_array(np.array([0, 6, 16], np.int64), "tokens_shape")
    inputs = [("pixels", TensorProto.FLOAT, ["batch", 3, 32, 32])]
    outputs = [("last_hidden_state", ["batch", 16, 6]), ("image_embeds", ["batch", 24])]
    model("clip", nodes, [kernel, weights("projection", 96, 24), shape], inputs, outputs)
    spec(
        "clip",
        "preprocessor_config.json",
        crop_size={"height": 32, "width": 32},
        do_center_crop=True,
        do_normalize=True,
        do_resize=True,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        resample=3,
        size={"shortest_edge": 32},
        image_processor_type="CLIPImageProcessor",
    )


def dino():
    """Like DINOv2: tokens only, the first one stands for the picture; squashed here instead of cropped."""
    conv, kernel = patches(14, 8)
    nodes = [
        conv,
        helper.make_node("Reshape", ["map", "tokens_shape"], ["channels"]),
        helper.make_node("Transpose", ["channels"], ["last_hidden_state"], perm=[0, 2, 1]),
    ]
    shape = numpy_helper.from_array(np.array([0, 8, 4], np.int64), "tokens_shape")
    inputs = [("pixels", TensorProto.FLOAT, ["batch", 3, 28, 28])]
    model("dino", nodes, [kernel, shape], inputs, [("last_hidden_state", ["batch", 4, 8])])
    spec(
        "dino",
        name="tiny-dino",
        licence="CC0-1.0",
        input={
            "layout": "NCHW",
            "dtype": "f32",
            "width": 28,
            "height": 28,
            "resize": "squash",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        outputs={"embedding": "last_hidden_state", "dimension": 8, "pooling": "cls"},
    )


def resnet():
    """Like a ResNet exported with one picture at a time: a map that is averaged, letterboxed input, classes."""
    conv, kernel = patches(4, 5)
    nodes = [
        conv,
        helper.make_node("Relu", ["map"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "classes"], ["logits"]),
    ]
    inputs = [("pixels", TensorProto.FLOAT, [1, 3, 16, 24])]
    outputs = [("features", [1, 5, 4, 6]), ("logits", [1, 3])]
    model("resnet", nodes, [kernel, weights("classes", 5, 3)], inputs, outputs)
    spec(
        "resnet",
        name="tiny-resnet",
        input={
            "name": "pixels",
            "layout": "NCHW",
            "dtype": "f32",
            "width": 24,
            "height": 16,
            "resize": "letterbox",
            "fill": [114, 114, 114],
            "filter": "bilinear",
        },
        outputs={"embedding": "features", "dimension": 5, "pooling": "mean", "logits": "logits"},
        labels="labels.txt",
    )
    (HERE / "resnet" / "labels.txt").write_text("red\ngreen\nblue\n")


def bytes_in():
    """Raw bytes, channels last, as the built-in model takes them, without classes."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["vector"], axes=[1, 2], keepdims=0),
    ]
    inputs = [("pixels", TensorProto.UINT8, ["batch", 12, 20, 3])]
    model("bytes", nodes, [], inputs, [("vector", ["batch", 3])])
    spec(
        "bytes",
        name="mean-color",
        input={"layout": "NHWC", "dtype": "u8", "width": 20, "height": 12, "resize": "shortest-edge", "crop": 1.0},
        outputs={"embedding": "vector", "dimension": 3},
    )


for make in (clip, dino, resnet, bytes_in):
    make()
