//! How services start, say that they are ready, and end.

use arizuko_tests::prelude::*;
use nix::sys::signal::Signal;
use std::{fs::File, os::unix::fs::PermissionsExt as _, process::Stdio};
use tokio::net::UnixDatagram;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// A supervisor: the socket on which a service says in which state it is, and the socket's path.
struct Supervisor(UnixDatagram, PathBuf);

impl Supervisor {
    fn new(stack: &Stack, name: &str) -> Self {
        let path = stack.folder().join(format!("{name}.notify"));
        Self(UnixDatagram::bind(&path).expect("the folder is ours"), path)
    }

    async fn is_told(&self, told: &str) {
        let mut message = [0; 100];
        let length = within(told, self.0.recv(&mut message)).await.expect("it is ours");
        assert_eq!(String::from_utf8_lossy(&message[..length]).trim(), told);
    }

    fn was_told_nothing(&self) {
        assert!(self.0.try_recv(&mut [0; 100]).is_err());
    }
}

/// Gets a path of a service over HTTP. Returns the status and the body.
async fn health(address: &str, path: &str) -> (u16, String) {
    let got = reqwest::get(format!("http://{address}/{path}")).await.expect("it is served");
    (got.status().as_u16(), got.text().await.expect("it is text"))
}

fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

#[apply(one_redis)]
async fn services_wait_for_a_store_and_a_control_that_are_away(mut stack: Stack) {
    let url = stack.redis().url();
    stack.redis().kill();
    let (at, metrics) = (free_address(), free_address());
    let [control_told, gateway_told] =
        ["control", "gateway"].map(|name| Supervisor::new(&stack, name));
    let keys = [random_id(), random_id()];
    let mut gateway = stack.program("arizuko-gateway");
    gateway.args(["--listen", "127.0.0.1:0", "--control", &format!("http://{at}")]);
    gateway.env("ARIZUKO_GATEWAY_KEY", &keys[1]).env("NOTIFY_SOCKET", &gateway_told.1);
    let mut gateway = Process::start("gateway-c", gateway, &stack.logs());
    let line = gateway.line().await;
    let page = line.rsplit_once("//").expect("a URL").1.to_owned();
    assert_eq!(health(&page, "readyz").await.0, 503);
    until("the gateway to say so", async || gateway.said().contains("waiting for a control")).await;

    let mut control = stack.program("arizuko-control");
    control.args(["--listen", &at, "--redis", &url, "--metrics-listen", &metrics]);
    control.args(["--public-url", "https://{root}.example"]);
    control.envs([("ARIZUKO_OPERATOR_KEY", &keys[0]), ("ARIZUKO_GATEWAY_KEY", &keys[1])]);
    control.env("NOTIFY_SOCKET", &control_told.1);
    let mut control = Process::start("control-c", control, &stack.logs());
    until("control to say so", async || control.said().contains("waiting for the store")).await;
    assert_eq!(health(&metrics, "healthz").await, (200, "ok\n".to_owned()));
    let (status, why) = health(&metrics, "readyz").await;
    assert!(status == 503 && why.contains("cannot use Redis at"), "{why}");
    control_told.was_told_nothing();
    gateway_told.was_told_nothing();

    stack.redis().restart().await;
    control.line_with("listens on").await;
    control_told.is_told("READY=1").await;
    gateway_told.is_told("READY=1").await;
    assert_eq!(health(&metrics, "readyz").await.0, 200);
    assert_eq!(health(&page, "readyz").await.0, 200);
    for (process, told) in [(&mut gateway, &gateway_told), (&mut control, &control_told)] {
        process.signal(Signal::SIGTERM);
        told.is_told("STOPPING=1").await;
        assert!(process.exit().await.success());
    }
}

#[apply(one_redis)]
async fn a_store_that_refuses_or_is_silent_makes_control_and_gateway_unready(mut stack: Stack) {
    let gateway = stack.gateway(A).replace("http://", "");
    let control = stack.control(A);
    let checked = async || {
        let mut client = HealthClient::new(connect(&control, None).await);
        let checked = client.check(HealthCheckRequest::default()).await;
        checked.expect("it answers without a key").into_inner().status()
    };
    for trouble in ["refuses", "is silent"] {
        assert_eq!(health(&gateway, "readyz").await.0, 200, "before it {trouble}");
        assert_eq!(checked().await, ServingStatus::Serving);
        match trouble {
            "refuses" => {
                drop(stack.redis().ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await)
            }
            _ => stack.redis().freeze(),
        }
        until("the gateway to be unready", async || health(&gateway, "readyz").await.0 == 503)
            .await;
        assert_eq!(checked().await, ServingStatus::NotServing, "it {trouble}");
        assert_eq!(health(&gateway, "healthz").await.0, 200);
        match trouble {
            "refuses" => {
                drop(stack.redis().ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await)
            }
            _ => stack.redis().thaw(),
        }
        until("the gateway to be ready", async || health(&gateway, "readyz").await.0 == 200).await;
    }
}

#[apply(embedded_and_one_redis)]
async fn every_signal_to_end_drains(mut stack: Stack) {
    for signal in [Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGINT] {
        for part in [Gateway(A), Control(A)] {
            let process = stack.process(part);
            process.signal(signal);
            let status = process.exit().await;
            assert!(status.success(), "{signal}: {status}");
            stack.restart(part).await;
        }
    }
}

#[apply(embedded)]
async fn a_program_under_nohup_outlives_its_terminal(stack: Stack) {
    let at = free_address();
    let mut shell = command("sh");
    let gateway = stack.program("arizuko-gateway");
    shell.envs(gateway.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("ARIZUKO_GATEWAY_KEY", random_id());
    let program = gateway.as_std().get_args().last().expect("its path").to_string_lossy();
    let start = format!("trap '' HUP; exec {program} --listen {at}");
    let mut gateway = Process::start(
        "gateway-c",
        {
            shell.args(["-c", &start]);
            shell
        },
        &stack.logs(),
    );
    gateway.line_with("listens on").await;
    gateway.signal(Signal::SIGHUP);
    assert_eq!(health(&at, "healthz").await.0, 200);
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.exit().await.success());
}

#[apply(embedded)]
async fn the_embedded_store_is_one_whole_file_after_a_clean_end_and_says_if_it_is_not(
    mut stack: Stack,
) {
    let posted = stack.visit("acme").await.say("keep this").await;
    let (store, log) =
        (stack.data_dir().join("arizuko.db"), stack.data_dir().join("arizuko.db-wal"));
    let copy = stack.folder().join("copy.db");

    // A copy of a running store's file lacks what is only in the store's log. A control on this
    // copy says so below.
    fs::copy(&store, &copy).expect("it is there");
    let process = stack.process(Control(A));
    process.signal(Signal::SIGTERM);
    assert!(process.exit().await.success());
    let whole = stack.folder().join("whole.db");
    fs::copy(&store, &whole).expect("it is there");
    for other in [&log, &stack.data_dir().join("arizuko.db-shm")] {
        let _ = fs::remove_file(other);
    }
    stack.restart(Control(A)).await;
    let shown = stack.arizuko(&["turn", "show", &posted.turn]).await.expect(0).out;
    assert!(shown.contains("keep this"), "{shown}");

    stack.kill(Control(A));
    let start = async |file: &Path| {
        let data = Folder::new();
        fs::copy(file, data.path().join("arizuko.db")).expect("the folder is ours");
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
        let mut control = stack.program("arizuko-control");
        control.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
        let keys = [random_id(), random_id()];
        control.envs([("ARIZUKO_OPERATOR_KEY", &keys[0]), ("ARIZUKO_GATEWAY_KEY", &keys[1])]);
        run(&mut control, "").await
    };
    for lost in [&copy, &store] {
        let outcome = start(lost).await.expect(1);
        assert!(outcome.err.contains("arizuko.db-wal is lost"), "{outcome:?}");
    }
    // With its log, a store that was killed is whole.
    stack.restart(Control(A)).await;
    stack.arizuko(&["turn", "show", &posted.turn]).await.expect(0);
}

#[apply(embedded)]
async fn up_refuses_a_folder_that_has_lost_its_store(mut stack: Stack) {
    stack.kill(Control(A));
    let store = stack.data_dir().join("arizuko.db");
    let start = async || {
        let mut up = stack.program("arizuko");
        up.args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir"]);
        run(up.arg(stack.data_dir()), "").await.expect(1)
    };
    fs::write(&store, "").expect("it is ours");
    assert!(start().await.err.contains("is lost: put it back"));
    fs::remove_file(&store).expect("it is ours");
    assert!(start().await.err.contains("is lost: put it back"));
}

#[apply(embedded)]
async fn a_full_disk_under_standard_output_ends_nothing(stack: Stack) {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("Linux has it"));
    let folder = Folder::new();
    let (gateway, control) = (free_address(), free_address());
    let mut up = program("arizuko", folder.path());
    up.args(["up", "--no-demo", "--listen", &gateway, "--control-listen", &control]);
    let mut up = up.stdout(full()).stderr(full()).spawn().expect("it starts");
    let serves = async |address: &str| {
        let got = reqwest::get(format!("http://{address}/readyz")).await;
        got.is_ok_and(|got| got.status().is_success())
    };
    until("up to serve", async || serves(&gateway).await).await;
    // Each refusal is a line of the log.
    for _ in 0..10 {
        health(&gateway, "chat/no-such-token/").await;
    }
    assert!(serves(&gateway).await && up.try_wait().expect("it is ours").is_none());

    let public = free_address();
    let mut alone = stack.program("arizuko-gateway");
    alone.args(["--listen", &public, "--control", &stack.control(A)]);
    alone.env("ARIZUKO_GATEWAY_KEY", random_id()).stdout(full()).stderr(full());
    let mut alone = alone.spawn().expect("it starts");
    until("a gateway to serve", async || {
        let got = reqwest::get(format!("http://{public}/healthz")).await;
        got.is_ok_and(|got| got.status().is_success())
    })
    .await;
    assert!(alone.try_wait().expect("it is ours").is_none());
    for process in [&mut up, &mut alone] {
        process.kill().await.expect("it is ours");
    }
}
