"""What every generator shares: cleaning, describing, running and recording a model."""

import json
import os
import shutil
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The `testdata` folder."""

INVALID = 2**31 - 1
"""The row number by which a Cloud AI export says: read nothing."""


def walk(message):
    """Every protobuf message in `message`, itself included."""
    yield message
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for item in [value] if hasattr(value, "ListFields") else value:
            yield from walk(item)


def clean(model):
    """Removes what would tell where and by whom a model was exported: doc strings and stack traces.

    The two longest of the exporter's notes on each node go too, for size."""
    gone = ("stack_trace", "fx_node", "class_hierarchy")
    for message in walk(model):
        names = message.DESCRIPTOR.fields_by_name
        if "doc_string" in names:
            message.ClearField("doc_string")
        if "metadata_props" in names:
            kept = [(p.key, p.value) for p in message.metadata_props if not p.key.endswith(gone)]
            del message.metadata_props[:]
            for key, value in kept:
                message.metadata_props.add(key=key, value=value)
    return model


def session(model):
    """An ONNX Runtime session for a path or a model in memory, quiet and on one thread."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    source = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(model, feed):
    """Runs `model` and returns a map from output name to array."""
    live = session(model)
    names = [o.name for o in live.get_outputs()]
    return dict(zip(names, live.run(names, {k: v for k, v in feed.items()})))


def replace_int_constants(model, old, new):
    """A copy of `model` in which every integer constant equal to `old` is `new`; at least one must be."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    count = 0
    for message in walk(copy):
        if isinstance(message, TensorProto) and message.data_type in (TensorProto.INT32, TensorProto.INT64):
            array = onnx.numpy_helper.to_array(message)
            if (array == old).any():
                patched = np.where(array == old, new, array).astype(array.dtype)
                message.CopyFrom(onnx.numpy_helper.from_array(patched, message.name))
                count += 1
    assert count, f"no constant {old} in the model"
    return copy


def _describe(values):
    def dims(value):
        return [d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in value.type.tensor_type.shape.dim]

    return [
        {"name": v.name, "type": TensorProto.DataType.Name(v.type.tensor_type.elem_type), "shape": dims(v)} for v in values
    ]


def _histogram(model):
    graphs = [m for m in walk(model) if isinstance(m, onnx.NodeProto)]
    counts = {}
    for node in graphs:
        key = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
        counts[key] = counts.get(key, 0) + 1
    return len(graphs), dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


class Case:
    """One folder under `testdata`: a model, what is known of it, and its recorded answers."""

    def __init__(self, name, model, *, exporter, packages, notes, cache_inputs, cache_outputs, extra=None):
        self.folder = os.path.join(ROOT, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.model = clean(model)
        onnx.checker.check_model(self.model)
        onnx.save(self.model, os.path.join(self.folder, "model.onnx"))
        nodes, histogram = _histogram(self.model)
        initializers = {t.name for t in self.model.graph.initializer}
        self.meta = {
            "exporter": {"name": exporter, "versions": {p: version(p).split("+")[0] for p in packages}},
            "ort_version": ort.__version__,
            "notes": notes,
            "opset_imports": {o.domain or "ai.onnx": o.version for o in self.model.opset_import},
            "nodes_all_subgraphs": nodes,
            "op_histogram": histogram,
            "inputs": _describe(v for v in self.model.graph.input if v.name not in initializers),
            "outputs": _describe(self.model.graph.output),
            "cache_inputs": cache_inputs,
            "cache_outputs": cache_outputs,
            **(extra or {}),
            "sets": {},
        }

    def path(self, file):
        """The path of a file in this case's folder."""
        return os.path.join(self.folder, file)

    def record(self, tag, inputs, expected, **facts):
        """Stores one pair; `facts` goes to `meta.json` under the set's name (`main` when `tag` is empty)."""
        suffix = f"_{tag}" if tag else ""
        for name, array in expected.items():
            assert np.isfinite(array).all(), f"{self.folder}: set {tag or 'main'}: {name} is not finite"
        np.savez_compressed(self.path(f"inputs{suffix}.npz"), **inputs)
        np.savez_compressed(self.path(f"expected{suffix}.npz"), **expected)
        self.meta["sets"][tag or "main"] = facts

    def close(self):
        """Writes `meta.json` and says what was made."""
        with open(self.path("meta.json"), "w") as file:
            json.dump(self.meta, file, indent=1)
            file.write("\n")
        size = sum(os.path.getsize(self.path(f)) for f in os.listdir(self.folder))
        print(f"{os.path.basename(self.folder)}: {self.meta['nodes_all_subgraphs']} nodes, {size / 1024:.0f} KiB")
