//! What each client of ours has in common.

use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::TlsConfig;
use ureq::typestate::AgentScope;

/// An agent's configuration that gives up after `silence`, at each step. A status is an answer, and no error.
#[must_use]
pub fn client(tls: TlsConfig, silence: Duration) -> ConfigBuilder<AgentScope> {
    let silence = Some(silence);
    Agent::config_builder()
        .tls_config(tls)
        .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .timeout_resolve(silence)
        .timeout_connect(silence)
        .timeout_recv_response(silence)
        .timeout_per_read(silence)
        .timeout_per_write(silence)
}
