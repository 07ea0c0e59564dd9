//! Memory that was freed goes back to the kernel. On its own the allocator keeps what lies between pieces that are in use: after a
//! burst of calls, about as much again as the process uses.

use tokio::time::{MissedTickBehavior, interval};

use crate::limits::GIVE_BACK;

/// Gives back what is free, again and again, for as long as it is polled. Where the C library has no call for it nothing is done.
pub async fn give_back() {
    let mut turns = interval(GIVE_BACK);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        #[cfg(target_env = "gnu")]
        // SAFETY: malloc_trim(3) takes the allocator's own locks, and changes only what is free.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
