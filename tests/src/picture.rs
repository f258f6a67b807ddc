//! Pictures of a terminal's screen, for people to look at.

use std::{fmt::Write as _, num::NonZero};
use vt100::{Cell, Color, Screen};

/// How many pixels a character is wide and high.
const CHARACTER: [usize; 2] = [9, 18];
const FOREGROUND: &str = "#d4d4d4";
const BACKGROUND: &str = "#1e1e1e";
/// The first 16 of the indexed colours.
const PALETTE: [&str; 16] = [
    "#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5",
    "#666666", "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff",
];

/// How a run of cells looks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    foreground: String,
    background: String,
    style: String,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let mut colours = [colour(cell.fgcolor(), FOREGROUND), colour(cell.bgcolor(), BACKGROUND)];
        if cell.inverse() {
            colours.reverse();
        }
        let [foreground, background] = colours;
        let mut style = String::new();
        for (has, attribute) in [
            (cell.bold(), " font-weight='bold'"),
            (cell.dim(), " opacity='0.6'"),
            (cell.italic(), " font-style='italic'"),
            (cell.underline(), " text-decoration='underline'"),
        ] {
            style += if has { attribute } else { "" };
        }
        Self { foreground, background, style }
    }
}

fn colour(colour: Color, otherwise: &str) -> String {
    match colour {
        Color::Default => otherwise.to_owned(),
        Color::Idx(index) => PALETTE.get(usize::from(index)).unwrap_or(&otherwise).to_string(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// Draws a screen as SVG.
pub(crate) fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let [rows, columns] = [rows, columns].map(NonZero::get);
    let [wide, high] = CHARACTER;
    let [width, height] = [usize::from(columns) * wide, usize::from(rows) * high];
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' \
         font-family='monospace' font-size='15'>\n\
         <rect width='100%' height='100%' fill='{BACKGROUND}'/>\n"
    );
    for row in 0..rows {
        let cells = (0..columns).filter_map(|column| Some((column, screen.cell(row, column)?)));
        let cells: Vec<_> = cells.filter(|(_, cell)| !cell.is_wide_continuation()).collect();
        for run in cells.chunk_by(|(_, one), (_, next)| Look::of(one) == Look::of(next)) {
            let ((first, cell), (last, end)) = (run[0], run[run.len() - 1]);
            let count = usize::from(last - first) + if end.is_wide() { 2 } else { 1 };
            let [x, y] = [usize::from(first) * wide, usize::from(row) * high];
            let [length, base] = [count * wide, y + high - 4];
            let Look { foreground, background, style } = Look::of(cell);
            let text = run.iter().map(|(_, cell)| match cell.contents() {
                "" => "\u{a0}".to_owned(),
                text => text.replace(' ', "\u{a0}").replace('&', "&amp;").replace('<', "&lt;"),
            });
            let text: String = text.collect();
            let _ = writeln!(
                svg,
                "<rect x='{x}' y='{y}' width='{length}' height='{high}' fill='{background}'/>\
                 <text x='{x}' y='{base}' textLength='{length}' fill='{foreground}'{style}>{text}</text>"
            );
        }
    }
    svg + "</svg>\n"
}
