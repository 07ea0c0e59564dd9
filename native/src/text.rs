//! Texts that leave the pinner: each within a budget of bytes, with invisible characters escaped.

use std::fmt::{self, Display, Write as _};

use crate::limits::{LIST, QUOTE};

/// `text` with invisible characters escaped, cut to at most `budget` bytes when percent-encoded.
#[must_use]
pub fn fit(text: &str, budget: usize) -> String {
    // The fast path for most texts: percent-encoded, each byte takes at most three.
    if text.len() * 3 <= budget && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return text.to_owned();
    }
    let mut fitted = String::with_capacity(text.len().min(budget));
    let (mut cost, mut cut) = (0, 0);
    for character in text.chars() {
        let before = fitted.len();
        // Quotes and backslashes stay as they are.
        if character.is_ascii_graphic() || character == ' ' {
            fitted.push(character);
        } else {
            fitted.extend(character.escape_debug());
        }
        if cost + encoded('…') <= budget {
            cut = before;
        }
        cost += fitted[before..].chars().map(encoded).sum::<usize>();
        if cost > budget {
            fitted.truncate(cut);
            fitted.push('…');
            break;
        }
    }
    fitted
}

/// Bytes of a character in a percent-encoded `grpc-message`.
fn encoded(character: char) -> usize {
    let plain = character.is_ascii_graphic() && !"\"#%<>`?{}".contains(character);
    if plain { 1 } else { 3 * character.len_utf8() }
}

/// A value of a request as errors quote it: cut to [`QUOTE`] bytes.
#[derive(Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().find(|(start, character)| start + character.len_utf8() > QUOTE) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}… ({} bytes)", &self.0[..end], self.0.len()),
        }
    }
}

/// The items separated by commas, as many as fit [`LIST`], and how many more there are.
#[must_use]
pub fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let (mut text, mut more) = (String::new(), 0_usize);
    for item in items {
        let item = fit(&item.to_string(), LIST);
        if more > 0 || text.len() + item.len() > LIST {
            more += 1;
            continue;
        }
        if !text.is_empty() {
            text += ", ";
        }
        text += &item;
    }
    if more > 0 {
        let _ = write!(text, " … and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Status;
    use tonic::codegen::http;

    use super::*;
    use crate::limits::STATUS;

    #[test]
    fn what_fits_stays_as_it_is() {
        for text in ["", "no map \"flows\" at /sys/fs/bpf/a\\b", "Zähler"] {
            assert_eq!(fit(text, STATUS), text);
        }
        assert_eq!(fit("abc", 3), "abc");
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit(&"x".repeat(50), 19), format!("{}…", "x".repeat(10)));
        assert_eq!(fit(&"é".repeat(50), 21), "éé…");
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(fit("a\u{200b}b\nc\u{202e}\u{1b}[1m", STATUS), "a\\u{200b}b\\nc\\u{202e}\\u{1b}[1m");
    }

    #[test]
    fn a_long_list_is_cut_between_items() {
        assert_eq!(list(["a", "b"]), "a, b");
        assert_eq!(list(Vec::<String>::new()), "");
        let long = list((0..1000).map(|n| format!("workspace-{n}")));
        assert!(long.starts_with("workspace-0, workspace-1, ") && long.len() < LIST + 100, "{long}");
        assert!(long.ends_with(" … and 963 more"), "{long}");
        assert!(list(["x".repeat(4096)]).len() <= LIST);
    }

    #[test]
    fn a_long_value_is_quoted_in_part() {
        assert_eq!(Quoted("a\"b").to_string(), "\"a\\\"b\"");
        let long = Quoted(&"é".repeat(200)).to_string();
        assert_eq!(long, format!("{:?}… (400 bytes)", "é".repeat(128)));
    }

    proptest! {
        #[test]
        fn a_status_of_any_text_has_its_budget(text in "\\PC{0,900}|.{0,900}|[ \"%]{0,900}", budget in 16..STATUS) {
            let fitted = fit(&text, budget);
            let response = Status::internal(&*fitted).into_http::<()>();
            let sent = response.headers().get("grpc-message").map_or(0, http::HeaderValue::len);
            prop_assert!(sent <= budget, "{sent} of {budget}");
            prop_assert_eq!(&fit(&fitted, STATUS), &fitted, "nothing is escaped twice");
        }
    }
}
