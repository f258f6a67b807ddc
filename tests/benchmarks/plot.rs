//! Plots, as SVG files.

use crate::servers::workspace;
use plotters::prelude::*;
use std::{error::Error, fs};

/// Black, and colours that the colour-blind can tell apart.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 0, 0), RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];

pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Writes a plot to `target/bench`.
pub(crate) fn plot(name: &str, x: &str, y: &str, lines: &[Line]) {
    let file = workspace().join("target/bench").join(name).with_extension("svg");
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("target is ours");
    let root = SVGBackend::new(&file, (800, 500)).into_drawing_area();
    draw(&root, x, y, lines).expect("a plot of numbers can be drawn");
}

fn draw(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    x: &str,
    y: &str,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.05;
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let drawn =
            chart.draw_series(LineSeries::new(line.points.clone(), colour).point_size(3))?;
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour);
        drawn.label(line.name).legend(legend);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}
