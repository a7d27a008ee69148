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


def readable(indices):
    """Indices that PyTorch accepts: what is invalid reads row 0, which the caller masks."""
    return torch.where(indices == INVALID, 0, indices)


def buffer_type(data, named):
    """The type of a written buffer: as the buffer's, or with lengths for which the exporter makes up names."""
    if named:
        return data.type()
    return data.type().with_sizes(data.type().varyingSizes())


class Scatter(torch.autograd.Function):
    """`CtxScatter`, traced as one node; `named` decides whether the written buffer keeps the names of its dims."""

    @staticmethod
    def forward(ctx, data, position_ids, updates, named):
        batch = torch.arange(data.shape[0]).view(-1, 1, 1)
        head = torch.arange(data.shape[1]).view(1, -1, 1)
        written = data.clone()
        written[batch, head, position_ids.unsqueeze(1)] = updates
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
        batch = torch.arange(data.shape[0]).view(-1, 1, 1)
        head = torch.arange(data.shape[1]).view(1, -1, 1)
        return data[batch, head, readable(ctx_indices)]

    @staticmethod
    def symbolic(g, data, ctx_indices, ctx_len):
        return g.onnxscript_op(CtxGather, data, ctx_indices, ctx_len).setTypeAs(data)
