//! Returns freed memory to the kernel. By itself the allocator keeps free pieces between used ones: after a burst of
//! calls, about as much again as is in use.

use tokio::time::{MissedTickBehavior, interval};

use crate::limits::GIVE_BACK;

/// Returns free memory periodically, for as long as it is polled. Does nothing unless the C library is glibc.
pub async fn give_back() {
    let mut turns = interval(GIVE_BACK);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        #[cfg(target_env = "gnu")]
        // SAFETY: malloc_trim(3) takes the allocator's locks and changes only free memory.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
