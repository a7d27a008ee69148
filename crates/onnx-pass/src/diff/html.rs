//! A diff as one page.

use std::fmt::Write;

use super::markdown::html as escaped;
use super::text::{constants, counts, functions, group, interface, remarks, weights};
use super::{Diff, Group};

const STYLE: &str = "
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1600px; padding: 0 1rem; color: #1f2328; }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin-top: 1.6rem }
pre { background: #f6f8fa; padding: .6rem .8rem; border-radius: 6px; overflow-x: auto; margin: .4rem 0 }
.line { display: block } .r { background: #ffebe9 } .a { background: #dafbe1 } .c { background: #fff8c5 }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
.side { border: 1px solid #d0d7de; border-radius: 6px; overflow: auto; max-height: 80vh; padding: .5rem }
.side h3 { margin: 0 0 .4rem; font-size: .95rem }
svg text { font: 11px ui-monospace, monospace; pointer-events: none } svg rect { stroke: #8c959f; fill: #fff }
svg .r rect { fill: #ffcecb } svg .a rect { fill: #aceebb } svg .c rect { fill: #fae17d }
svg path { stroke: #8c959f; fill: none }
table { border-collapse: collapse } td, th { border: 1px solid #d0d7de; padding: .2rem .6rem; text-align: left }
";

pub(super) fn html(d: &Diff, before: &str, after: &str) -> String {
    let mut body = String::new();
    let verdict = match (d.is_empty(), d.structural) {
        (true, _) => "No change",
        (_, false) => "No structural change",
        _ => "The model changed",
    };
    let _ = writeln!(body, "<h1>{verdict}</h1><p>{} → {}</p>", escaped(before), escaped(after));
    lines(&mut body, "Interface", &interface(d));
    if !d.header.is_empty() {
        body.push_str("<h2>Model</h2><table><tr><th></th><th>before</th><th>after</th></tr>\n");
        for f in &d.header {
            let cell = |s: &Option<String>| s.as_deref().map_or("—".to_owned(), escaped);
            let (field, before, after) = (escaped(&f.field), cell(&f.before), cell(&f.after));
            let _ = writeln!(body, "<tr><td>{field}</td><td>{before}</td><td>{after}</td></tr>");
        }
        body.push_str("</table>\n");
    }
    lines(&mut body, "Functions", &functions(d));
    if let Some(title) = counts(d) {
        let told = |sign: char, groups: &[Group]| groups.iter().map(|g| (sign, group(g))).collect::<Vec<_>>();
        let all = [told('-', &d.nodes.removed), told('+', &d.nodes.added), told('~', &d.nodes.changed)];
        lines(&mut body, &title, &all.concat());
    }
    let few = constants(d).map(|l| (' ', l));
    lines(&mut body, "Weights", &weights(d).into_iter().chain(few).collect::<Vec<_>>());
    let remarks: Vec<(char, String)> = remarks(d).into_iter().map(|l| (' ', l)).collect();
    lines(&mut body, "No matter of structure", &remarks);
    if !d.region.is_empty() {
        let note = d.region.note();
        let _ = writeln!(
            body,
            "<h2>The changed region</h2><p>{note}</p><div class=\"sides\">\
             <div class=\"side\"><h3>before</h3>{}</div><div class=\"side\"><h3>after</h3>{}</div></div>",
            d.region.before.svg(),
            d.region.after.svg()
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{verdict}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

fn lines(out: &mut String, title: &str, lines: &[(char, String)]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(out, "<h2>{}</h2><pre>", escaped(title));
    for (sign, line) in lines {
        let class = match sign {
            '-' => "line r",
            '+' => "line a",
            '~' => "line c",
            _ => "line",
        };
        let _ = write!(out, "<span class=\"{class}\">{sign} {}</span>", escaped(line));
    }
    out.push_str("</pre>\n");
}
