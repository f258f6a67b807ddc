//! People: `arizuko inbox` at a terminal and by pipes, and what visitors and agents see of them.

mod answer;
mod handover;
mod inbox;
mod loss;
mod say;
mod two;
mod typing;

use arizuko_tests::prelude::*;

const SEATS: [Seat; 2] = [Seat::Terminal, Seat::Pipes];
