//! The allocator of control, the gateway and the command.

use mimalloc::MiMalloc;

/// Allocating and freeing with the system's allocator is a quarter of control's work for a message.
/// With this one, control and the gateway need about a fifth less of the processor.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
