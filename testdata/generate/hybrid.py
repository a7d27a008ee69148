"""A decoder whose layers hold both rows that grow and states that are computed anew (form E, in plain operators).

`falcon_h1_dynamo` is what `torch.onnx.export(dynamo=True)` writes: in each layer an attention and a state space model
side by side. The recurrent state leaves as a sum of itself, scaled, and what is new; no operator says that it is one.
"""

import numpy as np
import torch
from transformers import DynamicCache, FalconH1Config, FalconH1ForCausalLM

from common import Case
from decoders import MAIN, VOCABULARY, check, prompts, settle

CONV, RECURRENT = "conv_states", "recurrent_states"


def decoder():
    """One layer, small enough to keep."""
    torch.manual_seed(11)
    config = FalconH1Config(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=48, max_position_embeddings=128, mamba_n_heads=2, mamba_d_head=16, mamba_d_state=8, mamba_d_ssm=32,
        mamba_chunk_size=32, pad_token_id=0,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return settle(FalconH1ForCausalLM(config))


class Exported(torch.nn.Module):
    """The model as one call over keys, values and states."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, past):
        cache = DynamicCache(config=self.model.config)
        layer = cache.layers[0]
        layer.keys, layer.values = past[0], past[1]
        layer.is_initialized = True
        for name, state in zip((CONV, RECURRENT), past[2:]):
            getattr(layer, name)[0] = state.clone()
            getattr(layer, f"is_{name}_initialized")[0] = True
        layer.has_previous_state[0] = True
        layer.conv_kernel_size[0] = past[2].shape[-1]
        layer.dtype, layer.device = past[0].dtype, past[0].device
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache, use_cache=True
        )  # fmt: skip
        layer = out.past_key_values.layers[0]
        return out.logits, layer.keys, layer.values, layer.conv_states[0], layer.recurrent_states[0]


PAST = ["past_key_values.0.key", "past_key_values.0.value", "past_conv.0", "past_ssm.0"]
PRESENT = ["present.0.key", "present.0.value", "present_conv.0", "present_ssm.0"]


def shapes(model):
    """The shapes of the caches for one prompt of five tokens."""
    with torch.no_grad():
        layer = model(input_ids=torch.ones(1, 5, dtype=torch.long), use_cache=True).past_key_values.layers[0]
    return [tuple(x.shape) for x in (layer.keys, layer.values, layer.conv_states[0], layer.recurrent_states[0])]


def feed(kinds, lengths, past=0):
    """Prompts, and what is in the cache. With no past the states are zeros."""
    rng = np.random.default_rng([*lengths, past])
    out, count = prompts(rng, lengths, past), len(lengths)
    for name, kind in zip(PAST, kinds):
        rows = ".key" in name or ".value" in name
        shape = (count, kind[1], past, kind[3]) if rows else (count, *kind[1:])
        out[name] = rng.standard_normal(shape, np.float32) if past else np.zeros(shape, np.float32)
    return out


def export(model, inputs):
    """The batch, the chunk, the past and the mask each have a symbol."""
    batch, before = "batch", {0: "batch", 2: "past_sequence_length"}
    chunk = {0: batch, 1: "sequence_length"}
    args = [torch.tensor(inputs[n]) for n in MAIN]
    program = torch.onnx.export(
        Exported(model), (*args, [torch.tensor(inputs[n]) for n in PAST]), dynamo=True, opset_version=20,
        input_names=[*MAIN, *PAST], output_names=["logits", *PRESENT],
        dynamic_shapes=(chunk, {0: batch, 1: "total_sequence_length"}, chunk, [before, before, {0: batch}, {0: batch}]),
    )  # fmt: skip
    return program.model_proto


def main():
    """The model, a set at batch 1, one at batch 2 with padding on the left, and one of a single token."""
    model = decoder()
    kinds = shapes(model)
    onnx_model = export(model, feed(kinds, (5, 3), past=4))
    case = Case(
        "falcon_h1_dynamo", onnx_model, exporter="torch.onnx.export(dynamo=True)",
        packages=["torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime"],
        notes="set b2pad is padded on the left; empty states are zeros", cache_inputs=PAST, cache_outputs=PRESENT,
    )  # fmt: skip
    for tag, lengths in (("", (10,)), ("b2pad", (9, 6)), ("one", (1,))):
        inputs = feed(kinds, lengths)
        case.record(tag, inputs, check(onnx_model, Exported(model), inputs, PAST))
    check(onnx_model, Exported(model), feed(kinds, (4, 2), past=6), PAST)
    case.close()


if __name__ == "__main__":
    main()
