//! The table of decoders itself.

use std::collections::BTreeSet;

use decoders::TARGETS;
use machinery::gvk::GroupVersion;
use machinery::schema::by_gvk;
use machinery::schema::decode::decode;

#[test]
fn every_target_has_a_program_for_libfuzzer() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz");
    let manifest = std::fs::read_to_string(format!("{root}/Cargo.toml")).unwrap();
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets have one name");
    let of_manifest: BTreeSet<&str> = manifest
        .lines()
        .skip_while(|line| *line != "[[bin]]")
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .collect();
    assert_eq!(of_manifest, names);
    for name in names {
        let program = std::fs::read_to_string(format!("{root}/fuzz_targets/{name}.rs")).unwrap();
        assert!(program.contains(&format!("decoders::run({name:?}, input)")), "{name}");
    }
}

#[test]
fn examples_of_objects_are_well_formed() {
    let seeds = |name: &str| {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        (target.seeds)()
    };
    let objects = seeds("json");
    assert!(objects.len() > 100, "{}", objects.len());
    for text in &objects {
        let object: serde_json::Value = serde_json::from_slice(text).unwrap();
        let version = GroupVersion::parse(object["apiVersion"].as_str().unwrap()).unwrap();
        let ty = by_gvk(&version.group, &version.version, object["kind"].as_str().unwrap()).unwrap();
        let decoded = decode(text, ty).unwrap();
        assert_eq!(decoded.strict, Vec::<String>::new(), "{object}");
        assert_eq!(decoded.value, object);
    }
    assert!(seeds("protobuf").len() > 80);
}
