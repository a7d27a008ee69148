"""The buffer operators of Cloud AI exports: in eager PyTorch, and as the ONNX functions that land in the file.

A cache is a buffer `[batch, heads, ctx_len, head_dim]`. A write puts row `s` of the new keys at row
`position_ids[b, s]` of the buffer; a read takes the rows that `ctx_indices` lists. Padding has position -1, which is
the last row in ONNX as in PyTorch; the index `INVALID` is out of every range, and means "nothing" to that compiler.
"""

import onnxscript
import torch
from onnxscript import opset17 as op
from onnxscript.onnx_types import FLOAT, INT64

CLOUD = onnxscript.values.Opset("com.qualcomm.cloud", 1)
INVALID = torch.iinfo(torch.int32).max


@onnxscript.script(CLOUD)
def CtxScatter(data: FLOAT, position_ids: INT64, updates: FLOAT) -> FLOAT:
    zero = op.Constant(value_ints=[0])
    one = op.Constant(value_ints=[1])
    batch = op.Gather(op.Shape(data), [0])
    heads = op.Gather(op.Shape(data), [1])
    rows = op.Gather(op.Shape(position_ids), [1])
    grid = op.Concat(batch, heads, rows, one, axis=0)
    batch_idx = op.Expand(op.Unsqueeze(op.Range(zero, batch, one), [1, 2, 3]), grid)
    head_idx = op.Expand(op.Unsqueeze(op.Range(zero, heads, one), [0, 2, 3]), grid)
    ctx_idx = op.Expand(op.Unsqueeze(position_ids, [1, 3]), grid)
    indices = op.Concat(batch_idx, head_idx, ctx_idx, axis=3)
    return op.ScatterND(data, indices, updates)


@onnxscript.script(CLOUD)
def CtxGather(data: FLOAT, ctx_indices: INT64, ctx_len: INT64) -> FLOAT:
    grid = op.Concat(op.Shape(data)[:2], op.Reshape(ctx_len, [1]), axis=0)
    indices = op.Unsqueeze(op.Expand(ctx_indices, grid), [-1])
    return op.GatherND(data, indices, batch_dims=2)


@onnxscript.script(CLOUD)
def CtxScatterCB(data: FLOAT, batch_index: INT64, position_ids: INT64, updates: FLOAT) -> FLOAT:
    zero = op.Constant(value_ints=[0])
    one = op.Constant(value_ints=[1])
    batch = op.Gather(op.Shape(batch_index), [0])
    heads = op.Gather(op.Shape(data), [1])
    rows = op.Gather(op.Shape(position_ids), [1])
    grid = op.Concat(batch, heads, rows, one, axis=0)
    batch_idx = op.Expand(op.Unsqueeze(batch_index, [2, 3]), grid)
    head_idx = op.Expand(op.Unsqueeze(op.Range(zero, heads, one), [0, 2, 3]), grid)
    ctx_idx = op.Expand(op.Unsqueeze(position_ids, [1, 3]), grid)
    indices = op.Concat(batch_idx, head_idx, ctx_idx, axis=3)
    return op.ScatterND(data, indices, updates)


@onnxscript.script(CLOUD)
def CtxGatherCB(data: FLOAT, batch_index: INT64, ctx_indices: INT64, ctx_len: INT64) -> FLOAT:
    zero = op.Constant(value_ints=[0])
    one = op.Constant(value_ints=[1])
    batch = op.Gather(op.Shape(batch_index), [0])
    heads = op.Gather(op.Shape(data), [1])
    grid = op.Concat(batch, heads, op.Reshape(ctx_len, [1]), one, axis=0)
    batch_idx = op.Expand(op.Unsqueeze(batch_index, [2, 3]), grid)
    head_idx = op.Expand(op.Unsqueeze(op.Range(zero, heads, one), [0, 2, 3]), grid)
    ctx_idx = op.Expand(op.Unsqueeze(ctx_indices, [3]), grid)
    indices = op.Concat(batch_idx, head_idx, ctx_idx, axis=3)
    return op.GatherND(data, indices)


@onnxscript.script(CLOUD)
def CtxScatter3D(data: FLOAT, position_ids: INT64, updates: FLOAT) -> FLOAT:
    zero = op.Constant(value_ints=[0])
    one = op.Constant(value_ints=[1])
    batch = op.Gather(op.Shape(data), [0])
    rows = op.Gather(op.Shape(position_ids), [1])
    grid = op.Concat(batch, rows, one, axis=0)
    batch_idx = op.Expand(op.Unsqueeze(op.Range(zero, batch, one), [1, 2]), grid)
    ctx_idx = op.Expand(op.Unsqueeze(position_ids, [2]), grid)
    return op.ScatterND(data, op.Concat(batch_idx, ctx_idx, axis=2), updates)


@onnxscript.script(CLOUD)
def CtxGather3D(data: FLOAT, ctx_indices: INT64) -> FLOAT:
    grid = op.Slice(op.Shape(data), [0], [2], [0])
    return op.GatherND(data, op.Unsqueeze(op.Expand(ctx_indices, grid), [-1]), batch_dims=1)


@onnxscript.script(CLOUD)
def CtxGatherBlockedKV(data: FLOAT, ctx_indices: INT64) -> FLOAT:
    return op.GatherND(data, op.Unsqueeze(ctx_indices, [-1]), batch_dims=2)


def readable(indices):
    """Indices that PyTorch accepts: what is invalid reads row 0, which the caller masks."""
    return torch.where(indices == INVALID, 0, indices)


def buffer_type(data, named):
    """The type of a written buffer: as the buffer's, or with lengths for which the exporter makes up names."""
    if named:
        return data.type()
    return data.type().with_sizes(data.type().varyingSizes())


def pick(data, batch, rows):
    """The index of `data` at batch entries `[b, 1]` (None: all), every head, and rows `[b, 1 or heads, rows]`."""
    batch = torch.arange(data.shape[0]).view(-1, 1, 1) if batch is None else batch.unsqueeze(-1)
    return batch, torch.arange(data.shape[1]).view(1, -1, 1), rows


class Scatter(torch.autograd.Function):
    """`CtxScatter`, traced as one node; `named` decides whether the written buffer keeps the names of its dims."""

    @staticmethod
    def forward(ctx, data, position_ids, updates, named):
        written = data.clone()
        written[pick(data, None, position_ids.unsqueeze(1))] = updates
        return written

    @staticmethod
    def symbolic(g, data, position_ids, updates, named):
        written = g.onnxscript_op(CtxScatter, data, position_ids, updates)
        written.setType(buffer_type(data, named))
        return written


class Gather(torch.autograd.Function):
    """`CtxGather`, traced as one node."""

    @staticmethod
    def forward(ctx, data, ctx_indices, ctx_len):
        return data[pick(data, None, readable(ctx_indices))]

    @staticmethod
    def symbolic(g, data, ctx_indices, ctx_len):
        return g.onnxscript_op(CtxGather, data, ctx_indices, ctx_len).setTypeAs(data)


class ScatterCB(torch.autograd.Function):
    """`CtxScatterCB`: the prompts of this call go to entries `batch_index` of a buffer for all prompts."""

    @staticmethod
    def forward(ctx, data, batch_index, position_ids, updates):
        written = data.clone()
        rows = torch.where(position_ids == INVALID, -1, position_ids)
        written[pick(data, batch_index, rows.unsqueeze(1))] = updates
        return written

    @staticmethod
    def symbolic(g, data, batch_index, position_ids, updates):
        return g.onnxscript_op(CtxScatterCB, data, batch_index, position_ids, updates).setTypeAs(data)


class GatherCB(torch.autograd.Function):
    """`CtxGatherCB`, the read that goes with it."""

    @staticmethod
    def forward(ctx, data, batch_index, ctx_indices, ctx_len):
        return data[pick(data, batch_index, readable(ctx_indices))]

    @staticmethod
    def symbolic(g, data, batch_index, ctx_indices, ctx_len):
        read = g.onnxscript_op(CtxGatherCB, data, batch_index, ctx_indices, ctx_len)
        read.setType(data.type().with_sizes([None, data.type().varyingSizes()[1], None, data.type().varyingSizes()[3]]))
        return read


class Scatter3D(torch.autograd.Function):
    """`CtxScatter3D`, for a buffer `[batch, ctx_len, dim]`."""

    @staticmethod
    def forward(ctx, data, position_ids, updates):
        written = data.clone()
        written[torch.arange(data.shape[0]).view(-1, 1), position_ids] = updates
        return written

    @staticmethod
    def symbolic(g, data, position_ids, updates):
        return g.onnxscript_op(CtxScatter3D, data, position_ids, updates).setTypeAs(data)


class Gather3D(torch.autograd.Function):
    """`CtxGather3D`, the read that goes with it."""

    @staticmethod
    def forward(ctx, data, ctx_indices):
        return data[torch.arange(data.shape[0]).view(-1, 1), readable(ctx_indices)]

    @staticmethod
    def symbolic(g, data, ctx_indices):
        return g.onnxscript_op(CtxGather3D, data, ctx_indices).setTypeAs(data)


class GatherBlocked(torch.autograd.Function):
    """`CtxGatherBlockedKV`: some rows of the buffer, listed for each head."""

    @staticmethod
    def forward(ctx, data, ctx_indices):
        return data[pick(data, None, readable(ctx_indices))]

    @staticmethod
    def symbolic(g, data, ctx_indices):
        read = g.onnxscript_op(CtxGatherBlockedKV, data, ctx_indices)
        sizes = data.type().varyingSizes()
        read.setType(data.type().with_sizes([sizes[0], sizes[1], None, sizes[3]]))
        return read


def masked_attention(module, query, key, value, attention_mask, scaling, **_):
    """Attention, for `ALL_ATTENTION_FUNCTIONS`, in which `True` in the mask means: not seen."""
    key = repeat_heads(key, module.num_key_value_groups)
    value = repeat_heads(value, module.num_key_value_groups)
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    scores = torch.where(attention_mask, torch.tensor(float("-inf")), scores)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def repeat_heads(x, times):
    """Every head of `[batch, heads, rows, dim]` repeated for the queries that share it."""
    if times == 1:
        return x
    batch, heads, rows, dim = x.shape
    return x[:, :, None].expand(batch, heads, times, rows, dim).reshape(batch, heads * times, rows, dim)
