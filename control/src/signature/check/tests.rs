//! Tests of signatures. Most are examples that the senders document: a secret, a delivery, and its
//! signature.

use super::*;
use crate::hook_request::Blob;

/// A delivery, and when it came, in seconds since 1970.
struct Delivery<'a> {
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    url: &'a str,
    seconds: u64,
}

const NONE: Delivery<'_> = Delivery { headers: &[], body: "", url: "", seconds: 0 };

fn says(scheme: &Scheme, secrets: &[&str], delivery: &Delivery<'_>) -> Result<(), String> {
    let headers = delivery.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| Header {
            name: (*name).to_owned(),
            value: Blob::new(value.as_bytes()),
        })
        .collect();
    let secrets: Vec<_> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
    let signed = Signed {
        headers: &[&[], &headers],
        body: delivery.body.as_bytes(),
        url: delivery.url,
        method: "POST",
        now: Time::from_millis(delivery.seconds * 1_000),
    };
    verify(scheme, &secrets, &signed)
}

#[test]
fn github() {
    let secret = "It's a Secret to Everybody";
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-hub-signature-256", signature)];
    let delivery = Delivery { headers: &headers, body: "Hello, World!", ..NONE };
    let check =
        |secrets: &[&str], delivery: &Delivery<'_>| says(&Scheme::Github, secrets, delivery);
    assert_eq!(check(&[secret], &delivery), Ok(()));
    assert_eq!(check(&["the new secret", secret], &delivery), Ok(()));
    assert!(check(&["another"], &delivery).unwrap_err().contains("doesn't match"));
    assert!(check(&[secret], &Delivery { body: "Hello, World", ..delivery }).is_err());
    assert!(
        check(&[secret], &Delivery { headers: &[], ..delivery }).unwrap_err().contains("missing")
    );
    for wrong in ["", "sha256=", "757107ea", "sha256=xx", "sha256=7571é7"] {
        let headers = [("x-hub-signature-256", wrong)];
        assert!(check(&[secret], &Delivery { headers: &headers, ..delivery }).is_err(), "{wrong}");
    }
}

#[test]
fn slack() {
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = [("x-slack-request-timestamp", "1531420618"), ("x-slack-signature", signature)];
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
        channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
        command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F\
        T1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
        trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let delivery = Delivery { headers: &headers, body, seconds: 1_531_420_618, ..NONE };
    let check = |delivery: &Delivery<'_>| {
        says(&Scheme::Slack, &["8f742231b10e8888abcd99yyyzzz85a5"], delivery)
    };
    assert_eq!(check(&delivery), Ok(()));
    let later = |seconds| check(&Delivery { seconds: delivery.seconds + seconds, ..delivery });
    assert_eq!(later(300), Ok(()));
    assert!(later(301).unwrap_err().contains("300 s from now"));
}

#[test]
fn standard_webhooks_and_svix() {
    let check =
        |secrets: &[&str], delivery: &Delivery<'_>| says(&Scheme::Standard, secrets, delivery);
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for prefix in ["svix", "webhook"] {
        let [id, time, sign] =
            ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
        let signatures = format!("v1,AAAA v2,{} {signature}", &signature[3..]);
        let headers = [
            (id.as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            (time.as_str(), "1614265330"),
            (sign.as_str(), signatures.as_str()),
        ];
        let body = "{\"test\": 2432232314}";
        let delivery = Delivery { headers: &headers, body, seconds: 1_614_265_331, ..NONE };
        assert_eq!(check(&[secret], &delivery), Ok(()));
        assert_eq!(check(&["whsec_AAAAAAAAAAAA", &secret[6..]], &delivery), Ok(()));
        assert!(check(&["whsec_AAAAAAAAAAAA"], &delivery).is_err());
        assert!(check(&[secret], &Delivery { seconds: 1_614_265_631, ..delivery }).is_err());
        assert!(check(&[secret], &Delivery { headers: &headers[..2], ..delivery }).is_err());
    }
}

#[test]
fn twilio() {
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ];
    let body = "To=%2B18005551212&CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&\
        From=%2B14158675309";
    let delivery = Delivery { headers: &headers, body, url, ..NONE };
    let check = |delivery: &Delivery<'_>| says(&Scheme::Twilio, &["12345"], delivery);
    assert_eq!(check(&delivery), Ok(()));
    assert!(check(&Delivery { body: "To=1", ..delivery }).is_err());
    let with_port = "https://mycompany.com:443/myapp.php?foo=1&bar=2";
    assert_eq!(check(&Delivery { url: with_port, ..delivery }), Ok(()));
    assert!(check(&Delivery { url: "https://mycompany.com/myapp.php", ..delivery }).is_err());
}

#[test]
fn stripe_takes_one_of_several_signatures_for_five_minutes() {
    let parts: [&[u8]; 3] = [b"1492774577", b".", b"{}"];
    let hex =
        |tag: hmac::Tag| tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let good = hex(Algorithm::Sha256.sign(b"whsec_secret", &parts));
    let sent = format!("t=1492774577, v1=00,v1={good},v0=6ffbb59b2300aae63f272406069a9788");
    let headers = [("stripe-signature", sent.as_str())];
    let delivery = Delivery { headers: &headers, body: "{}", seconds: 1_492_774_580, ..NONE };
    let check = |delivery: &Delivery<'_>| says(&Scheme::Stripe, &["whsec_secret"], delivery);
    assert_eq!(check(&delivery), Ok(()));
    assert!(check(&Delivery { body: "{ }", ..delivery }).is_err());
    assert!(check(&Delivery { seconds: 1_492_774_977, ..delivery }).is_err());
    for wrong in ["", "t=1492774577", "v1=00", "t=x,v1=00", "t=,v1="] {
        let headers = [("stripe-signature", wrong)];
        assert!(check(&Delivery { headers: &headers, ..delivery }).is_err(), "{wrong}");
    }
}

#[test]
fn any_hmac_can_be_described() {
    let scheme = HmacScheme {
        algorithm: Algorithm::Sha512,
        encoding: Encoding::Base64,
        signed: "{method}.{url}.{timestamp}.{body}!".to_owned(),
        timestamp_header: Some("x-time".to_owned()),
        window: Duration::from_secs(10),
        ..known("x-sig", "b64=")
    };
    let parts: [&[u8]; 1] = [b"POST.https://a.example/hook/T.1700000000000.hello!"];
    let tag = Algorithm::Sha512.sign(b"the secret", &parts);
    let sent = format!("b64={}", BASE64.encode(tag).trim_end_matches('='));
    let headers = [("x-sig", sent.as_str()), ("x-time", "1700000000000")];
    let url = "https://a.example/hook/T";
    let delivery = Delivery { headers: &headers, body: "hello", url, seconds: 1_700_000_009 };
    let scheme = Scheme::Hmac(scheme);
    let check = |delivery: &Delivery<'_>| says(&scheme, &["the secret"], delivery);
    assert_eq!(check(&delivery), Ok(()));
    assert!(check(&Delivery { seconds: 1_700_000_011, ..delivery }).is_err());
    assert!(check(&Delivery { url: "https://a.example/hook/U", ..delivery }).is_err());
}

/// Signed with `cryptography`, a library for Python.
#[test]
fn discord() {
    let key = "cab32f3df7ce3b5bd71cfddcd414732dbf8b6a55cc5d043cef8fbdc8418eb622";
    let signature = "40fa82f97042bc0be16a22a4a411eef18e83d5ec55de4f038a4b19be411af50fda462d52b7dbd8bb915c1af96227ffda67b87b104c359b3319bacba820871808";
    let headers = [("x-signature-ed25519", signature), ("x-signature-timestamp", "1700000000")];
    let delivery =
        Delivery { headers: &headers, body: "{\"type\":1}", seconds: 1_700_000_000, ..NONE };
    assert_eq!(says(&Scheme::Discord, &[key], &delivery), Ok(()));
    let other = Delivery { body: "{\"type\":2}", ..delivery };
    assert!(says(&Scheme::Discord, &[key], &other).is_err());
    let late = Delivery { seconds: 1_700_000_301, ..delivery };
    assert!(says(&Scheme::Discord, &[key], &late).is_err());
    assert!(says(&Scheme::Discord, &["no key"], &delivery).is_err());
}
