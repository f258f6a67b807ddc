//! A library that is preloaded into the simulation and gives each run the random numbers of its
//! seed. So everything that draws from the system's random numbers, such as ids, hash maps and
//! tokio's choices, is the same when a seed is run again.

use std::{
    env, slice,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

static STATE: LazyLock<AtomicU64> = LazyLock::new(|| {
    let seed = env::var("ARIZUKO_SEED").ok().and_then(|seed| seed.parse().ok());
    AtomicU64::new(seed.unwrap_or_default())
});

/// Fills `buffer` in place of the C library's function. The generator is SplitMix64.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: The caller vouches for the buffer.
    let bytes = unsafe { slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        let mut number = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^= number >> 31;
        chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
    }
    length.cast_signed()
}
