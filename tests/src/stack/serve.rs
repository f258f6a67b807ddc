//! Starts a stack's processes as an operator does.

use super::{Kind, Server, Stack};
use crate::{
    fleet::Fleet,
    process::Process,
    proxy::{Proxy, Target},
    tools,
};
use serde_json::Value;
use std::fs;
use tokio::process::Command;

impl Stack {
    /// Starts a stack where an address may have the default number of open turns.
    pub async fn with_default_turns(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(kind, settings, "https://{root}.example").await;
        stack.has_default_turns = true;
        stack.populate(0).await;
        stack
    }

    /// Starts a server and waits until it serves. A restarted server keeps its addresses.
    pub(super) async fn serve(&mut self, index: usize) {
        let Server { name, control, gateway, .. } = &self.servers[index];
        let mut command = match (control, gateway) {
            (Some(control), Some(gateway)) => self.up(control, gateway),
            (Some(_), None) => self.control_process(&self.servers[index]),
            (None, gateway) => self.gateway_process(gateway.as_deref().unwrap_or_default()),
        };
        if let Some((_, wrong)) = self.clocks.iter().find(|(part, _)| part.name() == *name) {
            tools::set_clock(&mut command, wrong);
        }
        if self.has_loose_clocks && control.is_some() {
            tools::set_clock_by(&mut command, &self.clock_file());
        }
        let mut process = Process::start(name, command, &self.logs());
        let line = process.line().await;
        let (control, gateway) = if self.kind == Kind::Embedded {
            let ready: Value = serde_json::from_str(&line).expect("`up --json` prints JSON");
            let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
            self.demo_url = ready["chat_url"].as_str().map(str::to_owned);
            let key = fs::read_to_string(text("operator_key_file"));
            self.keys.operator = key.expect("`up` says where its key is").trim().to_owned();
            (Some(text("control")), Some(text("gateway")))
        } else {
            let url = line.rsplit(' ').next().map(str::to_owned);
            if control.is_some() { (url, None) } else { (None, url) }
        };
        let address = |url: String| {
            let (_, address) = url.split_once("://").expect("a URL");
            address.trim_end_matches('/').to_owned()
        };
        let server = &mut self.servers[index];
        server.control = control.map(address);
        server.gateway = gateway.map(address);
        server.process = Some(process);
        if self.has_proxies
            && server.to_control.is_none()
            && let Some(address) = &server.control
        {
            server.to_control = Some(Proxy::start(Target::Address(address.clone())).await);
        }
    }

    fn up(&self, control: &str, gateway: &str) -> Command {
        let mut up = self.program("arizuko");
        up.args(["up", "--json", "--listen", gateway, "--control-listen", control]);
        if !self.has_real_links() {
            up.arg("--no-demo");
        }
        up.arg("--data-dir").arg(self.data_dir()).args(["--public-url", &self.public_url]);
        up
    }

    fn control_process(&self, server: &Server) -> Command {
        let mut control = self.program("arizuko-control");
        let listen = server.control.as_deref().unwrap_or_default();
        let redis = match (&server.to_redis, &self.redis, &self.fleet) {
            (Some(proxy), ..) => format!("redis://{}/", proxy.address()),
            (None, Some(redis), _) => redis.url(),
            (.., fleet) => fleet.as_ref().map(Fleet::url).unwrap_or_default().to_owned(),
        };
        control.args(["--listen", listen, "--public-url", &self.public_url, "--redis", &redis]);
        control.env("ARIZUKO_OPERATOR_KEY", &self.keys.operator);
        control.env("ARIZUKO_GATEWAY_KEY", &self.keys.gateway);
        control
    }

    fn gateway_process(&self, listen: &str) -> Command {
        let mut gateway = self.program("arizuko-gateway");
        gateway.args(["--listen", listen]);
        for control in self.servers.iter().filter_map(Server::control_address) {
            let scheme = self.control_scheme();
            gateway.arg("--control").arg(format!("{scheme}://{control}"));
        }
        gateway.env("ARIZUKO_GATEWAY_KEY", &self.keys.gateway);
        gateway
    }
}
