//! Maps that live as long as one command.
//!
//! A decision looks up names hundreds of times: the standard hash was 7 % of control's work for a
//! message. That hash withstands names that others choose in order to collide; these maps are small.

use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};

pub(crate) type FastMap<K, V> = HashMap<K, V, FixedState>;
pub(crate) type FastSet<T> = HashSet<T, FixedState>;
