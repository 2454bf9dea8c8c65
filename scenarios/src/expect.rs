//! `[expect]`: which verdict each property should have, of which protocols.

use std::ops::Range;

use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;

use crate::decode::{Item, Mistakes, Table};
use crate::scenario::Expectation;

const VERDICTS: [&str; 5] = ["proved", "violated", "bounded", "sampled", "cut"];
/// Stands for the protocols that a property does not name.
const OTHERS: &str = "others";

/// Reads the table `expect` of a scenario with these properties, of which `protocols` can be expected something.
pub(crate) fn read(
    item: &Item<'_>,
    properties: &[Property],
    protocols: &[Entry],
    only: Option<&[String]>,
    mistakes: &mut Mistakes,
) -> Vec<Expectation> {
    let Some(table) = item.open_table("`expect`", mistakes) else { return Vec::new() };
    let mistakes_before = mistakes.0.len();
    for (key, _) in table.entries().filter(|(key, _)| !properties.iter().any(|property| property.name() == key.value)) {
        if protocols.iter().any(|entry| entry.name == key.value) {
            let what = format!("`expect` holds properties, and `{}` is a protocol", key.value);
            let help = format!("for each property: `{} = {{ proved = [\"{}\"] }}`", properties[0], key.value);
            mistakes.add(&key.span, what, "here", help);
        } else {
            mistakes.unknown(&key.span, "property", key.value, properties.iter().map(|property| property.name()));
        }
    }
    let reader = Reader { protocols, only, spot: &table.span };
    let mut expectations = Vec::new();
    for &property in properties {
        reader.property(&table, property, &mut expectations, mistakes);
    }
    if mistakes.0.len() == mistakes_before {
        reader.gaps(properties, &expectations, mistakes); // what a mistake leaves out is no gap
    }
    expectations.into_iter().map(|said| said.expectation).collect()
}

/// What is expected, and where the protocol is named; it is not where it is one of the others.
struct Said {
    expectation: Expectation,
    named: Option<Range<usize>>,
}

struct Reader<'a> {
    protocols: &'a [Entry],
    /// The protocols that the scenario is for; `None`: all.
    only: Option<&'a [String]>,
    /// The place of the whole table.
    spot: &'a Range<usize>,
}

impl Reader<'_> {
    fn is_for(&self, protocol: &str) -> bool {
        self.only.is_none_or(|only| only.iter().any(|name| name == protocol))
    }

    /// One verdict for all protocols, or a table of verdicts.
    fn property(&self, table: &Table<'_>, property: Property, expectations: &mut Vec<Said>, mistakes: &mut Mistakes) {
        let Some(item) = table.optional(property.name()) else {
            let help = format!("add `{property} = \"…\"`: {}", VERDICTS.join(", "));
            mistakes.add(self.spot, format!("no verdict is expected for `{property}`"), "missing here", help);
            return;
        };
        let mut said: Vec<Said> = Vec::new();
        let mut others: Option<&str> = None;
        if let Some(verdict) = item.as_text() {
            if VERDICTS.contains(&verdict.value) {
                others = Some(verdict.value);
            } else {
                mistakes.unknown(&verdict.span, "verdict", verdict.value, VERDICTS);
            }
        } else if let Some(verdicts) = item.table("an expectation", &VERDICTS, mistakes) {
            for verdict in VERDICTS {
                let Some(of) = verdicts.optional(verdict) else { continue };
                match of.as_text() {
                    Some(text) if text.value == OTHERS && others.is_none() => others = Some(verdict),
                    Some(text) if text.value == OTHERS => {
                        mistakes.add(&text.span, "two verdicts for the others", "again", None);
                    }
                    Some(text) => {
                        let help =
                            format!("an array of protocols, or \"{OTHERS}\": those that `{property}` does not name");
                        mistakes.add(&text.span, format!("`{verdict}` of what?"), "here", help);
                    }
                    None => self.protocols(&of, property, verdict, &mut said, mistakes),
                }
            }
        }
        if let Some(verdict) = others {
            for entry in self.protocols.iter().filter(|entry| self.is_for(entry.name)) {
                if !said.iter().any(|other| other.expectation.protocol == entry.name) {
                    let expectation = Expectation { protocol: entry.name.into(), property, verdict: verdict.into() };
                    said.push(Said { expectation, named: None });
                }
            }
        }
        expectations.append(&mut said);
    }

    /// The protocols of which `verdict` is expected.
    fn protocols(
        &self,
        item: &Item<'_>,
        property: Property,
        verdict: &str,
        said: &mut Vec<Said>,
        mistakes: &mut Mistakes,
    ) {
        for name in item.texts(mistakes).unwrap_or_default() {
            let protocol = name.value;
            if !self.protocols.iter().any(|entry| entry.name == protocol) {
                mistakes.unknown(&name.span, "protocol", protocol, self.protocols.iter().map(|entry| entry.name));
                continue;
            }
            if !self.is_for(protocol) {
                let message = format!("`{protocol}` is not among the scenario's `protocols`");
                mistakes.add(&name.span, message, "expected of a protocol that is not checked", None);
            }
            if said.iter().any(|other| other.expectation.protocol == protocol) {
                let message = format!("`{protocol}` has two verdicts for `{property}`");
                mistakes.add(&name.span, message, "this is the second", None);
            }
            let expectation = Expectation { protocol: protocol.into(), property, verdict: verdict.into() };
            said.push(Said { expectation, named: Some(name.span) });
        }
    }

    /// A protocol that one property names needs a verdict for each.
    fn gaps(&self, properties: &[Property], expectations: &[Said], mistakes: &mut Mistakes) {
        for entry in self.protocols {
            let of = || expectations.iter().filter(|said| said.expectation.protocol == entry.name);
            let Some(named) = of().find_map(|said| said.named.as_ref()) else { continue };
            for property in properties {
                if !of().any(|said| said.expectation.property == *property) {
                    let message = format!("no verdict is expected of `{}` for `{property}`", entry.name);
                    let help = format!("name it there too, or give a verdict to \"{OTHERS}\"");
                    mistakes.add(named, message, "but here one is", help);
                }
            }
        }
    }
}
