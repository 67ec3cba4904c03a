//! Curves as SVG: what training reached by epoch, how times grow with sizes.

mod axis;
mod grid;

pub use axis::Scale;
pub use grid::ImageGrid;

use crate::error::Error;
use crate::save::SaveError;
use axis::Axis;
use eggrad_formats::write_atomic;
use plotters::prelude::*;
use std::path::Path;

/// Why nothing was drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("`{0}` has no point with finite coordinates to draw")]
    Empty(String),
    /// A logarithmic axis for something that has no logarithm.
    #[error("`{plot}` has {value} on a logarithmic axis; leave it out, or make the axis linear")]
    Logarithm {
        /// Title of the plot.
        plot: String,
        /// The value.
        value: f64,
    },
    /// Weights that are no images of that size.
    #[error("{0}")]
    Images(String),
    /// The library could not draw or pack it.
    #[error("cannot draw: {0}")]
    Draw(String),
}

/// A line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Places `(x, y)` from left to right; the line has a gap where one is not finite.
    pub points: Vec<(f64, f64)>,
}

/// Lines over two axes, with a legend.
#[derive(Clone, Debug, PartialEq)]
pub struct XyPlot {
    /// Stands above.
    pub title: String,
    /// Name of the horizontal axis, with its unit.
    pub x_label: String,
    /// Name of the vertical axis, with its unit.
    pub y_label: String,
    /// How the horizontal axis is divided.
    pub x_scale: Scale,
    /// How the vertical axis is divided.
    pub y_scale: Scale,
    /// The lines, in the order of the legend; eight have colours of their own.
    pub series: Vec<Series>,
}

/// Width and height of a panel, in pixels.
const PANEL: (u32, u32) = (720, 420);

/// Colours that people with any colour vision tell apart.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
    RGBColor(180, 170, 0),
];

/// Most points that are marked one by one.
const MARKED: usize = 40;

impl XyPlot {
    /// A plot without lines; each axis is logarithmic if its values are positive and span more than a factor of 100.
    pub fn new(title: &str, x_label: &str, y_label: &str) -> XyPlot {
        XyPlot {
            title: title.to_string(),
            x_label: x_label.to_string(),
            y_label: y_label.to_string(),
            x_scale: Scale::Auto,
            y_scale: Scale::Auto,
            series: vec![],
        }
    }

    /// The same with axes divided like this.
    pub fn scales(mut self, x: Scale, y: Scale) -> XyPlot {
        (self.x_scale, self.y_scale) = (x, y);
        self
    }

    /// The same with one more line.
    pub fn line(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> XyPlot {
        self.series.push(Series { name: name.to_string(), points: points.into_iter().collect() });
        self
    }

    /// The picture as SVG. It needs no font to be drawn; whoever shows it uses one of its own.
    ///
    /// # Errors
    /// When there is no finite point, or an axis shall be logarithmic for values that are not positive.
    pub fn svg(&self) -> Result<String, PlotError> {
        stacked(std::slice::from_ref(self), &[])
    }

    /// Writes the picture into a file.
    ///
    /// # Errors
    /// As [`XyPlot::svg`], and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        save(path.as_ref(), self.svg()?.as_bytes())
    }

    fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        let points = self.series.iter().flat_map(|s| s.points.iter().copied());
        points.filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    /// Draws the plot; its horizontal axis also shows the places `shown`.
    fn draw(&self, area: &Area<'_>, shown: &[f64]) -> Result<(), PlotError> {
        let axis = |scale: Scale, values: &mut dyn Iterator<Item = f64>| {
            let values: Vec<f64> = values.collect();
            if values.is_empty() {
                return Err(PlotError::Empty(self.title.clone()));
            }
            let plot = || self.title.clone();
            Axis::over(&values, scale).map_err(|value| PlotError::Logarithm { plot: plot(), value })
        };
        let x = axis(self.x_scale, &mut self.finite().map(|p| p.0).chain(shown.iter().copied()))?;
        let y = axis(self.y_scale, &mut self.finite().map(|p| p.1))?;
        self.draw_over(area, x, y).map_err(|error| PlotError::Draw(error.to_string()))
    }

    fn draw_over(&self, area: &Area<'_>, x: Axis, y: Axis) -> Result<(), DrawError> {
        let ink = RGBColor(40, 40, 40);
        let grid = RGBColor(225, 225, 225);
        let mut builder = ChartBuilder::on(area);
        if !self.title.is_empty() {
            builder.caption(&self.title, ("sans-serif", 20).into_font().color(&ink));
        }
        let mut chart = builder
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .x_labels(10)
            .y_labels(8)
            .bold_line_style(grid)
            .light_line_style(TRANSPARENT)
            .axis_style(ink)
            .label_style(("sans-serif", 14).into_font().color(&ink))
            .axis_desc_style(("sans-serif", 15).into_font().color(&ink))
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.into_iter().cycle()) {
            let style = colour.stroke_width(2);
            let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
            let marked = series.points.len() <= MARKED;
            let legend = move |(x, y): (i32, i32)| PathElement::new([(x, y), (x + 22, y)], style);
            let runs = series.points.split(|p| !finite(p)).filter(|run| !run.is_empty());
            for (i, run) in runs.enumerate() {
                let line = chart.draw_series(LineSeries::new(run.iter().copied(), style))?;
                if i == 0 {
                    line.label(&series.name).legend(legend);
                }
                // A point alone would not be seen.
                if marked || run.len() == 1 {
                    let dots = run.iter().map(|&p| Circle::new(p, 3, colour.filled()));
                    chart.draw_series(dots)?;
                }
            }
        }
        chart
            .configure_series_labels()
            .position(self.legend_place())
            .margin(10)
            .legend_area_size(30)
            .background_style(WHITE.mix(0.85))
            .border_style(grid)
            .label_font(("sans-serif", 14).into_font().color(&ink))
            .draw()
    }

    /// Above at the side where the lines are lower.
    fn legend_place(&self) -> SeriesLabelPosition {
        let (mut left, mut right) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for series in &self.series {
            let points = &series.points;
            for (i, point) in points.iter().enumerate().filter(|(_, p)| p.1.is_finite()) {
                let side = if 2 * i < points.len() { &mut left } else { &mut right };
                *side = side.max(point.1);
            }
        }
        if left < right { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::UpperRight }
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawError = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

/// Curves over the epochs of a training.
///
/// What belongs together shares a panel: `loss` and `val_loss` one, `accuracy` and `val_accuracy` another. A panel
/// whose values span more than a factor of 100 has a logarithmic axis. NaN leaves a gap.
///
/// # Example
/// ```
/// use eggrad::EpochPlot;
///
/// let plot = EpochPlot::new("digits").curve("loss", [2.3, 0.4, 0.01]);
/// let svg = plot.curve("val_loss", [2.2, 0.5, 0.2]).svg()?;
/// assert!(svg.starts_with("<svg") && svg.contains("val_loss"));
/// # Ok::<(), eggrad::PlotError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EpochPlot {
    /// Stands above.
    pub title: String,
    /// Number of the first epoch.
    pub first: usize,
    /// Names, and a value for each epoch.
    pub curves: Vec<(String, Vec<f64>)>,
}

impl EpochPlot {
    /// A plot without curves, from epoch 1.
    pub fn new(title: &str) -> EpochPlot {
        EpochPlot { title: title.to_string(), first: 1, curves: vec![] }
    }

    /// The same, for values that begin with this epoch.
    pub fn from_epoch(mut self, first: usize) -> EpochPlot {
        self.first = first;
        self
    }

    /// The same with one more curve: a value for each epoch.
    pub fn curve(mut self, name: &str, values: impl Into<Vec<f64>>) -> EpochPlot {
        self.curves.push((name.to_string(), values.into()));
        self
    }

    /// The picture as SVG. A panel without a finite number is left out.
    ///
    /// # Errors
    /// When no curve has a finite number.
    pub fn svg(&self) -> Result<String, PlotError> {
        let mut panels: Vec<XyPlot> = vec![];
        for (name, values) in &self.curves {
            let metric = name.strip_prefix("val_").unwrap_or(name);
            let place = |(i, &value): (usize, &f64)| (self.first as f64 + i as f64, value);
            let points = values.iter().enumerate().map(place).collect();
            let at = panels.iter().position(|p| p.y_label == metric).unwrap_or(panels.len());
            if at == panels.len() {
                panels.push(XyPlot::new("", "epoch", metric).scales(Scale::Whole, Scale::Auto));
            }
            panels[at].series.push(Series { name: name.clone(), points });
        }
        panels.retain(|panel| panel.finite().next().is_some());
        match panels.first_mut() {
            Some(first) => first.title.clone_from(&self.title),
            None => return Err(PlotError::Empty(self.title.clone())),
        }
        // All panels over the same epochs.
        let most = self.curves.iter().map(|(_, values)| values.len()).max().unwrap_or(1).max(1);
        let first = self.first as f64;
        stacked(&panels, &[first, first + (most - 1) as f64])
    }

    /// Writes the picture into a file.
    ///
    /// # Errors
    /// As [`EpochPlot::svg`], and when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        save(path.as_ref(), self.svg()?.as_bytes())
    }
}

/// One picture of plots, one below the other, whose horizontal axes all show the places `shown`.
fn stacked(plots: &[XyPlot], shown: &[f64]) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let (width, height) = PANEL;
        let size = (width, height * plots.len() as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let fail = |error: DrawError| PlotError::Draw(error.to_string());
        area.fill(&WHITE).map_err(fail)?;
        for (plot, panel) in plots.iter().zip(area.split_evenly((plots.len(), 1))) {
            plot.draw(&panel, shown)?;
        }
        area.present().map_err(fail)?;
    }
    Ok(svg)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_atomic(path, |to| to.write_all(bytes)).map_err(SaveError::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of a picture, in order.
    fn texts(svg: &str) -> Vec<String> {
        let parts = svg.split("<text ").skip(1);
        let inner = |part: &str| {
            let text = part.split('>').nth(1).and_then(|t| t.split('<').next()).unwrap_or("");
            text.trim().to_string()
        };
        parts.map(inner).collect()
    }

    #[test]
    fn curves_of_one_metric_share_a_panel() {
        let (loss, accuracy) = ([1.0, 0.1, 0.001], [0.5, 0.9, f64::NAN]);
        let plot = EpochPlot::new("digits <8x8> & \"more\"").from_epoch(7).curve("loss", loss);
        let plot = plot.curve("accuracy", accuracy).curve("val_loss", loss);
        let svg = plot.curve("val_auc", [f64::NAN; 3]).svg().expect("draws");
        let texts = texts(&svg);
        let count = |text: &str| texts.iter().filter(|t| *t == text).count();
        // The label of the axis and the legend.
        assert_eq!((count("loss"), count("val_loss"), count("accuracy")), (2, 1, 2));
        assert_eq!((count("epoch"), count("val_auc")), (2, 0));
        assert_eq!((count("7"), count("8"), count("9"), count("1")), (2, 2, 2, 1), "{texts:?}");
        // A loss that falls a thousandfold has a logarithmic axis, an accuracy a linear one.
        assert!(count("0.001") == 1 && count("0.01") == 1 && count("0.1") == 1, "{texts:?}");
        assert!(svg.contains("digits &lt;8x8&gt; &amp; "));
        assert!(!svg.contains("NaN") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let empty = PlotError::Empty("t".into());
        assert_eq!(EpochPlot::new("t").svg(), Err(empty.clone()));
        assert_eq!(EpochPlot::new("t").curve("loss", [f64::NAN]).svg(), Err(empty.clone()));
        assert_eq!(XyPlot::new("t", "x", "y").line("a", []).svg(), Err(empty));
        let zero = XyPlot::new("t", "x", "y").line("a", [(1.0, 0.0), (2.0, 1.0)]);
        let error = zero.scales(Scale::Linear, Scale::Log).svg().expect_err("0 has no logarithm");
        assert!(error.to_string().contains("`t` has 0 on a logarithmic axis"), "{error}");
    }

    #[test]
    fn extreme_values_are_drawn() {
        for (a, b) in [
            (0.0, 0.0),
            (1.0, 1.0),
            (-1e300, 1e300),
            (f64::MIN, f64::MAX),
            (1e-300, 1e300),
            (5e-324, 1.0),
            (1e17, 1e17 + 16.0),
            (-3.0, -2.0),
        ] {
            for scale in [Scale::Auto, Scale::Linear, Scale::Whole] {
                let plot = XyPlot::new("t", "x", "y").line("l", [(a, a), (b, b)]);
                let svg = plot.scales(scale, scale).svg().expect("draws");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{a} {b} {scale:?}");
                assert!(svg.len() < 100_000, "{a} {b} {scale:?}: {} bytes", svg.len());
            }
        }
    }
}
