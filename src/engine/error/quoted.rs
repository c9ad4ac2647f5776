//! Names of an image within sentences.

use core::fmt::{self, Write};

/// A name in quotation marks, on one line: control characters and those that change the direction of text are escaped.
///
/// The standard library's `{:?}` does so too, but its tables of all printable characters take 4 KB of a small module.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if is_escaped(c) {
                c.escape_default().try_for_each(|each| f.write_char(each))?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_char('"')
    }
}

fn is_escaped(c: char) -> bool {
    let invisible =
        ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}', '\u{feff}'..='\u{feff}'];
    matches!(c, '"' | '\\') || c.is_control() || invisible.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::Quoted;

    #[test]
    fn a_name_stays_on_one_line_and_in_one_direction() {
        assert_eq!(Quoted("büro 東京.img").to_string(), "\"büro 東京.img\"");
        assert_eq!(Quoted("a\"b\\c\n\u{7f}").to_string(), "\"a\\\"b\\\\c\\n\\u{7f}\"");
        assert_eq!(Quoted("\u{202e}gmi\u{feff}").to_string(), "\"\\u{202e}gmi\\u{feff}\"");
    }
}
