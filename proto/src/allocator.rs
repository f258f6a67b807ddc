//! The memory allocator of control, the gateway and the command.

use mimalloc::MiMalloc;

/// With the system's allocator, allocating and freeing is a quarter of control's work for a
/// message. With this one, control and the gateway need about a fifth less CPU time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
