//! Numbers with units, as people write them: `30s`, `512M`, `20_000_000`.

use std::time::Duration;

/// A whole number, with `_` or `,` between its digits where that helps.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.replace(['_', ','], "")
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "a whole number above 0, such as 20_000_000, is wanted here".into())
}

/// The number in front of a unit, and the unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok().filter(|number| *number > 0)?, unit))
}

/// A time.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let millis = |number: u64, each: u64| number.checked_mul(each).map(Duration::from_millis);
    let parsed = split(text).and_then(|(number, unit)| match unit {
        "ms" => millis(number, 1),
        "s" => millis(number, 1000),
        "m" | "min" => millis(number, 60_000),
        "h" => millis(number, 3_600_000),
        _ => None,
    });
    parsed.ok_or_else(|| "a time is wanted here, such as 500ms, 30s, 5m, 1h".into())
}

/// A size in bytes; units are powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let parsed = split(text).and_then(|(number, unit)| {
        let power = match unit {
            "B" => 0,
            "K" | "KiB" => 1,
            "M" | "MiB" => 2,
            "G" | "GiB" => 3,
            _ => return None,
        };
        number.checked_mul(1024_u64.pow(power))
    });
    parsed.ok_or_else(|| "a size is wanted here, such as 512M, 2G".into())
}

/// Three digits and a unit.
pub(crate) fn time(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_that_fits() {
        let shown = [17, 1_700, 1_700_000, 1_700_000_000].map(|nanoseconds| time(Duration::from_nanos(nanoseconds)));
        assert_eq!(shown, ["17 ns", "1.7 µs", "1.7 ms", "1.7 s"]);
    }

    #[test]
    fn times_sizes_and_counts_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(count("20_000_000"), Ok(20_000_000));
    }

    #[test]
    fn what_has_no_unit_or_another_one_is_refused() {
        for text in ["30", "s", "", "-3s", "0s", "3 days", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["512", "1T", "99999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["0", "many", "-1"] {
            assert!(count(text).is_err(), "{text}");
        }
    }
}
