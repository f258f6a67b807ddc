//! Converts a link's looks.

use crate::{
    looks::{Logo, Looks, Theme},
    refusal::Refusal,
};
use arizuko_proto::v1;

/// Returns the looks without the logo itself; `None` if all of them are the defaults.
pub(in crate::grpc) fn looks(looks: Looks) -> Option<v1::LinkLooks> {
    let is_default = looks.is_default();
    let logo_type = looks.logo.map_or("", |logo| logo.picture.media_type()).to_owned();
    let Looks { accent, theme, starters, placeholder, language, .. } = looks;
    let theme = match theme {
        None => v1::Theme::Unspecified,
        Some(Theme::Light) => v1::Theme::Light,
        Some(Theme::Dark) => v1::Theme::Dark,
    };
    let looks = v1::LinkLooks {
        theme: theme.into(),
        logo: Default::default(),
        accent,
        starters,
        placeholder,
        language,
        legal_url: looks.legal_url,
        presence: looks.presence,
        logo_type,
        hours: looks.hours,
        away: looks.away,
    };
    (!is_default).then_some(looks)
}

/// Parses a link's looks, and its logo.
///
/// # Errors
/// [`Refusal::Invalid`] for an unknown theme, or a logo that is not a picture or too large.
pub(in crate::grpc) fn parse(looks: v1::LinkLooks) -> Result<(Looks, Option<Logo>), Refusal> {
    let theme = match v1::Theme::try_from(looks.theme) {
        Ok(v1::Theme::Unspecified) => None,
        Ok(v1::Theme::Light) => Some(Theme::Light),
        Ok(v1::Theme::Dark) => Some(Theme::Dark),
        Err(_) => return Err(Refusal::invalid("a theme is light or dark, or unset")),
    };
    let logo = (!looks.logo.is_empty()).then(|| Logo::parse(&looks.logo)).transpose()?;
    let v1::LinkLooks { accent, starters, placeholder, language, .. } = looks;
    let looks = Looks {
        logo: logo.as_ref().map(|logo| logo.info),
        theme,
        accent,
        starters,
        placeholder,
        language,
        legal_url: looks.legal_url,
        presence: looks.presence,
        hours: looks.hours,
        away: looks.away,
    };
    Ok((looks, logo))
}
