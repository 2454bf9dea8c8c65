//! `stress --daemon` as its user meets it.

mod common;

use common::{has_library_and, json, lockproof, stderr};

#[test]
fn a_daemon_and_commands_are_measured() {
    if !has_library_and(&["/usr/bin/containers-storage"], "`stress --daemon`") {
        return;
    }
    let said = json(&["stress", "--daemon", "2", "--commands", "1", "--for", "1s", "--seed", "7"], 0);
    assert_eq!((&said["version"], &said["seed"], &said["goroutines"]), (&1.into(), &7.into(), &2.into()));
    assert_eq!((&said["wrong"], &said["stuck"]), (&serde_json::json!([]), &serde_json::json!([])));
    let calls = said["calls"].as_array().expect("a list");
    for party in ["command", "goroutine"] {
        let of_party = calls.iter().filter(|call| call["party"] == party);
        assert!(of_party.map(|call| call["returned"].as_u64().unwrap_or(0)).sum::<u64>() > 0, "{said}");
    }
}

#[test]
fn a_scenario_and_a_daemon_are_not_stressed_at_once() {
    let both = lockproof(&["stress", "writer-starvation", "-p", "v1_24", "--daemon", "2"]);
    assert_eq!(both.status.code(), Some(2));
    let protocol = lockproof(&["stress", "--daemon", "2", "-p", "v1_24"]);
    assert_eq!(protocol.status.code(), Some(2));
    let neither = lockproof(&["stress"]);
    assert_eq!(neither.status.code(), Some(2));
}

#[test]
fn what_is_no_source_tree_is_refused_in_words() {
    if !has_library_and(&["/usr/bin/containers-storage"], "`stress --daemon`") {
        return;
    }
    let refused = lockproof(&["stress", "--daemon", "2", "--go-source", "src"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("src is no source tree of containers/storage"), "{}", stderr(&refused));
}
