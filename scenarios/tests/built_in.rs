//! The scenarios that come with the tool.

use std::collections::BTreeSet;
use std::path::Path;

use lockproof_model::call::Call;
use lockproof_model::op::Path as StorePath;
use lockproof_model::property::Property;
use lockproof_model::protocol::{self, Layers};
use lockproof_model::system::Repeat;
use lockproof_model::value::Datum;
use lockproof_scenarios::{BUILT_IN, RACES, REMARKS, Scenario, built_in, race, remark};

fn scenarios() -> &'static [Scenario] {
    match built_in() {
        Ok(scenarios) => scenarios,
        Err(refused) => panic!("{}", refused.lines().collect::<Vec<_>>().join("\n")),
    }
}

fn scenario(name: &str) -> &'static Scenario {
    scenarios().iter().find(|scenario| scenario.name == name).expect("a built-in scenario")
}

#[test]
fn every_file_of_the_folder_is_built_in_under_its_own_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("this crate's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "Cargo")
        .collect();
    let listed: BTreeSet<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, files);
    assert_eq!(listed.len(), BUILT_IN.len());
    let named: Vec<&str> = scenarios().iter().map(|scenario| scenario.name.as_str()).collect();
    let stems: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, stems);
}

#[test]
fn every_scenario_says_what_is_expected_of_every_protocol_that_it_is_for() {
    for scenario in scenarios() {
        for entry in protocol::all().iter().filter(|entry| scenario.is_for(entry.name)) {
            for &property in &scenario.properties {
                let expected = scenario.expected(entry.name, property);
                assert!(expected.is_some(), "{}: {} of {}", scenario.name, property, entry.name);
            }
        }
    }
}

#[test]
fn every_scenario_comes_from_the_discussion_and_is_explained() {
    for scenario in scenarios() {
        assert!(scenario.cites.iter().any(|cite| remark(cite).is_some()), "{}", scenario.name);
        assert!(scenario.about.len() > 100, "{}", scenario.name);
    }
}

#[test]
fn the_scenarios_of_the_issue_are_there() {
    for (name, cite) in [
        ("stale-ro-cache-after-rw-write", "D14"),
        ("writer-starvation", "D6"),
        ("list-while-push", "D1"),
        ("readers-exclude-writer", "D5"),
        ("writer-excludes-readers", "D5"),
        ("graphlock-scope-race", "D13"),
        ("abba-layer-locks", "D17"),
    ] {
        assert!(scenario(name).cites.iter().any(|cited| cited == cite), "{name}");
    }
    scenario("concurrent-writers-lose-nothing");
}

#[test]
fn a_system_holds_the_store_and_the_processes_of_its_scenario() {
    let entry = protocol::by_name("pr_473").expect("a protocol");
    let system = scenario("stale-ro-cache-after-rw-write").system(entry);
    let stamped = ["root/vfs-layers/layers.lock", "run/vfs-layers/mountpoints.lock"];
    assert_eq!(system.stamped, stamped.map(StorePath::new));
    assert_eq!(system.documents.len(), 1);
    let (path, value) = &system.documents[0];
    assert_eq!(path.0, "root/vfs-layers/layers.json");
    let layers = Layers::from_value(value).expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!((layers[0].id.as_str(), layers[0].names.as_slice()), ("base", &["foo".to_owned()][..]));
    assert_eq!(system.processes.len(), 1);
    let process = &system.processes[0];
    assert_eq!((process.protocol.name, process.runs, process.may_crash), ("pr_473", Repeat::Times(1), false));
    assert_eq!(process.before, [Call::Open]);
    assert_eq!(process.threads.len(), 1);
    assert_eq!(process.threads[0].script.len(), 3);
}

#[test]
fn processes_that_are_alike_are_numbered_and_go_on_for_ever_where_they_should() {
    let system = scenario("writer-starvation").system(protocol::by_name("v1_24").expect("a protocol"));
    let names: Vec<&str> = system.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["reader-1", "reader-2", "writer"]);
    let repeats: Vec<Repeat> = system.processes.iter().map(|process| process.threads[0].repeat).collect();
    assert_eq!(repeats, [Repeat::Forever, Repeat::Forever, Repeat::Times(1)]);
}

#[test]
fn a_pinned_process_keeps_its_protocol() {
    let system = scenario("mixed-versions").system(protocol::by_name("per_layer_locks").expect("a protocol"));
    let spoken: Vec<&str> = system.processes.iter().map(|process| process.protocol.name).collect();
    assert_eq!(spoken, ["per_layer_locks", "v1_24"]);
}

#[test]
fn a_protocol_that_a_scenario_does_not_know_has_no_expectation() {
    let scenario = scenario("stale-ro-cache-after-rw-write");
    assert_eq!(scenario.expected("pr_473", Property::Fresh), Some("violated"));
    assert_eq!(scenario.expected("one_way_upgrade", Property::Fresh), Some("proved"));
    assert_eq!(scenario.expected("pr_473", Property::Ordered), None);
    assert_eq!(scenario.expected("my_own", Property::Fresh), None);
}

#[test]
fn every_scenario_is_read_as_it_was_written() {
    for scenario in scenarios() {
        let text = scenario.to_toml();
        let again = lockproof_scenarios::parse(&scenario.origin, &text, &protocol::all());
        let mut again = again.unwrap_or_else(|refused| panic!("{:?}", refused.lines().collect::<Vec<_>>()));
        again.text.clone_from(&scenario.text);
        let mut scenario = scenario.clone();
        for scenario in [&mut scenario, &mut again] {
            scenario.expectations.sort_by_key(|expected| (expected.property, expected.protocol.clone()));
        }
        assert_eq!(format!("{again:?}"), format!("{scenario:?}"));
    }
}

#[test]
fn every_remark_of_the_discussion_is_answered() {
    for remark in REMARKS {
        let answers = scenarios().iter().any(|scenario| scenario.cites.iter().any(|cite| cite == remark.id));
        assert!(answers, "{}", remark.id);
    }
}

#[test]
fn every_race_has_a_scenario_or_a_reason_and_not_both() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the reference");
    let (mut stated, mut left_out) = (0, 0);
    for race in RACES {
        let has_scenario = scenarios().iter().any(|scenario| scenario.cites.iter().any(|cite| cite == race.id));
        assert_eq!(has_scenario, race.not_stated.is_none(), "{}", race.id);
        match race.not_stated {
            None => stated += 1,
            Some(why) => {
                left_out += 1;
                assert!(
                    readme.contains(&format!("| `{}` | {why} |\n", race.id)),
                    "the table of README.md lacks {}",
                    race.id
                );
            }
        }
    }
    let (_, table) = readme.split_once("## Not stated here").expect("the table");
    let (table, _) = table.split_once("## Mistakes").expect("its end");
    assert_eq!(table.matches("\n| `").count(), left_out, "the table of README.md has what is no race");
    assert_eq!((stated, left_out), (48, 24));
}

#[test]
fn what_a_scenario_cites_is_a_remark_a_race_or_a_link() {
    for scenario in scenarios() {
        for cite in &scenario.cites {
            let known = remark(cite).is_some() || race(cite).is_some() || cite.contains("://");
            assert!(known, "{}: {cite}", scenario.name);
        }
    }
}
