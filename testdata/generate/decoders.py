"""Two text decoders whose caches grow (form A), by two exporters.

`gpt_neox_torchscript` is spelt as optimum spells it: a TorchScript export whose symbols are written down by hand, so that
`past_sequence_length + sequence_length` is one name. `qwen3_dynamo` is what `torch.onnx.export(dynamo=True)` writes.
"""

import io

import numpy as np
import onnx
import torch
from transformers import DynamicCache, GPTNeoXConfig, GPTNeoXForCausalLM, Qwen3Config, Qwen3ForCausalLM

from common import Case, run

VOCABULARY = 160
LAYERS = 2
TOTAL = "past_sequence_length + sequence_length"
MAIN = ["input_ids", "attention_mask", "position_ids"]


class Exported(torch.nn.Module):
    """A model of `transformers` as one call over a flat list of past keys and values."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, past):
        cache = DynamicCache(list(zip(past[::2], past[1::2])))
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache, use_cache=True
        )  # fmt: skip
        return [out.logits, *(x for layer in out.past_key_values.layers for x in (layer.keys, layer.values))]


def settle(model):
    """Random weights of a size at which every token matters, biases and norms included."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, 1.0 if "embed_" in name else weight.shape[1] ** -0.5)
            else:
                weight.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.1)
    return model.eval()


def gpt_neox():
    """Fused query-key-value projections, a rotary part of each head, parallel residuals."""
    torch.manual_seed(3)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=LAYERS, num_attention_heads=3, intermediate_size=80,
        max_position_embeddings=128, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25),
    )  # fmt: skip
    config._attn_implementation = "eager"
    return settle(GPTNeoXForCausalLM(config)), 3, 16


def qwen3():
    """Grouped queries, and norms on queries and keys."""
    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, intermediate_size=80, max_position_embeddings=128,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return settle(Qwen3ForCausalLM(config)), 2, 16


def prompts(rng, lengths, past):
    """Prompts of these lengths, padded on the left, after `past` tokens that are in the cache already."""
    longest = max(lengths)
    ids = rng.integers(1, VOCABULARY, (len(lengths), longest))
    mask = np.array([[1] * past + [0] * (longest - n) + [1] * n for n in lengths])
    places = np.maximum(mask.cumsum(1) - 1, 0)[:, past:]
    return {name: x.astype(np.int64) for name, x in zip(MAIN, (ids, mask, places))}


def feed(lengths, heads, dim, past=0, seed=0):
    """Prompts, and what is in the cache."""
    rng = np.random.default_rng([seed, *lengths, past])
    out = prompts(rng, lengths, past)
    for layer in range(LAYERS):
        for kind in ("key", "value"):
            shape = (len(lengths), heads, past, dim)
            out[f"past_key_values.{layer}.{kind}"] = rng.standard_normal(shape, np.float32)
    return out


def torchscript(model, inputs, past, present):
    """As optimum exports: the symbols are given, for inputs and outputs."""
    axes = {
        "input_ids": {0: "batch_size", 1: "sequence_length"},
        "attention_mask": {0: "batch_size", 1: TOTAL},
        "position_ids": {0: "batch_size", 1: "sequence_length"},
        "logits": {0: "batch_size", 1: "sequence_length"},
        **{name: {0: "batch_size", 2: "past_sequence_length"} for name in past},
        **{name: {0: "batch_size", 2: TOTAL} for name in present},
    }
    args = [torch.tensor(inputs[n]) for n in MAIN]
    file = io.BytesIO()
    torch.onnx.export(
        Exported(model), (*args, [torch.tensor(inputs[n]) for n in past]), file, opset_version=17, dynamo=False,
        input_names=[*MAIN, *past], output_names=["logits", *present], dynamic_axes=axes,
    )  # fmt: skip
    return onnx.load_model_from_string(file.getvalue())


def dynamo(model, inputs, past, present):
    """As `torch.export` sees it: the length of the mask is a symbol of its own."""
    batch, sequence, before, total = "batch", "sequence_length", "past_sequence_length", "total_sequence_length"
    args = [torch.tensor(inputs[n]) for n in MAIN]
    program = torch.onnx.export(
        Exported(model), (*args, [torch.tensor(inputs[n]) for n in past]), dynamo=True, opset_version=20,
        input_names=[*MAIN, *past], output_names=["logits", *present],
        dynamic_shapes=(
            {0: batch, 1: sequence}, {0: batch, 1: total}, {0: batch, 1: sequence},
            [{0: batch, 2: before} for _ in past],
        ),
    )  # fmt: skip
    return program.model_proto


def generate(name, made, export, exporter, packages, notes):
    """One decoder: the model, a set at batch 1, and one at batch 2 with padding on the left."""
    model, heads, dim = made
    past = [f"past_key_values.{i}.{kind}" for i in range(LAYERS) for kind in ("key", "value")]
    present = [f"present.{i}.{kind}" for i in range(LAYERS) for kind in ("key", "value")]
    onnx_model = export(model, feed((5, 3), heads, dim, past=4), past, present)
    case = Case(name, onnx_model, exporter=exporter, packages=packages, notes=notes, cache_inputs=past, cache_outputs=present)
    for tag, lengths in (("", (10,)), ("b2pad", (9, 6))):
        inputs = feed(lengths, heads, dim)
        case.record(tag, inputs, check(onnx_model, Exported(model), inputs, past))
    check(onnx_model, Exported(model), feed((4, 2), heads, dim, past=6), past)
    case.close()


def check(onnx_model, exported, inputs, past):
    """The answers of the ONNX model, after holding those for real tokens to those of `transformers`."""
    expected = run(onnx_model, inputs)
    with torch.no_grad():
        truth = exported(*(torch.tensor(inputs[n]) for n in MAIN), [torch.tensor(inputs[n]) for n in past])
    real = inputs["attention_mask"][:, -inputs["input_ids"].shape[1] :] == 1
    gap = float(np.abs(expected["logits"] - truth[0].numpy())[real].max())
    assert gap < 1e-4, f"differs from transformers by {gap}"
    return expected


def main():
    """Makes both decoders."""
    generate(
        "gpt_neox_torchscript", gpt_neox(), torchscript, "torch.onnx.export TorchScript (dynamo=False), optimum's names",
        ["torch", "transformers", "onnx", "onnxruntime"], "set b2pad is padded on the left",
    )  # fmt: skip
    generate(
        "qwen3_dynamo", qwen3(), dynamo, "torch.onnx.export(dynamo=True)",
        ["torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime"], "set b2pad is padded on the left",
    )  # fmt: skip


if __name__ == "__main__":
    main()
