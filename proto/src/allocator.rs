//! The memory allocator of control, the gateway and the command.

/// With the system's allocator, allocating and freeing is a quarter of control's work for a
/// message. With this one, control and the gateway need about a fifth less CPU time.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(debug_assertions)]
pub(crate) use counted::allocations;

/// The same allocator, which counts. Builds for development have it, so that a test can tell how
/// often a message allocates: that says much about its cost and, unlike time, depends little on the
/// machine.
#[cfg(debug_assertions)]
#[expect(unsafe_code, reason = "an allocator is unsafe by its signature; MiMalloc does the work")]
mod counted {
    use mimalloc::MiMalloc;
    use std::{
        alloc::{GlobalAlloc, Layout},
        sync::atomic::{AtomicU64, Ordering::Relaxed},
    };

    #[global_allocator]
    static ALLOCATOR: Counted = Counted;
    static COUNT: AtomicU64 = AtomicU64::new(0);

    struct Counted;

    // Safety: each method only passes its arguments on to MiMalloc's method of the same name.
    unsafe impl GlobalAlloc for Counted {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.fetch_add(1, Relaxed);
            unsafe { MiMalloc.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            unsafe { MiMalloc.dealloc(at, layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            COUNT.fetch_add(1, Relaxed);
            unsafe { MiMalloc.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            COUNT.fetch_add(1, Relaxed);
            unsafe { MiMalloc.realloc(at, layout, size) }
        }
    }

    /// Returns how often this process has allocated memory, or changed its size.
    pub(crate) fn allocations() -> u64 {
        COUNT.load(Relaxed)
    }
}
