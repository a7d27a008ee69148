"""Qwen3-VL as one file with fixed-buffer KV caches, in the way Cloud AI exporters write it.

Weights, projections, norms, rotary tables, vision blocks and mergers are the modules of `transformers`; what is ours is
the glue that such an exporter replaces: the cache, the attention and its mask, the grid taken from a shape, and the
place of the image in the prompt. `check_against_transformers` holds the result to the untouched model.
"""

import types

import numpy as np
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision

import ctx_ops
from common import INVALID, Case, replace_int_constants, run

IMAGE, VISION_START, VISION_END = 151, 152, 153
PATCH_WIDTH = 3 * 2 * 16 * 16
LAYERS, KV_HEADS, HEAD_DIM = 2, 2, 16


def build(seed, deepstack):
    """The model of `transformers` with random weights; `deepstack` lists the vision layers that feed the text layers."""
    torch.manual_seed(seed)
    config = Qwen3VLConfig(
        text_config=dict(
            vocab_size=200, hidden_size=64, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=4,
            num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, max_position_embeddings=1024,
            rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=[4, 2, 2], mrope_interleaved=True),
        ),
        vision_config=dict(
            depth=2, hidden_size=32, intermediate_size=48, num_heads=2, patch_size=16, temporal_patch_size=2,
            spatial_merge_size=2, in_channels=3, out_hidden_size=64, num_position_embeddings=144,
            deepstack_visual_indexes=deepstack,
        ),
        image_token_id=IMAGE, video_token_id=IMAGE + 5, vision_start_token_id=VISION_START, vision_end_token_id=VISION_END,
        tie_word_embeddings=False,
    )  # fmt: skip
    config._attn_implementation = "eager"
    model = Qwen3VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:  # the default spread is so small that no token would matter to another
                weight.normal_(0.0, 1.0 if "embed" in name and "patch" not in name else weight[0].numel() ** -0.5)
            else:  # and all-zero biases or all-one norms would be merged into one by the exporter
                weight.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.1)
    return model


class RetainedCache:
    """The cache of one call: buffers that are written at `positions` and read up to the last one."""

    def __init__(self, buffers, positions, named):
        self.buffers = [list(pair) for pair in buffers]
        self.positions = positions
        self.named = named

    def update(self, key, value, layer, *_):
        """Writes the new rows of a layer and returns what attention may read."""
        self.buffers[layer] = [
            ctx_ops.Scatter.apply(old, self.positions, new, self.named)
            for old, new in zip(self.buffers[layer], (key, value))
        ]
        key, value = self.buffers[layer]
        ctx_len = key.shape[2]
        rows = torch.arange(ctx_len)[None, None, ...]
        invalid = rows > self.positions.max(1, keepdim=True).values.unsqueeze(1)
        rows = torch.where(invalid, ctx_ops.INVALID, rows)
        key = ctx_ops.Gather.apply(key, rows, ctx_len)
        value = ctx_ops.Gather.apply(value, rows, ctx_len)
        return key, torch.where(invalid.unsqueeze(-1), torch.tensor(0.0), value)


ALL_ATTENTION_FUNCTIONS.register("retained", ctx_ops.masked_attention)


def segment_attention(self, hidden_states, cu_seqlens, position_embeddings, **_):
    """Vision attention in which a patch sees the patches of its own image; the bounds come from `cu_seqlens`."""
    length = hidden_states.shape[0]
    qkv = self.qkv(hidden_states).reshape(length, 3, self.num_heads, -1).permute(1, 0, 2, 3)
    query, key, value = qkv.unbind(0)
    query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    place = torch.arange(length)
    start, end = cu_seqlens[:-1].view(-1, 1, 1), cu_seqlens[1:].view(-1, 1, 1)
    row, column = place.view(1, -1), place.view(-1, 1)
    same = (row >= start) & (row < end) & (column >= start) & (column < end)
    mask = torch.full((1, length, length), torch.finfo(torch.float32).min)
    mask[0] = torch.where(same.any(dim=0), torch.tensor(0.0), mask[0])
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    scores = torch.matmul(query, key.transpose(1, 2)) * self.scaling + mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    return self.proj(torch.matmul(weights, value).transpose(0, 1).reshape(length, -1))


class Exported(torch.nn.Module):
    """The whole model as one call, with inputs and outputs in the order of the file."""

    def __init__(self, model, embedding):
        super().__init__()
        self.model = model
        self.embedding = embedding
        self.visual = model.model.visual
        self.text = model.model.language_model
        self.text.config._attn_implementation = "retained"
        for block in self.visual.blocks:
            block.attn.forward = types.MethodType(segment_attention, block.attn)
        places = torch.arange(self.text.config.max_position_embeddings).float()
        angles = torch.outer(places, self.text.rotary_emb.inv_freq)
        self.cos_cached = torch.nn.Parameter(angles.cos())
        self.sin_cached = torch.nn.Parameter(angles.sin())

    def grid_positions(self, height, width):
        """Row and column of each patch of a frame, block by block of 2x2, as the merger wants them."""
        merge = self.visual.spatial_merge_size
        row = torch.arange(height).view(-1, 1).expand(height, width)
        column = torch.arange(width).view(1, -1).expand(height, width)
        blocks = (height // merge, merge, width // merge, merge)
        return [x.reshape(blocks).permute(0, 2, 1, 3).flatten() for x in (row, column)]

    def position_table(self, height, width):
        """The learned square table of positions, read between its points for each patch of a frame."""
        side = self.visual.num_grid_per_side
        taps = []
        for size in (height, width):
            point = torch.linspace(0, side - 1, size)
            low = point.to(torch.int64)
            taps.append((low, torch.minimum(low + 1, torch.tensor(side - 1)), point - low))
        (top, bottom, down), (left, right, over) = taps
        corners = []
        for row, share in ((top, 1 - down), (bottom, down)):
            for column, part in ((left, 1 - over), (right, over)):
                index = (row[:, None] * side + column[None, :]).flatten()
                weight = (share[:, None] * part[None, :]).flatten()
                corners.append(self.visual.pos_embed(index) * weight[:, None])
        table = corners[0] + corners[1] + corners[2] + corners[3]
        merge = self.visual.spatial_merge_size
        table = table.view(height // merge, merge, width // merge, merge, -1)
        return table.permute(0, 2, 1, 3, 4).flatten(0, 3)

    def see(self, pixel_values, image_grid_thw):
        """Image embeddings `[patches / 4, hidden]`, and the features for the first text layers."""
        batch, time, height, width = image_grid_thw.shape
        hidden = self.visual.patch_embed(pixel_values)
        table = self.position_table(height, width).repeat(time, 1)
        hidden = hidden + table.unsqueeze(0).expand(batch, -1, -1).reshape(-1, table.shape[1])
        rows, columns = self.grid_positions(height, width)
        places = torch.stack((rows, columns), dim=-1).repeat(time, 1)
        places = places.unsqueeze(0).expand(batch, -1, -1).reshape(-1, 2)
        rotary = self.visual.rotary_pos_emb(hidden, places)
        frame = torch.tensor(height * width).expand(batch * time)
        ends = frame.cumsum(dim=0, dtype=torch.int32)
        bounds = torch.cat([torch.zeros(1, dtype=ends.dtype), ends])
        features = []
        for layer, block in enumerate(self.visual.blocks):
            hidden = block(hidden, cu_seqlens=bounds, position_embeddings=rotary)
            if layer in self.visual.deepstack_visual_indexes:
                which = self.visual.deepstack_visual_indexes.index(layer)
                features.append(self.visual.deepstack_merger_list[which](hidden))
        return self.visual.merger(hidden), features

    def forward(self, input_ids, position_ids, past_key_values, pixel_values, image_idx, image_grid_thw):
        batch, length = input_ids.shape
        image_embeds, features = self.see(pixel_values, image_grid_thw)
        embeds = self.text.embed_tokens(input_ids)
        selected = input_ids == self.model.config.image_token_id
        nth = selected.to(torch.int64).cumsum(1) - 1
        nth = torch.where(nth != -1, nth + image_idx, nth)
        which = torch.arange(batch).view(-1, 1)

        def placed(x):
            return x.reshape(batch, -1, embeds.shape[-1])[which, nth]

        seen = torch.where(selected.unsqueeze(-1), placed(image_embeds), embeds)
        embeds = torch.where(torch.tensor(length) == torch.tensor(1), embeds, seen)

        positions = position_ids[0]
        target = past_key_values[0][0].shape[2]
        mask = (torch.arange(target).view(1, 1, -1) > positions.unsqueeze(-1)).unsqueeze(1)
        rotary = [
            self.text.rotary_emb.recomposition_frequencies(table[position_ids[1:]])
            for table in (self.cos_cached, self.sin_cached)
        ]
        cache = RetainedCache(past_key_values, positions, named=self.embedding)
        hidden = embeds
        for index, layer in enumerate(self.text.layers):
            hidden = layer(hidden, position_embeddings=rotary, attention_mask=mask, past_key_values=cache)
            if index < len(features):
                hidden = torch.where(selected.unsqueeze(-1), hidden + placed(features[index]), hidden)
        hidden = self.text.norm(hidden)
        last = positions.to(torch.int32).argmax(1, keepdim=True)
        hidden = hidden[torch.arange(batch).view(-1, 1), last]
        logits = self.model.lm_head(hidden)
        consumed = (nth.max() + 1).unsqueeze(0).unsqueeze(0)
        extra = [hidden] if self.embedding else []
        return [logits, image_embeds, consumed, *extra, *(x for pair in cache.buffers for x in pair)]


def prompt(rng, grid, text):
    """Tokens `text[0]` + image + `text[1]`, and their four rows of positions."""
    height, width = grid[0] // 2, grid[1] // 2
    before, after = text
    words = rng.integers(1, 150, before + after)
    ids = [*words[:before], VISION_START, *[IMAGE] * (height * width), VISION_END, *words[before:]]
    image = np.stack(np.meshgrid([0], np.arange(height), np.arange(width), indexing="ij")).reshape(3, -1)
    lead = np.arange(before + 1)
    tail = np.arange(after + 1) + before + 1 + max(height, width)
    three = np.concatenate([np.tile(lead, (3, 1)), image + before + 1, np.tile(tail, (3, 1))], axis=1)
    four = np.concatenate([np.arange(len(ids))[None], three])
    return np.array(ids, dtype=np.int64)[None], four.astype(np.int64)[:, None]


def pixels(rng, grid):
    """An image of simple textures: every patch differs, and the file stays small."""
    column = np.arange(PATCH_WIDTH)
    rows = []
    for _ in range(grid[0] * grid[1]):
        phase, step, shade = rng.integers(0, 8), rng.integers(1, 4), rng.integers(-4, 5)
        rows.append(((column * step + phase) % 8 - 3.5) / 4 * ((column // 768) % 2 + 1) / 2 + shade / 4)
    return np.stack(rows).astype(np.float32)


def feed(ids, positions, image, grid):
    """A full set of inputs whose caches are empty and exactly as long as the prompt."""
    length = ids.shape[1]
    empty = np.zeros((1, KV_HEADS, length, HEAD_DIM), np.float32)
    out = {"input_ids": ids, "position_ids": positions}
    for layer in range(LAYERS):
        out[f"past_key.{layer}"] = out[f"past_value.{layer}"] = empty
    out["pixel_values"] = image
    out["image_idx"] = np.zeros((1, 1), np.int64)
    out["image_grid_thw"] = np.zeros((1, 1, *grid), np.int64)
    return out


def padded(inputs, count):
    """The same prompt with `count` rows of padding at its end."""
    ids, positions = inputs["input_ids"], inputs["position_ids"]
    ids = np.concatenate([ids, np.zeros((1, count), np.int64)], axis=1)
    positions = np.concatenate([positions, np.full((4, 1, count), -1, np.int64)], axis=2)
    shapes = feed(ids, positions, inputs["pixel_values"], inputs["image_grid_thw"].shape[2:])
    return {**inputs, **shapes}


def check_padding(model, inputs, truth, rng):
    """Longer buffers with garbage in them, and padding: the answers are those of the unpadded run."""
    roomy = dict(inputs)
    for name in roomy:
        if name.startswith("past_"):
            batch, heads, length, dim = roomy[name].shape
            roomy[name] = rng.standard_normal((batch, heads, length + 40, dim), np.float32)
    got = run(replace_int_constants(model, INVALID, 0), roomy)
    gap = max(float(np.abs(got[name] - value).max()) for name, value in truth.items())
    assert gap < 2e-5, f"padding changes the answers by {gap}"


def check_against_transformers(model, exported_logits, inputs, grid):
    """The untouched model of `transformers` gives the same logits for the same image and prompt."""
    model.model.language_model.config._attn_implementation = "eager"
    with torch.no_grad():
        truth = model(
            input_ids=torch.tensor(inputs["input_ids"]),
            position_ids=torch.tensor(inputs["position_ids"]),
            pixel_values=torch.tensor(inputs["pixel_values"]),
            image_grid_thw=torch.tensor([[1, *grid]]),
            mm_token_type_ids=torch.tensor((inputs["input_ids"] == IMAGE).astype(np.int32)),
        ).logits[:, -1:]
    gap = float(np.abs(truth.numpy() - exported_logits).max())
    assert gap < 2e-4, f"differs from transformers by {gap}"
    return gap


def export(model, embedding, inputs):
    """The ONNX model, with the names and dynamic axes of the exporter that it follows."""
    import io

    import onnx

    wrapped = Exported(model, embedding).eval()
    past = [[torch.tensor(inputs[f"past_{kind}.{i}"]) for kind in ("key", "value")] for i in range(LAYERS)]
    rest = [torch.tensor(inputs[n]) for n in ("pixel_values", "image_idx", "image_grid_thw")]
    args = (torch.tensor(inputs["input_ids"]), torch.tensor(inputs["position_ids"]), past, *rest)
    caches = [f"past_{kind}.{i}" for i in range(LAYERS) for kind in ("key", "value")]
    inputs_in_order = ["input_ids", "position_ids", *caches, "pixel_values", "image_idx", "image_grid_thw"]
    outputs = ["logits", "pixel_values_RetainedState", "image_idx_output", *["embedding_output"] * embedding]
    axes = {
        "input_ids": {0: "batch_size", 1: "seq_len"},
        "position_ids": {1: "batch_size", 2: "seq_len"},
        "pixel_values": {0: "grid_height", 1: "grid_width"},
        "image_grid_thw": {0: "batch_size", 1: "time", 2: "grid_h", 3: "grid_w"},
        **{name: {0: "batch_size", 2: "ctx_len"} for name in caches},
    }
    file = io.BytesIO()
    torch.onnx.export(
        wrapped, args, file, input_names=inputs_in_order, output_names=[*outputs, *(f"{c}_RetainedState" for c in caches)],
        dynamic_axes=axes, opset_version=17, dynamo=False, custom_opsets={"com.qualcomm.cloud": 1},
    )  # fmt: skip
    return onnx.load_model_from_string(file.getvalue()), caches


def generate(name, seed, deepstack, embedding, notes):
    """One variant: the model and its four sets."""
    rng = np.random.default_rng(seed)
    wide, small = (22, 34), (12, 16)
    wide_image, small_image = pixels(rng, wide), pixels(rng, small)
    sets = {
        "": (wide, wide_image, *prompt(rng, wide, (9, 58)), {"height": 354, "width": 536, "seq_len": 256}),
        "seq": (wide, wide_image, *prompt(rng, wide, (5, 18)), {"height": 354, "width": 536, "seq_len": 212}),
        "grid": (small, small_image, *prompt(rng, small, (7, 23)), {"height": 192, "width": 256, "seq_len": 80}),
    }
    model = build(seed, deepstack)
    grid, image, ids, positions, _ = sets["grid"]
    onnx_model, caches = export(model, embedding, feed(ids, positions, image, grid))
    case = Case(
        name, onnx_model, exporter="torch.onnx.export TorchScript (dynamo=False), fixed-buffer caches",
        packages=["torch", "transformers", "onnx", "onnxscript", "onnxruntime"], notes=notes, cache_inputs=caches,
        cache_outputs=[f"{c}_RetainedState" for c in caches],
        extra={"assume": ["single-prefill"], "rename": {"image_embeds": "pixel_values_RetainedState"}},
    )  # fmt: skip
    gaps = []
    for tag, (grid, image, ids, positions, variables) in sets.items():
        inputs = feed(ids, positions, image, grid)
        assert ids.shape[1] == variables["seq_len"], ids.shape
        expected = run(onnx_model, inputs)
        gaps.append(check_against_transformers(model, expected["logits"], inputs, grid))
        kept = {k: v for k, v in expected.items() if k not in case.meta["cache_outputs"]}
        case.record(tag, inputs, kept, set=variables, **({"separate": True} if tag == "grid" else {}))
    grid, image, ids, positions, variables = sets["seq"]
    inputs = feed(ids, positions, image, grid)
    truth = {k: v for k, v in run(onnx_model, inputs).items() if k not in case.meta["cache_outputs"]}
    facts = {"set": {**variables, "seq_len": 256}, "real_rows": [ids.shape[1]], "truth": "the unpadded run"}
    inputs = padded(inputs, 256 - ids.shape[1])
    check_padding(onnx_model, inputs, truth, rng)
    case.record("pad", inputs, truth, **facts)
    case.close()
    print(f"  largest difference from transformers: {max(gaps):.2g}")


def main():
    """Makes both variants."""
    generate(
        "qwen3_vl_reranker", 7, [], False,
        "vision and language in one file; image_grid_thw is read through its shape alone; no deepstack layers",
    )  # fmt: skip
    generate(
        "qwen3_vl_embedding", 11, [0], True,
        "as qwen3_vl_reranker, with the hidden state of the last token as embedding_output and one deepstack layer",
    )  # fmt: skip


if __name__ == "__main__":
    main()
