//! Reports to control, for operators, that this gateway runs.

use crate::control::Control;
use arizuko_proto::{tls::Acceptor, v1::ReportGatewayRequest};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const BEAT: Duration = Duration::from_secs(15);

/// Reports to control that this gateway runs, until `stopping`, and then that it stops.
pub(crate) async fn tell(
    control: Control,
    name: String,
    tls: Option<Arc<Acceptor>>,
    stopping: CancellationToken,
) {
    let begun = Instant::now();
    loop {
        let request = ReportGatewayRequest {
            name: name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: begun.elapsed().try_into().ok(),
            certificate_ends_at: tls.as_ref().and_then(|tls| tls.certificate_end()).map(Into::into),
            stopping: stopping.is_cancelled(),
        };
        let is_last = request.stopping;
        control.report(request).await;
        if is_last {
            return;
        }
        tokio::select! {
            () = sleep(BEAT) => {}
            () = stopping.cancelled() => {}
        }
    }
}
