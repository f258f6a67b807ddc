//! The flags that describe a token, for `issue` and `edit`.

use crate::time;
use anyhow::{Context as _, ensure};
use arizuko_proto::v1::{LinkOptions, ProofOfWork, Rate, Theme};
use clap::ValueEnum;
use std::{fs, path::PathBuf};

/// The largest logo that control takes, in bytes.
const MAX_LOGO_BYTES: usize = 64 << 10;

/// The properties of a token, by the flag that sets them and by their path in the contract.
pub(super) const PROPERTIES: [(&str, &str); 25] = [
    ("name", "name"),
    ("greeting", "greeting"),
    ("context", "context"),
    ("origin", "allowed_origins"),
    ("expires", "lifetime"),
    ("rate", "limits.rate"),
    ("burst", "limits.burst"),
    ("max-open-turns", "limits.max_open_turns"),
    ("proof-of-work", "limits.proof_of_work"),
    ("max-turns-per-day", "limits.turns_per_day"),
    ("max-visitor-turns-per-day", "limits.visitor_turns_per_day"),
    ("budget-tokens", "limits.tokens_per_day"),
    ("dedupe", "hook.dedupe"),
    ("wait", "hook.wait"),
    ("only", "hook.only"),
    ("accent", "looks.accent"),
    ("theme", "looks.theme"),
    ("ask", "looks.starters"),
    ("placeholder", "looks.placeholder"),
    ("lang", "looks.language"),
    ("legal-url", "looks.legal_url"),
    ("presence", "looks.presence"),
    ("hours", "looks.hours"),
    ("away", "looks.away"),
    ("logo", "looks.logo"),
];

/// The properties of a chat link or a webhook.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Name, for lists and as the title of a chat page
    #[arg(long, visible_alias = "title")]
    name: Option<String>,
    /// Text that the agent gets with every message and visitors never see; the `--context` that
    /// names a system goes before the command
    #[arg(long)]
    context: Option<String>,
    /// How many messages each visitor of a chat link may send, or a webhook takes in all: N/s, N/m
    /// or N/h, for example 20/m
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,
    /// How many messages may come in one burst [default: the number in --rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    burst: Option<u32>,
    /// How many messages of each visitor, or of a webhook, may be waiting for the end of their
    /// reply
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_open_turns: Option<u32>,
    /// Site whose pages may call the link and embed a chat, for example https://acme.com;
    /// repeatable
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// How many messages to take in a day of UTC, from all visitors together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_turns_per_day: Option<u32>,
    /// How many model tokens the replies to a day's messages may use together, as agents report
    /// them, for example 1M/day
    #[arg(long, value_name = "N", value_parser = tokens)]
    budget_tokens: Option<u64>,
    /// End the token after this long, for example 30d or 12h
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    expires: Option<prost_types::Duration>,
}

/// The properties of a chat link only.
#[derive(clap::Args)]
pub(crate) struct ChatOptions {
    /// First lines of the page, in Markdown
    #[arg(long)]
    greeting: Option<String>,
    /// Take a message only after about a second of work by the visitor's browser: always (on), or
    /// while the link is near its limits (auto). Needs JavaScript and HTTPS [default: off]
    #[arg(long, value_name = "WHEN", value_enum)]
    proof_of_work: Option<Proof>,
    /// How many messages to take from one visitor in a day of UTC
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_visitor_turns_per_day: Option<u32>,
    /// Picture above the title, and the page's icon: PNG, JPEG, WebP or SVG, at most 64 KiB
    #[arg(long, value_name = "FILE", help_heading = "Looks")]
    logo_file: Option<PathBuf>,
    /// Colour of links and buttons, for example '#2563eb'
    #[arg(long, value_name = "#RRGGBB", help_heading = "Looks")]
    accent: Option<String>,
    /// Whether the page is light or dark [default: auto, as the visitor's system is]
    #[arg(long, help_heading = "Looks")]
    theme: Option<ThemeChoice>,
    /// First message that the visitor sends by one press, for example "Where is my order?";
    /// repeatable
    #[arg(long, value_name = "TEXT", help_heading = "Looks")]
    ask: Vec<String>,
    /// Text in the empty field for a message [default: Write a message]
    #[arg(long, value_name = "TEXT", help_heading = "Looks")]
    placeholder: Option<String>,
    /// Language of your texts and of the page, for example de or pt-BR
    #[arg(long, value_name = "TAG", help_heading = "Looks")]
    lang: Option<String>,
    /// Page with legal information, https://…
    #[arg(long, value_name = "URL", help_heading = "Looks")]
    legal_url: Option<String>,
    /// When to expect an answer, for example "Usually replies in a minute"
    #[arg(long, value_name = "TEXT", help_heading = "Looks")]
    presence: Option<String>,
    /// Times in which to expect an answer, for example "Mo-Fr 9-12, 13-17 Europe/Berlin"
    #[arg(long, value_name = "HOURS", help_heading = "Looks")]
    hours: Option<String>,
    /// What to say at other times, for example "We're back tomorrow at 9."
    #[arg(long, value_name = "TEXT", help_heading = "Looks")]
    away: Option<String>,
}

/// When a chat link asks for a proof of work.
#[derive(Clone, Copy, ValueEnum)]
enum Proof {
    Off,
    On,
    Auto,
}

impl From<Proof> for ProofOfWork {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::Off => Self::Unspecified,
            Proof::On => Self::On,
            Proof::Auto => Self::Auto,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ThemeChoice {
    Light,
    Dark,
    Auto,
}

/// The options that flags set, and the paths of those that were given.
#[derive(Default)]
pub(super) struct Given {
    pub(super) options: LinkOptions,
    pub(super) paths: Vec<&'static str>,
}

impl Given {
    /// Sets the property with this path, if its flag was given.
    pub(super) fn set<T>(
        &mut self,
        path: &'static str,
        value: Option<T>,
        set: impl FnOnce(&mut LinkOptions, T),
    ) {
        if let Some(value) = value {
            set(&mut self.options, value);
            self.paths.push(path);
        }
    }
}

impl Options {
    pub(super) fn give(self, given: &mut Given) {
        given.set("name", self.name, |options, name| options.name = name);
        given.set("context", self.context, |options, context| options.context = context);
        given.set("limits.rate", self.rate, |options, rate| {
            options.limits.get_or_insert_default().rate = Some(rate);
        });
        given.set("limits.burst", self.burst, |options, burst| {
            options.limits.get_or_insert_default().burst = burst;
        });
        given.set("limits.max_open_turns", self.max_open_turns, |options, turns| {
            options.limits.get_or_insert_default().max_open_turns = turns;
        });
        given.set("allowed_origins", list(self.origin), |options, origins| {
            options.allowed_origins = origins;
        });
        given.set("limits.turns_per_day", self.max_turns_per_day, |options, turns| {
            options.limits.get_or_insert_default().turns_per_day = turns;
        });
        given.set("limits.tokens_per_day", self.budget_tokens, |options, tokens| {
            options.limits.get_or_insert_default().tokens_per_day = tokens;
        });
        given.set("lifetime", self.expires, |options, expires| options.lifetime = Some(expires));
    }
}

impl ChatOptions {
    pub(super) fn give(self, given: &mut Given) -> anyhow::Result<()> {
        given.set("greeting", self.greeting, |options, greeting| options.greeting = greeting);
        given.set("limits.proof_of_work", self.proof_of_work, |options, proof| {
            options.limits.get_or_insert_default().proof_of_work = ProofOfWork::from(proof).into();
        });
        given.set(
            "limits.visitor_turns_per_day",
            self.max_visitor_turns_per_day,
            |options, turns| {
                options.limits.get_or_insert_default().visitor_turns_per_day = turns;
            },
        );
        let logo = self.logo_file.map(read_logo).transpose()?;
        given.set("looks.logo", logo, |options, logo| {
            options.looks.get_or_insert_default().logo = logo.into();
        });
        given.set("looks.accent", self.accent, |options, accent| {
            options.looks.get_or_insert_default().accent = accent;
        });
        given.set("looks.theme", self.theme, |options, theme| {
            options.looks.get_or_insert_default().theme = Theme::from(theme).into();
        });
        given.set("looks.starters", list(self.ask), |options, starters| {
            options.looks.get_or_insert_default().starters = starters;
        });
        given.set("looks.placeholder", self.placeholder, |options, placeholder| {
            options.looks.get_or_insert_default().placeholder = placeholder;
        });
        given.set("looks.language", self.lang, |options, language| {
            options.looks.get_or_insert_default().language = language;
        });
        given.set("looks.legal_url", self.legal_url, |options, url| {
            options.looks.get_or_insert_default().legal_url = url;
        });
        given.set("looks.presence", self.presence, |options, presence| {
            options.looks.get_or_insert_default().presence = presence;
        });
        given.set("looks.hours", self.hours, |options, hours| {
            options.looks.get_or_insert_default().hours = hours;
        });
        given.set("looks.away", self.away, |options, away| {
            options.looks.get_or_insert_default().away = away;
        });
        Ok(())
    }
}

/// Returns the values of a repeatable flag, if it was given. A single empty value is an empty list.
fn list(values: Vec<String>) -> Option<Vec<String>> {
    let is_given = !values.is_empty();
    is_given.then(|| if values == [""] { Vec::new() } else { values })
}

fn read_logo(file: PathBuf) -> anyhow::Result<Vec<u8>> {
    let logo = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(!logo.is_empty(), "{} is empty", file.display());
    let (most, bytes) = (MAX_LOGO_BYTES / 1024, logo.len());
    ensure!(
        bytes <= MAX_LOGO_BYTES,
        "{} has {bytes} bytes, but a logo may have at most {most} KiB: make it smaller",
        file.display()
    );
    Ok(logo)
}

impl From<ThemeChoice> for Theme {
    fn from(choice: ThemeChoice) -> Self {
        match choice {
            ThemeChoice::Light => Self::Light,
            ThemeChoice::Dark => Self::Dark,
            ThemeChoice::Auto => Self::Unspecified,
        }
    }
}

/// Parses a number of tokens a day, such as 500, 20k or 1M/day.
fn tokens(text: &str) -> Result<u64, String> {
    let wrong = || "a budget looks like 1M/day: up to 1000G tokens a day".to_owned();
    let count = text.strip_suffix("/day").unwrap_or(text);
    let (digits, factor) = match count.char_indices().last().ok_or_else(wrong)? {
        (at, 'k' | 'K') => (&count[..at], 1_000),
        (at, 'M') => (&count[..at], 1_000_000),
        (at, 'G') => (&count[..at], 1_000_000_000),
        _ => (count, 1),
    };
    let tokens = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(factor));
    tokens.filter(|tokens| (1..=1_000_000_000_000).contains(tokens)).ok_or_else(wrong)
}

/// Parses a rate: a number of messages a second, a minute or an hour.
fn rate(text: &str) -> Result<Rate, String> {
    let wrong =
        || "a rate looks like 20/m: messages a second (s), minute (m) or hour (h)".to_owned();
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let count = count.parse().map_err(|_| wrong())?;
    if !(1..=1_000 * seconds).contains(&count) {
        return Err("a rate is at least 1 message and at most 1000 a second".to_owned());
    }
    let per = prost_types::Duration { seconds: seconds.into(), nanos: 0 };
    Ok(Rate { count, per: Some(per) })
}
