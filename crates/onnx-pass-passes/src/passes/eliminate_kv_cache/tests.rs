use insta::assert_snapshot;
use onnx_pass_ir::{Model, text};
use serde_json::{Value, json};

use crate::pass::PassContext;
use crate::testing::{changes, run_in, show};

const PASS: &str = "eliminate-kv-cache";

fn read(source: &str) -> Model {
    let head = r#"<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>"#;
    let head = if source.starts_with('<') { "" } else { head };
    text::parse(&format!("{head}\n{source}")).expect("a model")
}

/// What the pass changes in the model, what was done with each cache, and what the user is told.
fn after(source: &str, options: Value) -> String {
    let mut m = read(source);
    let original = show(&m);
    let mut cx = PassContext::new();
    let reports = match steps(&mut m, &mut cx, options.clone()) {
        Ok(rows) => rows,
        Err(e) => return format!("error: {e}"),
    };
    let mut out = changes(&original, &show(&m));
    for row in reports {
        out += &format!("{}\n", row.join(" | "));
    }
    for p in &cx.promises {
        out += &format!("promise {}: {}\n", p.name, p.meaning);
    }
    for d in &cx.diagnostics {
        out += &format!("{d}\n");
    }
    // Twice is once.
    let mut again = PassContext::new();
    let before = show(&m);
    let same = json!({"keep": options.get("keep").cloned().unwrap_or(json!([]))});
    let left = |p: &Value| p.as_str().is_some_and(|p| p == "*" || m.find_value(m.main(), p).is_some());
    let same = if same["keep"].as_array().is_some_and(|k| k.iter().all(left)) { same } else { json!({}) };
    match run_in(&mut m, &mut again, PASS, same) {
        Ok(changed) => assert!(!changed, "a second run changes it:\n{}", show(&m)),
        Err(e) => out += &format!("a second time: {e}\n"),
    }
    assert_eq!(before, show(&m));
    out
}

fn steps(m: &mut Model, cx: &mut PassContext, options: Value) -> Result<Vec<Vec<String>>, String> {
    use crate::manager::{self, RunOptions, Step};
    let pass = crate::registry::find(PASS).ok_or("no such pass")?;
    crate::options::check(&options, pass.options()).map_err(|e| e.to_string())?;
    let steps = [Step { pass, options }];
    let reports = manager::run(m, &steps, cx, RunOptions { verify_each: true }, &mut |_, _, _| true);
    let reports = reports.map_err(|e| e.to_string())?;
    Ok(reports.into_iter().flat_map(|r| r.rows).collect())
}

fn refusal(source: &str, options: Value) -> String {
    match run_in(&mut read(source), &mut PassContext::new(), PASS, options) {
        Ok(_) => "NOT REFUSED".into(),
        Err(e) => e,
    }
}

fn refusals(cases: &[(&str, String, Value)]) -> String {
    let one = |(name, source, options): &(&str, String, Value)| {
        format!("{name}\n    {}\n", refusal(source, options.clone()))
    };
    cases.iter().map(one).collect()
}

const GROWING: &str =
    "agraph (float[B,2,S,4] k, float[B,2,P,4] past) => (float[B,2,S,T] y, float[B,2,'P + S',4] present)
    {
        present = Concat <axis = 2> (past, k)
        t = Transpose <perm = [0, 1, 3, 2]> (present)
        y = MatMul (k, t)
    }";

fn growing() -> String {
    GROWING.replace("'P + S'", "\"P + S\"")
}

/// Two caches of one layer whose mask's length is asked of the first.
const MASKED: &str = "agraph (float[B,2,S,4] q, float[B,2,S,4] k, float[B,2,S,4] v, int64[B,T] mask,
        float[B,2,P,4] past_k, float[B,2,P,4] past_v) => (float[B,2,S,4] y, float[] present_k, float[] present_v)
    <int64 two = {2}, int64[1] zero = {0}, int64[1] most = {9223372036854775807}, int64[1] one = {1}, int64[2] in = {1, 2}>
    {
        present_k = Concat <axis = -2> (past_k, k)
        present_v = Concat <axis = 2> (past_v, v)
        shape = Shape (past_k)
        length = Gather <axis = 0> (shape, two)
        new_shape = Shape (k)
        new = Gather <axis = 0> (new_shape, two)
        total = Add (length, new)
        end = Unsqueeze (total, zero)
        seen = Slice (mask, zero, end, one)
        wide = Unsqueeze (seen, in)
        bias = Cast <to = 1> (wide)
        t = Transpose <perm = [0, 1, 3, 2]> (present_k)
        scores = MatMul (q, t)
        masked = Add (scores, bias)
        weights = Softmax (masked)
        y = MatMul (weights, present_v)
    }";

fn masked() -> String {
    MASKED
        .replace("float[] present_k", "float[B,2,U,4] present_k")
        .replace("float[] present_v", "float[B,2,U,4] present_v")
}

#[test]
fn a_mask_declared_one_too_long() {
    let source = masked()
        .replace("int64[B,T] mask", "int32[B,\"P + 1\"] mask")
        .replace("seen = Slice (mask", "given = Cast <to = 7> (mask)\n seen = Slice (given")
        .replace("<int64 two", "<int64[B,\"P + 1\"] given, int64 two");
    assert_snapshot!(after(&source, json!({})));
}

/// A buffer written by position, and read row after row.
fn buffer(position: &str, rows: &str) -> String {
    format!(
        "agraph (float[B,2,S,4] k, int64[B,S] position_ids, int64[B,S] input_ids, float[B,2,C,4] past)
            => (float[B,2,S,C] y, float[B,2,C,4] past_RetainedState)
    <int64 b0 = {{0}}, int64 h0 = {{2}}, int64 one = {{1}}, int64 two = {{2}}, int64 three = {{3}}, int64 four = {{4}},
     int64 none = {{2147483647}}, int64 mod = {{8}}, int64[3] ax_b = {{1, 2, 3}}, int64[3] ax_h = {{0, 2, 3}}, int64[2] ax_p = {{1, 3}},
     int64[3] ax_r = {{0, 1, 3}}, int64[1] hd = {{2}}, int64[1] un = {{1}}>
    {{
        ks = Shape (k)
        n = Gather <axis = 0> (ks, b0)
        nv = Gather <axis = 0> (ks, zero_v)
        s = Gather <axis = 0> (ks, two_v)
        br = Range (b0, n, one)
        hr = Range (b0, h0, one)
        bu = Unsqueeze (br, ax_b)
        hu = Unsqueeze (hr, ax_h)
        {position}
        pu = Unsqueeze (p, ax_p)
        full = Concat <axis = 0> (nv, hd, s, un)
        be = Expand (bu, full)
        he = Expand (hu, full)
        pe = Expand (pu, full)
        at = Concat <axis = -1> (be, he, pe)
        past_RetainedState = ScatterND (past, at, k)
        bs = Shape (past)
        c = Gather <axis = 0> (bs, two)
        cv = Gather <axis = 0> (bs, two_v)
        {rows}
        ru = Unsqueeze (r, ax_r)
        all = Concat <axis = 0> (nv, hd, cv, un)
        be2 = Expand (bu, all)
        he2 = Expand (hu, all)
        re = Expand (ru, all)
        from = Concat <axis = -1> (be2, he2, re)
        taken = GatherND (past_RetainedState, from)
        t = Transpose <perm = [0, 1, 3, 2]> (taken)
        y = MatMul (k, t)
    }}"
    )
    .replace("int64[1] un = {1}>", "int64[1] un = {1}, int64[1] zero_v = {0}, int64[1] two_v = {2}>")
}

const PLAIN: &str = "p = Identity (position_ids)";
const IN_ORDER: &str = "r = Range (b0, c, one)";

fn prefill() -> Value {
    json!({"assume": ["single-prefill"]})
}

#[test]
fn a_growing_cache_is_what_is_new() {
    assert_snapshot!(after(&growing(), json!({})));
}

#[test]
fn a_mask_as_long_as_past_and_chunk() {
    assert_snapshot!(after(&masked(), json!({})));
}

#[test]
fn a_buffer_is_the_new_rows() {
    assert_snapshot!(after(&buffer(PLAIN, IN_ORDER), prefill()));
}

#[test]
fn a_buffer_of_known_length_is_zeros() {
    let known = buffer(PLAIN, IN_ORDER).replace("[B,2,C,4]", "[B,2,16,4]").replace("[B,2,S,C]", "[B,2,S,16]");
    assert_snapshot!(after(&known, json!({})));
}

/// A buffer of `W` rows whose positions wrap around.
fn rolling() -> String {
    let wraps = "bl = Shape (past)\n len = Gather <axis = 0> (bl, two)\n p = Mod (position_ids, len)";
    buffer(wraps, IN_ORDER).replace("[B,2,C,4]", "[B,2,W,4]").replace("[B,2,S,C]", "[B,2,S,W]")
}

#[test]
fn a_window_holds_later_steps_to_its_length() {
    let within = |windows: Value, lengths: Value| {
        let mut cx = PassContext::new();
        let mut m = read(&rolling());
        let with = json!({"assume": ["single-prefill", "no-window-overflow"], "windows": windows});
        let entries = json!({"entries": [{"name": "Prefill", "symbols": {"B": 1, "S": lengths}}]});
        let eliminated = run_in(&mut m, &mut cx, PASS, with);
        match eliminated.and_then(|_| run_in(&mut m, &mut cx, "generate-specializations", entries)) {
            Ok(_) => "fits".to_owned(),
            Err(e) => e,
        }
    };
    let cases = [
        within(json!({"W": 8}), json!(8)),
        within(json!({"W": 8}), json!([4, 9])),
        within(json!({}), json!(8)),
        within(json!({"C": 8}), json!(8)),
    ];
    assert_snapshot!(cases.join("\n"));
}

#[test]
fn rows_with_a_mark_become_zeros() {
    let marked = "big = Greater (position_ids, none)
        top = ReduceMax <keepdims = 1> (position_ids, un)
        range = Range (b0, c, one)
        beyond = Greater (range, top)
        r0 = Where (beyond, none, range)
        r = Unsqueeze (r0, un)";
    let source = buffer(PLAIN, marked)
        .replace("ru = Unsqueeze (r, ax_r)", "ru = Unsqueeze (r, three_v)")
        .replace("int64[1] un = {1},", "int64[1] un = {1}, int64[1] three_v = {3},");
    assert_snapshot!(after(&source, prefill()));
}

fn attention(op: &str, attributes: &str) -> String {
    format!(
        "agraph (float[B,S,8] q, float[B,S,4] k, float[B,S,4] v, int32[B] lengths, int32 total,
            float[B,1,P,4] past_k, float[B,1,P,4] past_v)
            => (float[B,S,8] y, float[B,1,T,4] present_k, float[B,1,T,4] present_v)
    {{
        y, present_k, present_v = com.microsoft.{op} <num_heads = 2, kv_num_heads = 1{attributes}> (q, k, v, past_k, past_v, lengths, total)
    }}"
    )
}

#[test]
fn an_operator_without_its_past() {
    assert_snapshot!(after(&attention("GroupQueryAttention", ""), json!({})));
}

/// A cache that is as long as the window, whatever the past's length is, beside one that is as long as the past.
fn window_inside() -> String {
    "agraph (float[B,S,8] q, float[B,S,4] k, float[B,S,4] v, int32[B] lengths, int32 total,
        float[B,1,W,4] past_k, float[B,1,W,4] past_v, float[B,1,P,4] past_k1, float[B,1,P,4] past_v1)
        => (float[B,S,8] y, float[B,1,U,4] present_k, float[B,1,U,4] present_v, float[B,1,T,4] present_k1, float[B,1,T,4] present_v1)
    {
        h, present_k, present_v = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1, local_window_size = 4, sliding_window_cache = 1> (q, k, v, past_k, past_v, lengths, total)
        y, present_k1, present_v1 = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1> (h, k, v, past_k1, past_v1, lengths, total)
    }"
    .to_string()
}

#[test]
fn an_operator_that_keeps_a_window() {
    assert_snapshot!(after(&window_inside(), json!({})));
}

#[test]
fn an_operator_of_integers_without_its_past() {
    let source = "agraph (uint8[B,S,8] x, float scale, float weight_scale, int32[B,T] mask, uint8 zero, float[2,B,2,P,4] past)
        => (float[B,S,8] y, float[2,B,2,T,4] present)
    <uint8[8,24] weight = [\"location\": \"w.bin\", \"offset\": \"0\", \"length\": \"192\"], float[24] bias = [\"location\": \"w.bin\", \"offset\": \"192\", \"length\": \"96\"]>
    {
        y, present = com.microsoft.QAttention <num_heads = 2> (x, weight, bias, scale, weight_scale, mask, zero, zero, past)
    }";
    assert_snapshot!(after(source, json!({})));
}

#[test]
fn a_cache_that_is_cut_to_a_window() {
    let source = "agraph (float[B,1,S,4] q, float[B,1,S,4] k, float[B,1,P,4] past) => (float[B,1,S,U] y, float[B,1,T,4] present)
    <int64[1] start = {-3}, int64[1] end = {9223372036854775807}, int64[1] axes = {2}>
    {
        last = Slice (past, start, end, axes)
        all = Concat <axis = 2> (last, k)
        present = Slice (all, start, end, axes)
        t = Transpose <perm = [0, 1, 3, 2]> (all)
        y = MatMul (q, t)
    }";
    assert_snapshot!(after(source, json!({})));
}

#[test]
fn a_state_starts_at_zero() {
    let source =
        "agraph (float[B,4,S] x, float[4,1,3] w, float[B,4,2] past) => (float[B,4,S] y, float[B,4,2] present)
    {
        y, present = com.microsoft.CausalConvWithState (x, w, , past)
    }";
    let source = source.replace("(x, w, , past)", "(x, w, \"\", past)");
    let rolled =
        "agraph (float[B,4,S] x, float[4,1,3] w, float[B,4,2] past) => (float[B,4,S] y, float[B,4,2] present)
    <int64[1] last = {-2}, int64[1] most = {9223372036854775807}, int64[1] axis = {2}>
    {
        all = Concat <axis = 2> (past, x)
        present = Slice (all, last, most, axis)
        y = Conv <group = 4> (all, w)
    }";
    assert_snapshot!(format!("{}\n{}", after(&source, json!({})), after(rolled, json!({}))));
}

/// Each cache has a symbol of its own, and what tells that two are equal is that their rows meet under a mask.
#[test]
fn caches_whose_lengths_have_names_of_their_own() {
    let source = "agraph (float[B,2,S,4] k, float[B,2,S,4] v, float[B,2,P,4] past_a, float[B,2,R,4] past_k, float[B,2,Q,4] past_v)
        => (float[B,2,S,4] y, float[B,2,'P + S',4] present_a, float[B,2,'R + S',4] present_k, float[B,2,'Q + S',4] present_v)
        <int64 first = {0}, int64 step = {1}, float low = {-10000}> {
            present_a = Concat <axis = 2> (past_a, k)
            present_k = Concat <axis = 2> (past_k, k)
            present_v = Concat <axis = 2> (past_v, v)
            p = Shape <start = 2, end = 3> (present_a)
            end = Squeeze (p)
            rows = Range (first, end, step)
            seen = GreaterOrEqual (rows, first)
            t = Transpose <perm = [0, 1, 3, 2]> (present_k)
            scores = MatMul (k, t)
            masked = Where (seen, scores, low)
            u = Transpose <perm = [0, 1, 3, 2]> (present_a)
            more = MatMul (k, u)
            all = Add (masked, more)
            y = MatMul (all, present_v)
        }";
    let source = source.replace('\'', "\"");
    assert_snapshot!(after(&source, json!({})));
    // One that stays would have to be empty too.
    assert_snapshot!(refusal(&source, json!({"keep": ["past_a"]})));
}

/// A window of rows that is always full: the mask is as long as the window, which with no rows is as long as nothing.
#[test]
fn a_window_of_any_length_is_never_empty() {
    let source = "agraph (float[B,2,S,4] k, float[B,2,W,4] past_k) => (float[B,2,S,W] y, float[B,2,W,4] present_k)
        <int64[1] most = {9223372036854775807}, int64[1] axis = {2}, float zero = {0}, int64 first = {0}, int64 step = {1}> {
            w = Shape <start = 2, end = 3> (past_k)
            all = Concat <axis = 2> (past_k, k)
            from = Neg (w)
            present_k = Slice (all, from, most, axis)
            t = Transpose <perm = [0, 1, 3, 2]> (present_k)
            scores = MatMul (k, t)
            end = Squeeze (w)
            rows = Range (first, end, step)
            some = Cast <to = 9> (rows)
            y = Where (some, scores, zero)
        }";
    assert_snapshot!(refusal(source, json!({})));
}

/// A recurrence that is spelt out: each step is a product and a sum.
const RECURRENCE: &str = "agraph (float[B,4,8] x, float[B,4,8] decay, float[B,4,8] past_ssm_0)
    => (float[B,4] y, float[B,4,8] present_ssm_0)
    <int64[1] last = {-1}> {
        kept = Mul (past_ssm_0, decay)
        present_ssm_0 = Add (kept, x)
        y = ReduceSum <keepdims = 0> (present_ssm_0, last)
    }";

#[test]
fn a_state_that_is_computed_anew() {
    assert_snapshot!(after(RECURRENCE, json!({})));
}

/// Names that may mean other things too: the user decides.
#[test]
fn a_state_that_its_names_leave_in_doubt() {
    let source = RECURRENCE.replace("past_ssm_0", "state").replace("present_ssm_0", "new_state");
    let both = [after(&source, json!({})), after(&source, json!({"inputs": ["state"]}))];
    assert_snapshot!(both.join("----\n"));
}

/// Rows that are put between what stands before and after them: how much that is the graph alone does not tell.
#[test]
fn rows_that_are_cut_out_and_replaced() {
    let source = "agraph (float[B,2,S,4] x, int64[S] at, float[B,2,16,4] past_k) => (float[B,2,S,16] y, float[B,2,16,4] present_k)
        <int64[1] none = {0}, int64[1] most = {9223372036854775807}, int64[1] axis = {2}> {
            k = Neg (x)
            from = Gather (at, none)
            s = Shape <start = 2, end = 3> (k)
            to = Add (from, s)
            before = Slice (past_k, none, from, axis)
            behind = Slice (past_k, to, most, axis)
            present_k = Concat <axis = 2> (before, k, behind)
            t = Transpose <perm = [0, 1, 3, 2]> (present_k)
            y = MatMul (k, t)
        }";
    assert_snapshot!(after(source, json!({})));
}

/// The same of open length: what its zeros are is not known before it is bound.
#[test]
fn a_state_of_open_length() {
    assert_snapshot!(after(&RECURRENCE.replace("[B,4,8]", "[B,L,8]"), json!({})));
}

/// What goes out as it came in is nothing that a run before has left.
#[test]
fn what_is_handed_through_is_no_state() {
    let source = RECURRENCE
        .replace("Add (kept, x)", "Reshape (past_ssm_0, shape)")
        .replace("int64[1] last = {-1}", "int64[1] last = {-1}, int64[3] shape = {-1, 4, 8}");
    assert_snapshot!(after(&source, json!({})));
}

/// The window of a convolution, written over in place: a copy is an `Expand` to the window's own shape.
#[test]
fn a_window_that_is_copied_over() {
    let source = "agraph (float[B,4,S] x, float[4,1,3] w, float[B,4,2] window)
        => (float[B,4,S] y, float[B,4,2] window_out)
        <int64[1] from = {-2}, int64[1] to = {1000}, int64[1] last = {-1}> {
            both = Concat <axis = -1> (window, x)
            y = Conv <group = 4> (both, w)
            tail = Slice (both, from, to, last)
            shape = Shape (window)
            window_out = Expand (tail, shape)
        }";
    assert_snapshot!(after(source, json!({})));
}

#[test]
fn the_branch_without_a_past() {
    let source = "agraph (float[B,2,S,4] k, float[B,2,P,4] past, bool[1] use_cache) => (float[B,2,S,T] y, float[B,2,T,4] present)
    {
        y, present = If (use_cache) <then_branch = with () => (y1, p1)
            { p1 = Concat <axis = 2> (past, k) t1 = Transpose <perm = [0, 1, 3, 2]> (p1) y1 = MatMul (k, t1) },
            else_branch = without () => (y2, p2)
            { p2 = Identity (k) t2 = Transpose <perm = [0, 1, 3, 2]> (k) y2 = MatMul (k, t2) }>
    }";
    assert_snapshot!(after(source, json!({})));
}

/// The caller feeds rows of the encoder that are empty where they are not used, whatever their declared length.
#[test]
fn the_rows_of_one_branch_are_asked_for_their_length_outside() {
    let source = "agraph (float[B,2,S,4] k, float[B,2,E,4] e, float[B,2,P,4] past_0_key, float[B,2,E,4] past_0_cross, bool[1] use_cache)
        => (float[B,2,S,T] y, float[B,2,T,4] present_0_key, float[B,2,E,4] present_0_cross)
    {
        y0, present_0_key, present_0_cross = If (use_cache) <then_branch = with () => (y1, p1, c1)
            { p1 = Concat <axis = 2> (past_0_key, k) t1 = Transpose <perm = [0, 1, 3, 2]> (p1) s1 = MatMul (k, t1)
              x1 = Transpose <perm = [0, 1, 3, 2]> (past_0_cross) m1 = MatMul (k, x1) n1 = ReduceSum <keepdims = 0> (m1)
              y1 = Add (s1, n1) c1 = Relu (e) },
            else_branch = without () => (y2, p2, c2)
            { p2 = Identity (k) t2 = Transpose <perm = [0, 1, 3, 2]> (k) s2 = MatMul (k, t2)
              c2 = Relu (e) x2 = Transpose <perm = [0, 1, 3, 2]> (c2) m2 = MatMul (k, x2) n2 = ReduceSum <keepdims = 0> (m2)
              y2 = Add (s2, n2) }>
        rows = Shape <start = 2, end = 3> (past_0_cross)
        count = Cast <to = 1> (rows)
        y = Add (y0, count)
    }";
    assert_snapshot!(refusal(source, json!({})), @r#"eliminate-kv-cache: cache `past_0_cross`: Shape of "rows" reads it in either case, and the branch without a past does not; choose the branch with `bind-inputs` first, which keeps this input"#);
    let alone = source.replace("end = 3> (past_0_cross)", "end = 3> (e)");
    assert!(!after(&alone, json!({})).starts_with("error"));
}

/// The two of a multi-latent attention: one of rank 3, and both of names of their own.
#[test]
fn latent_rows_and_rotary_keys() {
    let source = "agraph (float[B,S,6] latent, float[B,1,S,2] rotary, float[B,P,6] compressed_kv_0, float[B,1,P,2] k_pe_0)
        => (float[B,S,T] y, float[B,1,S,T] z, float[B,T,6] compressed_kv_0_present, float[B,1,T,2] k_pe_0_present)
    {
        compressed_kv_0_present = Concat <axis = 1> (compressed_kv_0, latent)
        k_pe_0_present = Concat <axis = 2> (k_pe_0, rotary)
        t = Transpose <perm = [0, 2, 1]> (compressed_kv_0_present)
        y = MatMul (latent, t)
        r = Transpose <perm = [0, 1, 3, 2]> (k_pe_0_present)
        z = MatMul (rotary, r)
    }";
    assert_snapshot!(after(source, json!({})));
}

/// A hybrid of layers: a convolution's state, a recurrence's, and rows that grow.
#[test]
fn states_beside_rows() {
    let source = "agraph (float[B,4,S] x, float[4,1,3] w, float[B,S,8] q, float[B,2,S,4] k, float[B,4,2] conv_state_0,
            float[B,2,4,4] recurrent_state_1, float[B,2,P,4] past_key_values_2_key)
        => (float[B,4,S] y, float[B,S,8] z, float[B,2,S,T] a, float[B,4,2] conv_state_out_0, float[B,2,4,4] recurrent_state_out_1,
            float[B,2,T,4] present_2_key)
    {
        y, conv_state_out_0 = com.microsoft.CausalConvWithState (x, w, \"\", conv_state_0)
        z, recurrent_state_out_1 = com.microsoft.LinearAttention <q_num_heads = 2, kv_num_heads = 2> (q, q, q, recurrent_state_1)
        present_2_key = Concat <axis = 2> (past_key_values_2_key, k)
        t = Transpose <perm = [0, 1, 3, 2]> (present_2_key)
        a = MatMul (k, t)
    }";
    assert_snapshot!(after(source, json!({})));
}

/// What an encoder made comes as an input and is handed on by nobody: it is no cache, and stays.
#[test]
fn rows_of_an_encoder_stay() {
    let source = "agraph (float[B,2,1,4] q, float[B,2,1,4] k, float[B,2,P,4] past_key_self_0, float[B,2,E,4] past_key_cross_0)
        => (float[B,2,1,T] y, float[B,2,1,E] z, float[B,2,T,4] present_key_self_0)
    {
        present_key_self_0 = Concat <axis = 2> (past_key_self_0, k)
        t = Transpose <perm = [0, 1, 3, 2]> (present_key_self_0)
        y = MatMul (q, t)
        c = Transpose <perm = [0, 1, 3, 2]> (past_key_cross_0)
        z = MatMul (q, c)
    }";
    assert_snapshot!(after(source, json!({})));
}

/// Read in the branch with a past alone: the other branch makes it anew.
#[test]
fn a_cache_that_one_branch_alone_reads() {
    let source = "agraph (float[B,2,S,4] k, float[B,2,E,4] states, float[B,2,P,4] past_0_decoder_key, float[B,2,E,4] past_0_encoder_key,
            bool[1] use_cache_branch)
        => (float[B,2,S,T] y, float[B,2,S,E] z, float[B,2,T,4] present_0_decoder_key, float[B,2,E,4] present_0_encoder_key)
    {
        y, z, present_0_decoder_key, present_0_encoder_key = If (use_cache_branch) <then_branch = with () => (y1, z1, d1, e1)
            { d1 = Concat <axis = 2> (past_0_decoder_key, k) t1 = Transpose <perm = [0, 1, 3, 2]> (d1) y1 = MatMul (k, t1)
              u1 = Transpose <perm = [0, 1, 3, 2]> (past_0_encoder_key) z1 = MatMul (k, u1) e1 = Abs (past_0_encoder_key) },
            else_branch = without () => (y2, z2, d2, e2)
            { d2 = Identity (k) t2 = Transpose <perm = [0, 1, 3, 2]> (k) y2 = MatMul (k, t2)
              e2 = Neg (states) u2 = Transpose <perm = [0, 1, 3, 2]> (e2) z2 = MatMul (k, u2) }>
    }";
    assert_snapshot!(after(source, json!({})));
}

/// `Attention` of the standard, its operands of rank 4 and of rank 3.
#[test]
fn attention_of_the_standard() {
    let head = r#"<ir_version: 11, opset_import: ["" : 23]>"#;
    let four = "agraph (float[B,2,S,4] q, float[B,2,S,4] k, float[B,2,S,4] v, float[B,2,P,4] past_k, float[B,2,P,4] past_v)
        => (float[B,2,S,4] y, float[B,2,T,4] present_k, float[B,2,T,4] present_v)
    { y, present_k, present_v = Attention <is_causal = 1> (q, k, v, \"\", past_k, past_v) }";
    let three = four
        .replace("float[B,2,S,4]", "float[B,S,8]")
        .replace("is_causal = 1", "is_causal = 1, q_num_heads = 2, kv_num_heads = 2");
    let both = [four.to_owned(), three].map(|source| after(&format!("{head}\n{source}"), json!({})));
    assert_snapshot!(both.join("\n"));
}

/// `TensorScatter` writes a buffer: zeros where its length is known, the new rows where one prefill is promised.
#[test]
fn tensor_scatter_writes_a_buffer() {
    let open = "<ir_version: 12, opset_import: [\"\" : 24]>
    agraph (float[B,2,S,4] k, int64[B] write_indices, float[B,2,C,4] past) => (float[B,2,S,C] y, float[B,2,C,4] present)
    {
        present = TensorScatter (past, k, write_indices)
        t = Transpose <perm = [0, 1, 3, 2]> (present)
        y = MatMul (k, t)
    }";
    let known = open.replace("[B,2,C,4]", "[B,2,16,4]").replace("[B,2,S,C]", "[B,2,S,16]");
    let told = [
        after(open, prefill()),
        after(&known, json!({})),
        refusal(open, json!({})),
        refusal(&open.replace("(past, k, write", "<mode = \"circular\"> (past, k, write"), prefill()),
    ];
    assert_snapshot!(told.join("\n"));
}

#[test]
fn a_model_without_a_cache() {
    let source = "agraph (float[N] x) => (float[N] y) { y = Relu (x) }";
    assert_snapshot!(format!(
        "{}\n{}\n",
        after(source, json!({})),
        refusal(source, json!({"require": true}))
    ));
}

#[test]
fn presents_may_stay() {
    assert_snapshot!(after(&masked(), json!({"present": "keep"})));
}

#[test]
fn what_is_refused() {
    let grows = growing();
    let rows = |position: &str| buffer(position, IN_ORDER);
    let bent = |op: &str| rows(&format!("p = {op}"));
    let late = "late = Greater (position_ids, four)\n p = Where (late, three, position_ids)";
    let cases = [
        ("a buffer without a promise", rows(PLAIN), json!({})),
        ("a buffer that rolls", rows("bl = Shape (past)\n len = Gather <axis = 0> (bl, two)\n p = Mod (position_ids, len)"), prefill()),
        ("rows one further", bent("Add (position_ids, one)"), prefill()),
        ("rows where the tokens say", bent("Mul (position_ids, input_ids)"), prefill()),
        ("a mark that is a row", rows(late), prefill()),
        ("padding in the first row", bent("Max (position_ids, b0)"), prefill()),
        ("the batch of a buffer of more slots", buffer(PLAIN, IN_ORDER).replace("float[B,2,C,4]", "float[F,2,C,4]").replace("        bs = Shape (past)\n", "        fs = Shape <start = 0, end = 1> (past_RetainedState)\n ff = Cast <to = 1> (fs)\n bs = Shape (past)\n").replace("y = MatMul (k, t)", "y0 = MatMul (k, t)\n y = Add (y0, ff)"), prefill()),
        ("a decoder of one token", attention("DecoderMaskedMultiHeadAttention", "").replace("(q, k, v, past_k, past_v, lengths, total)", "(q, k, v, \"\", \"\", past_k, past_v)").replace(", kv_num_heads = 1", ""), json!({})),
        ("an output besides", buffer(PLAIN, IN_ORDER).replace("float[B,2,C,4] past_RetainedState)", "float[B,2,C,4] past_RetainedState, float[N] flat)")
            .replace("        bs = Shape (past)\n", "        flat = Reshape (past_RetainedState, minus)\n bs = Shape (past)\n").replace("int64[1] un = {1},", "int64[1] un = {1}, int64[1] minus = {-1},"), prefill()),
        ("an axis on which nothing but 0 goes", masked().replace("Concat <axis = -2>", "Concat <axis = 1>"), json!({})),
        ("rows read one further", buffer(PLAIN, "r0 = Range (b0, c, one)\n r = Add (r0, one)"), prefill()),
        ("a row read again and again", buffer(PLAIN, "r0 = Range (b0, c, one)\n r = Min (r0, three)"), prefill()),
        ("another axis", grows.replace("axis = 2> (past", "axis = 3> (past"), json!({})),
        ("an axis that cannot agree", grows.replace("axis = 2> (past", "axis = 1> (past"), json!({})),
        ("a length that is the tokens'", grows.replace("float[B,2,P,4] past", "int64[B,P] ids, float[B,2,P,4] past"), json!({})),
        ("what a rolling window keeps", window_inside(), json!({"present": "keep"})),
        ("chunks with lengths of their own", attention("GroupQueryAttention", "").replace("lengths, total)",
            "lengths, total, \"\", \"\", \"\", \"\", \"\", \"\", \"\", \"\", \"\", \"\", \"\", lengths)"), json!({})),
        ("a cache of rounded rows", attention("GroupQueryAttention", ", k_quant_type = \"PER_TENSOR\"")
            .replace("float[B,1,P,4]", "int8[B,1,P,4]").replace("float[B,1,T,4]", "int8[B,1,T,4]"), json!({})),
        ("operators that need their cache", attention("SparseAttention", "").replace("k, v, past_k, past_v, lengths, total)", "k, v, past_k, past_v, lengths, lengths, total, lengths)"), json!({})),
        ("blocks of a pool", attention("PagedAttention", ""), json!({})),
        ("one of two pasts", attention("GroupQueryAttention", "").replace("past_k, past_v, lengths", "past_k, v4, lengths")
            .replace("    {\n", "    <float[1,1,0,4] v4 = {}>\n    {\n"), json!({})),
        ("a past that is never empty", attention("GroupQueryAttention", "").replace("[B,1,P,4]", "[B,1,16,4]"), json!({})),
        ("rows summed", buffer(PLAIN, IN_ORDER).replace("y = MatMul (k, t)", "y0 = MatMul (k, t)\n sum = ReduceSum <keepdims = 0> (past_RetainedState)\n y = Add (y0, sum)"), prefill()),
        (
            "a length that no input tells",
            attention("GroupQueryAttention", "")
                .replace("[B,1,P,4] past_k", "[B,1,P,E] past_k")
                .replace("        y, present_k", "        e = Shape <start = 3, end = 4> (past_k)\n f = Cast <to = 1> (e)\n y = Add (y0, f)\n y0, present_k")
                .replace(" y = Add (y0, f)\n y0, present_k", " y0, present_k")
                .replace("lengths, total)\n", "lengths, total)\n y = Add (y0, f)\n"),
            json!({}),
        ),
    ];
    assert_snapshot!(refusals(&cases));
}

#[test]
fn caches_are_narrowed_by_name() {
    let apart = masked().replace("float[B,2,P,4] past_v", "float[B,2,Q,4] past_v");
    let source = masked();
    let cases = [
        ("a name that is not there", source.clone(), json!({"inputs": ["past_w"]})),
        ("a pattern that nothing fits", source.clone(), json!({"keep": ["cache.*"]})),
        ("one of two of one length", source.clone(), json!({"keep": ["past_v"]})),
        ("the other way", source, json!({"inputs": ["past_k"]})),
    ];
    assert_snapshot!(format!("{}\n{}", refusals(&cases), after(&apart, json!({"keep": ["past_v"]}))));
}

#[test]
fn all_may_be_kept() {
    assert_snapshot!(after(&growing(), json!({"keep": ["*"]})));
}

#[test]
fn what_may_as_well_be_new_is_no_cache() {
    let source = "agraph (float[B,I,8] image_embeds, int64[B,S] input_ids) => (float[B,T,8] y, float[B,T,8] inputs_embeds)
    <float[16,8] table = [\"location\": \"w.bin\", \"offset\": \"0\", \"length\": \"512\"]>
    {
        text = Gather (table, input_ids)
        inputs_embeds = Concat <axis = 1> (image_embeds, text)
        y = Relu (inputs_embeds)
    }";
    assert_snapshot!(format!(
        "{}\n{}",
        after(source, json!({})),
        after(source, json!({"inputs": ["image_embeds"]}))
    ));
}
