//! People who answer with `arizuko inbox`, at a terminal and in a pipe, and what visitors see.

mod answer;
mod bell;
mod desk;
mod folders;
mod handoff;
mod inbox;
mod loss;
mod replies;
mod say;
mod team;
mod two;
mod typing;

use arizuko_tests::prelude::*;

const SEATS: [Seat; 2] = [Seat::Terminal, Seat::Pipes];
