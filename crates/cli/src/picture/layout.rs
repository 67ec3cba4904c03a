//! Where boxes, lines and labels of a picture stand.
//!
//! Every step stands right of what it reads, a variable just left of its first user. Lines over several columns pass
//! through free places of the columns between. Columns are ordered so that neighbours stand near each other.

use crate::show::short;
use crate::steps::Trace;

/// Width of a character.
pub(super) const CHARACTER: f64 = 8.4;
const BOX_HEIGHT: f64 = 40.0;
/// More height for every line that enters or leaves a box beside the first.
const PER_LINE: f64 = 44.0;
/// Free space between boxes of one column.
const BETWEEN: f64 = 40.0;
/// Free space beside labels between columns.
const BESIDE: f64 = 64.0;
const MARGIN: f64 = 30.0;
/// Height of the two lines of a label.
const LABEL_HEIGHT: f64 = 36.0;
/// Digits of the numbers on lines.
const DIGITS: usize = 6;
/// Sweeps over the columns.
const SWEEPS: usize = 24;

/// A box, by its middle.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) text: String,
    pub(super) is_variable: bool,
}

/// A line through points, with the values on it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) forward: String,
    pub(super) backward: String,
    /// Middle of the label.
    pub(super) label: (f64, f64),
}

/// A picture without colours.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) blocks: Vec<Block>,
    pub(super) lines: Vec<Line>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A place in a column: a node, or where line number `line` passes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Node(usize),
    Pass(usize),
}

/// What every line says: the value, and the part of the derivative that comes back on it.
fn labels(trace: &Trace) -> Vec<(String, String)> {
    let label = |l: &crate::steps::Local| {
        let back = trace.nodes[l.step].backward * l.value;
        (short(trace.nodes[l.from].forward, DIGITS), short(back, DIGITS))
    };
    trace.locals.iter().map(label).collect()
}

/// The text of a box.
fn text(trace: &Trace, i: usize) -> String {
    let node = &trace.nodes[i];
    match &node.formula {
        Some(formula) => format!("{} = {formula}", node.name),
        None => node.name.clone(),
    }
}

/// Columns of the nodes, from the left.
fn columns(trace: &Trace) -> Vec<usize> {
    let count = trace.nodes.len();
    let mut column = vec![0usize; count];
    for i in 0..count {
        if trace.nodes[i].formula.is_some() {
            let reads = trace.locals.iter().filter(|l| l.step == i);
            column[i] = 1 + reads.map(|l| column[l.from]).max().unwrap_or(0);
        }
    }
    for i in 0..count {
        if trace.nodes[i].formula.is_none() {
            let first = trace.users(i).map(|l| column[l.step]).min();
            column[i] = first.unwrap_or(1) - 1;
        }
    }
    column
}

/// The picture of a trace.
pub(super) fn layout(trace: &Trace) -> Layout {
    let labels = labels(trace);
    let column = columns(trace);
    let last = column.iter().max().copied().unwrap_or(0);
    let mut places: Vec<Vec<Place>> = vec![vec![]; last + 1];
    for i in 0..trace.nodes.len() {
        places[column[i]].push(Place::Node(i));
    }
    for (line, local) in trace.locals.iter().enumerate() {
        for passed in places.iter_mut().take(column[local.step]).skip(column[local.from] + 1) {
            passed.push(Place::Pass(line));
        }
    }
    let ports = |i: usize| {
        let incoming = trace.locals.iter().filter(|l| l.step == i).count();
        incoming.max(trace.users(i).count()).max(1)
    };
    let height = |place: Place| match place {
        Place::Node(i) => BOX_HEIGHT + PER_LINE * (ports(i) - 1) as f64,
        Place::Pass(_) => LABEL_HEIGHT,
    };
    let heights = rows(trace, &column, &places, &height);

    let width_of = |text: &str| CHARACTER * text.chars().count() as f64;
    let widest = |c: usize| {
        let nodes = (0..trace.nodes.len()).filter(|&i| column[i] == c);
        nodes.map(|i| width_of(&text(trace, i)) + 24.0).fold(40.0, f64::max)
    };
    let label_width = |l: usize| width_of(&labels[l].0).max(width_of(&labels[l].1));
    // The middle of every column.
    let mut middles = vec![];
    let mut left = MARGIN;
    for c in 0..=last {
        let width = widest(c);
        middles.push(left + width / 2.0);
        let crossing: Vec<usize> = (0..trace.locals.len())
            .filter(|&l| column[trace.locals[l].from] <= c && c < column[trace.locals[l].step])
            .collect();
        let room = crossing.iter().map(|&l| label_width(l)).fold(0.0, f64::max);
        // Lines that part may cross; then labels stand side by side.
        let from = |l: usize| trace.locals[l].from;
        let parts = crossing.iter().any(|&l| crossing.iter().any(|&m| l < m && from(l) == from(m)));
        let room = if parts { 2.0 * room + BESIDE } else { room };
        left += width + room + BESIDE;
    }

    let y_of = |place: Place, c: usize| -> f64 {
        let at = places[c].iter().position(|p| *p == place);
        at.map_or(0.0, |at| heights[c][at])
    };
    let mut blocks = vec![];
    for i in 0..trace.nodes.len() {
        blocks.push(Block {
            x: middles[column[i]],
            y: y_of(Place::Node(i), column[i]),
            width: width_of(&text(trace, i)) + 24.0,
            height: height(Place::Node(i)),
            text: text(trace, i),
            is_variable: trace.nodes[i].formula.is_none(),
        });
    }
    let mut lines = route(trace, &column, &middles, &blocks, &labels, &y_of);
    place_labels(&mut lines, &blocks, &label_width);

    // The result leaves to the right.
    if let (Some(result), Some(block)) = (trace.nodes.last(), blocks.last()) {
        let (forward, backward) = (short(result.forward, DIGITS), short(result.backward, DIGITS));
        let start = block.x + block.width / 2.0;
        let end = start + BESIDE + width_of(&forward).max(width_of(&backward));
        let label = ((start + end) / 2.0, block.y);
        lines.push(Line {
            points: vec![(start, block.y), (end, block.y)],
            forward,
            backward,
            label,
        });
    }
    frame(blocks, lines)
}

/// The heights of all places, by columns: near what they are joined to, and apart from each other.
fn rows(
    trace: &Trace,
    column: &[usize],
    places: &[Vec<Place>],
    height: &dyn Fn(Place) -> f64,
) -> Vec<Vec<f64>> {
    let mut y: Vec<Vec<f64>> = vec![];
    for list in places {
        let mut top = 0.0;
        let mut own = vec![];
        for &place in list {
            own.push(top + height(place) / 2.0);
            top += height(place) + BETWEEN;
        }
        y.push(own.into_iter().map(|v| v - top / 2.0).collect());
    }
    let find = |c: usize, place: Place| places[c].iter().position(|p| *p == place);
    // What stands beside a place in the column before or after.
    let beside = |c: usize, place: Place, after: bool| -> Vec<(usize, usize)> {
        let mut list = vec![];
        for (line, local) in trace.locals.iter().enumerate() {
            let (from, to) = (column[local.from], column[local.step]);
            let at = |c: usize| match c {
                c if c == from => Place::Node(local.from),
                c if c == to => Place::Node(local.step),
                _ => Place::Pass(line),
            };
            let other = if after { c + 1 } else { c.wrapping_sub(1) };
            let both = from <= c && c <= to && from <= other && other <= to;
            if both
                && at(c) == place
                && let Some(i) = find(other, at(other))
            {
                list.push((other, i));
            }
        }
        list
    };
    for sweep in 0..SWEEPS {
        let after = sweep % 2 == 1;
        let order: Vec<usize> = match after {
            true => (0..places.len()).rev().collect(),
            false => (0..places.len()).collect(),
        };
        for c in order {
            let wanted: Vec<f64> = places[c]
                .iter()
                .enumerate()
                .map(|(i, &place)| {
                    let mut near = beside(c, place, after);
                    if near.is_empty() {
                        near = beside(c, place, !after);
                    }
                    match near.len() {
                        0 => y[c][i],
                        n => near.iter().map(|&(c, i)| y[c][i]).sum::<f64>() / n as f64,
                    }
                })
                .collect();
            y[c] = apart(&places[c], &wanted, height);
        }
    }
    y
}

/// Heights near the `wanted` ones, in their order, that leave every place its room.
fn apart(places: &[Place], wanted: &[f64], height: &dyn Fn(Place) -> f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Runs of places that touch, each with the middle of what its members want.
    let mut runs: Vec<(Vec<usize>, f64, f64)> = vec![];
    for i in order {
        let own = height(places[i]) + BETWEEN;
        let mut run = (vec![i], wanted[i], own);
        while let Some(before) = runs.last() {
            if before.1 + before.2 / 2.0 <= run.1 - run.2 / 2.0 {
                break;
            }
            let Some(before) = runs.pop() else { break };
            let count = (before.0.len() + run.0.len()) as f64;
            let middle = |list: &[usize]| list.iter().map(|&i| wanted[i]).sum::<f64>();
            let centre = (middle(&before.0) + middle(&run.0)) / count;
            run = ([before.0, run.0].concat(), centre, before.2 + run.2);
        }
        runs.push(run);
    }
    let mut y = vec![0.0; places.len()];
    for (members, centre, size) in runs {
        let mut top = centre - size / 2.0;
        for i in members {
            let own = height(places[i]) + BETWEEN;
            y[i] = top + own / 2.0;
            top += own;
        }
    }
    y
}

/// The lines, without places for their labels.
fn route(
    trace: &Trace,
    column: &[usize],
    middles: &[f64],
    blocks: &[Block],
    labels: &[(String, String)],
    y_of: &dyn Fn(Place, usize) -> f64,
) -> Vec<Line> {
    // Where a line stands in the column before its end, and in the one after its start.
    let near = |line: usize, end: bool| {
        let local = &trace.locals[line];
        let (from, to) = (column[local.from], column[local.step]);
        match (from + 1 < to, end) {
            (true, true) => y_of(Place::Pass(line), to - 1),
            (true, false) => y_of(Place::Pass(line), from + 1),
            (false, true) => blocks[local.from].y,
            (false, false) => blocks[local.step].y,
        }
    };
    // Lines enter and leave a box in the order of where they come from or go to.
    let port = |line: usize, end: bool| {
        let node = |l: usize| match end {
            true => trace.locals[l].step,
            false => trace.locals[l].from,
        };
        let mut list: Vec<usize> =
            (0..trace.locals.len()).filter(|&l| node(l) == node(line)).collect();
        list.sort_by(|&a, &b| near(a, end).total_cmp(&near(b, end)));
        let place = list.iter().position(|&l| l == line).unwrap_or(0) as f64;
        blocks[node(line)].y + (place - (list.len() - 1) as f64 / 2.0) * PER_LINE
    };
    let mut lines = vec![];
    for (line, local) in trace.locals.iter().enumerate() {
        let (from, to) = (&blocks[local.from], &blocks[local.step]);
        let passed = column[local.from] + 1..column[local.step];
        let mut points = vec![(from.x + from.width / 2.0, port(line, false))];
        points.extend(passed.map(|c| (middles[c], y_of(Place::Pass(line), c))));
        points.push((to.x - to.width / 2.0, port(line, true)));
        let (forward, backward) = labels[line].clone();
        lines.push(Line { points, forward, backward, label: (0.0, 0.0) });
    }
    lines
}

/// A point of the curve between two points, which leaves and arrives level.
pub(super) fn between(a: (f64, f64), b: (f64, f64), t: f64) -> (f64, f64) {
    let s = 1.0 - t;
    let middle = (a.0 + b.0) / 2.0;
    let blend = |p: f64, q: f64, r: f64, u: f64| {
        s * s * s * p + 3.0 * s * s * t * q + 3.0 * s * t * t * r + t * t * t * u
    };
    (blend(a.0, middle, middle, b.0), blend(a.1, a.1, b.1, b.1))
}

/// Gives every label a place on its line that no box and no other label takes.
fn place_labels(lines: &mut [Line], blocks: &[Block], width: &dyn Fn(usize) -> f64) {
    let boxes: Vec<(f64, f64, f64, f64)> =
        blocks.iter().map(|b| (b.x, b.y, b.width / 2.0 + 2.0, b.height / 2.0 + 2.0)).collect();
    let half = |i: usize| (width(i) / 2.0 + 3.0, LABEL_HEIGHT / 2.0);
    let mut labels: Vec<Option<(f64, f64, f64, f64)>> = vec![None; lines.len()];
    // A later label may leave an earlier one no place; it finds another one in the next round.
    for _ in 0..4 {
        for i in 0..lines.len() {
            labels[i] = None;
            let half = half(i);
            let taken: Vec<_> = boxes.iter().chain(labels.iter().flatten()).copied().collect();
            let overlap = |p: (f64, f64)| -> f64 {
                let common = |a: f64, b: f64, r: f64, s: f64| (r + s - (a - b).abs()).max(0.0);
                let area = |t: &(f64, f64, f64, f64)| {
                    common(p.0, t.0, half.0, t.2) * common(p.1, t.1, half.1, t.3)
                };
                taken.iter().map(area).sum()
            };
            let best = tries(&lines[i].points)
                .into_iter()
                .min_by(|a, b| overlap(*a).total_cmp(&overlap(*b)));
            if let Some(best) = best {
                lines[i].label = best;
                labels[i] = Some((best.0, best.1, half.0, half.1));
            }
        }
    }
}

/// Places of a label on a line, the best first: in the middle of its last part, where lines are apart.
fn tries(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut tries = vec![];
    for step in 0..60 {
        let away = 0.015 * f64::from((step + 1) / 2);
        let t = if step % 2 == 1 { 0.5 + away } else { 0.5 - away };
        for pair in points.windows(2).rev() {
            tries.push(between(pair[0], pair[1], t));
        }
    }
    tries
}

/// Moves everything so that the picture begins at 0, and measures it.
fn frame(mut blocks: Vec<Block>, mut lines: Vec<Line>) -> Layout {
    let tops = blocks.iter().map(|b| b.y - b.height / 2.0);
    let tops = tops.chain(lines.iter().map(|l| l.label.1 - LABEL_HEIGHT / 2.0));
    let tops = tops.chain(lines.iter().flat_map(|l| l.points.iter().map(|p| p.1)));
    let top = tops.fold(f64::INFINITY, f64::min) - MARGIN;
    let lowest = blocks.iter().map(|b| b.y + b.height / 2.0);
    let lowest = lowest.chain(lines.iter().map(|l| l.label.1 + LABEL_HEIGHT / 2.0));
    let lowest = lowest.chain(lines.iter().flat_map(|l| l.points.iter().map(|p| p.1)));
    let height = lowest.fold(f64::NEG_INFINITY, f64::max) + MARGIN - top;
    let right = blocks.iter().map(|b| b.x + b.width / 2.0);
    let right = right.chain(lines.iter().flat_map(|l| l.points.iter().map(|p| p.0)));
    let width = right.fold(0.0, f64::max) + MARGIN;
    blocks.iter_mut().for_each(|b| b.y -= top);
    for line in &mut lines {
        line.points.iter_mut().for_each(|p| p.1 -= top);
        line.label.1 -= top;
    }
    Layout { blocks, lines, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::given;
    use crate::program::Program;
    use eggrad::ir::DType;

    /// The area that boxes and labels have in common.
    fn overlap(layout: &Layout) -> f64 {
        let width = |text: &str| CHARACTER * text.chars().count() as f64;
        let mut areas: Vec<(f64, f64, f64, f64)> =
            layout.blocks.iter().map(|b| (b.x, b.y, b.width / 2.0, b.height / 2.0)).collect();
        for line in &layout.lines {
            let half = width(&line.forward).max(width(&line.backward)) / 2.0;
            areas.push((line.label.0, line.label.1, half, LABEL_HEIGHT / 2.0));
        }
        let mut sum = 0.0;
        for (i, a) in areas.iter().enumerate() {
            for b in &areas[..i] {
                let x = (a.2 + b.2 - (a.0 - b.0).abs()).max(0.0);
                let y = (a.3 + b.3 - (a.1 - b.1).abs()).max(0.0);
                sum += x * y;
            }
        }
        sum
    }

    #[test]
    fn nothing_overlaps() {
        for (program, values) in [
            ("c = w*x; a = c + b; d = a - y; J = d^2/2", "w=2,x=-2,b=8,y=2"),
            (
                "z1 = w1*x + b1; a1 = relu(z1); z2 = w2*a1 + b2; a2 = relu(z2); J = (a2 - y)^2/2",
                "x=1,y=5,w1=2,b1=0,w2=3,b2=1",
            ),
            ("p = x*y; q = x + y; r = p*q; s = r + p; J = s*x + q", "x=1.25,y=-3"),
            ("x", "x=1"),
        ] {
            let program = Program::read(program).unwrap();
            let given = given(&[values.to_string()], DType::F64).unwrap();
            let trace = Trace::of(&program, &given, Default::default()).unwrap();
            let layout = layout(&trace);
            assert_eq!(overlap(&layout), 0.0, "{}", program.text);
            assert!(layout.blocks.iter().all(|b| b.x > 0.0 && b.x < layout.width));
        }
    }
}
