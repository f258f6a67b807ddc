//! How evenly tenants load the primaries of a store, and what the loss of a primary does to the
//! others. The results are the tables of `docs/scale.md`.

use crate::jid::partition_of;

const PARTITIONS: u16 = 256;
const PRIMARIES: [usize; 4] = [3, 8, 32, 64];
/// How many sets of tenants are tried; a result is their median.
const SETS: u32 = 21;

/// The loads of all partitions by one set of tenants.
type Loads = [f64; PARTITIONS as usize];

/// Returns the loads of the partitions, for each set of tenants. The tenant number `n` has
/// 1/n^`exponent` of the load of the first one.
fn sets(tenants: u32, exponent: f64) -> Vec<Loads> {
    let of_set = |set| {
        let mut loads = [0.0; PARTITIONS as usize];
        for number in 1..=tenants {
            let partition = partition_of(&format!("tenant-{set}-{number}"), PARTITIONS);
            loads[usize::from(partition)] += f64::from(number).powf(-exponent);
        }
        loads
    };
    (0..SETS).map(of_set).collect()
}

/// Returns the load of each primary, relative to the mean. As in a Cluster, each primary has a
/// range of partitions of nearly the same length.
fn of_primaries(partitions: &Loads, primaries: usize) -> Vec<f64> {
    let mut loads = vec![0.0; primaries];
    for (partition, load) in partitions.iter().enumerate() {
        loads[partition * primaries / partitions.len()] += load;
    }
    let mean = partitions.iter().sum::<f64>() / primaries as f64;
    loads.into_iter().map(|load| load / mean).collect()
}

/// Returns the cells of a table's row, one for each number of primaries: `worst` of the loads of
/// the primaries, as the median over the sets of tenants.
fn cells(sets: &[Loads], worst: impl Fn(&[f64]) -> f64) -> String {
    let cells = PRIMARIES.map(|primaries| {
        let mut worst: Vec<_> =
            sets.iter().map(|set| worst(&of_primaries(set, primaries))).collect();
        worst.sort_by(f64::total_cmp);
        format!("{:.2}", worst[worst.len() / 2])
    });
    cells.join(" | ")
}

/// Returns the load of the busiest primary.
fn busiest(loads: &[f64]) -> f64 {
    loads.iter().copied().fold(0.0, f64::max)
}

/// Returns the load of the busiest machine after the worst loss of one machine, if each has one
/// primary and the replica of the primary before it.
fn after_a_loss(loads: &[f64]) -> f64 {
    let next = loads.iter().cycle().skip(1);
    loads.iter().zip(next).map(|(own, other)| own + other).fold(0.0, f64::max)
}

#[test]
fn primaries_are_loaded_as_the_document_says() {
    let document = include_str!("../../../docs/scale.md");
    for (tenants, exponent) in [(1_000, 0.0), (1_000, 0.8), (100_000, 0.0), (100_000, 0.8)] {
        let sets = sets(tenants, exponent);
        for cells in [cells(&sets, busiest), cells(&sets, after_a_loss)] {
            let row = format!("| {tenants} | {exponent} | {cells} |");
            assert!(document.contains(&row), "docs/scale.md lacks the row {row}");
        }
    }
}
