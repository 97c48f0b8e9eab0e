//! Prints what the tests will skip on this host, and why; `tests/run` shows it before the tests.
#![allow(clippy::print_stdout)]

fn main() {
    for (what, why) in vault_tests::can::ALL {
        if !vault_tests::can::test(what) {
            println!("skipped: {why}");
        }
    }
}
