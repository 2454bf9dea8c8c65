//! What people see when a scenario file has a mistake.

use std::path::Path;

use lockproof_model::protocol::{self, Entry};
use lockproof_scenarios::{Refused, ScenarioError, load, parse};
use miette::{GraphicalReportHandler, GraphicalTheme};

const GOOD: &str = r#"name = "example"
title = "An example"
cites = ["D14"]
properties = ["fresh", "no-deadlock"]

[store]
layers = [{ id = "base", names = ["foo"] }, { id = "top", parent = "base" }]

[[process]]
name = "reader"
count = 2
[[process.thread]]
calls = ["diff base", "exists top", "close-diff base"]

[[process]]
name = "writer"
[[process.thread]]
calls = ["put-layer new parent=base names=x,y diff=true"]
repeat = 3

[expect]
fresh = { proved = ["v1_24"], violated = ["pr_473"] }
no-deadlock = { violated = ["v1_24"], proved = "others" }
"#;

fn refuse(text: &str) -> Refused {
    parse("example.toml", text, &protocol::all()).expect_err("a mistake")
}

/// `GOOD` with `from` replaced, which must be there once.
fn edit(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    GOOD.replace(from, to)
}

fn rendered(refused: &Refused) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut text, refused)
        .expect("a string takes everything");
    text
}

/// The one line for the one mistake.
fn line(from: &str, to: &str) -> String {
    let refused = refuse(&edit(from, to));
    assert_eq!(refused.mistakes.len(), 1, "{:?}", refused.mistakes);
    refused.lines().next().expect("one line")
}

#[test]
fn the_example_has_no_mistake() {
    parse("example.toml", GOOD, &protocol::all()).expect("a scenario");
}

#[test]
fn a_mistyped_key_is_shown_in_its_place() {
    insta::assert_snapshot!(rendered(&refuse(&edit("count = 2", "cuont = 2"))));
}

#[test]
fn a_mistyped_call_is_shown_to_the_word() {
    insta::assert_snapshot!(rendered(&refuse(&edit("\"exists top\"", "\"exist top\""))));
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let text = edit("\"no-deadlock\"]", "\"no-deadlok\"]")
        .replace("count = 2", "count = \"two\"")
        .replace("parent=base names", "parnet=base names")
        .replace("violated = [\"v1_24\"]", "violated = [\"v1_25\"]");
    insta::assert_snapshot!(rendered(&refuse(&text)));
}

#[test]
fn a_file_that_is_no_toml_is_shown_in_its_place() {
    insta::assert_snapshot!(rendered(&refuse(&edit("count = 2", "count = = 2"))));
}

#[test]
fn a_missing_expectation_is_shown_where_its_protocol_is_named() {
    insta::assert_snapshot!(rendered(&refuse(&edit("proved = [\"v1_24\"], ", ""))));
}

#[test]
fn a_protocol_in_the_place_of_a_property_is_told_where_it_belongs() {
    insta::assert_snapshot!(rendered(&refuse(&edit("[expect]\n", "[expect]\nv1_24 = \"proved\"\n"))));
}

#[test]
fn each_mistake_has_one_line_with_its_place_and_what_is_allowed() {
    let lines = [
        line("name = \"example\"\n", ""),
        line("\"example\"", "\"My example\""),
        line("[\"D14\"]", "[\"D41\"]"),
        line("cites = [\"D14\"]", "cites = \"D14\""),
        line("\"fresh\", ", "\"fresh\", \"fresh\", "),
        line("fresh = { proved", "fresh = { prooved"),
        line("[expect]", "[expect]\nordered = \"proved\""),
        line("[\"pr_473\"] }", "[\"pr_474\"] }"),
        line("[\"pr_473\"] }", "\"pr_473\", cut = \"others\" }"),
        line("[\"pr_473\"] }", "[\"v1_24\", \"pr_473\"] }"),
        line("violated = [\"v1_24\"], proved", "violated = \"others\", proved"),
        line("no-deadlock = { violated = [\"v1_24\"], proved = \"others\" }", "no-deadlock = \"prooved\""),
        line("no-deadlock = { violated = [\"v1_24\"], proved = \"others\" }\n", ""),
        line("{ id = \"top\"", "{ id = \"base\" }, { id = \"top\""),
        line("parent = \"base\"", "parent = \"bsae\""),
        line("count = 2", "count = 27"),
        line("count = 2", "count = 26"),
        line("count = 2", "runs = 0"),
        line("count = 2", "protocol = \"v1-24\""),
        line("count = 2", "crash = true"),
        line("count = 2", "kind = \"real\""),
        line("cites = [\"D14\"]", "crashes = 1"),
        line("name = \"writer\"", "name = \"reader\""),
        line("repeat = 3", "repeat = \"always\""),
        line("\"diff base\", ", "\"diff bass\", \"diff base\", "),
        line("\"diff base\", ", ""),
        line("\"diff base\", ", "\"diff base\", \"diff base\", "),
        line(", \"close-diff base\"]", "]\nrepeat = \"forever\""),
        line("\"exists top\"", "\"exists\""),
        line("\"exists top\"", "\"exists top base\""),
        line("\"exists top\"", "\"lookup fooo\""),
        line("names=x,y", "names=x,,y"),
        line("diff=true", "diff=yes"),
        line("count = 2", "before = []"),
        line("[store]", "alias = [{ path = \"/tmp\", target = \"root/vfs-layers\" }]\n[store]"),
        line("cites = [\"D14\"]", "protocols = [\"v1_24\"]"),
        line("properties = [\"fresh\", \"no-deadlock\"]", "properties = []"),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_process_pinned_leaves_none_to_check() {
    let text = edit("name = \"reader\"", "protocol = \"v1_24\"").replace("name = \"writer\"", "protocol = \"pr_473\"");
    let lines: Vec<String> = refuse(&text).lines().collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("example.toml:1:1: every process is pinned to a protocol"), "{lines:?}");
}

#[test]
fn a_protocol_of_the_callers_own_is_known_where_it_is_passed() {
    let own = Entry { name: "my_own", ..protocol::all()[0] };
    let text = edit("proved = [\"v1_24\"], violated = [\"pr_473\"]", "violated = [\"v1_24\"], cut = [\"my_own\"]");
    assert!(parse("example.toml", &text, &protocol::all()).is_err());
    let protocols: Vec<Entry> = protocol::all().into_iter().chain([own]).collect();
    let scenario = parse("example.toml", &text, &protocols).expect("a scenario");
    assert_eq!(scenario.expected("my_own", scenario.properties[0]), Some("cut"));
    assert_eq!(scenario.expected("my_own", scenario.properties[1]), Some("proved"));
    assert_eq!(scenario.system(own).processes[0].protocol.name, "my_own");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = load(Path::new("no/such.toml"), &protocol::all()).expect_err("no file");
    assert!(matches!(error, ScenarioError::Read { .. }));
    assert_eq!(error.to_string(), "failed to read no/such.toml");
}
