//! A stack with proxies in front of its controls and its Redis.

use super::{Instance, Kind, Part::Control, Server, Stack};
use crate::proxy::Proxy;

impl Stack {
    /// Starts one in which each control reaches Redis through a proxy, and everybody reaches each
    /// control through another.
    pub async fn with_proxies(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        stack.has_proxies = true;
        stack.populate(0).await;
        stack
    }

    /// The proxy between a control and Redis.
    pub fn to_redis(&self, control: Instance) -> &Proxy {
        let proxy = &self.servers[self.server(Control(control))].to_redis;
        proxy.as_ref().expect("this stack has proxies")
    }

    /// The proxy between a control and everybody who calls it.
    pub fn to_control(&self, control: Instance) -> &Proxy {
        let proxy = &self.servers[self.server(Control(control))].to_control;
        proxy.as_ref().expect("this stack has proxies")
    }
}

impl Server {
    /// Where control is reached.
    pub(super) fn control_address(&self) -> Option<&str> {
        let proxy = self.to_control.as_ref().map(Proxy::address);
        proxy.or(self.control.as_deref())
    }
}
