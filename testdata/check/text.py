"""Reads what `onnx-pass show --text` prints with the official parser, and holds it to the model.

    python text.py path/to/onnx-pass MODEL... [--weights]

Every MODEL is printed and read with `onnx.parser.parse_model`. What comes must be the model, minus the fields that
`docs/textual-syntax.md` lists as not carried by the official syntax: they are taken out of both. Tensors are compared
by type, shape and the bytes of their contents, wherever these are stored. With `--weights` the text refers to weights
in the model's own file (`--weights reference`), which are read back from there.

Models with what the syntax cannot carry in a way that changes their meaning (attributes that are lists of tensors or
of types, names of attributes that are no identifier, …) are counted apart, with the reason.

Exits with 1 when a text does not parse or means something else.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys

import onnx
from onnx import AttributeProto, TensorProto, external_data_helper, numpy_helper

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
LISTS = {AttributeProto.TENSORS, AttributeProto.GRAPHS, AttributeProto.TYPE_PROTOS, AttributeProto.SPARSE_TENSORS}


class NotCarried(Exception):
    """The official syntax has no word for what the model holds."""


def tensor(t, folder):
    if t.data_location == TensorProto.EXTERNAL:
        place = {e.key: e.value for e in t.external_data}
        if folder is None:
            return (t.data_type, tuple(t.dims), tuple(sorted(place.items())))
        external_data_helper.load_external_data_for_tensor(t, folder)
    if t.data_type == TensorProto.STRING:
        return (t.data_type, tuple(t.dims), tuple(t.string_data))
    array = numpy_helper.to_array(t)
    return (t.data_type, tuple(t.dims), array.tobytes())


def attribute(a, folder):
    kind = a.type
    if a.ref_attr_name:
        return (a.name, kind, "ref", a.ref_attr_name)
    if not IDENTIFIER.match(a.name):
        raise NotCarried(f"the attribute's name {a.name!r}")
    if kind in LISTS or kind in (AttributeProto.SPARSE_TENSOR, AttributeProto.UNDEFINED):
        name = AttributeProto.AttributeType.Name(kind)
        if any((a.tensors, a.graphs, a.type_protos, a.sparse_tensors)) or kind not in LISTS:
            raise NotCarried(f"an attribute of type {name}")
        return (a.name, kind)
    value = {
        AttributeProto.FLOAT: lambda: a.f,
        AttributeProto.INT: lambda: a.i,
        AttributeProto.STRING: lambda: a.s,
        AttributeProto.TENSOR: lambda: tensor(a.t, folder),
        AttributeProto.GRAPH: lambda: graph(a.g, folder),
        AttributeProto.TYPE_PROTO: lambda: type_(a.tp),
        AttributeProto.FLOATS: lambda: tuple(a.floats),
        AttributeProto.INTS: lambda: tuple(a.ints),
        AttributeProto.STRINGS: lambda: tuple(a.strings),
    }[kind]()
    return (a.name, kind, repr(value))


def type_(t):
    t = type(t).FromString(t.SerializeToString())
    t.ClearField("denotation")
    kind = t.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        for d in getattr(t, kind).shape.dim:
            d.ClearField("denotation")
    return t.SerializeToString(deterministic=True)


def value(v):
    return (v.name, type_(v.type))


def node(n, folder):
    if n.device_configurations:
        raise NotCarried("device configurations")
    if not all(map(IDENTIFIER.match, [n.op_type, *filter(None, [n.overload, *n.domain.split(".")])])):
        raise NotCarried(f"the operator {n.domain}.{n.op_type}")
    attributes = tuple(attribute(a, folder) for a in n.attribute)
    return (n.name, n.domain, n.op_type, n.overload, tuple(n.input), tuple(n.output), attributes)


def graph(g, folder):
    if g.sparse_initializer or g.quantization_annotation:
        raise NotCarried("sparse initializers or quantization annotations")
    return (
        g.name,
        tuple(map(value, g.input)),
        tuple(map(value, g.output)),
        # The syntax has initializers and inner declarations in one list.
        tuple((t.name, tensor(t, folder)) for t in g.initializer),
        tuple(map(value, g.value_info)),
        tuple(node(n, folder) for n in g.node),
    )


def imports(list_):
    return tuple((o.domain, o.version) for o in list_)


def function(f, folder):
    return (
        f.domain,
        f.name,
        f.overload,
        f.doc_string,
        tuple(f.input),
        tuple(f.output),
        tuple(f.attribute),
        tuple(attribute(a, folder) for a in f.attribute_proto),
        imports(f.opset_import),
        tuple(map(value, f.value_info)),
        tuple(node(n, folder) for n in f.node),
    )


def model(m, folder):
    if m.training_info or m.configuration:
        raise NotCarried("training information or device configurations")
    return {
        "header": (m.ir_version, m.producer_name, m.producer_version, m.domain, m.model_version, m.doc_string),
        "opsets": imports(m.opset_import),
        "metadata": tuple((e.key, e.value) for e in m.metadata_props),
        "graph": graph(m.graph, folder),
        "functions": tuple(function(f, folder) for f in m.functions),
    }


def check(program, path, weights):
    """The number of bytes of the text, or an error."""
    command = [program, "show", "--text", str(path)] + (["--weights", "reference"] if weights else [])
    text = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    original = onnx.load(path, load_external_data=False)
    folder = str(path.parent) if weights else None
    expected = model(original, folder)
    read = model(onnx.parser.parse_model(text), folder)
    for field, value_ in expected.items():
        if read[field] != value_:
            raise ValueError(f"another {field}: {first_difference(value_, read[field])}")
    return len(text)


def first_difference(a, b):
    while isinstance(a, tuple) and isinstance(b, tuple):
        if len(a) != len(b):
            return f"{len(a)} and {len(b)} of {str(a)[:60]}"
        a, b = next((x, y) for x, y in zip(a, b) if x != y)
    return f"{str(a)[:200]} and {str(b)[:200]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--weights", action="store_true")
    args = parser.parse_args()
    good, bad, apart = 0, 0, collections.Counter()
    for path in args.models:
        try:
            check(args.program, path, args.weights)
            good += 1
        except NotCarried as reason:
            apart[str(reason)] += 1
        except Exception as error:  # The parser's own, a broken tensor, another meaning.
            bad += 1
            print(f"{path}: {type(error).__name__}: {str(error)[:400]}")
    for reason, count in apart.most_common():
        print(f"{count} not carried: {reason}")
    print(f"{good} passed, {sum(apart.values())} apart, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
