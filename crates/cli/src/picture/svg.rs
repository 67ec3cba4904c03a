//! Pictures as SVG, readable on light and on dark pages.

use super::layout::{Layout, layout};
use crate::steps::Trace;
use std::fmt::Write;

const STYLE: &str = "\
text{font:14px 'DejaVu Sans Mono',Menlo,Consolas,monospace;text-anchor:middle;fill:#1a1a1a}\
.page{fill:#ffffff}\
.step{fill:#e3eefb;stroke:#3b6ea5;stroke-width:1.4}\
.variable{fill:#f2f2f2;stroke:#777777;stroke-width:1.2}\
.line{fill:none;stroke:#555555;stroke-width:1.4}\
.halo{fill:none;stroke:#ffffff;stroke-width:4;stroke-linejoin:round}\
.forward{fill:#0b57a4}\
.backward{fill:#b3261e}\
@media (prefers-color-scheme:dark){\
text{fill:#e8e8e8}\
.page{fill:#1b1c1f}\
.step{fill:#22344a;stroke:#7fb0e6}\
.variable{fill:#2c2d31;stroke:#9a9a9a}\
.line{stroke:#b0b0b0}\
.halo{stroke:#1b1c1f}\
.forward{fill:#8cc2ff}\
.backward{fill:#ff9d94}\
}";

/// The picture of a trace: values are blue and above the lines, derivatives red and below.
pub fn svg(trace: &Trace) -> String {
    let Layout { blocks, lines, width, height } = layout(trace);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">"
    );
    let _ = writeln!(text, "<title>computation graph of {}</title>", escaped(trace.result()));
    let _ = writeln!(text, "<style>{STYLE}</style>");
    let arrow = "<path d=\"M0,0 L8,4 L0,8 z\" fill=\"#808080\"/>";
    let _ = writeln!(
        text,
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\">{arrow}</marker></defs>"
    );
    let _ = writeln!(text, "<rect class=\"page\" width=\"{width:.0}\" height=\"{height:.0}\"/>");
    for line in &lines {
        let mut path = format!("M{:.1},{:.1}", line.points[0].0, line.points[0].1);
        for pair in line.points.windows(2) {
            let middle = (pair[0].0 + pair[1].0) / 2.0;
            let (a, b) = (pair[0], pair[1]);
            let _ = write!(
                path,
                " C{middle:.1},{:.1} {middle:.1},{:.1} {:.1},{:.1}",
                a.1, b.1, b.0, b.1
            );
        }
        let _ = writeln!(text, "<path class=\"line\" marker-end=\"url(#arrow)\" d=\"{path}\"/>");
    }
    for line in &lines {
        let (x, y) = line.label;
        for (class, value, y) in
            [("forward", &line.forward, y - 6.0), ("backward", &line.backward, y + 17.0)]
        {
            let value = escaped(value);
            let place = format!("x=\"{x:.1}\" y=\"{y:.1}\"");
            let _ = writeln!(text, "<text class=\"halo\" {place}>{value}</text>");
            let _ = writeln!(text, "<text class=\"{class}\" {place}>{value}</text>");
        }
    }
    for block in &blocks {
        let class = if block.is_variable { "variable" } else { "step" };
        let round = if block.is_variable { block.height.min(40.0) / 2.0 } else { 5.0 };
        let (left, top) = (block.x - block.width / 2.0, block.y - block.height / 2.0);
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\" rx=\"{round:.0}\"/>",
            block.width, block.height
        );
        let (x, y, label) = (block.x, block.y + 5.0, escaped(&block.text));
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\">{label}</text>");
    }
    text.push_str("</svg>\n");
    text
}

/// Text in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
