//! `arizuko token qr`: a link as a picture for the cameras of phones. Control is not asked.

use super::target;
use anyhow::Context as _;
use qrcode::{
    QrCode,
    render::{svg, unicode::Dense1x2},
};

/// Checks that a text is the URL of a link.
pub(super) fn url(text: &str) -> Result<String, String> {
    let is_url = !text.starts_with("tok_") && target::id(text).is_ok();
    is_url.then(|| text.to_owned()).ok_or_else(|| {
        "give the link's URL, https://…: nobody can make it from an id, which gives no access"
            .to_owned()
    })
}

/// Returns the code of a URL as a picture, or as lines for a terminal. The background of the
/// terminal may be dark or light, since the code has its own margin.
pub(super) fn print(url: &str, as_svg: bool) -> anyhow::Result<String> {
    let code = QrCode::new(url).context("the URL is too long for a QR code")?;
    let picture = if as_svg {
        code.render::<svg::Color<'_>>().build()
    } else {
        // Light modules are drawn, so that they are light in a terminal with a dark background.
        code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()
    };
    Ok(picture + "\n")
}
