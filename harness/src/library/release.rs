//! Which release of the library is installed.

use std::process::{Command, Stdio};

use lockproof_model::protocol::{self, Entry};

use super::PACKAGES;

/// The version of Debian's package of the library's source, as Debian writes it: `1.43.0+ds1-8`. `None` if it is not installed
/// by Debian's packages.
#[must_use]
pub fn installed() -> Option<String> {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Version}", PACKAGES[1]]).stdin(Stdio::null()).output();
    let output = query.ok().filter(|output| output.status.success())?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!version.is_empty()).then_some(version)
}

/// The protocol that is a release: `1.43.0+ds1-8` is `v1_43`. A release without one of its own has none.
#[must_use]
pub fn protocol_of(version: &str) -> Option<Entry> {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    protocol::by_name(&format!("v{major}_{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_the_protocol_of_its_name() {
        let name = |version| protocol_of(version).map(|entry| entry.name);
        assert_eq!(name("1.43.0+ds1-8"), Some("v1_43"));
        assert_eq!(name("1.57.2"), Some("v1_57"));
        assert_eq!((name("1.50.1"), name(""), name("1")), (None, None, None));
    }
}
