//! Webhooks whose senders sign.

use arizuko_proto::v1::{signature::Scheme, token_service_client::TokenServiceClient};
use arizuko_tests::{http::Answer, prelude::*};
use flate2::{Compression, read::GzEncoder};
use ring::hmac;
use std::io::Read as _;

pub(crate) const SEAL: (&str, &str) =
    ("ARIZUKO_SEAL_KEY", "a key that seals what must stay secret");
const SECRET: &str = "It's a Secret to Everybody";
/// The public key of the private key that `sign.py` makes of `SECRET`.
const DISCORD_KEY: &str = "cab32f3df7ce3b5bd71cfddcd414732dbf8b6a55cc5d043cef8fbdc8418eb622";
/// The HMAC-SHA-256 of `qgg8vlvZRS6UYooatFL8Aw` with `SECRET`, by Python's `hmac`.
const ENCRYPTED_TOKEN: &str = "34695fa238d44562f131448d95b5f5df2e52e07c8793d7f2dc630f6159e5cd5e";

/// Writes secrets to files, and returns the flags that name them.
pub(crate) fn secret_files(stack: &Stack, secrets: &[&str]) -> Vec<String> {
    let file = |secret: &&str| {
        let path = stack.folder().join(format!("secret-{}", random_id()));
        write_secret(&path, secret);
        ["--secret-file".to_owned(), path.display().to_string()]
    };
    secrets.iter().flat_map(file).collect()
}

/// Issues a webhook of `acme` that checks signatures.
async fn issue(stack: &Stack, flags: &[&str], secrets: &[&str]) -> Link {
    let files = secret_files(stack, secrets);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let arguments =
        [&["token", "issue", "acme", "hook", "sender", "--json"], flags, &files].concat();
    let issued = stack.arizuko(&arguments).await.expect(0).out;
    let issued: Value = serde_json::from_str(&issued).expect("it is JSON");
    let text = |name: &str| issued[name].as_str().unwrap_or_default().to_owned();
    Link {
        token: text("token"),
        url: text("url"),
        jid: text("jid"),
        token_id: text("token_id"),
        agent_attached: false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sign(secret: &str, text: &[u8]) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text).as_ref())
}

async fn deliver(
    hook: &Visitor,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = headers.iter().fold(hook.request(Method::POST, ""), |request, (name, value)| {
        request.header(*name, *value)
    });
    send(request.body(body)).await
}

fn seconds_since_1970() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

async fn by_github(hook: &Visitor, secret: &str, body: &str) -> Answer {
    let signature = format!("sha256={}", sign(secret, body.as_bytes()));
    deliver(hook, &[("x-hub-signature-256", &signature)], body.to_owned()).await
}

#[apply(embedded_and_pair)]
async fn deliveries_signed_by_the_senders_own_libraries_are_taken(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[SEAL]).await;
    let (standard, twilio) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "0123456789abcdef01234567");
    let (mut orders, mut expected) = (Vec::new(), String::new());
    for (sender, secret) in [
        ("standard", standard),
        ("stripe", standard),
        ("slack", "8f742231b10e8888abcd99yyyzzz85a5"),
        ("twilio", twilio),
        ("twilio-json", twilio),
        ("github", SECRET),
        ("linear", SECRET),
        ("shopify", SECRET),
        ("discord", SECRET),
        ("zoom", SECRET),
        ("gitlab", SECRET),
    ] {
        let scheme = sender.trim_end_matches("-json");
        let known = if sender == "discord" { DISCORD_KEY } else { secret };
        let link = issue(&stack, &["--verify", scheme], &[known]).await;
        orders.extend([sender.to_owned(), link.url, secret.to_owned()]);
        // GitLab sends its secret, and signs nothing.
        let other_body = if sender == "gitlab" { "202 " } else { "401 SIGNATURE_INVALID" };
        expected += &format!("{sender} 202  {other_body} 401 SIGNATURE_INVALID\n");
    }
    let mut agent = stack.attach("acme", B).await;
    let orders: Vec<_> = orders.iter().map(String::as_str).collect();
    assert_eq!(python("sign.py", &orders).await.expect(0).out, expected);
    for _ in 0..12 {
        let headers = agent.offered().await.headers;
        let names: Vec<_> = headers.iter().map(|header| header.name.as_str()).collect();
        assert!(names.contains(&"user-agent") && !names.contains(&"x-gitlab-token"), "{names:?}");
    }
}

#[apply(embedded)]
async fn zoom_learns_that_the_receiver_has_its_secret_and_strangers_do_not(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    // During a rotation, the secret that has signed the question signs the answer.
    let link = issue(&stack, &["--verify", "zoom"], &["another secret", SECRET]).await;
    let mut agent = stack.attach("acme", B).await;
    let zoom = stack.caller(&link, A);
    let body = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
    let now = seconds_since_1970().to_string();
    let by = |secret| format!("v0={}", sign(secret, format!("v0:{now}:{body}").as_bytes()));
    let ask = async |signature: &str| {
        let headers = [("x-zm-request-timestamp", now.as_str()), ("x-zm-signature", signature)];
        deliver(&zoom, &headers, body).await
    };
    let told = ask(&by(SECRET)).await.expect(200).json();
    assert_eq!(told["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(told["encryptedToken"], ENCRYPTED_TOKEN);
    ask(&by("a stranger's secret")).await.refused(401, "SIGNATURE_INVALID");
    let delivery = format!("v0:{now}:{{}}");
    let signature = format!("v0={}", sign(SECRET, delivery.as_bytes()));
    let headers = [("x-zm-request-timestamp", now.as_str()), ("x-zm-signature", &signature)];
    deliver(&zoom, &headers, "{}").await.expect(202);
    assert_eq!(agent.offered().await.content, "{}", "the handshake makes no turn");
}

#[apply(embedded_and_pair)]
async fn a_delivery_that_is_not_signed_makes_no_turn_and_is_counted(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL, SERVED]).await;
    let link = issue(&stack, &["--verify", "github"], &[SECRET]).await;
    let mut agent = stack.attach("acme", B).await;
    for gateway in BOTH {
        let hook = stack.caller(&link, gateway);
        let refused = deliver(&hook, &[], "{}").await.refused(401, "SIGNATURE_INVALID");
        let told = refused.json()["detail"].to_string();
        assert!(told.contains("x-hub-signature-256 is missing"), "{told}");
        let refused = by_github(&hook, "another secret", "{}").await;
        let told = refused.refused(401, "SIGNATURE_INVALID").json()["detail"].to_string();
        assert!(told.contains("doesn't match"), "{told}");
    }
    let counted = ["reason=\"SIGNATURE_INVALID\""];
    let counted = stack.metric("arizuko_gateway_refusals_total", &counted).await;
    assert!(counted >= 4.0, "{counted}");
    let posted = by_github(&stack.caller(&link, A), SECRET, "{}").await.posted();
    assert_eq!(agent.offered().await.turn_id, posted.turn, "the first turn is of what was signed");
    // A delivery with an id of its own must be signed, too.
    let named = [("x-github-delivery", "1")];
    deliver(&stack.caller(&link, B), &named, "{}").await.refused(401, "SIGNATURE_INVALID");
}

#[apply(embedded)]
async fn a_compressed_body_is_signed_as_it_was_sent(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let hook = stack.caller(&issue(&stack, &["--verify", "github"], &[SECRET]).await, A);
    let mut encoded = Vec::new();
    let mut encoder = GzEncoder::new(&b"{}"[..], Compression::best());
    encoder.read_to_end(&mut encoded).expect("memory can be read");
    for (signed, status) in [(&encoded[..], 202), (b"{}", 401)] {
        let signature = format!("sha256={}", sign(SECRET, signed));
        let headers = [("content-encoding", "gzip"), ("x-hub-signature-256", &signature)];
        deliver(&hook, &headers, encoded.clone()).await.expect(status);
    }
}

#[apply(embedded_and_pair)]
async fn secrets_change_without_a_lost_delivery(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let link = issue(&stack, &["--verify", "github"], &[SECRET]).await;
    let set = async |secrets: &[&str]| {
        let files = secret_files(&stack, secrets);
        let files: Vec<_> = files.iter().map(String::as_str).collect();
        stack.arizuko(&[&["token", "secrets", &link.token_id], &files[..]].concat()).await
    };
    let taken = async |gateway: Instance| {
        let hook = stack.caller(&link, gateway);
        let old = by_github(&hook, SECRET, "old").await.status.as_u16();
        (old, by_github(&hook, "the new secret", "new").await.status.as_u16())
    };
    assert_eq!(taken(A).await, (202, 401));
    set(&["the new secret", SECRET]).await.expect(0);
    assert_eq!(taken(B).await, (202, 202));
    set(&["the new secret"]).await.expect(0);
    assert_eq!((taken(A).await, taken(B).await), ((401, 202), (401, 202)));
    let told = set(&["one more secret", "and another", "and a third"]).await.expect(1).err;
    assert!(told.contains("1 or 2 secrets"), "{told}");
    let other = stack.issue_hook("acme", "open", "").await;
    let files = secret_files(&stack, &[SECRET]);
    let set = ["token", "secrets", &other.token_id, &files[0], &files[1]];
    let told = stack.arizuko(&set).await.expect(1).err;
    assert!(told.contains("there is no such webhook that checks signatures"), "{told}");
}

#[apply(one_redis)]
async fn a_senders_secret_is_sealed_at_rest_and_shown_to_nobody(kind: Kind) {
    let mut stack = Stack::with(kind, &[SEAL]).await;
    let link = issue(&stack, &["--verify", "github"], &[SECRET]).await;
    let listed = stack.arizuko(&["token", "list", "--json"]).await.expect(0).out;
    assert!(listed.contains("SIGNATURE_SENDER_GITHUB") && !listed.contains(SECRET), "{listed}");
    let redis = stack.redis();
    let names = redis.ask(&["--scan"]).await;
    let names = String::from_utf8(names).expect("names are text");
    let mut is_there = false;
    for name in names.lines().filter(|name| name.contains(&link.token_id)) {
        let record = redis.ask(&["get", name]).await;
        let record = String::from_utf8_lossy(&record).into_owned();
        is_there |= record.contains("sealed_secrets");
        assert!(!record.contains(SECRET), "{name}: {record}");
    }
    assert!(is_there, "the token's record is among {names}");
}

#[apply(embedded)]
async fn without_the_key_that_seals_nothing_is_issued(stack: Stack) {
    let files = secret_files(&stack, &[SECRET]);
    let arguments =
        ["token", "issue", "acme", "hook", "x", "--verify", "github", &files[0], &files[1]];
    let told = stack.arizuko(&arguments).await.expect(1).err;
    assert!(told.contains("--seal-key-file"), "{told}");
    stack.arizuko(&arguments[..7]).await.expect(2);
    let hmac = ["token", "issue", "acme", "hook", "x", "--verify", "hmac", &files[0], &files[1]];
    let told = stack.arizuko(&hmac).await.expect(2).err;
    assert!(told.contains("--hmac-header"), "{told}");
}

#[apply(embedded)]
async fn any_hmac_can_be_described(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let flags = [
        &["--verify", "hmac", "--hmac-header", "X-Sig", "--hmac-prefix", "v1="][..],
        &["--hmac-signed", "{timestamp}:{method}:{body}", "--hmac-timestamp-header", "X-Time"],
        &["--hmac-window", "10m"],
    ];
    let hook = stack.caller(&issue(&stack, &flags.concat(), &[SECRET]).await, A);
    let now = seconds_since_1970();
    for (time, status) in [(now, 202), (now - 300, 202), (now - 900, 401), (now + 900, 401)] {
        let signature = format!("v1={}", sign(SECRET, format!("{time}:POST:hello").as_bytes()));
        let headers = [("x-sig", &*signature), ("x-time", &time.to_string())];
        deliver(&hook, &headers, "hello").await.expect(status);
    }
    let wrong = ["--verify", "hmac", "--hmac-header", "X-Sig", "--hmac-signed", "{nothing}"];
    let files = secret_files(&stack, &[SECRET]);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let arguments = [&["token", "issue", "acme", "hook", "x"], &wrong[..], &files].concat();
    let told = stack.arizuko(&arguments).await.expect(1).err;
    assert!(told.contains("{body}"), "{told}");
}

/// In a later version an unknown number may stand for something stricter than the default.
#[apply(embedded)]
async fn an_unknown_scheme_is_refused_and_not_taken_for_the_default(kind: Kind) {
    let stack = Stack::with(kind, &[SEAL]).await;
    let mut tokens = TokenServiceClient::new(stack.operator(A).await);
    let hmac = |algorithm, encoding| {
        let header = "X-Sig".to_owned();
        Scheme::Hmac(v1::HmacScheme { header, algorithm, encoding, ..v1::HmacScheme::default() })
    };
    for (number, scheme) in [hmac(99, 0), hmac(0, 99), Scheme::Sender(99)].into_iter().enumerate() {
        let secrets = vec![SECRET.to_owned()];
        let signature = Some(v1::Signature { secrets, scheme: Some(scheme) });
        let request = v1::IssueWebhookRequest {
            folder: "acme".to_owned(),
            source: format!("source-{number}"),
            options: Some(LinkOptions {
                hook: Some(v1::HookOptions { signature, ..v1::HookOptions::default() }),
                ..LinkOptions::default()
            }),
            ..v1::IssueWebhookRequest::default()
        };
        let refused = tokens.issue_webhook(request).await.expect_err("it is unknown");
        assert_eq!(reason(&refused), ErrorReason::Invalid);
        assert!(refused.message().contains("99"), "{refused:?}");
    }
}
