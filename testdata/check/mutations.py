"""One thing changed about a cache. Used by `mutate.py`."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
WRITERS = ("ScatterND", "ScatterElements")
BUFFERS = ("CtxScatter", "CtxScatterCB", "CtxScatter3D", "CtxGather", "CtxGatherCB", "CtxGather3D", "CtxGatherBlockedKV")
ATTENTIONS = {"GroupQueryAttention": (3, 4), "MultiHeadAttention": (6, 7), "Attention": (4, 5)}
NO_ROW = 2**31 - 1

MUTATIONS = {}


class NotHere(Exception):
    """The model has nothing of the kind."""


def mutation(function):
    """Registers a way to break a model. It says what it did."""
    MUTATIONS[function.__name__] = function
    return function


class Mutant:
    """A model on its way to be broken."""

    def __init__(self, model, meta, dice):
        self.model, self.meta, self.dice = model, meta, dice
        self.original = onnx.ModelProto()
        self.original.CopyFrom(model)
        self.names, self.copies = {}, set()
        self.made = 0
        self.types = {v.name: v.type.tensor_type for v in model.graph.input}

    # What there is.

    def bodies(self):
        """Every graph and function, each with its list of nodes."""
        work = [self.model.graph, *self.model.functions]
        while work:
            body = work.pop()
            yield body
            for node in body.node:
                for attribute in node.attribute:
                    work += [attribute.g] if attribute.HasField("g") else []
                    work += list(attribute.graphs)

    def nodes(self, *kinds):
        """Every node of these operators, with the body that it stands in."""
        return [(b, n) for b in self.bodies() for n in b.node if n.op_type in kinds]

    def one(self, things):
        """One of them."""
        things = list(things)
        if not things:
            raise NotHere
        return self.dice.choice(things)

    def cache(self):
        """The name of a cache's input."""
        return self.one(n for n in self.meta["cache_inputs"] if n in self.types)

    def two_caches(self):
        """Two of them."""
        names = [n for n in self.meta["cache_inputs"] if n in self.types]
        if len(names) < 2:
            raise NotHere
        return self.dice.sample(names, 2)

    def readers(self, name, *kinds):
        """The nodes that read a value, with their bodies; of these operators if any are given."""
        found = [(b, n) for b in self.bodies() for n in b.node if name in n.input]
        return [(b, n) for b, n in found if not kinds or n.op_type in kinds]

    def rank(self, name):
        """The rank of an input."""
        return len(self.types[name].shape.dim)

    def logits(self):
        """An output that is no cache, with its type."""
        return self.one(
            o
            for o in self.model.graph.output
            if o.name not in self.meta["cache_outputs"] and o.type.tensor_type.elem_type in FLOATS
        )

    def presents(self):
        """The names of the outputs that carry caches on."""
        return [n for n in self.meta["cache_outputs"] if n in {o.name for o in self.model.graph.output}]

    # What is changed.

    def fresh(self, word):
        """A name that is free."""
        self.made += 1
        return f"broken_{word}_{self.made}"

    def constant(self, value):
        """The name of an initializer, visible everywhere but in functions."""
        name = self.fresh("number")
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def inner_constant(self, body, before, value):
        """The name of a constant in front of a node, in whatever body."""
        name = self.fresh("number")
        node = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
        insert(body, before, node)
        return name

    def before(self, body, node, op, inputs, **attributes):
        """Puts a node before another; gives its result's name."""
        out = self.fresh(op)
        insert(body, node, helper.make_node(op, inputs, [out], **attributes))
        return out

    def at_end(self, op, inputs, **attributes):
        """Puts a node at the end of the main graph; gives its result's name."""
        out = self.fresh(op)
        self.model.graph.node.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def replace_output(self, old, op, more, first=True, **attributes):
        """The output `old` of the main graph becomes `op(old, *more)`."""
        inner = self.fresh("inner")
        for body in self.bodies():
            for node in body.node:
                for names in (node.input, node.output):
                    for k, n in enumerate(names):
                        if n == old:
                            names[k] = inner
            if isinstance(body, onnx.GraphProto) and body is not self.model.graph:
                for o in body.output:
                    if o.name == old:
                        o.name = inner
        inputs = [inner, *more] if first else [*more, inner]
        self.model.graph.node.append(helper.make_node(op, inputs, [old], **attributes))

    def add_to_logits(self, scalar):
        """Adds a tensor of one element to an output."""
        logits = self.logits()
        if logits.type.tensor_type.elem_type != TensorProto.FLOAT:
            scalar = self.at_end("Cast", [scalar], to=logits.type.tensor_type.elem_type)
        self.replace_output(logits.name, "Add", [scalar])
        return logits.name

    def as_float(self, name):
        """The same as FLOAT."""
        return self.at_end("Cast", [name], to=TensorProto.FLOAT)

    def soften(self):
        """Half the time: rows that are not to be read are row 0, so that ONNX Runtime reads padded prompts too."""
        if self.dice.random() < 0.5:
            for tensor in self.numbers(NO_ROW):
                put(tensor, 0)

    def numbers(self, value):
        """The constant integer tensors of one element that hold this number."""
        found = []
        for body in self.bodies():
            found += list(getattr(body, "initializer", []))
            found += [a.t for n in body.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"]
        whole = [t for t in found if t.data_type in (TensorProto.INT64, TensorProto.INT32)]
        return [t for t in whole if np.prod(t.dims) == 1 and numpy_helper.to_array(t).reshape(-1)[0] == value]


def put(tensor, value):
    """Sets the one element of a tensor."""
    array = np.full_like(numpy_helper.to_array(tensor), value)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def insert(body, before, node):
    """Puts a node before another."""
    at = next(k for k, n in enumerate(body.node) if n is before or n.output == before.output and n.input == before.input)
    body.node.insert(at, node)


def rename(names, old, new):
    """Puts one name for another."""
    for k, n in enumerate(names):
        if n == old:
            names[k] = new


def axis_attribute(node):
    """The axis attribute of a node."""
    return next((a for a in node.attribute if a.name == "axis"), None)


# Pairs that are swapped.


@mutation
def swap_inputs(m):
    """Two caches' readers read each other's."""
    a, b = m.two_caches()
    for body in m.bodies():
        for node in body.node:
            both = {a: b, b: a}
            for k, n in enumerate(node.input):
                node.input[k] = both.get(n, n)
    return f"{a} and {b}"


@mutation
def swap_presents(m):
    """Two outputs carry each other's."""
    names = m.presents()
    if len(names) < 2:
        raise NotHere
    a, b = m.dice.sample(names, 2)
    inner = {a: m.fresh("swapped"), b: m.fresh("swapped")}
    for body in m.bodies():
        for node in body.node:
            for values in (node.input, node.output):
                for k, n in enumerate(values):
                    values[k] = inner.get(n, n)
        if isinstance(body, onnx.GraphProto) and body is not m.model.graph:
            for o in body.output:
                o.name = inner.get(o.name, o.name)
    m.model.graph.node.append(helper.make_node("Identity", [inner[b]], [a]))
    m.model.graph.node.append(helper.make_node("Identity", [inner[a]], [b]))
    return f"{a} and {b}"


@mutation
def one_reader_reads_another(m):
    """One reader of a cache reads another layer's."""
    a, b = m.two_caches()
    _, node = m.one(m.readers(a))
    rename(node.input, a, b)
    return f"{node.op_type} reads {b}, not {a}"


@mutation
def rename_caches(m):
    """The names tell nothing."""
    old = m.meta["cache_inputs"] + m.presents()
    words = m.dice.sample([f"thing_{k}" for k in range(4 * len(old))], len(old))
    m.names = dict(zip(old, words))
    for body in m.bodies():
        if isinstance(body, onnx.GraphProto):
            for v in [*body.input, *body.output, *body.value_info]:
                v.name = m.names.get(v.name, v.name)
        for node in body.node:
            for values in (node.input, node.output):
                for k, n in enumerate(values):
                    values[k] = m.names.get(n, n)
    return "all"


# The update of a growing cache.


def concats(m):
    """Concatenations of a cache, looked at through what moves it."""
    found = []
    for name in m.meta["cache_inputs"]:
        work, seen = [name], set()
        while work:
            value = work.pop()
            if value in seen:
                continue
            seen.add(value)
            for body, node in m.readers(value):
                if node.op_type == "Concat" and len(node.input) > 1:
                    found.append((body, node, value))
                elif node.op_type in ("Identity", "Cast", "Transpose", "Reshape", "Gather", "Split", "Unsqueeze", "Squeeze"):
                    work += [o for o in node.output if node.input[0] == value]
    return found


@mutation
def concat_axis(m):
    """The cache grows along another axis."""
    _, node, _ = m.one(concats(m))
    attribute = axis_attribute(node)
    other = m.one({-3, -2, -1, 0, 1, 2, 3} - {attribute.i})
    was, attribute.i = attribute.i, other
    return f"{was} becomes {other}"


@mutation
def concat_order(m):
    """The past comes after the new rows."""
    _, node, _ = m.one(concats(m))
    turned = list(reversed(node.input))
    del node.input[:]
    node.input.extend(turned)
    return node.output[0]


@mutation
def concat_twice(m):
    """The past is there twice."""
    _, node, past = m.one(concats(m))
    at = m.dice.randrange(len(node.input) + 1)
    turned = list(node.input)
    turned.insert(at, past)
    del node.input[:]
    node.input.extend(turned)
    return f"operand {at} too"


@mutation
def concat_another(m):
    """The past of another cache is appended too."""
    _, node, _ = m.one(concats(m))
    other = m.cache()
    node.input.append(other)
    return other


@mutation
def concat_the_new_twice(m):
    """The new rows are there twice."""
    _, node, past = m.one(concats(m))
    new = m.one(i for i in node.input if i != past)
    node.input.append(new)
    return new


@mutation
def moved_on_the_way(m):
    """Something stands between the cache and its first reader."""
    name = m.cache()
    body, node = m.one(m.readers(name))
    rank = m.rank(name)
    kind = m.one(["Identity", "Neg", "Twice", "Slice", "SliceEnd", "PadFront", "Reverse", "Perm", "PermBack", "AddOne", "Relu", "Tile"])
    axis = m.dice.randrange(rank)
    vector = lambda *v: m.inner_constant(body, node, np.array(v, np.int64))  # noqa: E731
    one = lambda v: m.inner_constant(body, node, np.array(v, np.int64))  # noqa: E731
    if kind in ("Identity", "Neg", "Relu"):
        new = m.before(body, node, kind, [name])
    elif kind == "Twice":
        new = m.before(body, node, "Add", [name, name])
    elif kind == "AddOne":
        dtype = helper.tensor_dtype_to_np_dtype(m.types[name].elem_type)
        new = m.before(body, node, "Add", [name, m.inner_constant(body, node, np.ones((), dtype))])
    elif kind == "Slice":
        new = m.before(body, node, "Slice", [name, vector(1), vector(2**31), vector(axis)])
    elif kind == "SliceEnd":
        new = m.before(body, node, "Slice", [name, vector(0), vector(-1), vector(axis)])
    elif kind == "Reverse":
        new = m.before(body, node, "Slice", [name, vector(-1), vector(-(2**40)), vector(axis), vector(-1)])
    elif kind == "PadFront":
        pads = [0] * (2 * rank)
        pads[axis] = 1
        new = m.before(body, node, "Pad", [name, vector(*pads)])
    elif kind == "Tile":
        repeats = [1] * rank
        repeats[axis] = 2
        new = m.before(body, node, "Tile", [name, vector(*repeats)])
    elif kind == "Perm":
        perm = m.dice.sample(range(rank), rank)
        new = m.before(body, node, "Transpose", [name], perm=perm)
        kind = f"{kind}{perm}"
    else:
        perm = m.dice.sample(range(rank), rank)
        back = [perm.index(k) for k in range(rank)]
        there = m.before(body, node, "Transpose", [name], perm=perm)
        new = m.before(body, node, "Transpose", [there], perm=back)
    del one
    for k, n in enumerate(node.input):
        if n == name:
            node.input[k] = new
    return f"{kind} on axis {axis} of {name} before {node.op_type}"


@mutation
def read_without_update(m):
    """What attention reads is the new rows alone; the present only carries the past on."""
    _, node, past = m.one(concats(m))
    new = m.one(i for i in node.input if i != past)
    for _, reader in m.readers(node.output[0]):
        rename(reader.input, node.output[0], new)
    return node.output[0]


@mutation
def present_is_another(m):
    """What an output gives is the present, changed."""
    name = m.one(m.presents())
    kind = m.one(["Neg", "Add", "Identity", "Slice", "ReduceSum", "Relu"])
    if kind == "Slice":
        m.replace_output(name, "Slice", [m.constant(np.array([0], np.int64)), m.constant(np.array([1], np.int64))])
    elif kind == "Add":
        m.replace_output(name, "Identity", [])
        inner = m.model.graph.node[-1].input[0]
        m.model.graph.node[-1].CopyFrom(helper.make_node("Add", [inner, inner], [name]))
    elif kind == "ReduceSum":
        m.replace_output(name, "ReduceSum", [], keepdims=1)
    else:
        m.replace_output(name, kind, [])
    return f"{kind} on {name}"


# Reads besides.


@mutation
def reduced_into_logits(m):
    """A sum, mean or maximum of a cache is added to the logits."""
    name = m.one(m.meta["cache_inputs"] + m.presents())
    kind = m.one(["ReduceSum", "ReduceMax", "ReduceMean", "Size", "ReduceProd"])
    value = m.as_float(m.at_end(kind, [name], **({} if kind == "Size" else {"keepdims": 0})))
    return f"{kind} of {name} into {m.add_to_logits(value)}"


@mutation
def element_into_logits(m):
    """One row of a cache, added up, is added to the logits."""
    name = m.one(m.meta["cache_inputs"] + m.presents())
    axis, row = m.dice.randrange(3), m.one([0, 0, 1, -1])
    taken = m.at_end("Gather", [name, m.constant(np.array(row, np.int64))], axis=axis)
    value = m.as_float(m.at_end("ReduceSum", [taken], keepdims=0))
    return f"row {row} on axis {axis} of {name} into {m.add_to_logits(value)}"


@mutation
def joined_into_logits(m):
    """A cache is laid flat behind the logits: the output carries a cache on and is no cache."""
    name = m.cache()
    logits = m.logits().name
    flat = m.at_end("Reshape", [name, m.constant(np.array([-1], np.int64))])
    dtype = m.logits().type.tensor_type.elem_type
    flat = m.at_end("Cast", [flat], to=dtype)
    m.replace_output(logits, "Reshape", [m.constant(np.array([-1], np.int64))])
    m.replace_output(logits, "Concat", [flat], first=m.dice.random() < 0.5, axis=0)
    m.model.graph.output[[o.name for o in m.model.graph.output].index(logits)].type.tensor_type.ClearField("shape")
    return f"{name} and {logits}"


@mutation
def another_output(m):
    """A further output of the present's or the past's contents."""
    name = m.one(m.meta["cache_inputs"] + m.presents())
    kind = m.one(["Neg", "flat", "sum", "same"])
    if kind == "flat":
        value = m.at_end("Reshape", [name, m.constant(np.array([-1], np.int64))])
    elif kind == "sum":
        value = m.at_end("ReduceSum", [name], keepdims=0)
    else:
        value = m.at_end("Neg" if kind == "Neg" else "Identity", [name])
        # A copy of what carries a cache on does the same.
        m.copies |= {value} if kind == "same" and name in m.presents() else set()
    every = [*m.model.graph.input, *m.model.graph.output]
    elem = next(v for v in every if v.name == name).type.tensor_type.elem_type
    m.model.graph.output.append(helper.make_tensor_value_info(value, elem, None))
    return f"{kind} of {name}"


@mutation
def length_into_logits(m):
    """A length of a cache is added to the logits."""
    name = m.one(m.meta["cache_inputs"] + m.presents())
    axis = m.dice.randrange(3)
    shape = m.at_end("Shape", [name])
    one = m.at_end("Gather", [shape, m.constant(np.array(axis, np.int64))], axis=0)
    return f"axis {axis} of {name} into {m.add_to_logits(m.as_float(one))}"


@mutation
def length_of_another_axis(m):
    """A reader of the cache's length reads another axis."""
    name = m.cache()
    body, node = m.one(m.readers(name, "Shape"))
    perm = m.dice.sample(range(m.rank(name)), m.rank(name))
    rename(node.input, name, m.before(body, node, "Transpose", [name], perm=perm))
    return f"{perm} of {name}"


@mutation
def length_of_another_cache(m):
    """A reader of the cache's length asks another cache, or the mask, or the tokens."""
    name = m.cache()
    body, node = m.one(m.readers(name, "Shape"))
    if body is not m.model.graph:
        raise NotHere
    other = m.one(n for n in m.types if n != name)
    rename(node.input, name, other)
    return f"{other}, not {name}"


@mutation
def length_off_by_one(m):
    """A number made of the cache's length is one more."""
    name = m.cache()
    _, shape = m.one(m.readers(name, "Shape"))
    body, node = m.one(m.readers(shape.output[0], "Gather"))
    user_body, user = m.one(m.readers(node.output[0]))
    if user_body is not body:
        raise NotHere
    one = m.inner_constant(body, user, np.array(1, np.int64))
    rename(user.input, node.output[0], m.before(body, user, m.one(["Add", "Sub", "Mul"]), [node.output[0], one]))
    return f"before {user.op_type}"


# Rows of a fixed buffer.


def bent(m, body, node, value):
    """An index tensor, bent."""
    number = lambda v: m.inner_constant(body, node, np.array(v, np.int64))  # noqa: E731
    kind = m.one(["plus", "minus", "least", "wrap", "mark", "double", "half", "greatest", "late mark", "zero"])
    if kind == "plus":
        return kind, m.before(body, node, "Add", [value, number(1)])
    if kind == "minus":
        return kind, m.before(body, node, "Sub", [value, number(1)])
    if kind == "least":
        return kind, m.before(body, node, "Min", [value, number(m.one([3, 5]))])
    if kind == "greatest":
        return kind, m.before(body, node, "Max", [value, number(m.one([0, 2]))])
    if kind == "wrap":
        return kind, m.before(body, node, "Mod", [value, number(m.one([3, 4, 1000]))])
    if kind == "double":
        return kind, m.before(body, node, "Mul", [value, number(2)])
    if kind == "half":
        return kind, m.before(body, node, "Div", [value, number(2)])
    if kind == "zero":
        return kind, m.before(body, node, "Mul", [value, number(0)])
    beyond = m.one([0, 4, -1]) if kind == "mark" else 4
    marked = m.before(body, node, "Greater" if kind == "late mark" else "Less", [value, number(beyond)])
    return f"{kind} {beyond}", m.before(body, node, "Where", [marked, number(m.one([3, -1, 0])), value])


@mutation
def row_bent(m):
    """What says the row of a write or read is changed, in front of the model-local function."""
    body, node = m.one(m.nodes(*BUFFERS))
    writes = "Scatter" in node.op_type
    slot = {"CtxScatter": 1, "CtxScatter3D": 1, "CtxScatterCB": m.one([1, 2]), "CtxGather": 1, "CtxGather3D": 1}
    k = slot.get(node.op_type, 1) if node.op_type != "CtxGatherCB" else m.one([1, 2])
    kind, node.input[k] = bent(m, body, node, node.input[k])
    return f"{kind} in front of {node.op_type}, which {'writes' if writes else 'reads'}"


@mutation
def index_bent(m):
    """The index tensor itself is changed, where the rows are written or read."""
    body, node = m.one(m.nodes("ScatterND", "GatherND", "ScatterElements"))
    kind, node.input[1] = bent(m, body, node, node.input[1])
    return f"{kind} at {node.op_type}"


@mutation
def rows_by_another_input(m):
    """The rows are written where another input of whole numbers says."""
    body, node = m.one(m.nodes(*[b for b in BUFFERS if "Scatter" in b]))
    if body is not m.model.graph:
        raise NotHere
    whole = [n for n, t in m.types.items() if t.elem_type == TensorProto.INT64 and n not in node.input]
    k = 2 if node.op_type == "CtxScatterCB" else 1
    node.input[k] = m.one(whole)
    return f"{node.input[k]} says it"


@mutation
def rows_of_the_first_prompt(m):
    """Every prompt's rows are written where the first prompt's belong."""
    body, node = m.one(m.nodes(*[b for b in BUFFERS if "Scatter" in b]))
    k = 2 if node.op_type == "CtxScatterCB" else 1
    number = m.inner_constant(body, node, np.array([0], np.int64))
    first = m.before(body, node, "Gather", [node.input[k], number], axis=0)
    shape = m.before(body, node, "Shape", [node.input[k]])
    node.input[k] = m.before(body, node, "Expand", [first, shape])
    return node.op_type


@mutation
def rows_turned(m):
    """The rows are written last to first."""
    body, node = m.one(m.nodes(*[b for b in BUFFERS if "Scatter" in b]))
    k = 2 if node.op_type == "CtxScatterCB" else 1
    numbers = [m.inner_constant(body, node, np.array([v], np.int64)) for v in (-1, -(2**40), -1, -1)]
    node.input[k] = m.before(body, node, "Slice", [node.input[k], *numbers])
    return node.op_type


@mutation
def wrong_new_rows(m):
    """The write takes other rows: turned, or changed."""
    body, node = m.one(m.nodes(*WRITERS))
    kind = m.one(["Neg", "turned", "doubled"])
    if kind == "turned":
        numbers = [m.inner_constant(body, node, np.array([v], np.int64)) for v in (-1, -(2**40), -2, -1)]
        node.input[2] = m.before(body, node, "Slice", [node.input[2], *numbers])
    elif kind == "doubled":
        node.input[2] = m.before(body, node, "Add", [node.input[2], node.input[2]])
    else:
        node.input[2] = m.before(body, node, "Neg", [node.input[2]])
    return f"{kind} before {node.op_type}"


@mutation
def writes_add(m):
    """The write adds instead of putting in place."""
    _, node = m.one(m.nodes("ScatterND"))
    opset = next(o.version for o in m.model.opset_import if o.domain in ("", "ai.onnx"))
    if opset < 16:
        raise NotHere
    node.attribute.append(helper.make_attribute("reduction", m.one(["add", "mul"])))
    return node.name


@mutation
def written_twice(m):
    """A second write, of the same rows or of others, goes over the first."""
    body, node = m.one(m.nodes(*[b for b in BUFFERS if "Scatter" in b]))
    again = onnx.NodeProto()
    again.CopyFrom(node)
    between = m.fresh("between")
    k = 2 if node.op_type == "CtxScatterCB" else 1
    kind = "same"
    node.input[0] = between
    again.output[0], again.name = between, between
    insert(body, node, again)
    if m.dice.random() < 0.7:
        kind, node.input[k] = bent(m, body, node, node.input[k])
    return f"{kind} after {node.op_type}"


@mutation
def reads_the_past(m):
    """The read takes the buffer as it was before the write, or another cache's."""
    _, node = m.one(m.nodes(*[b for b in BUFFERS if "Gather" in b]))
    node.input[0] = m.cache()
    return f"{node.op_type} of {node.input[0]}"


@mutation
def reads_another_buffer(m):
    """The read takes another layer's buffer."""
    names = [o for _, n in m.nodes(*[b for b in BUFFERS if "Scatter" in b]) for o in n.output]
    body, node = m.one(m.nodes(*[b for b in BUFFERS if "Gather" in b]))
    if body is not m.model.graph:
        raise NotHere
    made = {o for n in body.node[: list(body.node).index(node)] for o in n.output}
    node.input[0] = m.one(n for n in names if n in made and n != node.input[0])
    return f"{node.op_type} of {node.input[0]}"


@mutation
def another_mark(m):
    """Rows that are not to be read have another mark."""
    tensor = m.one(m.numbers(NO_ROW))
    value = m.one([-1, 1, 3, -2, 100])
    put(tensor, value)
    return str(value)


# Masks.


@mutation
def mask_broken(m):
    """A comparison or choice is another one."""
    body, node = m.one(m.nodes("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Where", "And", "Or"))
    if node.op_type == "Where":
        # One that makes a shape would leave -1 in it, which means nothing to Expand.
        if m.readers(node.output[0], "Expand", "Reshape"):
            raise NotHere
        node.input[1], node.input[2] = node.input[2], node.input[1]
        return f"Where({', '.join(node.input)}) turned"
    if node.op_type in ("And", "Or"):
        was, node.op_type = node.op_type, "Or" if node.op_type == "And" else "And"
        return f"{was} the other way"
    was, node.op_type = node.op_type, m.one(
        {"Greater", "GreaterOrEqual", "Less", "LessOrEqual"} - {node.op_type}
    )
    return f"{was} is {node.op_type} in {getattr(body, 'name', '')}"


@mutation
def range_shifted(m):
    """A count starts or ends elsewhere."""
    body, node = m.one(m.nodes("Range"))
    k, op = m.one([0, 1]), m.one(["Add", "Sub"])
    node.input[k] = m.before(body, node, op, [node.input[k], m.inner_constant(body, node, np.array(1, np.int64))])
    return f"{op} at operand {k}"


@mutation
def mask_ignored(m):
    """Attention sees everything: what masks it is added as zero."""
    body, node = m.one(m.nodes("Softmax"))
    maker = next((n for n in body.node if node.input[0] in n.output), None)
    if maker is None or maker.op_type not in ("Add", "Where"):
        raise NotHere
    node.input[0] = maker.input[0 if maker.op_type == "Add" else m.one([1, 2])]
    return maker.op_type


# Fused attention.


def attention(m):
    """An attention operator with its slots of the past, and the body."""
    body, node = m.one(m.nodes(*ATTENTIONS))
    slots = [k for k in ATTENTIONS[node.op_type] if k < len(node.input) and node.input[k]]
    if not slots:
        raise NotHere
    return body, node, slots


@mutation
def past_operands_swapped(m):
    """Key and value change places."""
    _, node, slots = attention(m)
    if len(slots) < 2:
        raise NotHere
    a, b = slots
    node.input[a], node.input[b] = node.input[b], node.input[a]
    return node.name


@mutation
def past_operand_of_another(m):
    """The past is another layer's."""
    _, node, slots = attention(m)
    k = m.one(slots)
    node.input[k] = m.cache()
    return f"{node.input[k]} at {k}"


@mutation
def past_operand_extended(m):
    """The past has rows that no cache brought."""
    body, node, slots = attention(m)
    for k in slots:
        axis = 3 if node.op_type == "Attention" and node.domain else 2
        name = node.input[k]
        if name not in m.types:
            raise NotHere
        kind = m.one(["Pad", "self", "Slice"])
        if kind == "Pad":
            pads = [0] * (2 * m.rank(name))
            pads[axis] = 1
            node.input[k] = m.before(body, node, "Pad", [name, m.inner_constant(body, node, np.array(pads, np.int64))])
        elif kind == "self":
            other = m.cache()
            node.input[k] = m.before(body, node, "Concat", [name, other], axis=axis)
        else:
            v = [m.inner_constant(body, node, np.array([x], np.int64)) for x in (0, 1, axis)]
            node.input[k] = m.before(body, node, "Slice", [name, *v])
    return kind


@mutation
def past_operand_by_new_rows(m):
    """The past has rows of this very chunk."""
    body, node, slots = attention(m)
    if len(slots) < 2 or any(node.input[k] not in m.types for k in slots):
        raise NotHere
    heads, width = 2, None
    for k in slots:
        dims = m.types[node.input[k]].shape.dim
        heads, width = dims[1].dim_value, dims[3].dim_value
        if not heads:
            raise NotHere
        rows = m.constant(np.ones((1, heads, 2, width or 8), np.float32) / 4)
        shape = m.before(body, node, "Shape", [node.input[0]])
        batch = m.before(body, node, "Gather", [shape, m.inner_constant(body, node, np.array([0], np.int64))], axis=0)
        tail = m.inner_constant(body, node, np.array([heads, 2, width or 8], np.int64))
        rows = m.before(body, node, "Expand", [rows, m.before(body, node, "Concat", [batch, tail], axis=0)])
        node.input[k] = m.before(body, node, "Concat", [node.input[k], rows], axis=2)
    return "two rows of a constant"


@mutation
def past_operand_missing(m):
    """Only one of key and value has a past."""
    _, node, slots = attention(m)
    k = m.one(slots)
    node.input[k] = ""
    return f"operand {k}"


@mutation
def rolling_attention(m):
    """The operator says that its cache is a rolling window."""
    _, node = m.one(m.nodes("GroupQueryAttention"))
    node.attribute.append(helper.make_attribute("sliding_window_cache", 1))
    return node.name


@mutation
def lengths_bent(m):
    """The lengths that a fused operator is told are others."""
    body, node = m.one(m.nodes("GroupQueryAttention"))
    k = m.one([5, 6])
    number = m.inner_constant(body, node, np.array(1, np.int32))
    node.input[k] = m.before(body, node, m.one(["Add", "Sub"]), [node.input[k], number])
    return f"operand {k}"


# Branches and declarations.


@mutation
def read_in_the_other_branch(m):
    """The branch without a past reads a cache too."""
    body, node = m.one(m.nodes("If"))
    branch = m.one(a.g for a in node.attribute if a.HasField("g"))
    name = m.cache()
    k = m.dice.randrange(len(branch.output))
    old = branch.output[k].name
    total, back = m.fresh("total"), m.fresh("back")
    branch.node.append(helper.make_node("ReduceSum", [name], [total], keepdims=0))
    out = m.fresh("sum")
    branch.node.append(helper.make_node("Add", [old, total], [out]))
    branch.output[k].name = out
    del back, body
    return f"{name} into {old}"


@mutation
def branch_hands_on_another(m):
    """A branch hands on a cache where it handed on something else."""
    _, node = m.one(m.nodes("If"))
    branch = m.one(a.g for a in node.attribute if a.HasField("g"))
    a, b = m.dice.sample(range(len(branch.output)), 2)
    first, second = branch.output[a].name, branch.output[b].name
    branch.output[a].name, branch.output[b].name = second, first
    return f"{first} and {second}"


@mutation
def declared_length(m):
    """A cache declares another length."""
    name = m.cache()
    dims = m.types[name].shape.dim
    k = m.dice.randrange(len(dims))
    kind = m.one(["number", "tokens", "own", "none", "batch"])
    if kind == "number":
        dims[k].dim_value = 16
    elif kind == "own":
        dims[k].dim_param = "another_length"
    elif kind == "none":
        dims[k].Clear()
    else:
        tokens = next((t for n, t in m.types.items() if n not in m.meta["cache_inputs"] and len(t.shape.dim) == 2), None)
        if tokens is None or not tokens.shape.dim[1].dim_param:
            raise NotHere
        dims[k].dim_param = tokens.shape.dim[1 if kind == "tokens" else 0].dim_param
    return f"axis {k} of {name}: {kind}"


@mutation
def another_input_has_the_length(m):
    """An input that is no cache declares the past's length."""
    name = m.cache()
    params = [d.dim_param for d in m.types[name].shape.dim if d.dim_param]
    other = m.one(n for n in m.types if n not in m.meta["cache_inputs"] and len(m.types[n].shape.dim) > 1)
    dims = m.types[other].shape.dim
    dims[m.dice.randrange(len(dims))].dim_param = m.one(params)
    return other
