//! The colours that follow from a link's accent. Whatever the accent is, text in them can be read.

use std::fmt;

/// The least contrast of text, with some room above the 4.5 of WCAG 2, because links stand on
/// tinted backgrounds.
const TEXT_CONTRAST: f64 = 5.0;
/// The least contrast of what only has to be seen, as in WCAG 2.
const SEEN_CONTRAST: f64 = 3.0;
/// The least chroma, in OKLab, of a colour that nobody takes for grey.
const COLOURFUL: f64 = 0.1;
/// How many steps lead from a colour to white or black.
const STEPS: u32 = 100;

const WHITE: Colour = Colour([255; 3]);
const BLACK: Colour = Colour([0; 3]);

/// An sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Colour([u8; 3]);

/// The page's backgrounds in one theme, as in page.css, and how much of the accent is in a slip
/// (the background of a visitor's message).
struct Theme {
    paper: Colour,
    sheet: Colour,
    slip_share: f64,
    /// What the accent is moved towards until it can be read.
    towards: Colour,
}

const LIGHT: Theme =
    Theme { paper: Colour([0xfa, 0xf9, 0xf6]), sheet: WHITE, slip_share: 0.11, towards: BLACK };
const DARK: Theme = Theme {
    paper: Colour([0x17, 0x16, 0x14]),
    sheet: Colour([0x20, 0x1e, 0x1c]),
    slip_share: 0.14,
    towards: WHITE,
};

/// The colours of one theme.
#[derive(Clone, Copy, Debug)]
struct Palette {
    /// Links, and the marks of focus.
    accent: Colour,
    /// The button that sends, and what is written on it.
    fill: Colour,
    on_fill: Colour,
    /// The background of the visitor's messages.
    slip: Colour,
}

impl Colour {
    /// Parses `#rrggbb`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        let [_, rgb @ ..] = number.to_be_bytes();
        Some(Self(rgb))
    }

    fn linear(self) -> [f64; 3] {
        self.0.map(|byte| match f64::from(byte) / 255.0 {
            low if low <= 0.040_45 => low / 12.92,
            value => ((value + 0.055) / 1.055).powf(2.4),
        })
    }

    /// The relative luminance of WCAG 2.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.linear();
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance() + 0.05, other.luminance() + 0.05);
        (one / two).max(two / one)
    }

    /// How far the colour is from grey, in OKLab.
    fn chroma(self) -> f64 {
        let [red, green, blue] = self.linear();
        let long = (0.412_2 * red + 0.536_3 * green + 0.051_5 * blue).cbrt();
        let medium = (0.211_9 * red + 0.680_7 * green + 0.107_4 * blue).cbrt();
        let short = (0.088_3 * red + 0.281_7 * green + 0.630_0 * blue).cbrt();
        let a = 1.978 * long - 2.4286 * medium + 0.4506 * short;
        let b = 0.0259 * long + 0.7828 * medium - 0.8087 * short;
        a.hypot(b)
    }

    /// Mixes this colour with a share of another.
    fn mixed(self, other: Self, share: f64) -> Self {
        let [from, to] = [self.0, other.0];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let mix = |i: usize| {
            let (from, to) = (f64::from(from[i]), f64::from(to[i]));
            (from + (to - from) * share).round() as u8
        };
        Self([mix(0), mix(1), mix(2)])
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Theme {
    /// Returns the colours for this accent, which is changed only as far as contrast needs.
    fn palette(&self, accent: Colour) -> Palette {
        let slip = |accent| self.sheet.mixed(accent, self.slip_share);
        let is_readable = |accent: &Colour| {
            let grounds = [self.paper, self.sheet, slip(*accent)];
            grounds.iter().all(|ground| accent.contrast(*ground) >= TEXT_CONTRAST)
        };
        let steps = (0..=STEPS).map(|step| f64::from(step) / f64::from(STEPS));
        let readable = steps
            .map(|share| accent.mixed(self.towards, share))
            .find(is_readable)
            .unwrap_or(self.towards);
        // On white, a strong colour such as yellow stands out even with low contrast; a pale one
        // doesn't. On a dark sheet, only contrast makes a button stand out.
        let is_seen = accent.contrast(self.sheet) >= SEEN_CONTRAST
            || (self.sheet == WHITE && accent.chroma() >= COLOURFUL);
        let fill = if is_seen { accent } else { readable };
        let is_white_better = fill.contrast(WHITE) >= TEXT_CONTRAST.min(fill.contrast(BLACK));
        let on_fill = if is_white_better { WHITE } else { BLACK };
        Palette { accent: readable, fill, on_fill, slip: slip(readable) }
    }
}

/// Returns the style that sets the colours for both themes.
pub(super) fn style(accent: Colour) -> String {
    let (light, dark) = (LIGHT.palette(accent), DARK.palette(accent));
    let both = |name, colour: fn(Palette) -> Colour| {
        format!("--{name}:light-dark({},{})", colour(light), colour(dark))
    };
    let colours = [
        both("accent", |palette| palette.accent),
        both("fill", |palette| palette.fill),
        both("on-fill", |palette| palette.on_fill),
        both("slip", |palette| palette.slip),
    ];
    // A printed page is black and white.
    format!("@media not print{{:root{{{}}}}}", colours.join(";"))
}

/// Returns the colour of the icon.
pub(super) fn icon(accent: Colour) -> Colour {
    LIGHT.palette(accent).fill
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_read_in_whatever_colours_follow_from_an_accent() {
        let levels = (0..=255_u8).step_by(15);
        for red in levels.clone() {
            for green in levels.clone() {
                for blue in levels.clone() {
                    let accent = Colour([red, green, blue]);
                    for theme in [LIGHT, DARK] {
                        let Palette { accent: text, fill, on_fill, slip } = theme.palette(accent);
                        for ground in [theme.paper, theme.sheet, slip] {
                            assert!(text.contrast(ground) >= 4.5, "{accent}: {text} on {ground}");
                        }
                        assert!(on_fill.contrast(fill) >= 4.5, "{accent}: {on_fill} on {fill}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_accent_that_can_be_read_stays_as_it_is() {
        let accent = Colour::parse("#17614f").unwrap();
        assert_eq!(LIGHT.palette(accent).accent, accent);
        assert_eq!(LIGHT.palette(accent).fill, accent);
        let yellow = Colour::parse("#ffff00").unwrap();
        assert_eq!(LIGHT.palette(yellow).fill, yellow);
        assert_eq!(DARK.palette(yellow).accent, yellow);
        assert_ne!(LIGHT.palette(WHITE).fill, WHITE);
        assert_ne!(DARK.palette(BLACK).fill, BLACK);
    }

    #[test]
    fn only_six_digits_are_a_colour() {
        for text in ["#fff", "17614f", "#17614g", "#1761é", "#+7614f "] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
        assert_eq!(Colour::parse("#00FF7f").unwrap().to_string(), "#00ff7f");
    }
}
