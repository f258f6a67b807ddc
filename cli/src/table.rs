//! Lays out a table, so that it fits a terminal.

use crate::wrap::{columns, cut, wrap_words};

/// How many columns of the terminal a shortened cell has, at least.
const LEAST: usize = 12;
/// How many columns the last cell needs, at least, to be wrapped beside the others.
const BESIDE: usize = 40;
/// How many blanks are between two cells, and before the further lines of a row.
const GAP: usize = 2;

/// What may be left out of a table where the terminal is too narrow.
#[derive(Default)]
pub(crate) struct Spare {
    /// The column whose cells are shortened, if the table fits then.
    pub(crate) cut: Option<&'static str>,
    /// The columns that are left out until the table fits, the least important first.
    pub(crate) drop: &'static [&'static str],
}

/// Aligns the cells of rows, the first of which is the head, and returns the lines of each row.
/// What still has no room in a line goes to further lines: the last cell word by word, any other
/// cell as a whole.
pub(crate) fn lay_out(mut rows: Vec<Vec<String>>, spare: &Spare, room: usize) -> Vec<Vec<String>> {
    let mut widths = widths(&rows);
    let mut spared = spare.drop.iter();
    loop {
        let width = widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
        let Some(excess) = width.checked_sub(room).filter(|excess| *excess > 0) else { break };
        let named = |name: &str| rows[0].iter().position(|head| head == name);
        let place = spare.cut.and_then(named);
        if let Some(place) = place.filter(|place| widths[*place] >= excess + LEAST) {
            rows.iter_mut().for_each(|row| row[place] = cut(&row[place], widths[place] - excess));
        } else if let Some(place) = spared.next().and_then(|name| named(name)) {
            rows.iter_mut().for_each(|row| drop(row.remove(place)));
        } else {
            break;
        }
        widths = self::widths(&rows);
    }

    let of_last = rows.iter().filter_map(|row| row.last()).flat_map(|cell| cell.split(' '));
    let beside = of_last.map(columns).max().unwrap_or(0).max(BESIDE);
    // For each cell, whether it begins another line, and its column.
    let (mut places, mut column) = (Vec::new(), 0);
    for (place, width) in widths.iter().enumerate() {
        let is_last = place + 1 == widths.len();
        let fits = column + width <= room || is_last && column + beside <= room;
        let breaks = place > 0 && !fits;
        if breaks {
            column = GAP;
        }
        places.push((breaks, column));
        column += width + GAP;
    }
    rows.into_iter().map(|row| lines(&row, &places, room)).collect()
}

fn lines(row: &[String], places: &[(bool, usize)], room: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for (place, (cell, (breaks, column))) in row.iter().zip(places).enumerate() {
        if *breaks {
            lines.push(std::mem::take(&mut line));
        }
        let left = room.saturating_sub(*column);
        let parts = match place + 1 == row.len() {
            true => wrap_words(cell, left),
            false => vec![cell.clone()],
        };
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                lines.push(std::mem::take(&mut line));
            }
            line += &" ".repeat(column.saturating_sub(columns(&line)));
            line += part;
        }
    }
    lines.push(line);
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let width = |place: usize| rows.iter().map(|row| columns(&row[place])).max().unwrap_or(0);
    (0..rows[0].len()).map(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(spare: &Spare, room: usize) -> String {
        let row = |row: [&str; 4]| row.map(String::from).to_vec();
        let rows = vec![
            row(["TOKEN", "BY", "AGE", "NAME"]),
            row(["tok_0123456789", "key_0123456789", "5 min ago", "for the shop 日本"]),
        ];
        lay_out(rows, spare, room).concat().join("\n")
    }

    #[test]
    fn a_table_is_cut_or_loses_columns_until_it_fits() {
        let spare = Spare { cut: Some("NAME"), drop: &["BY", "AGE"] };
        let whole = "TOKEN           BY              AGE        NAME\n\
                     tok_0123456789  key_0123456789  5 min ago  for the shop 日本";
        assert_eq!(table(&spare, usize::MAX), whole);
        assert_eq!(table(&spare, 60), whole);
        assert_eq!(
            table(&spare, 59),
            "TOKEN           BY              AGE        NAME\n\
             tok_0123456789  key_0123456789  5 min ago  for the shop 日…"
        );
        assert_eq!(
            table(&spare, 40),
            "TOKEN           AGE        NAME\n\
             tok_0123456789  5 min ago  for the shop…"
        );
        assert_eq!(
            table(&spare, 29),
            "TOKEN           NAME\n\
             tok_0123456789  for the shop…"
        );
    }

    #[test]
    fn what_nothing_is_spared_of_goes_to_further_lines() {
        assert_eq!(
            table(&Spare::default(), 32),
            "TOKEN           BY\n  AGE        NAME\n\
             tok_0123456789  key_0123456789\n  5 min ago  for the shop 日本"
        );
        assert_eq!(
            table(&Spare::default(), 16),
            "TOKEN\n  BY\n  AGE\n  NAME\n\
             tok_0123456789\n  key_0123456789\n  5 min ago\n  for the shop\n  日本"
        );
    }
}
