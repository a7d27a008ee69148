"""Plain text decoders with each kind of fixed buffer (form B): one folder for each.

The model is Llama of `transformers` (Qwen3 where a layer has a sliding window), tiny, with its own layers, projections,
norms and rotary positions. Ours are the cache, the masks and the attention, which such an exporter replaces.
"""

import io

import numpy as np
import onnx
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

import ctx_ops
from common import INVALID, Case, replace_int_constants, run

VOCABULARY, DIM, WINDOW = 64, 8, 8


def build(kv_heads, layers, window=None):
    """The model of `transformers` with random weights; with a window, its first layer sees no further back."""
    torch.manual_seed(17 + kv_heads)
    shape = dict(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=kv_heads,
        head_dim=DIM, intermediate_size=48, max_position_embeddings=64,
    )  # fmt: skip
    if window:
        sees = ["sliding_attention"] + ["full_attention"] * (layers - 1)
        config = Qwen3Config(**shape, use_sliding_window=True, sliding_window=window, layer_types=sees)
    else:
        config = LlamaConfig(**shape)
    config._attn_implementation = "eager"
    model = (Qwen3ForCausalLM if window else LlamaForCausalLM)(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, 1.0 if "embed" in name else weight.shape[1] ** -0.5)
            else:
                weight.normal_(1.0, 0.1)
    return model


class Buffers:
    """Buffers `[batch, heads, ctx_len, dim]`, written by `CtxScatter` and read by `CtxGather`."""

    extra = {}
    """Inputs that only this kind of cache has, with their dynamic axes."""
    attention = "retained"
    layers = 2
    last_row_only = False
    invalid = INVALID
    infix = ""
    batch_symbol = "batch_size"

    def __init__(self, past, positions, **inputs):
        self.past = list(past)
        self.positions = positions
        self.inputs = inputs

    @staticmethod
    def shape(batch, heads, length, layer):
        """The shape of one buffer."""
        return (batch, heads, length, DIM)

    @classmethod
    def axes(cls, layer):
        """The dynamic axes of one buffer."""
        return {0: cls.batch_symbol, 2: "ctx_len"}

    def masks(self):
        """For each layer, `True` where a row of the buffer is not to be seen."""
        rows = torch.arange(self.past[0].shape[2]).view(1, 1, -1)
        return [(rows > self.positions.unsqueeze(-1)).unsqueeze(1)] * self.layers

    def reach(self, length):
        """The rows to read, with `invalid` for those after the last position, and where that is."""
        rows = torch.arange(length)[None, None, ...]
        beyond = rows > self.positions.max(1, keepdim=True).values.unsqueeze(1)
        return torch.where(beyond, self.invalid, rows), beyond

    def update(self, key, value, layer, *_):
        """Writes the new rows of a layer and returns what attention may read."""
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = ctx_ops.Scatter.apply(self.past[slot], self.positions, new, True)
        key, value = self.past[2 * layer : 2 * layer + 2]
        length = key.shape[2]
        rows, beyond = self.reach(length)
        key = ctx_ops.Gather.apply(key, rows, length)
        value = ctx_ops.Gather.apply(value, rows, length)
        return key, torch.where(beyond.unsqueeze(-1), torch.tensor(0.0), value)


class ContinuousBatching(Buffers):
    """Buffers for every prompt under way; `batch_index` says which of them this call is about."""

    extra = {"batch_index": {0: "batch_size"}}
    batch_symbol = "full_batch_size"
    last_row_only = True

    def update(self, key, value, layer, *_):
        """As `Buffers`, where padding is written nowhere."""
        index = self.inputs["batch_index"]
        positions = torch.where(self.positions < 0, self.invalid, self.positions)
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = ctx_ops.ScatterCB.apply(self.past[slot], index, positions, new)
        key, value = self.past[2 * layer : 2 * layer + 2]
        length = key.shape[2]
        rows, beyond = self.reach(length)
        key = ctx_ops.GatherCB.apply(key, index, rows, length)
        value = ctx_ops.GatherCB.apply(value, index, rows, length)
        return key, torch.where(beyond.unsqueeze(-1), torch.tensor(0.0), value)


class ComputeContext(Buffers):
    """Long buffers of which a call reads the first rows: as many as `comp_ctx_lengths` is long."""

    extra = {"comp_ctx_lengths": {0: "comp_ctx_lengths"}}

    def masks(self):
        """The usual masks, cut to the rows that are read."""
        length = self.inputs["comp_ctx_lengths"].shape[-1]
        return [super(ComputeContext, self).masks()[0][:, :, :, :length]] * self.layers

    def update(self, key, value, layer, *_):
        """As `Buffers`, with a shorter read."""
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = ctx_ops.Scatter.apply(self.past[slot], self.positions, new, True)
        key, value = self.past[2 * layer : 2 * layer + 2]
        length = self.inputs["comp_ctx_lengths"].shape[-1]
        rows, beyond = self.reach(length)
        key = ctx_ops.Gather.apply(key, rows, length)
        value = ctx_ops.Gather.apply(value, rows, length)
        return key, torch.where(beyond.unsqueeze(-1), torch.tensor(0.0), value)


class Rank3(Buffers):
    """Buffers `[batch, ctx_len, dim]` of a model with one key-value head."""

    infix = "_tiny"

    @staticmethod
    def shape(batch, heads, length, layer):
        """The shape of one buffer."""
        return (batch, length, DIM)

    @classmethod
    def axes(cls, layer):
        """The dynamic axes of one buffer."""
        return {0: "batch_size", 1: "ctx_len"}

    def masks(self):
        """As `Buffers`, the length being on another axis."""
        rows = torch.arange(self.past[0].shape[1]).view(1, 1, -1)
        return [(rows > self.positions.unsqueeze(-1)).unsqueeze(1)] * self.layers

    def update(self, key, value, layer, *_):
        """As `Buffers`, without the axis of heads."""
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = ctx_ops.Scatter3D.apply(self.past[slot], self.positions, new.squeeze(1))
        key, value = self.past[2 * layer : 2 * layer + 2]
        rows = torch.arange(key.shape[1])[None, ...]
        beyond = rows > self.positions.max(1, keepdim=True).values
        rows = torch.where(beyond, self.invalid, rows)
        key = ctx_ops.Gather3D.apply(key, rows)
        value = ctx_ops.Gather3D.apply(value, rows)
        value = torch.where(beyond.unsqueeze(-1), torch.tensor(0.0), value)
        return key.unsqueeze(1), value.unsqueeze(1)


class Blocked(Buffers):
    """Buffers that attention reads block by block, keeping a running maximum and sum."""

    attention = "blocked"
    blocks = 2

    def update(self, key, value, layer, *_):
        """Writes; `blocked_attention` reads."""
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = ctx_ops.Scatter.apply(self.past[slot], self.positions, new, True)
        return self, layer

    def block(self, layer, start, end):
        """Keys, values and mask of the rows from `start` to `end`."""
        key, value = self.past[2 * layer : 2 * layer + 2]
        rows = torch.arange(start, end)[None, None, ...]
        beyond = rows > self.positions.max(1, keepdim=True).values.unsqueeze(1)
        hidden = (rows > self.positions.unsqueeze(-1)).unsqueeze(1)
        rows = torch.where(beyond, self.invalid, rows).expand(key.shape[0], key.shape[1], rows.shape[-1])
        key = ctx_ops.GatherBlocked.apply(key, rows)
        value = ctx_ops.GatherBlocked.apply(value, rows)
        return key, torch.where(beyond.unsqueeze(-1), torch.tensor(0.0), value), hidden


def blocked_attention(module, query, cache, layer, attention_mask, scaling, **_):
    """Attention over the blocks of a cache; the first block holds position 0, so that every token sees something there."""
    total = cache.past[2 * layer].shape[2]
    size = (total + cache.blocks - 1) // cache.blocks
    peak = share = out = None
    for index in range(cache.blocks):
        end = total if index == cache.blocks - 1 else (index + 1) * size
        key, value, hidden = cache.block(layer, index * size, end)
        key = ctx_ops.repeat_heads(key, module.num_key_value_groups)
        value = ctx_ops.repeat_heads(value, module.num_key_value_groups)
        scores = torch.matmul(query, key.transpose(2, 3)) * scaling
        scores = torch.where(hidden, torch.tensor(float("-inf")), scores)
        top = scores.max(dim=-1, keepdim=True).values
        top = top if peak is None else torch.maximum(peak, top)
        weights = torch.exp(scores - top)
        seen = torch.matmul(weights, value)
        if peak is None:
            share, out = weights.sum(-1, keepdim=True), seen
        else:
            fade = torch.exp(peak - top)
            share, out = share * fade + weights.sum(-1, keepdim=True), out * fade + seen
        peak = top
    return (out / share).transpose(1, 2).contiguous(), None


class Rolling(Buffers):
    """A first layer whose buffer is as long as its window and is written round and round."""

    @classmethod
    def axes(cls, layer):
        """The dynamic axes of one buffer."""
        return {0: "batch_size", 2: "ctx_len" if layer else "sliding_window"}

    def masks(self):
        """For the first layer: which position each row holds now, and whether the window reaches it."""
        size = self.past[0].shape[2]
        query = self.positions.unsqueeze(-1)
        rows = torch.arange(size).view(1, -1)
        last = self.positions.max(1, keepdim=True).values
        high = rows + (last // size) * size
        low = torch.where(high < size, rows, high - size)
        held = torch.where(high > last, low, high).unsqueeze(1)
        rolling = (held > query) | (held < query - WINDOW + 1)
        plain = torch.arange(self.past[2].shape[2]).view(1, 1, -1) > query
        return [rolling.unsqueeze(1), plain.unsqueeze(1)]

    def update(self, key, value, layer, *_):
        """As `Buffers`, where the first layer starts again at row 0 when its buffer is full."""
        positions = self.positions
        if layer == 0:
            wrapped = torch.remainder(positions, torch.tensor(self.past[0].shape[2]))
            positions = torch.where(positions == -1, positions, wrapped)
        for slot, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.past[slot] = ctx_ops.Scatter.apply(self.past[slot], positions, new, True)
        key, value = self.past[2 * layer : 2 * layer + 2]
        length = key.shape[2]
        rows, beyond = self.reach(length)
        key = ctx_ops.Gather.apply(key, rows, length)
        value = ctx_ops.Gather.apply(value, rows, length)
        return key, torch.where(beyond.unsqueeze(-1), torch.tensor(0.0), value)


class InFunctions(Buffers):
    """As `Buffers`; the export makes an ONNX function of the decoder layers, for which row 0 stands for nothing."""

    invalid = 0
    layers = 3


ALL_ATTENTION_FUNCTIONS.register("retained", ctx_ops.masked_attention)
ALL_ATTENTION_FUNCTIONS.register("blocked", blocked_attention)


class Exported(torch.nn.Module):
    """The model as one call, with inputs and outputs in the order of the file."""

    def __init__(self, model, kind):
        super().__init__()
        self.model = model
        self.kind = kind

    def forward(self, input_ids, position_ids, past, *extra):
        text = self.model.model
        text.config._attn_implementation = self.kind.attention
        cache = self.kind(past, position_ids, **dict(zip(self.kind.extra, extra)))
        masks = cache.masks()
        hidden = text.embed_tokens(input_ids)
        rotary = text.rotary_emb(hidden, position_ids)
        for layer, mask in zip(text.layers, masks):
            hidden = layer(hidden, attention_mask=mask, past_key_values=cache, position_embeddings=rotary)
        hidden = text.norm(hidden)
        if self.kind.last_row_only:
            last = position_ids.to(torch.int32).argmax(1, keepdim=True)
            hidden = hidden[torch.arange(position_ids.shape[0]).view(-1, 1), last]
        return [self.model.lm_head(hidden), *cache.past]


def names(kind):
    """The names of the caches as inputs and as outputs."""
    past = [f"past_{what}.{layer}" for layer in range(kind.layers) for what in ("key", "value")]
    return past, [f"{name}{kind.infix}_RetainedState" for name in past]


def feed(kind, heads, ids, positions, length, rng=None, full=None):
    """A full set of inputs; buffers of `length` rows hold zeros, or garbage from `rng`."""
    batch = len(ids)
    out = {"input_ids": np.array(ids, np.int64), "position_ids": np.array(positions, np.int64)}
    for index, name in enumerate(names(kind)[0]):
        rows = WINDOW if kind is Rolling and index < 2 else length
        shape = kind.shape(full or batch, heads, rows, index // 2)
        out[name] = rng.standard_normal(shape, np.float32) if rng else np.zeros(shape, np.float32)
    if "batch_index" in kind.extra:
        out["batch_index"] = 2 * np.arange(batch, dtype=np.int64)[::-1].reshape(-1, 1)
    if "comp_ctx_lengths" in kind.extra:
        out["comp_ctx_lengths"] = np.zeros(out["input_ids"].shape[1], np.int64)
    return out


def export(model, kind, inputs):
    """The ONNX model, with the names and dynamic axes of the exporter that it follows."""
    past, retained = names(kind)
    tensors = {name: torch.tensor(array.copy()) for name, array in inputs.items()}
    args = (tensors["input_ids"], tensors["position_ids"], [tensors[n] for n in past], *(tensors[n] for n in kind.extra))
    axes = {
        "input_ids": {0: "batch_size", 1: "seq_len"},
        "position_ids": {0: "batch_size", 1: "seq_len"},
        **{name: kind.axes(index // 2) for index, name in enumerate(past)},
        **kind.extra,
    }
    file = io.BytesIO()
    extra = {"export_modules_as_functions": {LlamaDecoderLayer}} if kind is InFunctions else {}
    torch.onnx.export(
        Exported(model, kind).eval(), args, file, opset_version=17, dynamo=False, dynamic_axes=axes,
        input_names=["input_ids", "position_ids", *past, *kind.extra], output_names=["logits", *retained],
        custom_opsets={"com.qualcomm.cloud": 1}, **extra,
    )  # fmt: skip
    exported = onnx.load_model_from_string(file.getvalue())
    return name_states(exported, retained) if kind is InFunctions else exported


def name_states(model, retained):
    """What such an exporter does after an export with functions, which forgets the names of the states.

    Inside a function a state is called `_InternalRetainedState`; the graph's outputs get their names back. The
    functions that only other functions call were left out of the file, and are added."""
    functions = {f.name: f for f in model.functions}
    renamed = dict(zip((o.name for o in model.graph.output if o.name != "logits"), retained))
    for value in (*model.graph.output, *model.graph.value_info):
        value.name = renamed.get(value.name, value.name)
    for node in model.graph.node:
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for function in functions.values():
        for message in (function, *function.node):
            for names_of in (message.input, message.output):
                names_of[:] = [n.replace("_RetainedState", "_InternalRetainedState") for n in names_of]
    for script in (ctx_ops.CtxScatter, ctx_ops.CtxGather):
        model.functions.append(script.to_function_proto())
    return model


def truth(model, kind, heads, onnx_model, prompt):
    """The answer to one prompt from buffers that are exactly as long, held to `transformers`."""
    rows = np.arange(len(prompt))[None]
    ready = onnx_model
    if kind is Rolling:  # its buffer is longer than a short prompt
        ready = replace_int_constants(onnx_model, INVALID, 0)
    logits = run(ready, feed(kind, heads, [prompt], rows, len(prompt)))["logits"]
    with torch.no_grad():
        model.model.config._attn_implementation = "eager"
        want = model(input_ids=torch.tensor([prompt]), position_ids=torch.tensor(rows)).logits.numpy()
    gap = float(np.abs(logits - (want[:, -1:] if kind.last_row_only else want)).max())
    assert gap < 1e-4, f"{kind.__name__} differs from transformers by {gap}"
    return logits


def check(onnx_model, kind, inputs, want, lengths):
    """The ONNX model, made fit for ONNX Runtime, gives the truth for padded prompts and buffers full of garbage."""
    ready = onnx_model
    if kind.invalid == INVALID:
        ready = replace_int_constants(onnx_model, INVALID, inputs["past_key.0"].shape[1 if kind is Rank3 else 2] - 1)
    got = run(ready, inputs)["logits"]
    for index, length in enumerate(lengths):
        rows = slice(0, got.shape[1] if kind.last_row_only else length)
        gap = float(np.abs(got[index, rows] - want[index, rows]).max())
        assert gap < 1e-5, f"{kind.__name__}: padding changes the answers by {gap}"


def generate(name, kind, notes, heads=2, **extra):
    """One kind of buffer: the model, and its sets."""
    rng = np.random.default_rng(len(name))
    model = build(heads, kind.layers, WINDOW if kind is Rolling else None)
    full = 4 if kind is ContinuousBatching else None
    size = WINDOW if kind is Rolling else 12
    prompts = rng.integers(1, VOCABULARY, (2, size)).tolist()
    both = feed(kind, heads, prompts, [range(size)] * 2, size, full=full)
    onnx_model = export(model, kind, both)
    past, retained = names(kind)
    case = Case(
        name, onnx_model, exporter="torch.onnx.export TorchScript (dynamo=False), fixed-buffer caches",
        packages=["torch", "transformers", "onnx", "onnxscript", "onnxruntime"], notes=notes, cache_inputs=past,
        cache_outputs=retained, extra={"assume": ["single-prefill"], **extra},
    )  # fmt: skip

    def record(tag, inputs, wants, **facts):
        case.record(tag, inputs, {"logits": wants}, **facts)

    wants = np.concatenate([truth(model, kind, heads, onnx_model, p) for p in prompts])
    assert np.abs(run(onnx_model, both)["logits"] - wants).max() < 1e-5
    record("", both, wants, set={"seq_len": size, "batch_size": 2})
    short = prompts[0][: size // 2 + 1]
    one = feed(kind, heads, [short], [range(len(short))], len(short))
    record("b1", one, truth(model, kind, heads, onnx_model, short), set={"seq_len": len(short), "batch_size": 1})
    lengths = [size - 3, size // 2]
    padded = [p[:n] + [0] * (size - n) for p, n in zip(prompts, lengths)]
    places = [[*range(n), *[-1] * (size - n)] for n in lengths]
    garbage = feed(kind, heads, padded, places, size + 4, rng, full)
    answers = [truth(model, kind, heads, onnx_model, p[:n])[0] for p, n in zip(prompts, lengths)]
    longest = max(len(a) for a in answers)
    wants = np.stack([np.pad(a, ((0, longest - len(a)), (0, 0))) for a in answers])
    check(onnx_model, kind, garbage, wants, lengths)
    facts = {"truth": "the unpadded runs, one prompt each; the caches of the inputs hold garbage"}
    record("pad", garbage, wants, set={"seq_len": size, "batch_size": 2}, real_rows=lengths, **facts)
    if kind is Rolling:
        record_overflow(case, model, onnx_model, rng, heads)
    case.close()


def record_overflow(case, model, onnx_model, rng, heads):
    """A prompt longer than the window. The file answers rightly only token by token, and so it is asked."""
    prompt = rng.integers(1, VOCABULARY, WINDOW + 5).tolist()
    ready = replace_int_constants(onnx_model, INVALID, 0)
    state = feed(Rolling, heads, [prompt], [range(len(prompt))], len(prompt))
    rows = []
    caches = {name: state[name] for name in names(Rolling)[0]}
    for place, token in enumerate(prompt):
        out = run(ready, {"input_ids": np.array([[token]]), "position_ids": np.array([[place]]), **caches})
        caches = {name: out[f"{name}_RetainedState"] for name in caches}
        rows.append(out["logits"])
    wants = np.concatenate(rows, axis=1)
    with torch.no_grad():
        model.model.config._attn_implementation = "eager"
        gap = float(np.abs(model(input_ids=torch.tensor([prompt])).logits.numpy() - wants).max())
    assert gap < 1e-4, f"token by token differs from transformers by {gap}"
    facts = {"separate": True, "beyond_window": True, "truth": "token by token; a rewrite gives this or is refused"}
    case.record("over", state, {"logits": wants}, set={"seq_len": len(prompt), "batch_size": 1}, **facts)


def main():
    """Makes every kind."""
    generate("fixed_plain", Buffers, "a plain text decoder with fixed buffers")
    generate("fixed_batching", ContinuousBatching, "continuous batching: batch_index, buffers of full_batch_size")
    generate("fixed_compute_context", ComputeContext, "reads as many rows as comp_ctx_lengths is long")
    generate("fixed_rank3", Rank3, "buffers of rank 3, and an infix in the names of the outputs", heads=1)
    generate("fixed_blocked", Blocked, "buffers read in two blocks with a running softmax")
    generate(
        "fixed_rolling_window", Rolling, f"the first layer's buffer is its window of {WINDOW} and rolls; set over goes beyond it",
        assume=["single-prefill", "no-window-overflow"], window=WINDOW,
    )  # fmt: skip
    generate("fixed_layer_functions", InFunctions, "decoder layers are functions, with scatter and gather inside")


if __name__ == "__main__":
    main()
