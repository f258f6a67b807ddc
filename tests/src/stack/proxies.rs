//! A stack with proxies in front of its controls and its Redis.

use super::{Instance, Kind, Part::Control, Server, Stack};
use crate::proxy::Proxy;

impl Stack {
    /// Starts a stack with two proxies for each control: one between the control and Redis, and one
    /// between the control and everybody who calls it.
    pub async fn with_proxies(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        stack.has_proxies = true;
        stack.populate(0).await;
        stack
    }

    /// Like [`Self::with_proxies`]. The controls' clocks can be set while they run.
    pub async fn with_proxies_and_loose_clocks(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        (stack.has_proxies, stack.has_loose_clocks) = (true, true);
        stack.set_clocks("+0s");
        stack.populate(0).await;
        stack
    }

    /// Returns the proxy between a control and Redis.
    pub fn to_redis(&self, control: Instance) -> &Proxy {
        let proxy = &self.servers[self.server(Control(control))].to_redis;
        proxy.as_ref().expect("this stack has proxies")
    }

    /// Returns the proxy between a control and everybody who calls it.
    pub fn to_control(&self, control: Instance) -> &Proxy {
        let proxy = &self.servers[self.server(Control(control))].to_control;
        proxy.as_ref().expect("this stack has proxies")
    }
}

impl Server {
    /// Returns the address at which control is reached: its proxy's, if it has one.
    pub(super) fn control_address(&self) -> Option<&str> {
        let proxy = self.to_control.as_ref().map(Proxy::address);
        proxy.or(self.control.as_deref())
    }
}
