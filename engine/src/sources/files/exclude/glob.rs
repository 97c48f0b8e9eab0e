//! One component of an exclude pattern: Go's `filepath.Match`, which is what restic's patterns mean, over raw bytes.
//!
//! `*` any run, `?` one character, `[abc]`, `[a-z]`, `[^a]` one character of (not of) a class, `\c` the character itself. A character is a
//! UTF-8 sequence where the name is UTF-8 and a byte where it is not, so that names in any encoding can be matched and never break anything.

/// One component, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glob {
    /// Exactly these bytes.
    Literal(Vec<u8>),
    /// `*` and then exactly these bytes: the commonest wildcard (`*.tmp`), without the walk through tokens.
    Suffix(Vec<u8>),
    /// Everything else.
    Tokens {
        /// Step by step.
        tokens: Vec<Token>,
        /// The tokens are in lower case, and names are to be.
        ignore_case: bool,
    },
}

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// `*`
    Run,
    /// `?`
    Any,
    /// A character that stands for itself.
    One(u32),
    /// `[…]`
    Class {
        /// It began with `^`.
        negated: bool,
        /// First and last character of each range, both in it.
        ranges: Vec<(u32, u32)>,
    },
}

impl Glob {
    /// Reads one component (no `/` in it). The error says what is wrong.
    pub fn parse(text: &[u8], ignore_case: bool) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((character, after)) = next_character(rest, ignore_case) {
            rest = after;
            match u8::try_from(character) {
                Ok(b'*') => {
                    if tokens.last() != Some(&Token::Run) {
                        tokens.push(Token::Run);
                    }
                }
                Ok(b'?') => tokens.push(Token::Any),
                Ok(b'[') => tokens.push(class(&mut rest, ignore_case)?),
                Ok(b'\\') => {
                    let (escaped, after) = next_character(rest, ignore_case).ok_or("a `\\` with nothing after it")?;
                    rest = after;
                    tokens.push(Token::One(escaped));
                }
                _ => tokens.push(Token::One(character)),
            }
        }
        if !ignore_case {
            // Without `\` the bytes of plain characters are those of the pattern.
            let plain = |tokens: &[Token]| tokens.iter().all(|token| matches!(token, Token::One(_)));
            let escaped = text.contains(&b'\\');
            if plain(&tokens) && !escaped {
                return Ok(Self::Literal(text.to_vec()));
            }
            if !escaped && text.first() == Some(&b'*') && text.get(1) != Some(&b'*') && plain(&tokens[1..]) {
                return Ok(Self::Suffix(text[1..].to_vec()));
            }
        }
        Ok(Self::Tokens { tokens, ignore_case })
    }

    /// Whether all of `name` matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => literal == name,
            Self::Suffix(suffix) => name.ends_with(suffix),
            Self::Tokens { tokens, ignore_case } => matches_tokens(tokens, name, *ignore_case),
        }
    }
}

/// The rest of a class, its `[` already taken from `rest`.
fn class(rest: &mut &[u8], ignore_case: bool) -> Result<Token, &'static str> {
    const OPEN: &str = "a `[` without its `]`";
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            *rest = &rest[1..];
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_character(rest, ignore_case)?;
        let mut high = low;
        if rest.first() == Some(&b'-') {
            *rest = &rest[1..];
            high = class_character(rest, ignore_case)?;
        }
        if rest.is_empty() {
            return Err(OPEN);
        }
        ranges.push((low, high));
    }
}

/// One bound within a class: `-` and `]` stand for themselves only behind a `\`.
fn class_character(rest: &mut &[u8], ignore_case: bool) -> Result<u32, &'static str> {
    if rest.first() == Some(&b'\\') {
        *rest = &rest[1..];
    } else if matches!(rest.first(), Some(b'-' | b']')) {
        return Err("a `-` or `]` in a class needs a `\\` before it");
    }
    let (character, after) = next_character(rest, ignore_case).ok_or("a `[` without its `]`")?;
    *rest = after;
    Ok(character)
}

/// Matches with one remembered `*` to come back to: no recursion, at worst pattern × name steps.
fn matches_tokens(tokens: &[Token], name: &[u8], ignore_case: bool) -> bool {
    let (mut place, mut rest) = (0, name);
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        let step = match tokens.get(place) {
            None => rest.is_empty().then_some(rest),
            Some(Token::Run) => {
                retry = Some((place + 1, rest));
                Some(rest)
            }
            Some(token) => next_character(rest, ignore_case).and_then(|(character, after)| token.takes(character).then_some(after)),
        };
        match (step, &mut retry) {
            (Some(_), _) if place == tokens.len() => return true,
            (Some(after), _) => {
                rest = after;
                place += 1;
            }
            (None, Some((behind, from))) if !from.is_empty() => {
                *from = &from[1..];
                (place, rest) = (*behind, from);
            }
            (None, _) => return false,
        }
    }
}

impl Token {
    /// Whether this token, which is not `*`, takes `character`.
    fn takes(&self, character: u32) -> bool {
        match self {
            Self::Run | Self::Any => true,
            Self::One(one) => *one == character,
            Self::Class { negated, ranges } => ranges.iter().any(|&(low, high)| (low..=high).contains(&character)) != *negated,
        }
    }
}

/// The first character and what follows it; a byte that begins no UTF-8 sequence is a character of its own, above all of Unicode.
fn next_character(bytes: &[u8], ignore_case: bool) -> Option<(u32, &[u8])> {
    let &first = bytes.first()?;
    let length = match first {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    };
    let decoded = bytes.get(..length).and_then(|sequence| std::str::from_utf8(sequence).ok()).and_then(|text| text.chars().next());
    Some(match decoded {
        Some(character) => (u32::from(if ignore_case { folded(character) } else { character }), &bytes[length..]),
        None => (0x11_0000 + u32::from(first), &bytes[1..]),
    })
}

/// The lower-case form where it is a single character.
fn folded(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::parse(pattern.as_bytes(), false).unwrap().matches(name.as_bytes())
    }

    /// From the table of Go's `path/filepath` tests.
    #[test]
    fn as_in_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a[^a][^a][^a]b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[x\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[\\-x]", "a", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "a[", "[", "[a", "[a-", "[a-b-c]", "a\\", "[^", "[^]a]"] {
            assert!(Glob::parse(bad.as_bytes(), false).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8() {
        let any = Glob::parse(b"a?c", false).unwrap();
        assert!(any.matches(b"a\xffc") && any.matches("aäc".as_bytes()) && !any.matches(b"a\xff\xffc"));
        assert!(Glob::parse(b"[\xfe\xff]", false).unwrap().matches(b"\xff"));
        assert!(Glob::parse(b"*\xff", false).unwrap().matches(b"\xfe\xff"));
    }

    #[test]
    fn without_case() {
        let glob = Glob::parse("*.TÄ[A-C]".as_bytes(), true).unwrap();
        assert!(glob.matches("x.täb".as_bytes()) && glob.matches("X.TÄC".as_bytes()) && !glob.matches(b"x.td"));
    }

    /// The obvious definition, exponential and short.
    fn naive(tokens: &[Token], name: &[u8], ignore_case: bool) -> bool {
        match tokens.split_first() {
            None => name.is_empty(),
            Some((Token::Run, rest)) => (0..=name.len()).any(|skip| naive(rest, &name[skip..], ignore_case)),
            Some((token, rest)) => {
                next_character(name, ignore_case).is_some_and(|(character, after)| token.takes(character) && naive(rest, after, ignore_case))
            }
        }
    }

    /// Tokens alone, without the short cuts for literals and suffixes.
    fn tokens_of(text: &[u8], ignore_case: bool) -> Vec<Token> {
        match Glob::parse(text, ignore_case).unwrap() {
            Glob::Tokens { tokens, .. } => tokens,
            Glob::Literal(bytes) => Glob::parse_plain(&bytes, false),
            Glob::Suffix(bytes) => Glob::parse_plain(&bytes, true),
        }
    }

    impl Glob {
        fn parse_plain(bytes: &[u8], run: bool) -> Vec<Token> {
            let mut tokens: Vec<Token> = run.then_some(Token::Run).into_iter().collect();
            let mut rest = bytes;
            while let Some((character, after)) = next_character(rest, false) {
                tokens.push(Token::One(character));
                rest = after;
            }
            tokens
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_definition(
            pattern in "([abAä*?]|\\[[abä]\\]|\\[\\^a-b\\]|\\\\\\*){0,7}",
            name in proptest::collection::vec(prop_oneof![Just("a".as_bytes()), Just("b".as_bytes()), Just("A".as_bytes()), Just("ä".as_bytes()), Just("*".as_bytes()), Just(&b"\xff"[..])], 0..8),
            ignore_case: bool,
        ) {
            let name = name.concat();
            let glob = Glob::parse(pattern.as_bytes(), ignore_case).unwrap();
            prop_assert_eq!(glob.matches(&name), naive(&tokens_of(pattern.as_bytes(), ignore_case), &name, ignore_case));
        }

        #[test]
        fn nothing_panics(pattern in proptest::collection::vec(any::<u8>(), 0..12), name in proptest::collection::vec(any::<u8>(), 0..12), ignore_case: bool) {
            if let Ok(glob) = Glob::parse(&pattern, ignore_case) {
                glob.matches(&name);
            }
        }
    }
}
