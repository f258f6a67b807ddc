//! `arizuko token edit`: changes the properties that the flags name.

use super::{
    hook::DeliveryArgs,
    options::{ChatOptions, Given, Options, PROPERTIES},
    target::{self, NAMES},
};
use crate::{console::Console, control::Control};
use anyhow::ensure;
use arizuko_proto::v1::{EditTokenRequest, LinkOptions, TokenTarget, token_target::Target};
use clap::{builder::PossibleValuesParser, error::ErrorKind};
use prost_types::FieldMask;

#[derive(clap::Args)]
pub(crate) struct Edit {
    /// A JID, to change every token on it, or the id or URL of one token
    #[arg(value_name = NAMES, value_parser = target::parse)]
    target: Target,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    chat: ChatOptions,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Remove this property, named like its flag; repeatable. Setting an empty text does the same
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(PROPERTIES.map(|(flag, _)| flag)))]
    clear: Vec<String>,
}

impl Edit {
    fn into_request(self) -> anyhow::Result<EditTokenRequest> {
        let mut given = Given::default();
        self.options.give(&mut given);
        self.chat.give(&mut given)?;
        self.delivery.give(&mut given);
        let mut paths = given.paths.clone();
        for (flag, path) in
            PROPERTIES.iter().filter(|(flag, _)| self.clear.iter().any(|c| c == flag))
        {
            if given.paths.contains(path) {
                let why = format!("set the {flag} or clear it, not both\n");
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, why).into());
            }
            paths.push(path);
        }
        if paths.is_empty() {
            let why = "say what to change, for example --title \"Acme support\"\n";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, why).into());
        }
        let paths = paths.into_iter().map(str::to_owned).collect();
        Ok(EditTokenRequest {
            target: Some(TokenTarget { target: Some(self.target) }),
            options: Some(given.options),
            update_mask: Some(FieldMask { paths }),
        })
    }
}

pub(super) async fn run(
    edit: Edit,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    send(edit.into_request()?, "changed", control, json, console).await
}

/// Pauses or resumes tokens.
pub(super) async fn pause(
    target: Target,
    paused: bool,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let request = EditTokenRequest {
        target: Some(TokenTarget { target: Some(target) }),
        options: Some(LinkOptions { paused, ..LinkOptions::default() }),
        update_mask: Some(FieldMask { paths: vec!["paused".to_owned()] }),
    };
    send(request, if paused { "paused" } else { "resumed" }, control, json, console).await
}

/// Makes a change, and says for each token what was `done`.
async fn send(
    request: EditTokenRequest,
    done: &str,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let edited = control.answer(control.tokens().await?.edit_token(request).await)?;
    ensure!(
        !edited.edited.is_empty(),
        "no live token there: see {}",
        console.command("token list")
    );
    if json {
        return console.message(&edited);
    }
    for token in edited.edited {
        console.line(&format!("{done} {}  {}", token.token_id, token.jid))?;
    }
    Ok(())
}
