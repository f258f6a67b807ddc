//! `arizuko token show`: everything about a token except its secret.

use crate::{
    console::{Console, word},
    control::Control,
    table::Spare,
    time,
};
use anyhow::ensure;
use arizuko_proto::v1::{
    HookFilter, HookOptions, LinkLimits, LinkLooks, LinkOptions, ListTokensRequest, Rate, Theme,
    Token, TokenTarget, hook_filter::Field, hook_options::Dedupe, signature::Scheme,
    token_target::Target,
};

pub(super) async fn run(
    target: Target,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let target = Some(TokenTarget { target: Some(target) });
    let request = ListTokensRequest { target, ..ListTokensRequest::default() };
    let listed = super::list(control, request).await?;
    ensure!(
        !listed.tokens.is_empty(),
        "no live token there: see {}",
        console.command("token list")
    );
    if json {
        return console.message(&listed);
    }
    for (number, token) in listed.tokens.into_iter().enumerate() {
        if number > 0 {
            console.line("")?;
        }
        console.table(["PROPERTY", "VALUE"], rows(token), Spare::default())?;
    }
    Ok(())
}

/// Returns those properties of a token that are set, named like their flags.
fn rows(token: Token) -> Vec<[String; 2]> {
    let expires = match token.expires_at {
        None => "never".to_owned(),
        at => time::brief(at),
    };
    let LinkOptions {
        name,
        greeting,
        context,
        allowed_origins,
        limits,
        hook,
        looks,
        paused,
        visitor_keys,
        ..
    } = token.options.unwrap_or_default();
    let mut rows = vec![
        ("token", token.token_id),
        ("jid", token.jid),
        ("folder", token.folder),
        ("issued", time::brief(token.created_at)),
        ("by", token.created_by),
        ("expires", expires),
        ("paused", if paused { "yes".to_owned() } else { String::new() }),
        ("name", name),
        ("greeting", greeting),
        ("context", context),
    ];
    rows.extend(allowed_origins.into_iter().map(|origin| ("origin", origin)));
    rows.extend(visitor_keys.into_iter().map(|algorithm| ("visitor-key", algorithm)));
    rows.extend(limits.map(limit_rows).into_iter().flatten());
    rows.extend(hook.map(hook_rows).into_iter().flatten());
    rows.extend(looks.map(look_rows).into_iter().flatten());
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    rows.map(|(property, value)| [property.to_owned(), value]).collect()
}

fn limit_rows(limits: LinkLimits) -> Vec<(&'static str, String)> {
    let count = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    vec![
        ("rate", limits.rate.map(print_rate).unwrap_or_default()),
        ("burst", count(limits.burst.into())),
        ("max-open-turns", count(limits.max_open_turns.into())),
        ("proof-of-work", word(limits.proof_of_work().as_str_name())),
        ("max-turns-per-day", count(limits.turns_per_day.into())),
        ("max-visitor-turns-per-day", count(limits.visitor_turns_per_day.into())),
        ("budget-tokens", count(limits.tokens_per_day)),
    ]
}

fn print_rate(Rate { count, per }: Rate) -> String {
    let per = per.unwrap_or_default();
    match per.seconds {
        1 => format!("{count}/s"),
        60 => format!("{count}/m"),
        3_600 => format!("{count}/h"),
        _ => format!("{count} in {}", time::print(per)),
    }
}

fn hook_rows(hook: HookOptions) -> Vec<(&'static str, String)> {
    let dedupe = match hook.dedupe {
        None => String::new(),
        Some(Dedupe::DedupeHeader(name)) => format!("by the header {name}"),
        Some(Dedupe::DedupeBody(_)) => "body".to_owned(),
    };
    let verify = match hook.signature.and_then(|signature| signature.scheme) {
        None => String::new(),
        Some(Scheme::Hmac(hmac)) => format!("hmac in the header {}", hmac.header),
        Some(Scheme::Sender(sender)) => {
            let sender = arizuko_proto::v1::SignatureSender::try_from(sender).unwrap_or_default();
            word(sender.as_str_name())
        }
    };
    let wait = hook.wait.map(time::print).unwrap_or_default();
    let mut rows = vec![("dedupe", dedupe), ("verify", verify), ("wait", wait)];
    rows.extend(hook.only.into_iter().map(|HookFilter { field, values }| {
        let (flag, field) = match field.unwrap_or_else(|| Field::Header(String::new())) {
            Field::Header(name) => ("only", name),
            Field::JsonPointer(pointer) => ("only-json", pointer),
        };
        (flag, format!("{field}={}", values.join(",")))
    }));
    rows
}

fn look_rows(looks: LinkLooks) -> Vec<(&'static str, String)> {
    let theme = match looks.theme() {
        Theme::Unspecified => String::new(),
        theme => word(theme.as_str_name()),
    };
    let starters = looks.starters.into_iter().map(|starter| ("ask", starter));
    let mut rows = vec![("logo", looks.logo_type), ("accent", looks.accent), ("theme", theme)];
    rows.extend(starters);
    rows.extend([
        ("placeholder", looks.placeholder),
        ("lang", looks.language),
        ("legal-url", looks.legal_url),
        ("presence", looks.presence),
        ("hours", looks.hours),
        ("away", looks.away),
    ]);
    rows
}
