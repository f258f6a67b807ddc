//! Follows the names of controls. A name stands for the controls at all of its addresses, which
//! change as controls come and go.

use super::node::Node;
use arizuko_proto::{client::Bearer, target::Target};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::sleep,
};

/// How often the resolver is asked.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long to wait before asking the resolver again after a control did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The addresses from `--control`, and the IP addresses that the names among them stand for.
pub(super) struct Names {
    targets: Vec<(String, Target)>,
    /// The last known addresses of each name. They stay in use while the resolver fails.
    known: Vec<Vec<SocketAddr>>,
    key: Bearer,
    /// How many tokens and messages each control may work on at a time.
    calls: u32,
    /// Notified when a control did not answer.
    failed: Arc<Notify>,
}

impl Names {
    pub(super) fn new(targets: Vec<(String, Target)>, key: Bearer, calls: u32) -> Self {
        let known = vec![Vec::new(); targets.len()];
        Self { targets, known, key, calls, failed: Arc::default() }
    }

    /// Whether there is a name to follow.
    pub(super) fn can_change(&self) -> bool {
        self.targets.iter().any(|(_, target)| target.is_name())
    }

    /// Returns the controls that are known now; those in `present` are kept. A name whose addresses
    /// aren't known yet counts as one control.
    pub(super) fn nodes(&self, present: &[Arc<Node>]) -> anyhow::Result<Vec<Arc<Node>>> {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        for ((given, target), known) in self.targets.iter().zip(&self.known) {
            let scheme = given.split_once("://").map_or("http", |(scheme, _)| scheme);
            let mut places = vec![(given.clone(), None)];
            if !known.is_empty() {
                let place = |at: &SocketAddr| (format!("{scheme}://{at}"), Some(*at));
                places = known.iter().map(place).collect();
            }
            for (address, at) in places {
                if nodes.iter().any(|node| node.address == address) {
                    continue;
                }
                let kept = present.iter().find(|node| node.address == address).cloned();
                nodes.push(match kept {
                    Some(node) => node,
                    None => {
                        let endpoint = at.map_or_else(|| Ok(target.endpoint()), |at| target.at(at));
                        let room = Semaphore::new(self.calls as usize);
                        Arc::new(Node::new(&address, &endpoint?, &self.key, room, &self.failed))
                    }
                });
            }
        }
        Ok(nodes)
    }

    /// Keeps `nodes` up to date with the names until all its receivers are dropped.
    pub(super) async fn follow(mut self, nodes: watch::Sender<Arc<[Arc<Node>]>>) {
        while !nodes.is_closed() {
            if self.ask().await {
                let found = self.nodes(&nodes.borrow());
                match found {
                    Ok(found) => {
                        let controls: Vec<_> = found.iter().map(|node| &*node.address).collect();
                        tracing::info!(?controls, "the controls have changed");
                        nodes.send_replace(found.into());
                    }
                    Err(error) => tracing::warn!("cannot use new addresses of controls: {error:#}"),
                }
            }
            tokio::select! {
                () = nodes.closed() => return,
                () = sleep(INTERVAL) => {}
                () = self.failed.notified() => sleep(PAUSE).await,
            }
        }
    }

    /// Asks for the addresses of all names. Returns whether any has changed.
    async fn ask(&mut self) -> bool {
        let mut has_changed = false;
        for ((_, target), known) in self.targets.iter().zip(&mut self.known) {
            if !target.is_name() {
                continue;
            }
            let mut found = target.addresses().await;
            found.sort_unstable();
            if !found.is_empty() && found != *known {
                has_changed = true;
                *known = found;
            }
        }
        has_changed
    }
}
