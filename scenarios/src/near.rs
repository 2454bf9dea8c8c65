//! "Did you mean …?"

/// The name among `known` that `name` was most likely meant to be: at most a third of its letters away, at least one.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let wanted = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= (wanted.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_finds_its_name_and_a_far_one_none() {
        let known = ["fresh", "no-deadlock", "no-data-race", "v1_24"];
        assert_eq!(nearest("frehs", known), Some("fresh"));
        assert_eq!(nearest("no_deadlok", known), Some("no-deadlock"));
        assert_eq!(nearest("V1-24", known), Some("v1_24"));
        assert_eq!(nearest("ordered", known), None);
    }
}
