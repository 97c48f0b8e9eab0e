//! placeholder
#[cfg(test)]
pub fn as_nobody(_: &str, _: &std::path::Path) -> bool {
    true
}
