//! A number for a text, the same on every machine and in every release: names of files and choices depend on it.

/// FNV-1a, 64 bits (Fowler, Noll, Vo: <https://www.rfc-editor.org/rfc/rfc9923>).
pub(crate) fn of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn it_is_fnv_1a() {
        assert_eq!(of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of("foobar"), 0x85944171f73967e8);
    }
}
