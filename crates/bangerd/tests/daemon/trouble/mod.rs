//! What goes wrong between clients, the daemon and guests: `docs/trouble.md` names these tests.

mod full;
mod half_closed;
mod leaving;
mod many;
mod random;
mod streams;

use std::time::Duration;

/// Waits until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    waited.unwrap_or_else(|_| panic!("{what} does not come"));
}
