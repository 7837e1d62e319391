//! SIGINT and SIGTERM: the first asks the training to save and stop, the second stops at once. And SIGXFSZ: a limit on
//! the size of files is an error to report, not a reason to die.

use anyhow::{Context, Result};
use signal_hook::consts::TERM_SIGNALS;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that the first signal sets.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in TERM_SIGNALS {
        // Registered first, so that it sees the flag of an earlier signal only.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .context("cannot catch signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot catch signals")?;
    }
    // Caught, it leaves the write to fail; what it would set is of no interest.
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
        .context("cannot catch signals")?;
    Ok(stop)
}
