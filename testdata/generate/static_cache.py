"""PyTorch's static cache (form B in plain operators): buffers of a constant length, written at `cache_position`.

`torch.onnx.export(dynamo=True)` turns the `index_copy` of such a cache into a `Transpose`, a `ScatterND` and a `Transpose`
back; nothing reads the length of a buffer, because it is a constant.
"""

import numpy as np
import torch

from common import Case, run
from fixed_buffers import DIM, VOCABULARY, build

LAYERS, HEADS, LENGTH = 2, 2, 16


class Static:
    """Buffers `[batch, heads, LENGTH, dim]`; attention reads all of them and masks what is not written."""

    def __init__(self, past, cache_position):
        self.past = list(past)
        self.start = cache_position[0]

    def update(self, key, value, layer, *_):
        """Writes the new rows of a layer and returns the whole buffers."""
        rows = torch.arange(key.shape[2]) + self.start
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = self.past[slot].index_copy(2, rows, new)
        return self.past[2 * layer], self.past[2 * layer + 1]


class Exported(torch.nn.Module):
    """The model as one call, with inputs and outputs in the order of the file."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, cache_position, past):
        text = self.model.model
        text.config._attn_implementation = "sdpa"
        cache = Static(past, cache_position)
        mask = (torch.arange(LENGTH)[None] <= cache_position[:, None])[None, None]
        hidden = text.embed_tokens(input_ids)
        rotary = text.rotary_emb(hidden, cache_position[None])
        for layer in text.layers:
            hidden = layer(hidden, attention_mask=mask, past_key_values=cache, position_embeddings=rotary)
        return [self.model.lm_head(text.norm(hidden)), *cache.past]


def names():
    """The names of the caches as inputs and as outputs."""
    both = [(layer, kind) for layer in range(LAYERS) for kind in ("key", "value")]
    return [f"past_key_values.{i}.{kind}" for i, kind in both], [f"present.{i}.{kind}" for i, kind in both]


def feed(rng, batch, length, garbage):
    """Prompts that start at position 0; the buffers hold zeros or garbage."""
    out = {"input_ids": rng.integers(1, VOCABULARY, (batch, length)), "cache_position": np.arange(length)}
    for name in names()[0]:
        shape = (batch, HEADS, LENGTH, DIM)
        out[name] = rng.standard_normal(shape, np.float32) if garbage else np.zeros(shape, np.float32)
    return out


def export(model, inputs):
    """The ONNX model."""
    past, present = names()
    args = [torch.tensor(inputs[n]) for n in ("input_ids", "cache_position")]
    batch, length = "batch", "sequence_length"
    program = torch.onnx.export(
        Exported(model).eval(), (*args, [torch.tensor(inputs[n]) for n in past]), dynamo=True, opset_version=18,
        input_names=["input_ids", "cache_position", *past], output_names=["logits", *present],
        dynamic_shapes=({0: batch, 1: length}, {0: length}, [{0: batch} for _ in past]),
    )  # fmt: skip
    return program.model_proto


def main():
    """Makes the model and its sets."""
    rng = np.random.default_rng(23)
    model = build(HEADS, LAYERS)
    onnx_model = export(model, feed(rng, 2, 5, garbage=False))
    past, present = names()
    case = Case(
        "fixed_static_dynamo", onnx_model, exporter="torch.onnx.export(dynamo=True), static-cache buffers as inputs",
        packages=["torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime"],
        notes=f"buffers of {LENGTH} rows, a constant; cache_position counts from 0 when there is no past",
        cache_inputs=past, cache_outputs=present, extra={"assume": ["single-prefill"]},
    )  # fmt: skip
    for tag, batch, length, garbage in (("", 1, 10, False), ("full", 1, LENGTH, False), ("b2", 2, 7, True)):
        inputs = feed(rng, batch, length, garbage)
        logits = run(onnx_model, inputs)["logits"]
        with torch.no_grad():
            model.model.config._attn_implementation = "eager"
            gap = float(np.abs(model(input_ids=torch.tensor(inputs["input_ids"])).logits.numpy() - logits).max())
        assert gap < 1e-4, f"differs from transformers by {gap}"
        case.record(tag, inputs, {"logits": logits}, set={"sequence_length": length, "batch": batch})
    case.close()


if __name__ == "__main__":
    main()
