//! Rust source as text, for the rules that `tidy` checks: comments and strings blanked out, unit tests cut off.

/// Blanks out comments and the insides of strings and characters; every line and column stays where it was.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let (blank_from, end) = match bytes[i] {
            b'/' if bytes[i..].starts_with(b"//") => (i, line_end(bytes, i)),
            b'/' if bytes[i..].starts_with(b"/*") => (i, comment_end(bytes, i)),
            b'"' => (i + 1, string_end(bytes, i + 1)),
            b'r' if !word_before(bytes, i) || bytes[i - 1] == b'b' => match raw_string(bytes, i) {
                Some((start, end)) => (start, end),
                None => (i + 1, i + 1),
            },
            b'\'' => match character_end(bytes, i) {
                Some(end) => (i + 1, end),
                None => (i + 1, i + 1),
            },
            _ => (i + 1, i + 1),
        };
        for byte in &mut out[blank_from..end.max(blank_from)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i = end.max(i + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn word_before(bytes: &[u8], i: usize) -> bool {
    i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_')
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| from + length)
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

/// The end of a string's inside, the closing quote not included in what is blanked but passed over by the caller's next step.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut i = from;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

fn raw_string(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let start = at + 1 + hashes;
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let inside = &bytes[start + 1..];
    let length = inside.windows(closing.len()).position(|window| window == closing).unwrap_or(inside.len());
    Some((start + 1, (start + 1 + length + closing.len()).min(bytes.len())))
}

/// The end of a character literal, or `None` for a lifetime.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        return bytes[at + 3..].iter().position(|byte| *byte == b'\'').map(|length| at + 3 + length + 1);
    }
    let width = match bytes.get(at + 1)? {
        0..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 2 + width)
}

/// `code` without its unit tests: the bodies of items under `#[cfg(test)]` are blanked.
pub fn production(text: &str) -> String {
    let mut code = code(text);
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(&code, start);
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
        from = start;
    }
    code
}

/// The end of the item that starts at `start`: its closing brace, or the semicolon if that comes first.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (offset, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + offset + 1,
            _ => continue,
        }
        if depth == 0 {
            return start + offset + 1;
        }
    }
    code.len()
}

/// Every place (line number from 1, following text) where `word` stands as a whole word.
pub fn places<'a>(code: &'a str, word: &str) -> Vec<(usize, &'a str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (at, _) in line.match_indices(word) {
            let before = line[..at].chars().next_back().is_some_and(is_word);
            let after = line[at + word.len()..].chars().next().is_some_and(is_word);
            let ends_in_word = word.chars().next_back().is_some_and(is_word);
            let starts_with_word = word.chars().next().is_some_and(is_word);
            if !(before && starts_with_word || after && ends_in_word) {
                found.push((number + 1, &line[at + word.len()..]));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_code_stays() {
        let text = "let a = \"x.unwrap()\"; // dbg!\n/* todo! /* in */ */ b('\"', 'a, \"\\\"\") r#\"un\"wrap\"# c<'a>('\\'', '\\u{41}') d";
        let seen = code(text);
        for gone in ["unwrap", "dbg", "todo", "wrap", "41"] {
            assert!(!seen.contains(gone), "{gone} in {seen}");
        }
        assert!(seen.starts_with("let a = \"") && seen.contains(" b('") && seen.contains(" c<'a>(") && seen.ends_with(" d"), "{seen}");
        assert_eq!(seen.len(), text.len());
    }

    #[test]
    fn unit_tests_are_cut_off_and_nothing_else() {
        let text = "fn a() { x }\n#[cfg(test)]\nuse z;\nfn b() {}\n#[cfg(test)]\nmod tests { fn c() { y } }\nfn d() {}";
        let seen = production(text);
        assert!(seen.contains("fn a") && seen.contains("fn b") && seen.contains("fn d"), "{seen}");
        assert!(!seen.contains('z') && !seen.contains("fn c"), "{seen}");
        assert_eq!(seen.lines().count(), text.lines().count());
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(places("rayon::x crayon::y rayons::z", "rayon").len(), 1);
        assert_eq!(places("a\nprintln!()", "println!"), [(2, "()")]);
        assert!(places("eprintln!()", "println!").is_empty());
    }
}
