//! Faults, one in each test. Most tests check that every reader reads every acknowledged frame once
//! and in order, however often it reconnects, and that every turn has one last frame.

mod agents;
mod clocks;
mod disk;
mod distance;
mod drain;
mod links;
mod overdue;
mod readers;
mod redis;
mod rights;
mod silence;

use arizuko_tests::prelude::*;
use tokio::task::JoinHandle;

/// Readers of one turn that reconnect whenever their stream ends early.
struct Readers(Vec<JoinHandle<Vec<Event>>>);

impl Readers {
    /// Starts `count` readers, which alternate between the gateways.
    fn begin(stack: &Stack, link: &Link, posted: &Posted, count: usize) -> Self {
        let readers = stack.visitors(link);
        let readers = (0..count).map(|number| readers[number % 2].read_meanwhile(&posted.turn));
        Self(readers.collect())
    }

    /// Waits until all readers have reached the end. Asserts that they read the same frames, each
    /// once, and this text.
    async fn agree(self, expected: &str) -> Vec<Event> {
        let mut all = Vec::new();
        for reader in self.0 {
            all.push(reader.await.expect("it does not panic"));
        }
        let first = all.pop().expect("there is a reader");
        for other in &all {
            assert!(raw(other) == raw(&first), "readers disagree");
        }
        let read = text(&first);
        assert_eq!(read, expected);
        let numbers = first.iter().filter_map(|event| event.data["n"].as_u64());
        let numbers: Vec<_> = numbers.collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let ends = names(&first).iter().filter(|name| **name == "turn_done").count();
        assert_eq!(ends, 1, "{:?}", names(&first));
        assert!(!names(&first).contains(&"reset"));
        first
    }
}
