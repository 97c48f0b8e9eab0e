//! Chapter 7: secrets as text. With an even first byte the rest is the text; with an odd one the rest says how a good text is disguised.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::keys::Key;
use vault_engine::format::secret;
use vault_fuzz::feed::Feed;
use vault_rescue::slot::{KEY_FILE, RECOVERY, read_text};

const STUFF: [&str; 20] = [
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "-",
    "#",
    "# note\n",
    " # note\n",
    "\n# note\n",
    "\n #note\n",
    "\u{a0}",
    "\u{2028}",
    "\u{85}",
    "\u{feff}",
    "\x0b",
    "\x0c",
    "\0",
    "1",
    "q",
];

fn compare(text: &str) {
    let keys = [secret::read_key_file(text), secret::read_recovery_key(text)];
    for ((engine, part), write) in keys.into_iter().zip([KEY_FILE, RECOVERY]).zip([secret::write_key_file as fn(&Key) -> String, secret::write_recovery_key]) {
        let second = read_text(text.as_bytes(), part);
        if let Some(key) = &engine {
            let again = write(key);
            assert_eq!(read_text(again.as_bytes(), part), Ok(key.0));
        }
        match (engine, second) {
            (Some(key), Ok(other)) => assert_eq!(key.0, other),
            (None, Err(_)) => {}
            (engine, second) => panic!("the engine reads {engine:?}, the second reader {second:?}: {text:?}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode & 1 == 0 {
        if let Ok(text) = std::str::from_utf8(rest) {
            compare(text);
        }
        return;
    }
    let mut feed = Feed(rest);
    let key = Key(feed.array());
    let mut text = if mode & 2 == 0 { secret::write_key_file(&key) } else { secret::write_recovery_key(&key) };
    if mode & 4 != 0 {
        text = text.to_uppercase();
    }
    compare(&text);
    while !feed.0.is_empty() {
        let (place, stuff) = (feed.byte(), STUFF[usize::from(feed.byte()) % STUFF.len()]);
        let mut place = usize::from(place) % (text.len() + 1);
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        text.insert_str(place, stuff);
        if text.len() > 4096 {
            break;
        }
    }
    compare(&text);
});
