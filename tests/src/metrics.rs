//! A stack's metrics, read directly or by a Prometheus.

use crate::{
    Stack, process::Process, process::command, stack::free_port, tools::found, until, within,
};
use serde_json::Value;
use std::{fs, path::Path};

/// The setting that makes each part of a stack serve its metrics.
pub const SERVED: (&str, &str) = ("ARIZUKO_METRICS_LISTEN", "127.0.0.1:0");

impl Stack {
    /// Returns the URLs of the metrics of all parts.
    pub fn metrics(&self) -> Vec<String> {
        let logs = fs::read_dir(self.logs()).expect("the stack's folder is readable");
        let logs = logs.map(|log| fs::read_to_string(log.expect("its entries, too").path()));
        let logs: Vec<_> = logs.map(|log| log.expect("they are text")).collect();
        let lines = logs.iter().flat_map(|log| log.lines());
        let told = lines.filter(|line| line.contains("serving metrics"));
        told.filter_map(|line| line.split('"').find(|word| word.starts_with("http://")))
            .map(str::to_owned)
            .collect()
    }

    /// Reads the metrics of all parts.
    pub async fn metrics_pages(&self) -> String {
        let mut pages = String::new();
        for url in self.metrics() {
            let page = within(&url, self.web.get(&url).send()).await;
            let page = page.and_then(reqwest::Response::error_for_status);
            pages += &page.expect("it is served").text().await.expect("it is text");
        }
        pages
    }

    /// Returns the sum of a metric over all parts and over all series that have each of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let pages = self.metrics_pages().await;
        let lines = pages.lines().filter_map(|line| line.rsplit_once(' '));
        let of_it = lines.filter(|(series, _)| series.split('{').next() == Some(name));
        let of_it = of_it.filter(|(series, _)| labels.iter().all(|label| series.contains(label)));
        of_it.map(|(_, value)| value.parse::<f64>().expect("a number")).sum()
    }

    /// Returns how often all parts together have allocated memory.
    pub async fn allocations(&self) -> u64 {
        let mut all = 0;
        for url in self.metrics() {
            let url = url.replace("/metrics", "/allocations");
            let count = within(&url, self.web.get(&url).send()).await;
            let count = count.and_then(reqwest::Response::error_for_status);
            let count = count.expect("it is served").text().await.expect("it is text");
            all += count.parse::<u64>().expect("a number");
        }
        all
    }

    /// Waits until the sum that [`Self::metric`] returns is `value`.
    pub async fn metric_becomes(&self, name: &str, labels: &[&str], value: f64) {
        let what = format!("{name}{labels:?} to be {value}");
        until(what, async || self.metric(name, labels).await == value).await;
    }
}

/// A Prometheus that scrapes a stack and evaluates the alerts in `deploy`.
pub struct Prometheus {
    url: String,
    web: reqwest::Client,
    _process: Process,
}

impl Prometheus {
    /// Starts Prometheus and waits until it is ready.
    pub async fn start(stack: &Stack) -> Self {
        let targets = stack.metrics();
        let targets = targets
            .iter()
            .map(|url| url.trim_start_matches("http://").trim_end_matches("/metrics"));
        let targets: Vec<_> = targets.collect();
        let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts.yml");
        let config = serde_json::json!({
            "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [alerts],
            "scrape_configs": [{"job_name": "arizuko", "static_configs": [{"targets": targets}]}],
        });
        let folder = stack.folder().join("prometheus");
        fs::create_dir(&folder).expect("the folder is new");
        let file = folder.join("prometheus.yml");
        // JSON is YAML.
        fs::write(&file, config.to_string()).expect("the folder is ours");
        let address = format!("127.0.0.1:{}", free_port());
        let mut prometheus = command(found("prometheus"));
        prometheus
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.display()))
            .arg(format!("--web.listen-address={address}"));
        let prometheus = Self {
            url: format!("http://{address}"),
            web: stack.web.clone(),
            _process: Process::start("prometheus", prometheus, &stack.logs()),
        };
        let ready = format!("{}/-/ready", prometheus.url);
        until("Prometheus to be ready", async || {
            prometheus.web.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        prometheus
    }

    /// Calls Prometheus's API and returns the data of the answer.
    pub async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url =
            reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), parameters);
        let answer = within(path, self.web.get(url.expect("a URL")).send()).await;
        let answer = answer.expect("it answers").text().await.expect("text");
        let answer: Value = serde_json::from_str(&answer).expect("its API speaks JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// Waits until a query's first result has this value.
    pub async fn query_becomes(&self, query: &str, value: &str) {
        until(format!("{query} to be {value}"), async || {
            let data = self.ask("query", &[("query", query)]).await;
            data["result"][0]["value"][1] == value
        })
        .await;
    }
}
